// Where a step stands. Kept in step with src/ops/control.rs.
const STEP: u32 = 0u;        // index of the step within the epoch
const ROWS: u32 = 1u;        // images of this step's batch
const GLOBAL_STEP: u32 = 2u; // steps since training began
const TOTAL_ROWS: u32 = 3u;  // images of the epoch
const BATCH: u32 = 4u;       // images of a full batch
const EPOCH: u32 = 5u;       // index of the epoch
const SEED_LOW: u32 = 6u;
const SEED_HIGH: u32 = 7u;
