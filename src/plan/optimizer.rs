//! The calls from gradients to new parameters, and the learning rates that they read.

use super::emit::{Emitter, FusedUpdate};
use super::network::Feed;
use super::{BufferId, Lifetime, Plan, ProgramId};
use crate::ops::adam::{self, Adam};
use crate::ops::clip_norm::{self, ClipNorm};
use crate::ops::dense_weight_grad;
use crate::ops::dense_weight_update_adam::{self, DenseWeightUpdateAdam};
use crate::ops::dense_weight_update_sgd::{self, DenseWeightUpdateSgd};
use crate::ops::rmsprop::{self, RmsProp};
use crate::ops::sgd::{self, Sgd};
use crate::ops::squared_norm::{self, SquaredNorm};
use crate::recipe::Optimizer;

/// Partial sums of the gradients' squared norm.
const NORM_PARTS: usize = 256;

/// Where the optimiser's calls go and what they work on.
pub(super) struct Update<'a> {
    pub(super) program: ProgramId,
    pub(super) feed: &'a Feed,
    pub(super) gradients: BufferId,
    pub(super) parameters: BufferId,
    pub(super) schedule: BufferId,
    pub(super) moments: &'a [BufferId],
    /// Parameters, from the first on; those behind are updated where their gradients are made.
    pub(super) len: usize,
}

impl Update<'_> {
    /// Emits the clipping of gradients, if `clip_norm` is not 0.
    pub(super) fn clip(&self, plan: &mut Plan, clip_norm: f64) {
        if clip_norm == 0.0 {
            return;
        }
        let partials = plan.buffer("squared_norm", NORM_PARTS, Lifetime::Step);
        let (len, parts) = (self.len as u32, NORM_PARTS as u32);
        let params = squared_norm::Params { len, parts };
        plan.call(self.program, "clip", &SquaredNorm, &params, &[self.gradients, partials]);
        let params = clip_norm::Params { len, parts, norm: clip_norm as f32 };
        plan.call(self.program, "clip", &ClipNorm, &params, &[partials, self.gradients]);
    }

    /// Emits the optimiser.
    pub(super) fn emit(&self, plan: &mut Plan, optimizer: &Optimizer) {
        if self.len == 0 {
            return;
        }
        let len = self.len as u32;
        let mut buffers = vec![self.gradients, self.schedule, self.feed.control, self.parameters];
        buffers.extend(self.moments);
        let place = "optimizer";
        match optimizer {
            Optimizer::Sgd(settings) => {
                let nesterov = u32::from(settings.nesterov);
                let params = sgd::Params { len, momentum: settings.momentum as f32, nesterov };
                plan.call(self.program, place, &Sgd, &params, &buffers);
            }
            Optimizer::Adam(settings) => {
                let (beta_1, beta_2, epsilon) = (settings.beta_1, settings.beta_2, settings.epsilon);
                let params = adam_params(len, beta_1, beta_2, epsilon, 0.0);
                plan.call(self.program, place, &Adam, &params, &buffers);
            }
            Optimizer::AdamW(settings) => {
                let (beta_1, beta_2, epsilon) = (settings.beta_1, settings.beta_2, settings.epsilon);
                let params = adam_params(len, beta_1, beta_2, epsilon, settings.weight_decay);
                plan.call(self.program, place, &Adam, &params, &buffers);
            }
            Optimizer::RmsProp(settings) => {
                let params = rmsprop::Params {
                    len,
                    rho: settings.rho as f32,
                    one_minus_rho: (1.0 - settings.rho) as f32,
                    momentum: settings.momentum as f32,
                    epsilon: settings.epsilon as f32,
                };
                plan.call(self.program, place, &RmsProp, &params, &buffers);
            }
        }
    }
}

/// Whether weight gradients can be applied in the call that makes them: nothing else needs them, and there is an op.
pub(super) fn can_fuse(optimizer: &Optimizer, clip_norm: f64) -> bool {
    clip_norm == 0.0 && !matches!(optimizer, Optimizer::RmsProp(_))
}

/// Emits the call that makes the gradients of a dense layer's weights and updates them at once.
///
/// # Panics
/// For an optimiser that has no such op; plans do not ask for it.
pub fn emit_dense_update(
    e: &mut Emitter<'_>,
    update: &FusedUpdate<'_>,
    gradient: &dense_weight_grad::Params,
    x: BufferId,
    y_grad: BufferId,
) {
    let dense_weight_grad::Params { blocks, inputs, units, weight, bias } = *gradient;
    let mut buffers = vec![x, y_grad, update.schedule, e.control, e.shared.parameters];
    buffers.extend(update.moments);
    let len = (inputs + 1) * units;
    let adam = match update.optimizer {
        Optimizer::Sgd(settings) => {
            let (momentum, nesterov) = (settings.momentum as f32, u32::from(settings.nesterov));
            let params =
                dense_weight_update_sgd::Params { blocks, inputs, units, weight, bias, momentum, nesterov };
            return e.call_later(&DenseWeightUpdateSgd, &params, &buffers);
        }
        Optimizer::Adam(s) => adam_params(len, s.beta_1, s.beta_2, s.epsilon, 0.0),
        Optimizer::AdamW(s) => adam_params(len, s.beta_1, s.beta_2, s.epsilon, s.weight_decay),
        Optimizer::RmsProp(_) => unreachable!("can_fuse excludes it"),
    };
    let adam::Params { one_minus_beta_1, one_minus_beta_2, epsilon, weight_decay, .. } = adam;
    let params = dense_weight_update_adam::Params {
        blocks,
        inputs,
        units,
        weight,
        bias,
        one_minus_beta_1,
        one_minus_beta_2,
        epsilon,
        weight_decay,
    };
    e.call_later(&DenseWeightUpdateAdam, &params, &buffers);
}

fn adam_params(len: u32, beta_1: f64, beta_2: f64, epsilon: f64, weight_decay: f64) -> adam::Params {
    adam::Params {
        len,
        one_minus_beta_1: (1.0 - beta_1) as f32,
        one_minus_beta_2: (1.0 - beta_2) as f32,
        epsilon: epsilon as f32,
        weight_decay: weight_decay as f32,
    }
}

/// The rate of step `step` (from 0, since training began) with Adam's bias correction folded in:
/// rate sqrt(1 - beta_2^t) / (1 - beta_1^t), t = step + 1; the rate itself for other optimisers.
pub fn corrected_rate(optimizer: &Optimizer, rate: f64, step: u64) -> f64 {
    let (beta_1, beta_2) = match optimizer {
        Optimizer::Adam(settings) => (settings.beta_1, settings.beta_2),
        Optimizer::AdamW(settings) => (settings.beta_1, settings.beta_2),
        Optimizer::Sgd(_) | Optimizer::RmsProp(_) => return rate,
    };
    let t = (step + 1) as f64;
    rate * (1.0 - beta_2.powf(t)).sqrt() / (1.0 - beta_1.powf(t))
}
