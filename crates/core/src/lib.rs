//! Number formats of a quantized Bayesian network, and the machine that runs it.
#![no_std]
