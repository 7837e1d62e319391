//! The command line of gpu-mnist.

fn main() {}
