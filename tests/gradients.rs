//! Gradients against central differences of the loss, in f64: whole small networks, and single ops with a random gradient
//! from above.
//!
//! The difference quotient is (8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / 12h, off by h^4 L'''''/30 and by the rounding of L
//! over h. The second is the only absolute tolerance; [`Report`] says how many gradients were too small to be seen above it.
//!
//! **Kinks** are avoided, and counted: the signs of what relu, elu and selu made, and the winners of max pooling, must be the
//! same at all four points (elu's second derivative jumps too).

mod common;

use common::network::{Machine, Net};
use gpu_mnist::ops::activation::Activation;
use gpu_mnist::ops::{self, LANES, Op, Params, Slot, control};
use gpu_mnist::plan::Call;
use gpu_mnist::rng::{Purpose, Stream};
use gpu_mnist::verify::reference::ReferenceBackend;

/// Half the distance of the inner points.
const H: f64 = 1e-4;
/// What the gradient may differ by, relative to itself: h^4 L'''''/30 with room for steep functions.
const RELATIVE: f64 = 1e-6;
/// Gradients checked of each tensor.
const SAMPLE: usize = 64;

/// Rounding errors of a quotient of losses of this size: some ulps of each of four.
fn floor(loss: f64) -> f64 {
    16.0 * f64::EPSILON * (1.0 + loss.abs()) / H
}

/// The quotient from the losses at -2h, -h, h and 2h.
fn quotient([a, b, c, d]: [f64; 4]) -> f64 {
    (8.0 * (c - b) - (d - a)) / (12.0 * H)
}

fn agree(gradient: f64, quotient: f64, floor: f64) -> bool {
    // Not relative to the gradient, or infinity would agree with everything.
    (gradient - quotient).abs() <= RELATIVE * quotient.abs() + floor
}

#[derive(Default, Debug)]
struct Report {
    checked: usize,
    /// Parameters at a kink.
    at_kinks: usize,
    /// Gradients under a thousand times the rounding error, in which a mistake of 0.1 % would not show.
    too_small: usize,
    wrong: Vec<String>,
}

/// Everything random here.
fn random(tensor: u32, len: usize) -> Vec<f64> {
    let stream = Stream::new(5, Purpose::Test, 1, tensor);
    (0..len as u32).map(|i| 2.0 * stream.uniform_f64(i) - 1.0).collect()
}

/// Random indices, all different; all of them if there are no more than asked for.
fn some_of(len: usize, count: usize) -> Vec<usize> {
    let order = Stream::new(5, Purpose::Test, 2, len as u32).permutation(len);
    order.into_iter().take(count).map(|i| i as usize).collect()
}

// --------------------------------------------------------------------------------------------------------------------
// Whole networks.

/// A network in f64 at random parameters.
struct Subject {
    net: Net,
    machine: ReferenceBackend<f64>,
    parameters: Vec<f64>,
    step: usize,
}

impl Subject {
    /// `step`: which batch of the epoch; the last may be ragged.
    fn new(net: Net, step: usize) -> Self {
        let mut machine = net.reference();
        net.load(&mut machine);
        let mut parameters =
            vec![0.0; net.network.parameters.iter().filter(|p| p.trainable).map(|p| p.len()).sum()];
        let specs = net.layers.iter().flat_map(|layer| &layer.parameters);
        for ((number, (_, place)), spec) in net.tensors().enumerate().zip(specs) {
            let draws = random(number as u32, place.len());
            let values: Vec<f64> = match place.name {
                // Larger than usual, so that every function is used where it bends.
                "weight" => draws.iter().map(|x| 2.5 * x / (spec.fan_in as f64).sqrt()).collect(),
                "gamma" => draws.iter().map(|x| 1.0 + 0.4 * x).collect(),
                "running_variance" | "running_mean" => continue,
                _ => draws.iter().map(|x| 0.4 * x).collect(),
            };
            parameters[place.range()].copy_from_slice(&values);
        }
        Self { net, machine, parameters, step }
    }

    /// The loss at these parameters, and what side of every kink the images are on.
    fn loss(&mut self, parameters: &[f64]) -> (f64, Vec<u32>) {
        let network = &self.net.network;
        self.machine.write(network.shared.parameters, parameters);
        self.net.start(&mut self.machine, &network.train_feed, self.step);
        self.machine.run(network.train);
        let loss = self.net.loss(&mut self.machine, self.step);
        (loss, self.sides())
    }

    /// The gradients as the plan's calls make them; those that no call makes are NaN.
    fn gradients(&mut self) -> Vec<f64> {
        let gradients = self.net.network.shared.gradients;
        self.machine.write(gradients, &vec![f64::NAN; self.parameters.len()]);
        self.loss(&self.parameters.clone());
        self.machine.read(gradients)
    }

