//! The optional section of a model file: decisions, names of the classes, the data that decisions were measured on.
//!
//! Version 1 leaves no room behind the parameters and none between them. It leaves room in the records: bytes that a layer does
//! not use are looked at by no reader. The section is written into such bytes of records of its own, behind those of the
//! network. To a reader that does not know it, each of them is a max-pool of one value at a time, which gives what it reads:
//! the logits are what they were, bit for bit. A reader that knows them leaves them out ([`Model::layers`]).
//! `docs/file-format.md` describes every byte.

#[cfg(feature = "std")]
use super::layer::{Shape, u32_at};
use super::layer::{record, u16_at};
use super::{Model, RECORD_LEN};
use crate::decide::{self, Decisions};
use core::fmt;

/// Bytes 1 to 3 of a record of the section.
pub(super) const MARK: [u8; 3] = *b"sec";
/// Where the content of a record begins.
pub(super) const CONTENT_AT: usize = 24;
/// Bytes of content of each record.
pub(super) const CONTENT_LEN: usize = RECORD_LEN - CONTENT_AT;
/// Bytes before the first entry: the length of all entries.
pub(super) const PREFIX: usize = 4;
/// Bytes before the content of an entry: its tag and length.
pub(super) const ENTRY_PREFIX: usize = 4;
/// Tag of the decisions.
pub(super) const DECISIONS: u16 = 1;
/// Tag of the names of the classes.
pub(super) const CLASS_NAMES: u16 = 2;
/// Tag of the name of the data.
pub(super) const DATA_NAME: u16 = 3;
/// Longest name of a class or of data, in bytes.
pub const NAME_LIMIT: usize = 255;

/// Why a section cannot be read or written. The network is not concerned: it predicts without the section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionError {
    /// Records that do not belong together.
    Records,
    /// A length beyond what holds it.
    Length {
        /// Of what.
        what: &'static str,
        /// The length.
        found: u64,
        /// The length that there is room for.
        wanted: u64,
    },
    /// Two entries of one tag.
    Twice {
        /// The tag.
        tag: u16,
    },
    /// A number of the decisions that means nothing.
    Decision {
        /// Its place in the entry.
        at: usize,
    },
    /// As many names as classes are needed.
    Names {
        /// Names.
        found: usize,
        /// Classes.
        wanted: usize,
    },
    /// A name that is not UTF-8.
    Text,
}

impl fmt::Display for SectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            SectionError::Records => f.write_str("its section has records that do not belong together"),
            SectionError::Length { what, found, wanted } => {
                write!(f, "its section has {what} of {found} bytes, {wanted} was the most that fits")
            }
            SectionError::Twice { tag } => write!(f, "its section has two entries of tag {tag}, one was wanted"),
            SectionError::Decision { at } => write!(f, "byte {at} of its decisions means nothing"),
            SectionError::Names { found, wanted } => {
                write!(f, "its section names {found} classes, {wanted} was wanted: one name for each class")
            }
            SectionError::Text => f.write_str("a name in its section is no UTF-8"),
        }?;
        f.write_str("; `qbnn calibrate` writes it again")
    }
}

impl core::error::Error for SectionError {}

/// Number of the network's layers and of the section's records behind them, of records whose number alone was checked.
pub(super) fn split(bytes: &[u8]) -> (usize, usize) {
    let all = u16_at(bytes, 24) as usize;
    let Some(last) = all.checked_sub(1) else { return (0, 0) };
    let number = |r: &[u8]| u16_at(r, 6) as usize;
    if !marked(record(bytes, last)) {
        return (all, 0);
    }
    let own = number(record(bytes, last)) + 1;
    // At least one layer is the network's.
    if own >= all {
        return (all, 0);
    }
    let whole = (0..own).all(|i| {
        let (at, r) = (all - own + i, record(bytes, all - own + i));
        marked(r) && number(r) == i && u16_at(r, 4) as usize == at && u16_at(r, 16) == 1 && u16_at(r, 20) == 1
    });
    // A mark before them: the number of the last was damaged.
    if whole && !marked(record(bytes, all - own - 1)) { (all - own, own) } else { (all, 0) }
}

fn marked(r: &[u8]) -> bool {
    r[0] == 1 && r[1..4] == MARK
}

