//! e
fn main(){}
