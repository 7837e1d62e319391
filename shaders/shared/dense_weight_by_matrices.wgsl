// The same as dense_weight.wgsl, by cooperative matrices: a row for each input, a column for each unit, a term for each image.
// The gradients of biases are sums and no products: they are made as they are elsewhere.
#import matrix_product

const LEFT_IN_ROWS: bool = true;
const RIGHT_IN_ROWS: bool = false;

fn rows() -> u32 {
    return p.inputs;
}

fn columns() -> u32 {
    return p.units;
}

fn terms() -> u32 {
    return p.blocks * 16u;
}

fn left4(k: u32, image: u32) -> vec4f {
    if k >= p.inputs || image >= terms() {
        return vec4f();
    }
    return x[(image / 16u * p.inputs + k) * 4u + image / 4u % 4u];
}

fn right4(image: u32, unit: u32) -> vec4f {
    if unit >= p.units || image >= terms() {
        return vec4f();
    }
    return gradients_at(image / 4u, unit);
}

// The gradients of a unit in a quarter of a block of images.
fn gradients_at(quarter: u32, unit: u32) -> vec4f {
    return y_grad[(quarter / 4u * p.units + unit) * 4u + quarter % 4u];
}

fn keep4(k: u32, unit: u32, sums: vec4f) {
    begin();
    for (var i = 0u; i < min(4u, p.units - unit); i++) {
        keep(p.weight + k * p.units + unit + i, sums[i]);
        if k == 0u {
            var four = vec4f();
            for (var quarter = 0u; quarter < p.blocks * 4u; quarter++) {
                four += gradients_at(quarter, unit + i);
            }
            keep(p.bias + unit + i, (four.x + four.y) + (four.z + four.w));
        }
    }
}
