// The weights of WEIGHTS neighbouring units, four, or one where nothing else is said. Parameters, and what belongs to them, are arrays of these.
#if WEIGHTS 4
alias Weights = vec4f;
#else
alias Weights = f32;
#endif
