// first += (gradient - first) (1 - beta_1)
// second += (gradient^2 - second) (1 - beta_2)
// parameter -= rate * weight_decay * parameter                            (AdamW; 0 for Adam)
// parameter -= corrected_rate * first / (sqrt(second) + epsilon)
// corrected_rate = rate sqrt(1 - beta_2^t) / (1 - beta_1^t), as in Keras, comes from the schedule.
// Source: Kingma and Ba, 2015, section 2, last paragraph; Loshchilov and Hutter, 2019.
// Who imports this imports control and weights, and declares the parameters `p` and the buffers. Each buffer is read once: drivers
// in software load wherever one is named.
// `begin` comes before the first update.
struct Rates {
    rate: f32,
    corrected: f32,
}
var<private> rates: Rates;

fn begin() {
    let first = control[STEP] * 2u;
    rates = Rates(schedule[first], schedule[first + 1u]);
}

fn update(at: u32, gradient: Weights) {
    let old_first = first_moment[at];
    let old_second = second_moment[at];
    let old = parameters[at];
    let first = fma(gradient - old_first, Weights(p.one_minus_beta_1), old_first);
    let second = fma(gradient * gradient - old_second, Weights(p.one_minus_beta_2), old_second);
    first_moment[at] = first;
    second_moment[at] = second;
    let decayed = old - rates.rate * p.weight_decay * old;
    parameters[at] = decayed - rates.corrected * first / (sqrt(second) + p.epsilon);
}