    fn sides(&mut self) -> Vec<u32> {
        let program = self.net.network.train.0;
        let rows =
            control::rows(self.step as u32, self.net.images() as u32, self.net.batch() as u32) as usize;
        let mut sides = Vec::new();
        for call in &self.net.network.plan.programs[program].calls {
            let numbers = |machine: &mut ReferenceBackend<f64>, binding: &str| {
                let position = call.op.bindings().iter().position(|b| b.name == binding).unwrap();
                machine.read(call.buffers[position])
            };
            let kinky = |code: u32| {
                let activation = Activation::from_code(code);
                matches!(activation, Activation::Relu | Activation::Elu | Activation::Selu)
            };
            let blocks = || field(call, "blocks") as usize;
            match call.op.name() {
                "dense" | "conv2d" | "batch_norm" if kinky(field(call, "activation")) => {
                    let y = numbers(&mut self.machine, "y");
                    sides.extend(of_images(&y, blocks(), rows).map(|i| u32::from(y[i] > 0.0)));
                }
                "activate" if kinky(field(call, "activation")) => {
                    let x = numbers(&mut self.machine, "x");
                    sides.extend(of_images(&x, blocks(), rows).map(|i| u32::from(x[i] > 0.0)));
                }
                "conv2d_max_pool" => {
                    // Relu shows in the winners.
                    let (y, winners) =
                        (numbers(&mut self.machine, "y"), numbers(&mut self.machine, "winners"));
                    let elu = kinky(field(call, "activation"));
                    sides.extend(of_images(&winners, blocks(), rows).map(|i| winners[i] as u32));
                    sides.extend(of_images(&y, blocks(), rows).map(|i| u32::from(elu && y[i] > 0.0)));
                }
                "max_pool" => {
                    let x = numbers(&mut self.machine, "x");
                    let y = numbers(&mut self.machine, "y");
                    sides.extend(of_images(&y, blocks(), rows).map(|i| winner(call, &x, i)));
                }
                _ => {}
            }
        }
        sides
    }

    fn check(&mut self, gradients: &[f64]) -> Report {
        let mut report = Report::default();
        let start = self.parameters.clone();
        let (loss, sides) = self.loss(&start);
        let places = self.net.network.parameters.clone();
        for place in places.iter().filter(|place| place.trainable) {
            for index in some_of(place.len(), SAMPLE) {
                let at = place.offset + index;
                let mut same_side = true;
                let losses = [-2.0, -1.0, 1.0, 2.0].map(|steps| {
                    let mut parameters = start.clone();
                    parameters[at] += steps * H;
                    let (loss, there) = self.loss(&parameters);
                    same_side &= there == sides;
                    loss
                });
                if !same_side {
                    report.at_kinks += 1;
                    continue;
                }
                report.checked += 1;
                let (gradient, quotient) = (gradients[at], quotient(losses));
                report.too_small += usize::from(quotient.abs() < 1000.0 * floor(loss));
                if !agree(gradient, quotient, floor(loss)) {
                    report.wrong.push(format!(
                        "{} {}[{index}]: {gradient:e}, not {quotient:e}",
                        place.layer, place.name
                    ));
                }
            }
        }
        report
    }
}

/// A parameter of a call by name.
fn field(call: &Call, name: &str) -> u32 {
    call.params[call.op.fields().iter().position(|(field, _)| *field == name).unwrap()]
}

/// Words of a tensor that belong to images and not to padding.
fn of_images(tensor: &[f64], blocks: usize, rows: usize) -> impl Iterator<Item = usize> {
    let each = tensor.len() / blocks;
    (0..tensor.len()).filter(move |i| i / each * LANES + i % LANES < rows)
}

/// Which place of its window the output `i` of a pooling comes from.
fn winner(call: &Call, x: &[f64], i: usize) -> u32 {
    let [width, height, size, out_width, out_height] =
        ["width", "height", "size", "out_width", "out_height"].map(|name| field(call, name) as usize);
    let (lane, ox, oy, plane) = (
        i % LANES,
        i / LANES % out_width,
        i / LANES / out_width % out_height,
        i / LANES / out_width / out_height,
    );
    let value = |k: &u32| {
        let (y, x_) = (oy * size + *k as usize / size, ox * size + *k as usize % size);
        x[((plane * height + y) * width + x_) * LANES + lane]
    };
    (0..(size * size) as u32).reduce(|best, k| if value(&k) > value(&best) { k } else { best }).unwrap()
}

/// SGD with rate 0, so that the parameters stay; whatever comes after `layers` follows.
fn recipe(batch: usize, layers: &[&str], rest: &str) -> String {
    format!(
        "layers = [{}]\noptimizer = {{ name = 'sgd', learning_rate = 0.0 }}\ntraining.batch_size = {batch}\n{rest}",
        layers.join(", ")
    )
}

/// 21 images of 6 x 5 in steps of 18: two blocks, the second ragged, and a last step of 3.
const IMAGES: (usize, usize, usize) = (21, 6, 5);
const BATCH: usize = 18;
const CLASSES: usize = 4;

fn subject(layers: &[&str], rest: &str, step: usize) -> Subject {
    Subject::new(Net::on_noise(&recipe(BATCH, layers, rest), IMAGES, CLASSES), step)
}

#[track_caller]
fn check_network(layers: &[&str], rest: &str, step: usize) -> Report {
    let mut subject = subject(layers, rest, step);
    let gradients = subject.gradients();
    let report = subject.check(&gradients);
    let Report { checked, at_kinks, too_small, .. } = report;
    println!("{checked:>5} checked, {at_kinks:>3} at kinks, {too_small:>3} too small: {}", layers.join(", "));
    assert!(report.wrong.is_empty(), "{layers:?} {rest}: {:#?}", report.wrong);
    assert!(
        checked > 0 && at_kinks * 5 <= checked,
        "{layers:?}: {at_kinks} at kinks, only {checked} checked"
    );
    report
}

/// Most gradients are large enough for a mistake of 0.1 % to show.
#[track_caller]
fn check(layers: &[&str]) {
    let Report { checked, too_small, .. } = check_network(layers, "", 0);
    assert!(2 * too_small <= checked, "{layers:?}: {too_small} of {checked} are too small to be seen");
}

const OUTPUT: &str = "{ type = 'dense', units = 'classes' }";
const POOL: &str = "{ type = 'max_pool', size = 2 }";
const NORM: &str = "{ type = 'batch_norm' }";
const FLATTEN: &str = "{ type = 'flatten' }";
const CONV: &str = "{ type = 'conv2d', filters = 3, kernel = 3, padding = 'same' }";
const DENSE: &str = "{ type = 'dense', units = 6 }";

