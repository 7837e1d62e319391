//! STUB
use super::*; use super::share::*;
params!{ /// p
 Params { /// x
 blocks: u32, /// x
 len: u32, /// x
 layer: u32, /// x
 rate: f32, } }
/// s
pub struct Dropout;
impl Formula for Dropout { type Params=Params; const NAME:&'static str="dropout"; const BINDINGS:&'static [Binding]=&[update("b0"),update("b1"),update("b2")];
fn kernel(_:&Params,_:DeviceClass)->Kernel{ Kernel{constants:vec![],grid:[1,1,1]} } fn cost(_:&Params)->Cost{Cost::default()}
fn reference<T:Real>(_:&Params,_:Vec<Slot<'_,T>>){} fn cases()->Vec<Case<Params>>{vec![]} }
