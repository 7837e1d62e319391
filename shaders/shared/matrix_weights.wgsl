// Weights as factors of a product by cooperative matrices: four of a line of weight[lines][length], zero past the edges.
fn weights4(line: u32, at: u32, lines: u32, length: u32) -> vec4f {
    var four = vec4f();
    for (var i = 0u; i < 4u; i++) {
        if line < lines && at + i < length {
            four[i] = parameters[p.weight + line * length + at + i];
        }
    }
    return four;
}
