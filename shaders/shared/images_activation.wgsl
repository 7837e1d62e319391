// The functions of activation.wgsl for all images of an invocation; needs activation and images.
#if IMAGES 4
fn activate_images(code: u32, x: Images) -> Images {
    return vec4f(activate(code, x.x), activate(code, x.y), activate(code, x.z), activate(code, x.w));
}

fn activation_derivative_images(code: u32, y: Images) -> Images {
    return vec4f(
        activation_derivative(code, y.x),
        activation_derivative(code, y.y),
        activation_derivative(code, y.z),
        activation_derivative(code, y.w),
    );
}
#else
fn activate_images(code: u32, x: Images) -> Images {
    return activate(code, x);
}

fn activation_derivative_images(code: u32, y: Images) -> Images {
    return activation_derivative(code, y);
}
#endif