/// The section of a model file, whose entries lie within it and are all readable.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    records: &'a [u8],
    len: usize,
    classes: usize,
}

impl<'a> Section<'a> {
    /// The section of a checked file; `None` where it has none.
    pub(super) fn new(bytes: &'a [u8], classes: usize) -> Result<Option<Self>, SectionError> {
        let (layers, own) = split(bytes);
        if own == 0 {
            // A mark without the rest: somebody wrote a section, and it is not whole.
            return if (0..layers).any(|i| marked(record(bytes, i))) { Err(SectionError::Records) } else { Ok(None) };
        }
        let first = super::HEADER_LEN + layers * RECORD_LEN;
        let mut section = Section { records: &bytes[first..][..own * RECORD_LEN], len: own * CONTENT_LEN, classes };
        let found = section.word(0).ok_or(SectionError::Records)?;
        let room = section.len - PREFIX;
        if found as usize > room {
            return Err(SectionError::Length { what: "entries", found: found.into(), wanted: room as u64 });
        }
        section.len = PREFIX + found as usize;
        if section.len.div_ceil(CONTENT_LEN) != own {
            return Err(SectionError::Records);
        }
        section.check()?;
        Ok(Some(section))
    }

    fn check(&self) -> Result<(), SectionError> {
        let (mut at, mut seen) = (PREFIX, 0u16);
        while at < self.len {
            let (tag, len) = self.entry(at)?;
            if (DECISIONS..=DATA_NAME).contains(&tag) {
                if seen & 1 << tag != 0 {
                    return Err(SectionError::Twice { tag });
                }
                seen |= 1 << tag;
            }
            let content = at + ENTRY_PREFIX;
            match tag {
                DECISIONS => drop(self.decisions_at(content, len)?),
                CLASS_NAMES => self.check_names(content, len)?,
                DATA_NAME if len > NAME_LIMIT => {
                    let wanted = NAME_LIMIT as u64;
                    return Err(SectionError::Length { what: "a name of data", found: len as u64, wanted });
                }
                DATA_NAME => drop(self.text(content, len, &mut [0; NAME_LIMIT])?),
                // A later version's: its length says how to go on.
                _ => {}
            }
            at = content + len;
        }
        Ok(())
    }

    fn check_names(&self, at: usize, len: usize) -> Result<(), SectionError> {
        let (mut place, mut found) = (at, 0);
        while place < at + len {
            let name = self.byte(place).unwrap_or(0) as usize;
            let room = at + len - place - 1;
            if name > room {
                return Err(SectionError::Length { what: "a class name", found: name as u64, wanted: room as u64 });
            }
            self.text(place + 1, name, &mut [0; NAME_LIMIT])?;
            (place, found) = (place + 1 + name, found + 1);
        }
        if found == self.classes { Ok(()) } else { Err(SectionError::Names { found, wanted: self.classes }) }
    }

