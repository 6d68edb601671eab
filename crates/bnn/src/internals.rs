//! What the other crates of this repository, its tests and its benchmark use of this one beside its interface. None of it
//! is promised to stay.
#![allow(missing_docs, reason = "each item is documented where it stands")]

pub mod checkpoint {
    pub use crate::checkpoint::*;
}
pub mod data {
    pub use crate::data::*;
}
pub mod draw {
    pub use crate::draw::*;
}
pub mod export {
    pub use crate::drawn::drawn;
    pub use crate::export::*;
}
pub mod files {
    pub use crate::files::*;
}
pub mod guide {
    pub use crate::guide::*;
}
pub mod identity {
    pub use crate::identity::*;
}
pub mod import {
    pub use crate::import::*;
}
pub mod integer {
    pub use crate::integer::*;
}
pub mod layout {
    pub use crate::layout::*;
}
pub mod likelihood {
    pub use crate::likelihood::*;
}
pub mod load {
    pub use crate::load::*;
}
pub mod math {
    pub use crate::math::*;
}
pub mod mutual_information {
    pub use crate::mutual_information::*;
}
pub mod nn {
    pub use crate::nn::*;
}
pub mod noise {
    pub use crate::noise::*;
}
pub mod optim {
    pub use crate::optim::*;
}
pub mod posterior {
    pub use crate::posterior::*;
}
pub mod predict {
    pub use crate::predict::*;
}
pub mod prior {
    pub use crate::prior::*;
}
pub mod profile {
    pub use crate::profile::*;
}
pub mod quant {
    pub use crate::quant::*;
}
pub mod settings {
    pub use crate::settings::*;
}
pub mod step {
    pub use crate::step::*;
}
pub mod stored {
    pub use crate::stored::*;
}