fn names() -> [String; 8] {
    Activation::ALL.map(|activation| format!("{activation:?}").to_lowercase())
}

fn dense(activation: &str) -> String {
    format!("{{ type = 'dense', units = 7, activation = '{activation}' }}")
}

fn conv(kernel: usize, padding: &str, activation: &str) -> String {
    format!(
        "{{ type = 'conv2d', filters = 3, kernel = {kernel}, padding = '{padding}', activation = '{activation}' }}"
    )
}

fn activation(function: &str) -> String {
    format!("{{ type = 'activation', function = '{function}' }}")
}

#[test]
fn dense_layers_of_every_activation() {
    for name in names() {
        check(&[&dense(&name), OUTPUT]);
        check(&[&dense(&name), &dense(&name), OUTPUT]);
    }
}

#[test]
fn activations_that_stand_by_themselves() {
    for name in names() {
        check(&[&dense("tanh"), &activation(&name), OUTPUT]);
        check(&[CONV, POOL, &activation(&name), FLATTEN, OUTPUT]);
        check(&[DENSE, NORM, &activation(&name), OUTPUT]);
    }
    check(&[&activation("tanh"), OUTPUT]);
    check(&[&dense("selu"), &activation("softmax"), &activation("swish"), OUTPUT]);
}

#[test]
fn logits_with_an_activation() {
    for name in names().iter().filter(|name| *name != "softmax") {
        check(&[DENSE, &format!("{{ type = 'dense', units = 'classes', activation = '{name}' }}")]);
    }
    check(&[DENSE, OUTPUT, NORM]);
}

#[test]
fn convolutions_of_every_padding() {
    for (kernel, padding) in
        [(3, "valid"), (3, "same"), (2, "same"), (4, "valid"), (4, "same"), (1, "valid"), (5, "same")]
    {
        check(&[&conv(kernel, padding, "tanh"), OUTPUT]);
        check(&[&conv(3, "same", "relu"), &conv(kernel, padding, "elu"), OUTPUT]);
    }
    for name in names() {
        check(&[&conv(3, "valid", &name), &conv(2, "valid", "linear"), OUTPUT]);
    }
}

#[test]
fn pools_with_rows_left_over() {
    for size in [1, 2, 3, 5] {
        check(&[&conv(2, "same", "relu"), &format!("{{ type = 'max_pool', size = {size} }}"), OUTPUT]);
    }
    check(&[&conv(3, "same", "swish"), POOL, &conv(3, "same", "selu"), POOL, FLATTEN, OUTPUT]);
    check(&[&conv(3, "same", "softmax"), POOL, OUTPUT]);
}

#[test]
fn batch_norms_on_vectors_and_maps() {
    check(&[DENSE, NORM, OUTPUT]);
    check(&[&dense("tanh"), NORM, &dense("sigmoid"), NORM, OUTPUT]);
    check(&[CONV, NORM, &activation("relu"), POOL, &conv(2, "valid", "tanh"), NORM, OUTPUT]);
    check(&[NORM, OUTPUT]);
    check(&[CONV, POOL, NORM, &activation("selu"), FLATTEN, NORM, OUTPUT]);
}

#[test]
fn dropout_with_the_mask_of_its_step() {
    let dropout = "{ type = 'dropout', rate = 0.3 }";
    check(&[&dense("relu"), dropout, OUTPUT]);
    check(&[dropout, &dense("tanh"), dropout, OUTPUT]);
    check(&[CONV, NORM, &activation("elu"), dropout, FLATTEN, &dense("sigmoid"), dropout, OUTPUT]);
    check(&[
        &conv(3, "same", "relu"),
        POOL,
        dropout,
        FLATTEN,
        &dense("relu"),
        "{ type = 'dropout', rate = 0.0 }",
        OUTPUT,
    ]);
}

#[test]
fn a_ragged_last_batch_and_the_summed_loss() {
    let deep = [CONV, NORM, &activation("tanh"), POOL, FLATTEN, &dense("selu"), OUTPUT];
    for step in [0, 1] {
        check_network(&deep, "training.loss = 'sum'", step);
        check_network(&deep, "training.loss = 'mean'", step);
        check_network(&deep, "training.loss = 'full_batch_mean'", step);
        check_network(&[&dense("softmax"), OUTPUT], "training.loss = 'sum'", step);
    }
    check_network(&deep, "data.scaling = 'l2-columns'", 0);
    check_network(&deep, "data.scaling = 'standardize'", 1);
}

/// A clipped gradient is the gradient, scaled to the norm.
#[test]
fn clipping_scales_gradients_to_the_norm() {
    let layers = [CONV, POOL, &dense("tanh"), OUTPUT];
    let gradients = subject(&layers, "", 0).gradients();
    let norm = gradients.iter().map(|x| x * x).sum::<f64>().sqrt();
    for limit in [0.125, 1e6] {
        let scale = (limit / norm).min(1.0);
        let clipped = subject(&layers, &format!("training.clip_norm = {limit:?}"), 0).gradients();
        for (clipped, gradient) in clipped.iter().zip(&gradients) {
            assert!(
                (clipped - gradient * scale).abs() <= 1e-12 * gradient.abs(),
                "{clipped} {gradient} {scale}"
            );
        }
    }
}

