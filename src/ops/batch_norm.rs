//! STUB
use super::*; use super::share::*;
params!{ /// p
 Params { /// x
 blocks: u32, /// x
 channels: u32, /// x
 pixels: u32, /// x
 gamma: u32, /// x
 beta: u32, /// x
 running_mean: u32, /// x
 running_variance: u32, /// x
 activation: u32, /// x
 momentum: f32, /// x
 epsilon: f32, } }
/// s
pub struct BatchNorm;
impl Formula for BatchNorm { type Params=Params; const NAME:&'static str="batch_norm"; const BINDINGS:&'static [Binding]=&[update("b0"),update("b1"),update("b2"),update("b3"),update("b4"),update("b5")];
fn kernel(_:&Params,_:DeviceClass)->Kernel{ Kernel{constants:vec![],grid:[1,1,1]} } fn cost(_:&Params)->Cost{Cost::default()}
fn reference<T:Real>(_:&Params,_:Vec<Slot<'_,T>>){} fn cases()->Vec<Case<Params>>{vec![]} }
