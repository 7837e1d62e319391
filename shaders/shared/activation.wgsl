// Activation functions by number. Kept in step with src/ops/activation.rs.
const LINEAR: u32 = 0u;
const SIGMOID: u32 = 1u;
const TANH: u32 = 2u;
const RELU: u32 = 3u;
const ELU: u32 = 4u;
const SELU: u32 = 5u;
const SWISH: u32 = 6u;

const SELU_ALPHA: f32 = 1.6732632423543772;
const SELU_SCALE: f32 = 1.0507009873554805;

// 1 / (1 + e^-x), without overflow on either side.
fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    return select(1.0, e, x < 0.0) / (1.0 + e);
}

// e^x - 1 for x <= 0, without cancellation near zero: there the series of degree 7.
fn exp_m1_negative(x: f32) -> f32 {
    var p = 1.0 / 5040.0;
    p = fma(p, x, 1.0 / 720.0);
    p = fma(p, x, 1.0 / 120.0);
    p = fma(p, x, 1.0 / 24.0);
    p = fma(p, x, 1.0 / 6.0);
    p = fma(p, x, 0.5);
    p = fma(p, x, 1.0);
    return select(exp(x) - 1.0, p * x, x > -0.35);
}

// Drivers' own tanh is off by up to 3e-5; (1 - e^-2|x|) / (1 + e^-2|x|) is not.
fn tanh_exact(x: f32) -> f32 {
    let m = exp_m1_negative(-2.0 * abs(x));
    return sign(x) * (-m / (m + 2.0));
}

fn activate(code: u32, x: f32) -> f32 {
    switch code {
        case SIGMOID: { return sigmoid(x); }
        case TANH: { return tanh_exact(x); }
        case RELU: { return max(x, 0.0); }
        case ELU: { return select(exp_m1_negative(min(x, 0.0)), x, x > 0.0); }
        case SELU: { return SELU_SCALE * select(SELU_ALPHA * exp_m1_negative(min(x, 0.0)), x, x > 0.0); }
        case SWISH: { return x * sigmoid(x); }
        default: { return x; }
    }
}

// Four at once.
fn activate4(code: u32, x: vec4f) -> vec4f {
    return vec4f(activate(code, x.x), activate(code, x.y), activate(code, x.z), activate(code, x.w));
}

// e^-|x| / (1 + e^-|x|)^2
fn sigmoid_derivative(x: f32) -> f32 {
    let e = exp(-abs(x));
    return e / ((1.0 + e) * (1.0 + e));
}

// The derivative, from the input x.
fn activation_derivative_at(code: u32, x: f32) -> f32 {
    switch code {
        case SIGMOID: { return sigmoid_derivative(x); }
        case TANH: { return 4.0 * sigmoid_derivative(2.0 * x); }
        case RELU: { return select(0.0, 1.0, x > 0.0); }
        case ELU: { return select(exp(min(x, 0.0)), 1.0, x > 0.0); }
        case SELU: { return SELU_SCALE * select(SELU_ALPHA * exp(min(x, 0.0)), 1.0, x > 0.0); }
        case SWISH: { return sigmoid(x) + x * sigmoid_derivative(x); }
        default: { return 1.0; }
    }
}

// The derivative, from the output y of a function that allows it.
fn activation_derivative(code: u32, y: f32) -> f32 {
    switch code {
        case SIGMOID: { return y * (1.0 - y); }
        case TANH: { return 1.0 - y * y; }
        case RELU: { return select(0.0, 1.0, y > 0.0); }
        case ELU: { return select(y + 1.0, 1.0, y > 0.0); }
        case SELU: { return select(y + SELU_SCALE * SELU_ALPHA, SELU_SCALE, y > 0.0); }
        default: { return 1.0; }
    }
}

// Four at once.
fn activation_derivative4(code: u32, y: vec4f) -> vec4f {
    return vec4f(
        activation_derivative(code, y.x),
        activation_derivative(code, y.y),
        activation_derivative(code, y.z),
        activation_derivative(code, y.w),
    );
}