/// A unit that is almost at its kink is left out, and nothing else is.
#[test]
fn kinks_are_seen() {
    let mut subject = subject(&[&dense("relu"), OUTPUT], "", 0);
    let place = |subject: &Subject, layer: &str, name: &str| {
        let places = &subject.net.network.parameters;
        places.iter().find(|place| place.layer == layer && place.name == name).unwrap().offset
    };
    let bias = place(&subject, "dense", "bias");
    // A unit that is on for some image: less what it puts out, and it stands at its kink.
    subject.loss(&subject.parameters.clone());
    let y = subject.machine.read(subject.net.network.outputs[0].1.buffer);
    let unit = (0..7).find(|unit| y[unit * LANES] > 0.1).unwrap();
    subject.parameters[bias + unit] -= y[unit * LANES] - 1e-6;
    let gradients = subject.gradients();
    let report = subject.check(&gradients);
    assert!(report.at_kinks > 0 && report.at_kinks < 20, "{report:?}");
    assert!(report.wrong.is_empty(), "{report:?}");
}

/// The check sees what it is for: wrong gradients of every kind, small ones too.
#[test]
fn planted_wrong_gradients_are_seen() {
    let mut subject = subject(&[CONV, NORM, &activation("relu"), POOL, &dense("swish"), OUTPUT], "", 0);
    let right = subject.gradients();
    assert!(subject.check(&right).wrong.is_empty());
    let plant = |change: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
        right.iter().enumerate().map(|(i, &gradient)| change(i, gradient)).collect()
    };
    for (what, wrong) in [
        ("a thousandth more", plant(&|_, g| 1.001 * g)),
        ("the wrong sign", plant(&|_, g| -g)),
        ("zeros", plant(&|_, _| 0.0)),
        ("NaN", plant(&|_, _| f64::NAN)),
        ("infinity", plant(&|_, _| f64::INFINITY)),
        ("small ones dropped", plant(&|_, g| if g.abs() < 1e-2 { 0.0 } else { g })),
        ("neighbours exchanged", plant(&|i, _| right[(i + 1) % right.len()])),
    ] {
        assert!(!subject.check(&wrong).wrong.is_empty(), "{what}");
    }
}

/// Mistakes in the middle of the graph: an op that differentiates another activation than the one that was applied, or
/// none. They must be seen wherever they are.
#[test]
fn planted_wrong_calls_are_seen() {
    let layers = [&conv(3, "same", "tanh"), POOL, &dense("sigmoid"), NORM, &dense("elu"), OUTPUT];
    let net = || Net::on_noise(&recipe(BATCH, &layers, ""), IMAGES, CLASSES);
    let train = net().network.train.0;
    let calls = net().network.plan.programs[train].calls.clone();
    let mut planted = 0;
    for (number, call) in calls.iter().enumerate().filter(|(_, call)| call.op.name().ends_with("_grad")) {
        let Some(at) = call.op.fields().iter().position(|(field, _)| *field == "activation") else {
            continue;
        };
        let mut net = net();
        let code = &mut net.network.plan.programs[train].calls[number].params[at];
        *code = if *code == Activation::Linear as u32 { Activation::Tanh } else { Activation::Linear } as u32;
        let mut subject = Subject::new(net, 0);
        let gradients = subject.gradients();
        assert!(
            !subject.check(&gradients).wrong.is_empty(),
            "call {number}, {} of {}",
            call.op.name(),
            call.place
        );
        planted += 1;
    }
    assert!(planted >= 4, "{planted}");
}

// --------------------------------------------------------------------------------------------------------------------
// Single ops: the loss is a random weighting of the outputs, `y_grad`.

/// A buffer of numbers or of words.
enum Buffer {
    Numbers(Vec<f64>),
    Words(Vec<u32>),
}

fn numbers(values: &[f64]) -> Buffer {
    Buffer::Numbers(values.to_vec())
}

fn output(len: usize) -> Buffer {
    Buffer::Numbers(vec![f64::NAN; len])
}

/// Runs an op's formula in f64, and returns the numbers of one of its buffers.
fn run<P: Params>(op: &dyn Op, params: &P, mut buffers: Vec<Buffer>, wanted: usize) -> Vec<f64> {
    let slots = buffers.iter_mut().map(|buffer| match buffer {
        Buffer::Numbers(numbers) => Slot::Real(numbers.as_mut_slice()),
        Buffer::Words(words) => Slot::Words(words.as_mut_slice()),
    });
    op.reference_f64(&ops::words(params), slots.collect());
    match buffers.swap_remove(wanted) {
        Buffer::Numbers(numbers) => numbers,
        Buffer::Words(_) => panic!("words"),
    }
}

fn weighted(y: &[f64], y_grad: &[f64]) -> f64 {
    y.iter().zip(y_grad).map(|(y, gradient)| y * gradient).sum()
}

/// Compares the gradients at `z` with difference quotients of `loss`.
#[track_caller]
fn check_op(what: &str, z: &[f64], gradients: &[f64], loss: impl Fn(&[f64]) -> f64) {
    assert_eq!(z.len(), gradients.len(), "{what}");
    let floor = floor(loss(z)) + 4.0 * f64::EPSILON * (z.len() as f64).sqrt() / H;
    let mut seen = 0;
    for i in some_of(z.len(), 200) {
        let losses = [-2.0, -1.0, 1.0, 2.0].map(|steps| {
            let mut moved = z.to_vec();
            moved[i] += steps * H;
            loss(&moved)
        });
        let quotient = quotient(losses);
        seen += usize::from(quotient.abs() > 1000.0 * floor);
        assert!(agree(gradients[i], quotient, floor), "{what}, {i}: {:e}, not {quotient:e}", gradients[i]);
    }
    assert!(seen > 0, "{what}: nothing to see");
}

/// Functions that may have made the input of an op, which multiplies by their derivative.
fn fusible() -> impl Iterator<Item = Activation> {
    Activation::ALL.into_iter().filter(|activation| activation.fusible())
}

/// Inputs of those functions, none near a kink and no two near each other (the winners of pooling stay the winners).
fn spread(tensor: u32, len: usize) -> Vec<f64> {
    let order = Stream::new(5, Purpose::Test, 3, tensor).permutation(len);
    order.into_iter().map(|i| (f64::from(i) + 0.5 - len as f64 / 2.0) * 4.0 / len as f64).collect()
}

