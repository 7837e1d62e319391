// The images that an invocation works on: IMAGES neighbours of the 16 of a block, one or four.
//
// On GPUs one each, so that loads coalesce. Software rasterisers load word by word for every invocation, at a cost for each
// load that four numbers share; with BROADCAST invocations load for each other what all of a workgroup read.
#if IMAGES 4
alias Images = vec4f;
#else
alias Images = f32;
#endif

// Values to a pixel of a block.
const GROUPS: u32 = 16u / IMAGES;
