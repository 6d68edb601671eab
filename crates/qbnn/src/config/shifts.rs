//! Which shifted groups an evaluation makes of the clean test images: shifts, severities, and of how many images each.
//!
//! They are off by default: all seven shifts in five severities are 35 groups, more images than all the others together.
//! Each is made of at most [`SHIFT_IMAGES`] images, evenly spaced over the clean ones, so that all of them take about as
//! long as the dataset's own groups.

use crate::error::{Error, Result};
use qbnn_data::shift::{Shift, Shifted};
use serde::{Deserialize, Serialize};

/// Images of a shifted group where `eval.shift_images` says nothing: an accuracy of 90 % has a standard error of 1 point, the
/// mean over 35 groups far less.
pub const SHIFT_IMAGES: usize = 1000;

/// Some of the shifts, in their own order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Names", into = "Vec<String>")]
pub struct Shifts(u8);

/// Some of the severities 1 to 5; all of them where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<i64>", into = "Vec<u8>")]
pub struct Severities(u8);

/// How shifts are written.
#[derive(Deserialize)]
#[serde(untagged, expecting = "wanted a list of shifts, such as [\"rotation\", \"noise\"], or \"all\"")]
enum Names {
    /// `all`, or names parted by commas, as flags have them.
    Text(String),
    /// A list.
    List(Vec<String>),
}

impl Shifts {
    /// All of them.
    pub const ALL: Self = Self((1 << Shift::ALL.len()) - 1);

    /// Those that are in it.
    pub fn iter(self) -> impl Iterator<Item = Shift> {
        Shift::ALL.into_iter().enumerate().filter(move |(i, _)| self.0 >> i & 1 == 1).map(|(_, shift)| shift)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl Severities {
    /// The mildest alone.
    pub(super) const ONE: Self = Self(0b10);

    /// Those that are in it, the mildest first.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (1..=5u8).filter(move |severity| self.0 >> severity & 1 == 1)
    }

    /// Whether it is all of them.
    pub(super) fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Severities {
    fn default() -> Self {
        Self(0b11_1110)
    }
}

/// Every shift in every severity, shift by shift.
pub fn shifted(shifts: Shifts, severities: Severities) -> impl Iterator<Item = Shifted> {
    shifts.iter().flat_map(move |shift| severities.iter().filter_map(move |severity| Shifted::new(shift, severity)))
}

/// Checks how many images a shifted group has.
pub(super) fn check_images(images: Option<usize>) -> Result<()> {
    if images == Some(0) {
        let wanted = "at least 1 image makes a shifted group".to_owned();
        return Err(Error::Setting { key: "eval.shift_images", found: "0".to_owned(), wanted });
    }
    Ok(())
}

impl TryFrom<Names> for Shifts {
    type Error = String;

    fn try_from(names: Names) -> Result<Self, String> {
        let names = match names {
            Names::Text(text) if text.trim() == "all" => return Ok(Self::ALL),
            Names::Text(text) if text.trim().is_empty() => return Ok(Self(0)),
            Names::Text(text) => text.split(',').map(|name| name.trim().to_owned()).collect(),
            Names::List(names) => names,
        };
        let mut all = Self(0);
        for name in names {
            if name == "all" {
                return Ok(Self::ALL);
            }
            let Some(place) = Shift::ALL.iter().position(|shift| shift.name() == name) else {
                let known = Shift::ALL.map(Shift::name).join(", ");
                return Err(format!("`{name}` is no shift; wanted some of {known}, or all"));
            };
            all.0 |= 1 << place;
        }
        Ok(all)
    }
}

impl From<Shifts> for Vec<String> {
    fn from(shifts: Shifts) -> Self {
        shifts.iter().map(|shift| shift.name().to_owned()).collect()
    }
}

impl TryFrom<Vec<i64>> for Severities {
    type Error = String;

    fn try_from(severities: Vec<i64>) -> Result<Self, String> {
        let mut all = Self(0);
        for severity in severities {
            if !(1..=5).contains(&severity) {
                return Err(format!("{severity} is no severity; wanted some of 1 to 5"));
            }
            all.0 |= 1 << severity;
        }
        if all.0 == 0 { Err("the list is empty; wanted some of the severities 1 to 5".into()) } else { Ok(all) }
    }
}

impl From<Severities> for Vec<u8> {
    fn from(severities: Severities) -> Self {
        severities.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shifts(text: &str) -> Result<Shifts, String> {
        let table: toml::Table = toml::from_str(&format!("v = {text}")).unwrap();
        Shifts::deserialize(table["v"].clone()).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn shifts_are_a_list_or_a_text_and_come_back_in_their_order() {
        let names = |shifts: Shifts| Vec::<String>::from(shifts);
        assert_eq!(names(shifts(r#"["noise", "rotation", "noise"]"#).unwrap()), ["rotation", "noise"]);
        assert_eq!(shifts(r#""noise, rotation""#), shifts(r#"["rotation", "noise"]"#));
        assert_eq!((shifts(r#""all""#), shifts(r#"["all"]"#)), (Ok(Shifts::ALL), Ok(Shifts::ALL)));
        assert_eq!(names(Shifts::ALL).len(), 7);
        assert!(shifts("[]").unwrap().is_empty() && shifts(r#""""#).unwrap().is_empty());
        for wrong in [r#""turn""#, r#"["rotation", "turn"]"#] {
            assert!(shifts(wrong).unwrap_err().contains("`turn` is no shift; wanted some of rotation, noise"));
        }
        assert!(shifts("3").unwrap_err().contains("wanted a list of shifts"));
    }

    #[test]
    fn severities_are_one_to_five() {
        let of = |list: &[i64]| Severities::try_from(list.to_vec());
        assert_eq!(of(&[1, 2, 3, 4, 5]), Ok(Severities::default()));
        assert_eq!(Vec::<u8>::from(of(&[5, 3]).unwrap()), [3, 5]);
        assert!(of(&[]).unwrap_err().contains("empty") && of(&[0]).unwrap_err().contains("0 is no severity"));
        assert_eq!(shifted(Shifts::ALL, Severities::default()).count(), 35);
        let two: Vec<_> = shifted(shifts(r#""blur""#).unwrap(), of(&[2, 4]).unwrap()).map(Shifted::group).collect();
        assert_eq!(two, ["blur-2", "blur-4"]);
    }
}