fn apply(activation: Activation, z: &[f64]) -> Vec<f64> {
    z.iter().map(|&z| activation.apply(z)).collect()
}

#[test]
fn ops_dense() {
    use gpu_mnist::ops::{dense, dense_input_grad, dense_weight_grad, dropout};
    let (blocks, inputs, units) = (2, 5, 3);
    let parameters = random(0, inputs * units + units);
    let y_grad = random(1, blocks * units * LANES);
    let z = spread(2, blocks * inputs * LANES);
    let [b, i, u] = [blocks as u32, inputs as u32, units as u32];
    let control = || Buffer::Words(control::start(1, 7, 90, 32, 0, 12).to_vec());
    let (weight, bias, dropout_layer) = (0, i * u, 3);
    let forward = dense::Params {
        blocks: b,
        inputs: i,
        units: u,
        weight,
        bias,
        activation: 0,
        dropout_layer,
        dropout_rate: 0.0,
    };
    let loss = |x: &[f64], parameters: &[f64]| {
        let buffers = vec![numbers(x), numbers(parameters), control(), output(y_grad.len())];
        weighted(&run(&dense::Dense, &forward, buffers, 3), &y_grad)
    };
    for (activation, dropout_rate) in fusible().flat_map(|activation| [(activation, 0.0), (activation, 0.4)])
    {
        let made = |z: &[f64]| {
            let params =
                dropout::Params { blocks: b, len: z.len() as u32, layer: dropout_layer, rate: dropout_rate };
            let buffers = vec![numbers(&apply(activation, z)), control(), output(z.len())];
            run(&dropout::Dropout, &params, buffers, 2)
        };
        let x = made(&z);
        let params = dense_input_grad::Params {
            blocks: b,
            inputs: i,
            units: u,
            weight,
            activation: activation as u32,
            dropout_layer,
            dropout_rate,
        };
        let buffers = vec![numbers(&y_grad), numbers(&parameters), numbers(&x), control(), output(z.len())];
        let x_grad = run(&dense_input_grad::DenseInputGrad, &params, buffers, 4);
        check_op(&format!("dense_input_grad {activation:?}, dropout {dropout_rate}"), &z, &x_grad, |z| {
            loss(&made(z), &parameters)
        });
    }
    let params = dense_weight_grad::Params { blocks: b, inputs: i, units: u, weight: 0, bias: i * u };
    let buffers = vec![numbers(&z), numbers(&y_grad), output(parameters.len())];
    let gradients = run(&dense_weight_grad::DenseWeightGrad, &params, buffers, 2);
    check_op("dense_weight_grad", &parameters, &gradients, |parameters| loss(&z, parameters));
    fused_updates(&parameters, &gradients, &[numbers(&z), numbers(&y_grad)], &params);
}

/// Updates that never write their gradients must do what the gradient and the optimiser do one after the other.
fn fused_updates(
    parameters: &[f64],
    gradients: &[f64],
    inputs: &[Buffer; 2],
    p: &ops::dense_weight_grad::Params,
) {
    use gpu_mnist::ops::{adam, dense_weight_update_adam, dense_weight_update_sgd, sgd};
    let copy = |buffer: &Buffer| match buffer {
        Buffer::Numbers(values) => numbers(values),
        Buffer::Words(words) => Buffer::Words(words.clone()),
    };
    let (blocks, i, u, len) = (p.blocks, p.inputs, p.units, parameters.len() as u32);
    let control = || Buffer::Words(control::start(1, 1, 64, 32, 0, 1).to_vec());
    let schedule = || numbers(&[9.0, 9.0, 0.1, 0.2]);
    let moment = random(4, parameters.len());
    let square: Vec<f64> = moment.iter().map(|m| m * m).collect();
    let same = |what: &str, fused: Vec<f64>, apart: Vec<f64>| {
        for (fused, apart) in fused.iter().zip(apart) {
            assert!((fused - apart).abs() <= 1e-12, "{what}: {fused}, not {apart}");
        }
    };
    for (momentum, nesterov) in [(0.0, 0), (0.9, 0), (0.9, 1)] {
        let params = dense_weight_update_sgd::Params {
            blocks,
            inputs: i,
            units: u,
            weight: p.weight,
            bias: p.bias,
            momentum,
            nesterov,
        };
        let apart = sgd::Params { len, momentum, nesterov };
        for (fused_at, apart_at) in [(4, 3), (5, 4)] {
            let tail = || vec![schedule(), control(), numbers(parameters), numbers(&moment)];
            let fused = inputs.iter().map(copy).chain(tail()).collect();
            let separate = [numbers(gradients)].into_iter().chain(tail()).collect();
            same(
                &format!("sgd {momentum} {nesterov}"),
                run(&dense_weight_update_sgd::DenseWeightUpdateSgd, &params, fused, fused_at),
                run(&sgd::Sgd, &apart, separate, apart_at),
            );
        }
    }
    for weight_decay in [0.0, 0.01] {
        let (one_minus_beta_1, one_minus_beta_2, epsilon) = (0.1, 0.001, 1e-7);
        let params = dense_weight_update_adam::Params {
            blocks,
            inputs: i,
            units: u,
            weight: p.weight,
            bias: p.bias,
            one_minus_beta_1,
            one_minus_beta_2,
            epsilon,
            weight_decay,
        };
        let apart = adam::Params { len, one_minus_beta_1, one_minus_beta_2, epsilon, weight_decay };
        for (fused_at, apart_at) in [(4, 3), (5, 4), (6, 5)] {
            let tail =
                || vec![schedule(), control(), numbers(parameters), numbers(&moment), numbers(&square)];
            let fused = inputs.iter().map(copy).chain(tail()).collect();
            let separate = [numbers(gradients)].into_iter().chain(tail()).collect();
            same(
                &format!("adam {weight_decay}"),
                run(&dense_weight_update_adam::DenseWeightUpdateAdam, &params, fused, fused_at),
                run(&adam::Adam, &apart, separate, apart_at),
            );
        }
    }
}

