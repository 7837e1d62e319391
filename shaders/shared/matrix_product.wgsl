// A product by cooperative matrices: result[row][column] = sum over terms of left[row][term] right[term][column].
// Who imports this declares how many `rows()`, `columns()` and `terms()` there are; `left4` and `right4`, four factors from a
// place on along memory, which are zero past the edges; whether these lie in rows of their matrix (LEFT_IN_ROWS, RIGHT_IN_ROWS)
// or in columns; and `keep4`, which gets four results of a row.
//
// Each workgroup makes TILE x TILE results and takes TILE terms at a time through its memory. A subgroup keeps the sums of
// up to MATRICES matrices of SIZE x SIZE of them.
#if HALF_FACTORS 1
enable f16;
alias Factor = f16;
#else
alias Factor = f32;
#endif
enable wgpu_cooperative_matrix;
#if SIZE 8
alias Left = coop_mat8x8<Factor, A>;
alias Right = coop_mat8x8<Factor, B>;
alias Sums = coop_mat8x8<f32, C>;
#else
alias Left = coop_mat16x16<Factor, A>;
alias Right = coop_mat16x16<Factor, B>;
alias Sums = coop_mat16x16<f32, C>;
#endif

var<workgroup> lefts: array<Factor, TILE * TILE>;
var<workgroup> rights: array<Factor, TILE * TILE>;
var<workgroup> results: array<f32, TILE * TILE>; // [row][column]

// Matrices beside each other in a tile.
const ACROSS: u32 = TILE / SIZE;

// Brings the factors of TILE terms, from `term` on, into the workgroup's memory as they lie in the device's.
fn load_factors(local: u32, row: u32, column: u32, term: u32) {
    for (var at = local * 4u; at < TILE * TILE; at += LANES * 4u) {
        let line = at / TILE;
        let along = at % TILE;
        var left: vec4f;
        if LEFT_IN_ROWS {
            left = left4(row + line, term + along);
        } else {
            left = left4(row + along, term + line);
        }
        var right: vec4f;
        if RIGHT_IN_ROWS {
            right = right4(term + line, column + along);
        } else {
            right = right4(term + along, column + line);
        }
        #unroll
        for (var i = 0u; i < 4u; i++) {
            lefts[at + i] = Factor(left[i]);
            rights[at + i] = Factor(right[i]);
        }
    }
}

fn left_matrix(row: u32, term: u32) -> Left {
    if LEFT_IN_ROWS {
        return coopLoadT<Left>(&lefts[row * TILE + term], TILE);
    }
    return coopLoad<Left>(&lefts[term * TILE + row], TILE);
}

fn right_matrix(term: u32, column: u32) -> Right {
    if RIGHT_IN_ROWS {
        return coopLoadT<Right>(&rights[term * TILE + column], TILE);
    }
    return coopLoad<Right>(&rights[column * TILE + term], TILE);
}

// Where the results of a matrix of the tile begin.
fn first_result(matrix: u32) -> u32 {
    return matrix / ACROSS * SIZE * TILE + matrix % ACROSS * SIZE;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32,
) {
    let row = group.y * TILE;
    let column = (group.z * groups.x + group.x) * TILE;
    for (var i = local; i < SIZE * SIZE; i += LANES) {
        results[i] = 0.0;
    }
    workgroupBarrier();
    var sums: array<Sums, MATRICES>;
    #unroll
    for (var i = 0u; i < MATRICES; i++) {
        sums[i] = coopLoadT<Sums>(&results[0], SIZE);
    }
    for (var term = 0u; term < terms(); term += TILE) {
        workgroupBarrier();
        load_factors(local, row, column, term);
        workgroupBarrier();
        #unroll
        for (var i = 0u; i < MATRICES; i++) {
            // None or one turn, the same in all invocations of a subgroup, which validation would not believe of an `if`.
            for (var matrix = subgroup + i * subgroups; matrix < ACROSS * ACROSS; matrix += ACROSS * ACROSS) {
                for (var k = 0u; k < TILE; k += SIZE) {
                    let left = left_matrix(matrix / ACROSS * SIZE, k);
                    let right = right_matrix(k, matrix % ACROSS * SIZE);
                    sums[i] = coopMultiplyAdd(left, right, sums[i]);
                }
            }
        }
    }
    #unroll
    for (var i = 0u; i < MATRICES; i++) {
        for (var matrix = subgroup + i * subgroups; matrix < ACROSS * ACROSS; matrix += ACROSS * ACROSS) {
            coopStoreT(sums[i], &results[first_result(matrix)], TILE);
        }
    }
    workgroupBarrier();
    for (var at = local * 4u; at < TILE * TILE; at += LANES * 4u) {
        let r = row + at / TILE;
        let c = column + at % TILE;
        if r < rows() && c < columns() {
            keep4(r, c, vec4f(results[at], results[at + 1u], results[at + 2u], results[at + 3u]));
        }
    }
}
