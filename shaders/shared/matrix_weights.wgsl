// Weights as factors of a product by cooperative matrices, which are zero past the edges: those of an input for four units.
fn weights4(k: u32, unit: u32) -> vec4f {
    var four = vec4f();
    for (var i = 0u; i < 4u; i++) {
        if k < p.inputs && unit + i < p.units {
            four[i] = parameters[p.weight + k * p.units + unit + i];
        }
    }
    return four;
}