#[test]
fn ops_conv2d() {
    use gpu_mnist::ops::{conv2d, conv2d_input_grad, conv2d_weight_grad, sum_partials};
    let (blocks, channels, height, width, filters) = (3_u32, 2_u32, 4_u32, 5_u32, 3_u32);
    for (kernel, pad, lost) in [(3_u32, 1, 0), (3, 0, 2), (2, 0, 0), (4, 1, 0), (1, 0, 0), (4, 0, 3)] {
        let (out_height, out_width) = (height - lost, width - lost);
        let weights = channels * kernel * kernel * filters;
        let what = format!("kernel {kernel}, pad {pad}, output {out_height} x {out_width}");
        let parameters = random(0, (weights + filters) as usize);
        let y_grad = random(1, (blocks * filters * out_height * out_width) as usize * LANES);
        let z = spread(2, (blocks * channels * height * width) as usize * LANES);
        let forward = conv2d::Params {
            blocks,
            channels,
            height,
            width,
            filters,
            kernel,
            pad,
            out_height,
            out_width,
            weight: 0,
            bias: weights,
            activation: 0,
        };
        let loss = |x: &[f64], parameters: &[f64]| {
            let buffers = vec![numbers(x), numbers(parameters), output(y_grad.len())];
            weighted(&run(&conv2d::Conv2d, &forward, buffers, 2), &y_grad)
        };
        for activation in fusible() {
            let x = apply(activation, &z);
            let params = conv2d_input_grad::Params {
                blocks,
                channels,
                height,
                width,
                filters,
                kernel,
                pad,
                out_height,
                out_width,
                weight: 0,
                activation: activation as u32,
            };
            let buffers = vec![numbers(&y_grad), numbers(&parameters), numbers(&x), output(z.len())];
            let x_grad = run(&conv2d_input_grad::Conv2dInputGrad, &params, buffers, 3);
            check_op(&format!("conv2d_input_grad {activation:?}, {what}"), &z, &x_grad, |z| {
                loss(&apply(activation, z), &parameters)
            });
        }
        for blocks_per_slice in [1, 2, 3] {
            let params = conv2d_weight_grad::Params {
                blocks,
                channels,
                height,
                width,
                filters,
                kernel,
                pad,
                out_height,
                out_width,
                blocks_per_slice,
                first: 0,
                slice_words: parameters.len() as u32,
            };
            let slices = blocks.div_ceil(blocks_per_slice);
            let buffers = vec![numbers(&z), numbers(&y_grad), output(parameters.len() * slices as usize)];
            let partials = run(&conv2d_weight_grad::Conv2dWeightGrad, &params, buffers, 2);
            let params = sum_partials::Params { slices, len: parameters.len() as u32 };
            let buffers = vec![numbers(&partials), output(parameters.len())];
            let gradients = run(&sum_partials::SumPartials, &params, buffers, 1);
            check_op(&format!("conv2d_weight_grad, {what}"), &parameters, &gradients, |p| loss(&z, p));
        }
    }
}

#[test]
fn ops_conv2d_max_pool() {
    use gpu_mnist::ops::{
        conv2d, conv2d_max_pool, conv2d_max_pool_weight_grad, conv2d_weight_grad, sum_partials,
    };
    let (blocks, channels, height, width, filters) = (3_u32, 2_u32, 5_u32, 6_u32, 3_u32);
    for (kernel, pad, lost) in [(3_u32, 1, 0), (3, 0, 2), (2, 0, 0), (4, 1, 0), (1, 0, 0), (4, 0, 3)] {
        let (out_height, out_width) = (height - lost, width - lost);
        let weights = channels * kernel * kernel * filters;
        let parameters = random(0, (weights + filters) as usize);
        let windows = (blocks * filters * (out_height / 2) * (out_width / 2)) as usize * LANES;
        let y_grad = random(1, windows);
        let x = random(2, (blocks * channels * height * width) as usize * LANES);
        // SELU has a kink where others are smooth, and relu's is in the winners.
        for activation in fusible().filter(|&activation| activation != Activation::Selu) {
            let shapes = |activation: Activation| conv2d::Params {
                blocks,
                channels,
                height,
                width,
                filters,
                kernel,
                pad,
                out_height,
                out_width,
                weight: 0,
                bias: weights,
                activation: activation as u32,
            };
            let pooled = |wanted| {
                let buffers = vec![numbers(&x), numbers(&parameters), output(windows), output(windows)];
                run(&conv2d_max_pool::Conv2dMaxPool, &shapes(activation), buffers, wanted)
            };
            let (y, winners) = (pooled(2), pooled(3));
            // The loss with the winners as they are: at other parameters there may be others.
            let loss = |parameters: &[f64]| {
                let outputs = (blocks * filters * out_height * out_width) as usize * LANES;
                let buffers = vec![numbers(&x), numbers(parameters), output(outputs)];
                let z = run(&conv2d::Conv2d, &shapes(Activation::Linear), buffers, 2);
                let (height, width) = ((out_height / 2) as usize, (out_width / 2) as usize);
                let of_window = |i: usize| {
                    let (row, ox) = (i / LANES / width, i / LANES % width);
                    let winner = winners[i] as usize;
                    let zy = row / height * out_height as usize + row % height * 2 + winner / 2;
                    let z = z[(zy * out_width as usize + 2 * ox + winner % 2) * LANES + i % LANES];
                    if activation == Activation::Relu { z } else { activation.apply(z) }
                };
                (0..windows).filter(|&i| winners[i] < 4.0).map(|i| y_grad[i] * of_window(i)).sum::<f64>()
            };
            // The op differentiates relu by its winners.
            let differentiate = |(gradient, y): (&f64, &f64)| match activation {
                Activation::Relu => *gradient,
                _ => gradient * activation.derivative_from_output(*y),
            };
            let before: Vec<f64> = y_grad.iter().zip(&y).map(differentiate).collect();
            for blocks_per_slice in [1, 2, 3] {
                let params = conv2d_weight_grad::Params {
                    blocks,
                    channels,
                    height,
                    width,
                    filters,
                    kernel,
                    pad,
                    out_height,
                    out_width,
                    blocks_per_slice,
                    first: 0,
                    slice_words: parameters.len() as u32,
                };
                let slices = blocks.div_ceil(blocks_per_slice);
                let partials = output(parameters.len() * slices as usize);
                let buffers = vec![numbers(&x), numbers(&before), numbers(&winners), partials];
                let op = &conv2d_max_pool_weight_grad::Conv2dMaxPoolWeightGrad;
                let partials = run(op, &params, buffers, 3);
                let params = sum_partials::Params { slices, len: parameters.len() as u32 };
                let buffers = vec![numbers(&partials), output(parameters.len())];
                let gradients = run(&sum_partials::SumPartials, &params, buffers, 1);
                let what = format!(
                    "conv2d_max_pool_weight_grad {activation:?}, kernel {kernel}, pad {pad}, output {out_height} x {out_width}"
                );
                check_op(&what, &parameters, &gradients, loss);
            }
        }
    }
}