    /// A byte of the content, which lies in the records piece by piece.
    fn byte(&self, at: usize) -> Option<u8> {
        let place = at / CONTENT_LEN * RECORD_LEN + CONTENT_AT + at % CONTENT_LEN;
        if at < self.len { self.records.get(place).copied() } else { None }
    }

    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let mut out = [0; N];
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = self.byte(at + i)?;
        }
        Some(out)
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    /// Tag and length of the entry at a place, whose content lies within the section.
    fn entry(&self, at: usize) -> Result<(u16, usize), SectionError> {
        let room = self.len - at;
        let Some(bytes) = self.bytes::<ENTRY_PREFIX>(at) else {
            let (found, wanted) = (ENTRY_PREFIX as u64, room as u64);
            return Err(SectionError::Length { what: "the beginning of an entry", found, wanted });
        };
        let (tag, len) = (u16_at(&bytes, 0), u16_at(&bytes, 2) as usize);
        if len > room - ENTRY_PREFIX {
            let (found, wanted) = (len as u64, (room - ENTRY_PREFIX) as u64);
            return Err(SectionError::Length { what: "an entry", found, wanted });
        }
        Ok((tag, len))
    }

    /// Every entry: tag, where its content begins, its length.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u16, usize, usize)> + use<'a> {
        let (section, mut at) = (*self, PREFIX);
        core::iter::from_fn(move || {
            let (tag, len) = (at < section.len).then(|| section.entry(at).ok()).flatten()?;
            let content = at + ENTRY_PREFIX;
            at = content + len;
            Some((tag, content, len))
        })
    }

    fn find(&self, wanted: u16) -> Option<(usize, usize)> {
        self.entries().find(|(tag, ..)| *tag == wanted).map(|(_, at, len)| (at, len))
    }

    fn decisions_at(&self, at: usize, len: usize) -> Result<Decisions, SectionError> {
        // A later version may add to the end.
        let bytes = if len >= decide::LEN { self.bytes(at) } else { None };
        let (found, wanted) = (len as u64, decide::LEN as u64);
        let bytes = bytes.ok_or(SectionError::Length { what: "decisions", found, wanted })?;
        Decisions::read(&bytes).map_err(|at| SectionError::Decision { at })
    }

    fn text<'b>(&self, at: usize, len: usize, room: &'b mut [u8]) -> Result<&'b str, SectionError> {
        let (found, wanted) = (len as u64, room.len() as u64);
        let room = room.get_mut(..len).ok_or(SectionError::Length { what: "a name", found, wanted })?;
        for (i, byte) in room.iter_mut().enumerate() {
            *byte = self.byte(at + i).ok_or(SectionError::Text)?;
        }
        core::str::from_utf8(room).map_err(|_| SectionError::Text)
    }

    /// What the model decides; `None` where it was not calibrated.
    pub fn decisions(&self) -> Option<Decisions> {
        let (at, len) = self.find(DECISIONS)?;
        self.decisions_at(at, len).ok()
    }

    /// Whether the classes have names.
    pub fn has_class_names(&self) -> bool {
        self.find(CLASS_NAMES).is_some()
    }

    /// The name of a class, copied to the beginning of `room`; [`NAME_LIMIT`] bytes are always enough. `None` where there are
    /// no names, no such class, or no room.
    pub fn class_name<'b>(&self, class: usize, room: &'b mut [u8]) -> Option<&'b str> {
        let (at, len) = self.find(CLASS_NAMES)?;
        let (mut place, mut number) = (at, 0);
        while place < at + len {
            let name = self.byte(place)? as usize;
            if number == class {
                return self.text(place + 1, name, room).ok();
            }
            (place, number) = (place + 1 + name, number + 1);
        }
        None
    }

    /// The name of the data that decisions were measured on, copied to the beginning of `room`.
    pub fn data_name<'b>(&self, room: &'b mut [u8]) -> Option<&'b str> {
        let (at, len) = self.find(DATA_NAME)?;
        self.text(at, len, room).ok()
    }

    /// Bytes of an entry's content.
    #[cfg(feature = "std")]
    pub(super) fn content(&self, at: usize, len: usize) -> std::vec::Vec<u8> {
        (at..at + len).filter_map(|at| self.byte(at)).collect()
    }
}

impl<'a> Model<'a> {
    /// The section of decisions and names; `None` where the file has none.
    ///
    /// # Errors
    /// A section that is not whole. The model predicts all the same.
    pub fn section(&self) -> Result<Option<Section<'a>>, SectionError> {
        Section::new(self.bytes, self.classes())
    }
}

/// A record of the section: the n-th, reading the value `input` of such a shape.
#[cfg(feature = "std")]
pub(super) fn write_record(number: usize, input: usize, shape: Shape, content: &[u8]) -> [u8; RECORD_LEN] {
    let mut r = [0; RECORD_LEN];
    let pool = super::Pool { max: true, size: 1, stride: 1 };
    super::Layer { input, shape, op: super::Op::Pool(pool) }.write(&mut r);
    r[1..4].copy_from_slice(&MARK);
    r[6..8].copy_from_slice(&(number as u16).to_le_bytes());
    r[CONTENT_AT..CONTENT_AT + content.len()].copy_from_slice(content);
    r
}

/// Moves the places of all parameters.
#[cfg(feature = "std")]
pub(super) fn offsets(bytes: &mut [u8], layers: usize, by: i64) {
    for index in 0..layers {
        let at = super::HEADER_LEN + index * RECORD_LEN;
        if bytes[at] == 0 {
            let offset = u64::from(u32_at(bytes, at + 48)) | u64::from(u32_at(bytes, at + 52)) << 32;
            bytes[at + 48..at + 56].copy_from_slice(&offset.wrapping_add_signed(by).to_le_bytes());
        }
    }
}
