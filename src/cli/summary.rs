//! `summary`

use super::args::{DataArgs, RecipeArgs};
use crate::layers::{self, Shape};
use crate::ops::matrices::{self, Factors, Matrices};
use crate::ops::{DeviceClass, shader};
use crate::plan::network::{Description, Network, Target, build};
use crate::plan::{Plan, Reuse, table};
use crate::recipe::Recipe;
use crate::train::model::Model;
use crate::train::room::fit_evaluation;
use anyhow::{Context, Result};
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Flags of `summary`.
#[derive(Args)]
pub(super) struct Summary {
    /// A run folder, instead of a recipe
    run: Option<PathBuf>,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    data: DataArgs,
    /// The calls of a training step and of an evaluation step, with their work and memory
    #[arg(long)]
    plan: bool,
    /// The device class that the plan is for
    #[arg(long, value_enum, default_value = "gpu")]
    class: DeviceClass,
    /// Plan with activations in half precision
    #[arg(long, requires = "plan")]
    f16: bool,
    /// Plan with products by cooperative matrices: 8x8 of f32, as Apple's GPUs have, or 16x16 of f16, as NVIDIA's and AMD's
    #[arg(
        long, value_name = "f32|f16", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "f32",
        requires = "plan"
    )]
    cooperative_matrices: Option<Factors>,
    /// Write every kernel of the plan as it is compiled into this folder
    #[arg(long, value_name = "DIR", requires = "plan")]
    wgsl: Option<PathBuf>,
}

impl Summary {
    pub(super) fn run(&self) -> Result<()> {
        let (recipe, input, classes, rows) = match &self.run {
            Some(run) => {
                let model = Model::of_run(run)?;
                (model.recipe, model.input, model.classes, 60_000)
            }
            None => {
                let data = self.data.load()?;
                let (height, width) = (data.train.images.height, data.train.images.width);
                let rows = data.train.images.count + data.test.images.count;
                (self.recipe.load()?, Shape { channels: 1, height, width }, data.classes, rows)
            }
        };
        let layers = layers::resolve(&recipe, input, classes)?;
        let mut text = layers::summary::table(&layers);
        if self.plan {
            let Network { plan, train, evaluate, .. } = self.network(&recipe, &layers, input, classes, rows);
            let plan = if self.f16 { plan.with_half_activations() } else { plan };
            for program in [train, evaluate] {
                text.push('\n');
                text.push_str(&table::table(&plan, program, self.class, self.matrices()));
            }
            text.push_str(&table::memory(&plan, Reuse::ByLifetime));
            self.write_kernels(&plan)?;
        }
        super::print(&text)
    }

    fn matrices(&self) -> Option<Matrices> {
        self.cooperative_matrices.map(Matrices::usual)
    }

    fn network(
        &self,
        recipe: &Recipe,
        layers: &[layers::ResolvedLayer],
        input: Shape,
        classes: usize,
        rows: usize,
    ) -> Network {
        // As training plans it, so that the memory is what training takes.
        let transform = crate::data::PixelTransform { mean: 0.0, divisor: 255.0, l2_columns: false };
        let target = Target::Gpu(self.class);
        let describe = |batch_size, evaluation_batch_size| Description {
            batch_size,
            evaluation_batch_size,
            ..Description::of_recipe(recipe, layers, input, classes, transform, rows, target)
        };
        let build = |batch, evaluation| build(&describe(batch, evaluation));
        fit_evaluation(recipe.training.batch_size, rows, None, build).0
    }

    /// One file for each op and set of constants.
    fn write_kernels(&self, plan: &Plan) -> Result<()> {
        let Some(folder) = &self.wgsl else { return Ok(()) };
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut kernels = BTreeMap::new();
        for call in plan.programs.iter().flat_map(|program| &program.calls) {
            let mut kernel = matrices::kernel(call.op, &call.params, self.class, self.matrices());
            if self.class == DeviceClass::Software {
                // As lavapipe gets it.
                kernel = shader::by_broadcast(kernel);
            }
            let constants: String =
                kernel.constants.iter().map(|(name, value)| format!("-{name}{value}")).collect();
            let halves = plan.halves(call);
            let names = call.op.bindings().iter().zip(&halves).filter(|(_, half)| **half);
            let names: String = names.map(|(binding, _)| format!("-{}-f16", binding.name)).collect();
            let text = shader::in_halves(call.op, &shader::expand(call.op, &kernel), &halves);
            kernels.insert(format!("{}{constants}{names}.wgsl", call.op.name()), text);
        }
        for (name, text) in kernels {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}
