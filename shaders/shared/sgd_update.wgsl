// velocity = momentum * velocity - rate * gradient
// parameter += velocity, or with Nesterov: parameter += momentum * velocity - rate * gradient
// (Keras's SGD), rate = schedule[step].
// Who imports this imports control and weights, and declares the parameters `p` and the buffers.
// `begin` comes before the first update.
var<private> rate: f32;

fn begin() {
    rate = schedule[control[STEP] * 2u];
}

fn update(at: u32, gradient: Weights) {
    let change = rate * gradient;
    if p.momentum == 0.0 {
        parameters[at] -= change;
        return;
    }
    let v = p.momentum * velocity[at] - change;
    velocity[at] = v;
    parameters[at] += select(v, p.momentum * v - change, p.nesterov == 1u);
}