#[test]
fn ops_max_pool() {
    use gpu_mnist::ops::{max_pool, max_pool_grad};
    let (blocks, channels, height, width) = (2_u32, 2_u32, 5_u32, 7_u32);
    for size in [1, 2, 3, 5] {
        let (out_height, out_width) = (height / size, width / size);
        let y_grad = random(1, (blocks * channels * out_height * out_width) as usize * LANES);
        let z = spread(2, (blocks * channels * height * width) as usize * LANES);
        let (dropout_layer, dropout_rate) = (0, 0.0);
        let forward = max_pool::Params {
            blocks,
            channels,
            height,
            width,
            size,
            out_height,
            out_width,
            dropout_layer,
            dropout_rate,
        };
        let control = || Buffer::Words(control::start(1, 7, 90, 32, 0, 12).to_vec());
        for activation in fusible() {
            let params = max_pool_grad::Params {
                blocks,
                channels,
                height,
                width,
                size,
                out_height,
                out_width,
                activation: activation as u32,
            };
            let buffers = vec![numbers(&y_grad), numbers(&apply(activation, &z)), output(z.len())];
            let x_grad = run(&max_pool_grad::MaxPoolGrad, &params, buffers, 2);
            check_op(&format!("max_pool_grad {size} {activation:?}"), &z, &x_grad, |z| {
                let buffers = vec![numbers(&apply(activation, z)), control(), output(y_grad.len())];
                weighted(&run(&max_pool::MaxPool, &forward, buffers, 2), &y_grad)
            });
        }
    }
}

/// Zeros where there is padding, as the loss makes them.
fn of_rows(mut y_grad: Vec<f64>, blocks: usize, rows: usize) -> Vec<f64> {
    let kept: Vec<usize> = of_images(&y_grad, blocks, rows).collect();
    let mut masked = vec![0.0; y_grad.len()];
    kept.into_iter().for_each(|i| masked[i] = std::mem::take(&mut y_grad[i]));
    masked
}

#[test]
fn ops_batch_norm() {
    use gpu_mnist::ops::{batch_norm, batch_norm_grad};
    let (blocks, channels, pixels, rows) = (2_u32, 3_u32, 4_u32, 19);
    let len = (blocks * channels * pixels) as usize * LANES;
    let parameters: Vec<f64> = random(0, 6).iter().map(|x| x + 1.5).collect();
    let y_grad = of_rows(random(1, len), blocks as usize, rows);
    let z = spread(2, len);
    let control = || Buffer::Words(control::start(0, 0, rows, 32, 0, 1).to_vec());
    let forward = batch_norm::Params {
        blocks,
        channels,
        pixels,
        gamma: 0,
        beta: 3,
        running_mean: 0,
        running_variance: 3,
        activation: 0,
        momentum: 0.9,
        one_minus_momentum: 0.1,
        epsilon: 1e-3,
    };
    let run_forward = |x: &[f64], parameters: &[f64], wanted| {
        let buffers =
            vec![numbers(x), numbers(parameters), control(), numbers(&[0.0; 6]), output(6), output(len)];
        run(&batch_norm::BatchNorm, &forward, buffers, wanted)
    };
    for activation in fusible() {
        let x = apply(activation, &z);
        let params = batch_norm_grad::Params {
            blocks,
            channels,
            pixels,
            gamma: 0,
            gamma_grad: 0,
            beta_grad: 3,
            activation: activation as u32,
        };
        let saved = run_forward(&x, &parameters, 4);
        let buffers = || {
            let saved = numbers(&saved);
            vec![
                numbers(&y_grad),
                numbers(&x),
                numbers(&parameters),
                saved,
                control(),
                output(6),
                output(len),
            ]
        };
        let [gradients, x_grad] =
            [5, 6].map(|wanted| run(&batch_norm_grad::BatchNormGrad, &params, buffers(), wanted));
        let weighted_rows = |y: Vec<f64>| {
            let rows: Vec<usize> = of_images(&y, blocks as usize, rows).collect();
            rows.into_iter().map(|i| y[i] * y_grad[i]).sum::<f64>()
        };
        check_op(&format!("batch_norm_grad {activation:?}"), &z, &x_grad, |z| {
            weighted_rows(run_forward(&apply(activation, z), &parameters, 5))
        });
        check_op("batch_norm_grad, gamma and beta", &parameters, &gradients, |parameters| {
            weighted_rows(run_forward(&x, parameters, 5))
        });
    }
}

