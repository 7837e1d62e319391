//! STUB
use super::*; use super::share::*;
params!{ /// p
 Params { /// x
 len: u32, /// x
 rho: f32, /// x
 one_minus_rho: f32, /// x
 momentum: f32, /// x
 epsilon: f32, } }
/// s
pub struct RmsProp;
impl Formula for RmsProp { type Params=Params; const NAME:&'static str="rmsprop"; const BINDINGS:&'static [Binding]=&[update("b0"),update("b1"),update("b2"),update("b3"),update("b4"),update("b5")];
fn kernel(_:&Params,_:DeviceClass)->Kernel{ Kernel{constants:vec![],grid:[1,1,1]} } fn cost(_:&Params)->Cost{Cost::default()}
fn reference<T:Real>(_:&Params,_:Vec<Slot<'_,T>>){} fn cases()->Vec<Case<Params>>{vec![]} }
