//! Every op on every backend against the f64 reference: hostile shapes, outputs filled with noise, untouched words.

use gpu_mnist::backend::Backend;
use gpu_mnist::backend::cpu::Cpu;
use gpu_mnist::backend::gpu::adapter::{self, Api, Selection};
use gpu_mnist::backend::gpu::{Checks, Gpu};
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

/// The adapter under test, or `None` where there is none and none is required.
fn any_adapter() -> Option<adapter::Adapter> {
    let api = match std::env::var("GPU_MNIST_BACKEND").as_deref() {
        Ok("gl") => Api::Gl,
        Ok("vulkan") => Api::Vulkan,
        _ => Api::Any,
    };
    match adapter::choose(&Selection { api, adapter: None }) {
        Ok(adapter) => Some(adapter),
        Err(error) if std::env::var("GPU_MNIST_GPU").as_deref() == Ok("require") => panic!("{error}"),
        Err(error) => {
            println!("SKIPPED, no GPU: {error}");
            None
        }
    }
}

#[test]
fn the_cpu_agrees_with_the_reference_on_any_number_of_threads() {
    for threads in [1, 2, 3] {
        let (plan, cases) = ops::plan(None);
        check_all(&mut Cpu::new(&plan, threads), &cases);
    }
}

#[test]
fn the_gpu_agrees_with_the_reference_checked_and_unchecked() {
    let Some(adapter) = any_adapter() else { return };
    println!("{:?}", adapter.info());
    for checks in [Checks::Off, Checks::On] {
        let (plan, cases) = ops::plan(None);
        check_all(&mut Gpu::new(&plan, &adapter, checks).unwrap(), &cases);
    }
}
