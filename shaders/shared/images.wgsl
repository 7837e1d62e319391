// The images that an invocation works on: IMAGES neighbours of the 16 of a block, one or four.
//
// On GPUs one each, so that loads coalesce. Software rasterisers load word by word, at a cost for each load that four
// numbers share.
#if IMAGES 4
alias Images = vec4f;
#else
alias Images = f32;
#endif

// Values to a pixel of a block.
const GROUPS: u32 = 16u / IMAGES;
