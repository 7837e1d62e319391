//! STUB
use super::*; use super::share::*;
params!{ /// p
 Params { /// x
 len: u32, /// x
 parts: u32, /// x
 norm: f32, } }
/// s
pub struct ClipNorm;
impl Formula for ClipNorm { type Params=Params; const NAME:&'static str="clip_norm"; const BINDINGS:&'static [Binding]=&[update("b0"),update("b1")];
fn kernel(_:&Params,_:DeviceClass)->Kernel{ Kernel{constants:vec![],grid:[1,1,1]} } fn cost(_:&Params)->Cost{Cost::default()}
fn reference<T:Real>(_:&Params,_:Vec<Slot<'_,T>>){} fn cases()->Vec<Case<Params>>{vec![]} }
