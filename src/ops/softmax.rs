//! STUB
use super::*; use super::share::*;
params!{ /// p
 Params { /// x
 blocks: u32, /// x
 channels: u32, /// x
 pixels: u32, } }
/// s
pub struct Softmax;
impl Formula for Softmax { type Params=Params; const NAME:&'static str="softmax"; const BINDINGS:&'static [Binding]=&[update("b0"),update("b1")];
fn kernel(_:&Params,_:DeviceClass)->Kernel{ Kernel{constants:vec![],grid:[1,1,1]} } fn cost(_:&Params)->Cost{Cost::default()}
fn reference<T:Real>(_:&Params,_:Vec<Slot<'_,T>>){} fn cases()->Vec<Case<Params>>{vec![]} }
