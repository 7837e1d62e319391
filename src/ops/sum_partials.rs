//! STUB
use super::*; use super::share::*;
params!{ /// p
 Params { /// x
 slices: u32, /// x
 len: u32, /// x
 target: u32, } }
/// s
pub struct SumPartials;
impl Formula for SumPartials { type Params=Params; const NAME:&'static str="sum_partials"; const BINDINGS:&'static [Binding]=&[update("b0"),update("b1")];
fn kernel(_:&Params,_:DeviceClass)->Kernel{ Kernel{constants:vec![],grid:[1,1,1]} } fn cost(_:&Params)->Cost{Cost::default()}
fn reference<T:Real>(_:&Params,_:Vec<Slot<'_,T>>){} fn cases()->Vec<Case<Params>>{vec![]} }
