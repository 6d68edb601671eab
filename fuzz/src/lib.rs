//! What is done with each input of a fuzzer. The tests of `core` and `data` do the same with the inputs that are kept in
//! `corpus`, so that whatever a fuzzer has found once stays found.

pub mod images;
pub mod model;
pub mod tensors;
