//! STUB
use super::*; use super::share::*;
params!{ /// p
 Params { /// x
 blocks: u32, /// x
 channels: u32, /// x
 height: u32, /// x
 width: u32, /// x
 size: u32, /// x
 out_height: u32, /// x
 out_width: u32, /// x
 activation: u32, } }
/// s
pub struct MaxPoolGrad;
impl Formula for MaxPoolGrad { type Params=Params; const NAME:&'static str="max_pool_grad"; const BINDINGS:&'static [Binding]=&[update("b0"),update("b1"),update("b2")];
fn kernel(_:&Params,_:DeviceClass)->Kernel{ Kernel{constants:vec![],grid:[1,1,1]} } fn cost(_:&Params)->Cost{Cost::default()}
fn reference<T:Real>(_:&Params,_:Vec<Slot<'_,T>>){} fn cases()->Vec<Case<Params>>{vec![]} }
