//! Writing the section of a model file, and taking it away.

extern crate alloc;

use super::section::{
    CLASS_NAMES, CONTENT_LEN, DATA_NAME, DECISIONS, NAME_LIMIT, SectionError, offsets, split, write_record,
};
use super::{HEADER_LEN, Model, ModelError, RECORD_LEN, crc32};
use crate::decide::Decisions;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What a section holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// What the model decides.
    pub decisions: Option<Decisions>,
    /// Names of the classes, one each, or none at all.
    pub class_names: Vec<String>,
    /// The name of the data that decisions were measured on.
    pub data_name: Option<String>,
    /// Entries of a later version, tag and content, which are kept.
    pub other: Vec<(u16, Vec<u8>)>,
}

/// Why a section cannot be written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WriteSectionError {
    /// What is to be written.
    Section(SectionError),
    /// The file: too many layers with those of the section.
    Model(ModelError),
}

impl fmt::Display for WriteSectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteSectionError::Section(error) => error.fmt(f),
            WriteSectionError::Model(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for WriteSectionError {}

impl Content {
    /// What the section of a model holds; nothing where it has none.
    ///
    /// # Errors
    /// A section that is not whole.
    pub fn of(model: &Model<'_>) -> Result<Self, SectionError> {
        let Some(section) = model.section()? else { return Ok(Content::default()) };
        let room = &mut [0; NAME_LIMIT];
        let named = if section.has_class_names() { model.classes() } else { 0 };
        Ok(Content {
            decisions: section.decisions(),
            class_names: (0..named).filter_map(|c| section.class_name(c, room).map(str::to_owned)).collect(),
            data_name: section.data_name(&mut [0; NAME_LIMIT]).map(str::to_owned),
            other: section
                .entries()
                .filter(|(tag, ..)| !(DECISIONS..=DATA_NAME).contains(tag))
                .map(|(tag, at, len)| (tag, section.content(at, len)))
                .collect(),
        })
    }

    /// Whether there is nothing to hold.
    pub fn is_empty(&self) -> bool {
        *self == Content::default()
    }

    fn bytes(&self, classes: usize) -> Result<Vec<u8>, SectionError> {
        let mut entries = Vec::new();
        let mut put = |tag: u16, content: &[u8]| {
            let (found, wanted) = (content.len() as u64, u16::MAX.into());
            let len = u16::try_from(content.len());
            let len = len.map_err(|_| SectionError::Length { what: "an entry", found, wanted })?;
            entries.extend_from_slice(&tag.to_le_bytes());
            entries.extend_from_slice(&len.to_le_bytes());
            entries.extend_from_slice(content);
            Ok::<_, SectionError>(())
        };
        let short = |what, name: &str| match name.len() {
            0..=NAME_LIMIT => Ok(name.len() as u8),
            found => Err(SectionError::Length { what, found: found as u64, wanted: NAME_LIMIT as u64 }),
        };
        if let Some(decisions) = &self.decisions {
            put(DECISIONS, &decisions.bytes())?;
        }
        if !self.class_names.is_empty() {
            if self.class_names.len() != classes {
                return Err(SectionError::Names { found: self.class_names.len(), wanted: classes });
            }
            let mut names = Vec::new();
            for name in &self.class_names {
                names.push(short("a class name", name)?);
                names.extend_from_slice(name.as_bytes());
            }
            put(CLASS_NAMES, &names)?;
        }
        if let Some(name) = &self.data_name {
            short("a name of data", name)?;
            put(DATA_NAME, name.as_bytes())?;
        }
        for (tag, content) in &self.other {
            put(*tag, content)?;
        }
        let mut bytes = (entries.len() as u32).to_le_bytes().to_vec();
        bytes.append(&mut entries);
        Ok(bytes)
    }
}

/// The file of a model without its section: as it was before one was written, byte for byte.
pub fn without_section(model: &Model<'_>) -> Vec<u8> {
    let (layers, own) = split(model.bytes());
    let mut bytes = model.bytes().to_vec();
    if own > 0 {
        let first = HEADER_LEN + layers * RECORD_LEN;
        bytes.drain(first..first + own * RECORD_LEN);
        seal(&mut bytes, layers, layers, -((own * RECORD_LEN) as i64));
    }
    bytes
}

/// The file of a model with such a section in the place of its own, or with none for no content.
///
/// # Errors
/// Names that are too many, too few or too long; a file of more layers than there may be.
pub fn with_section(model: &Model<'_>, content: &Content) -> Result<Vec<u8>, WriteSectionError> {
    let mut bytes = without_section(model);
    if content.is_empty() {
        return Ok(bytes);
    }
    let section = content.bytes(model.classes()).map_err(WriteSectionError::Section)?;
    let layers = model.layers();
    let shape = model.shape_of(layers);
    let chunks = section.chunks(CONTENT_LEN).enumerate();
    let records: Vec<u8> = chunks.flat_map(|(i, chunk)| write_record(i, layers + i, shape, chunk)).collect();
    let all = layers + records.len() / RECORD_LEN;
    if all > usize::from(super::LAYER_LIMIT) {
        let error = ModelError::Header { what: "layers, those of the section included,", found: all as u64 };
        return Err(WriteSectionError::Model(error));
    }
    let first = HEADER_LEN + layers * RECORD_LEN;
    let by = records.len() as i64;
    bytes.splice(first..first, records);
    seal(&mut bytes, layers, all, by);
    Model::new(&bytes).map_err(WriteSectionError::Model)?;
    Ok(bytes)
}

/// Makes number of layers, offsets, length and checksum right after records were added or taken away.
fn seal(bytes: &mut [u8], layers: usize, all: usize, by: i64) {
    offsets(bytes, layers, by);
    let len = bytes.len() as u64;
    bytes[24..26].copy_from_slice(&(all as u16).to_le_bytes());
    bytes[16..24].copy_from_slice(&len.to_le_bytes());
    let crc = crc32(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
}
