//! The control buffer: where a step stands, advanced by the device so that every step's commands are the same.
//! Kept in step with `shaders/shared/control.wgsl`.

/// Index of the step within the epoch.
pub const STEP: usize = 0;
/// Rows (images) of this step's batch; the last batch of an epoch may be ragged.
pub const ROWS: usize = 1;
/// Steps since training began.
pub const GLOBAL_STEP: usize = 2;
/// Rows of the epoch.
pub const TOTAL_ROWS: usize = 3;
/// Rows of a full batch.
pub const BATCH: usize = 4;
/// Index of the epoch, for augmentation.
pub const EPOCH: usize = 5;
/// The seed's low word.
pub const SEED_LOW: usize = 6;
/// The seed's high word.
pub const SEED_HIGH: usize = 7;
/// Words of the buffer.
pub const WORDS: usize = 8;

/// The control words before step `step` of an epoch.
pub fn start(
    step: usize,
    global_step: usize,
    total_rows: usize,
    batch: usize,
    epoch: usize,
    seed: u64,
) -> [u32; WORDS] {
    [
        step as u32,
        rows(step as u32, total_rows as u32, batch as u32),
        global_step as u32,
        total_rows as u32,
        batch as u32,
        epoch as u32,
        seed as u32,
        (seed >> 32) as u32,
    ]
}

/// Rows of step `step`'s batch; zero past the end of the epoch.
pub fn rows(step: u32, total_rows: u32, batch: u32) -> u32 {
    total_rows.saturating_sub(step * batch).min(batch)
}
