// The weights of WEIGHTS neighbouring units, one or four. Parameters, and what belongs to them, are arrays of these.
#if WEIGHTS 4
alias Weights = vec4f;
#else
alias Weights = f32;
#endif