#[test]
fn ops_activate() {
    use gpu_mnist::ops::{activate, activate_grad};
    let (blocks, len) = (1, 20 * LANES);
    let (y_grad, z) = (random(1, len), spread(2, len));
    for function in Activation::ALL.into_iter().filter(|a| *a != Activation::Softmax) {
        for input in fusible() {
            let (activation, input_activation) = (function as u32, input as u32);
            let params = activate_grad::Params { blocks, len: len as u32, activation, input_activation };
            let buffers = vec![numbers(&y_grad), numbers(&apply(input, &z)), output(len)];
            let x_grad = run(&activate_grad::ActivateGrad, &params, buffers, 2);
            let forward = activate::Params { blocks, len: len as u32, activation };
            check_op(&format!("activate_grad {function:?} after {input:?}"), &z, &x_grad, |z| {
                let buffers = vec![numbers(&apply(input, z)), output(len)];
                weighted(&run(&activate::Activate, &forward, buffers, 1), &y_grad)
            });
        }
    }
}

#[test]
fn ops_softmax() {
    use gpu_mnist::ops::{softmax, softmax_grad};
    let (blocks, channels, pixels) = (2_u32, 5_u32, 3_u32);
    let len = (blocks * channels * pixels) as usize * LANES;
    let (y_grad, z) = (random(1, len), spread(2, len));
    let forward = softmax::Params { blocks, channels, pixels };
    let run_forward = |x: &[f64]| run(&softmax::Softmax, &forward, vec![numbers(x), output(len)], 1);
    for activation in fusible() {
        let x = apply(activation, &z);
        let params = softmax_grad::Params { blocks, channels, pixels, activation: activation as u32 };
        let buffers = vec![numbers(&y_grad), numbers(&run_forward(&x)), numbers(&x), output(len)];
        let x_grad = run(&softmax_grad::SoftmaxGrad, &params, buffers, 3);
        check_op(&format!("softmax_grad {activation:?}"), &z, &x_grad, |z| {
            weighted(&run_forward(&apply(activation, z)), &y_grad)
        });
    }
}

#[test]
fn ops_dropout() {
    use gpu_mnist::ops::{dropout, dropout_grad};
    let (blocks, layer, rate) = (2, 3, 0.4);
    let len = 2 * 9 * LANES;
    let (y_grad, z) = (random(1, len), spread(2, len));
    let control = || Buffer::Words(control::start(1, 7, 90, 32, 0, 12).to_vec());
    let forward = dropout::Params { blocks, len: len as u32, layer, rate };
    let run_forward =
        |x: &[f64]| run(&dropout::Dropout, &forward, vec![numbers(x), control(), output(len)], 2);
    for activation in fusible() {
        let x = apply(activation, &z);
        let params =
            dropout_grad::Params { blocks, len: len as u32, layer, activation: activation as u32, rate };
        let buffers = vec![numbers(&y_grad), numbers(&x), control(), output(len)];
        let x_grad = run(&dropout_grad::DropoutGrad, &params, buffers, 3);
        check_op(&format!("dropout_grad {activation:?}"), &z, &x_grad, |z| {
            weighted(&run_forward(&apply(activation, z)), &y_grad)
        });
    }
}

#[test]
fn ops_softmax_xent() {
    use gpu_mnist::ops::softmax_xent;
    use gpu_mnist::recipe::Reduction;
    let (blocks, classes, rows) = (2_u32, 4_u32, 21);
    let len = (blocks * classes) as usize * LANES;
    let z = spread(2, len);
    let reductions = [Reduction::Mean, Reduction::Sum, Reduction::FullBatchMean];
    for (reduction, activation) in fusible().flat_map(|activation| reductions.map(|r| (r, activation))) {
        let params = softmax_xent::Params {
            blocks,
            classes,
            reduction: reduction as u32,
            activation: activation as u32,
        };
        let run_both = |z: &[f64], wanted| {
            let words = |words: Vec<u32>| Buffer::Words(words);
            let buffers = vec![
                numbers(&apply(activation, z)),
                words((0..rows).map(|i| i * 3 % classes).collect()),
                words((0..rows).rev().collect()),
                words(control::start(0, 0, rows as usize, 32, 0, 1).to_vec()),
                output(len),
                output(rows as usize),
                words(vec![0; rows as usize]),
            ];
            run(&softmax_xent::SoftmaxXent, &params, buffers, wanted)
        };
        let scale = (reduction.divisor(rows as usize, 32) as f64).recip();
        check_op(&format!("softmax_xent {activation:?}, {reduction:?}"), &z, &run_both(&z, 4), |z| {
            run_both(z, 5).iter().sum::<f64>() * scale
        });
    }
}

/// So that a new `*_grad` op cannot be forgotten here.
#[test]
fn every_gradient_op_is_checked() {
    let checked = [
        "dense_input_grad",
        "dense_weight_grad",
        "conv2d_input_grad",
        "conv2d_weight_grad",
        "conv2d_max_pool_weight_grad",
        "max_pool_grad",
        "batch_norm_grad",
        "activate_grad",
        "softmax_grad",
        "dropout_grad",
    ];
    for op in ops::ALL.iter().filter(|op| op.name().ends_with("_grad")) {
        assert!(checked.contains(&op.name()), "{} has no check", op.name());
    }
}
