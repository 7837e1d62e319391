//! Every op on every backend against the f64 reference: hostile shapes, outputs filled with noise, untouched words.

mod common;

use common::any_adapter;
use gpu_mnist::backend::Backend;
use gpu_mnist::backend::cpu::Cpu;
use gpu_mnist::backend::gpu::adapter::Adapter;
use gpu_mnist::backend::gpu::{Checks, Gpu};
use gpu_mnist::ops::matrices::{Factors, Matrices};
use gpu_mnist::ops::{ALL, DeviceClass, Op};
use gpu_mnist::verify::ops;

fn check_all(backend: &mut dyn Backend, cases: &[ops::PlacedCase]) {
    let mut failures = Vec::new();
    for case in cases {
        let report = ops::check(backend, case).unwrap();
        println!("{:<24} {:<44} {:>9.4}", report.op, report.case, report.worst);
        if let Some((buffer, difference)) = report.wrong {
            failures.push(format!("{} ({}), {buffer}: {difference:?}", report.op, report.case));
        }
    }
    assert!(failures.is_empty(), "{} cases differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_cpu_agrees_with_the_reference_on_any_number_of_threads() {
    for threads in [1, 2, 3] {
        let (plan, cases) = ops::plan(None);
        check_all(&mut Cpu::new(&plan, threads).unwrap(), &cases);
    }
}

/// Checked and unchecked, all ops or one.
fn check_adapter(adapter: &Adapter, op: Option<&str>) {
    println!("{:?}, {:?}", adapter.info(), adapter.class());
    for checks in [Checks::Off, Checks::On] {
        let (plan, cases) = ops::plan(op);
        check_all(&mut Gpu::new(&plan, adapter, checks).unwrap(), &cases);
    }
}

#[test]
fn the_kernels_of_either_class_agree_with_the_reference() {
    for class in [DeviceClass::Gpu, DeviceClass::Software] {
        let Some(adapter) = any_adapter() else { return };
        check_adapter(&adapter.with_class(class), None);
    }
}

/// The adapter with the kernels of either class, if it offers a feature.
fn with_either_class(feature: &str) -> Vec<Adapter> {
    let adapters =
        [DeviceClass::Gpu, DeviceClass::Software].map(|class| Some(any_adapter()?.with_class(class)));
    let (offering, other): (Vec<Adapter>, _) =
        adapters.into_iter().flatten().partition(|adapter| adapter.features().contains(&feature));
    other.iter().for_each(|adapter| println!("{} offers no {feature}", adapter.info().name));
    offering
}

#[test]
fn sums_by_subgroups_agree_with_the_reference() {
    for adapter in with_either_class("subgroup") {
        let adapter = adapter.with_subgroups().unwrap();
        let sums = ALL.iter().filter(|op| op.shader().contains("#import workgroup_sum\n"));
        sums.for_each(|op| check_adapter(&adapter, Some(op.name())));
    }
}

#[test]
fn activations_in_half_precision_agree_with_the_reference() {
    for adapter in with_either_class("shader-f16") {
        let adapter = adapter.with_half_activations().unwrap();
        for op in ALL.iter().filter(|op| op.bindings().iter().any(|binding| binding.activations)) {
            let (plan, cases) = ops::plan(Some(op.name()));
            check_all(&mut Gpu::new(&plan, &adapter, Checks::Off).unwrap(), &cases);
        }
    }
}

#[test]
fn products_by_cooperative_matrices_agree_with_the_reference() {
    let any = Matrices::usual(Factors::F32);
    let has_kernel = |op: &dyn Op| op.cooperative_kernel(&op.cases()[0].params, any).is_some();
    for factors in [Factors::F32, Factors::F16] {
        for adapter in with_either_class("cooperative-matrix") {
            match adapter.with_matrices(Some(factors)) {
                Ok(adapter) => {
                    let products = ALL.iter().filter(|op| has_kernel(**op));
                    products.for_each(|op| check_adapter(&adapter, Some(op.name())));
                }
                Err(error) => println!("{error}"),
            }
        }
    }
}
