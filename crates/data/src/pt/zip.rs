//! As much of zip as `torch.save` uses: stored entries, found through the central directory.

/// The entries of an archive, each a name, its checksum and its bytes.
pub(super) struct Archive<'a> {
    entries: Vec<(&'a [u8], u32, &'a [u8])>,
}

impl<'a> Archive<'a> {
    /// Reads the directory of an archive.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        if !bytes.starts_with(b"PK\x03\x04") {
            return Err("not a zip archive".into());
        }
        // The end record is the last thing in the file but for a comment of at most 65,535 bytes.
        let start = bytes.len().saturating_sub(22 + 65_535);
        let end = bytes[start..].windows(4).rposition(|w| w == b"PK\x05\x06").map(|i| start + i);
        let end = end.ok_or("a zip archive without its end (truncated)")?;
        let comment = usize::from(u16_at(bytes, end + 20)?);
        if end + 22 + comment != bytes.len() {
            return Err("a zip archive whose end is damaged (truncated)".into());
        }
        let count = u16_at(bytes, end + 10)?;
        let mut at = u32_at(bytes, end + 16)? as usize;
        if count == u16::MAX || at == u32::MAX as usize {
            return Err("a zip archive of more than 4 GiB or 65,534 entries".into());
        }
        let mut entries = Vec::new();
        for _ in 0..count {
            if slice(bytes, at, 4)? != b"PK\x01\x02" {
                return Err("a damaged zip directory".into());
            }
            let (flags, method) = (u16_at(bytes, at + 8)?, u16_at(bytes, at + 10)?);
            let (sum, stored, size) = (u32_at(bytes, at + 16)?, u32_at(bytes, at + 20)?, u32_at(bytes, at + 24)?);
            let name_length = usize::from(u16_at(bytes, at + 28)?);
            let rest = usize::from(u16_at(bytes, at + 30)?) + usize::from(u16_at(bytes, at + 32)?);
            let local = u32_at(bytes, at + 42)? as usize;
            let name = slice(bytes, at + 46, name_length)?;
            if method != 0 || flags & 1 != 0 || stored != size || size == u32::MAX {
                return Err("a zip entry that is compressed, encrypted or larger than 4 GiB".into());
            }
            if slice(bytes, local, 4)? != b"PK\x03\x04" {
                return Err("a damaged zip entry".into());
            }
            let local_name = usize::from(u16_at(bytes, add(local, 26)?)?);
            if slice(bytes, add(local, 30)?, local_name)? != name {
                return Err("a zip entry of two names".into());
            }
            let head = 30 + local_name + usize::from(u16_at(bytes, add(local, 28)?)?);
            entries.push((name, sum, slice(bytes, add(local, head)?, size as usize)?));
            at = add(at, 46 + name_length + rest)?;
        }
        if at != end && !bytes.get(at..).is_some_and(|b| b.starts_with(b"PK\x06\x06")) {
            return Err("a damaged zip directory".into());
        }
        Ok(Self { entries })
    }

    /// What comes before `last` in the only entry whose name ends in `/last` or is it.
    pub(super) fn root_of(&self, last: &str) -> Result<String, String> {
        let names = self.entries.iter().filter_map(|(name, ..)| std::str::from_utf8(name).ok());
        let mut roots = names
            .filter_map(|name| name.strip_suffix(last))
            .filter(|root| root.is_empty() || root.ends_with('/') && root.matches('/').count() == 1);
        match (roots.next(), roots.next()) {
            (Some(root), None) => Ok(root.into()),
            (None, _) => Err(format!("a zip archive without {last}")),
            _ => Err(format!("a zip archive with several {last}")),
        }
    }

    /// The bytes of an entry, checked, or `None` if there is none of this name.
    pub(super) fn find(&self, name: &str) -> Result<Option<&'a [u8]>, String> {
        let Some((_, sum, bytes)) = self.entries.iter().find(|e| e.0 == name.as_bytes()) else { return Ok(None) };
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        if crc.sum() == *sum {
            Ok(Some(bytes))
        } else {
            Err(format!("a damaged entry {name:?} (its checksum differs)"))
        }
    }
}

fn add(a: usize, b: usize) -> Result<usize, String> {
    a.checked_add(b).ok_or_else(|| "a zip archive with impossible positions".into())
}

fn slice(bytes: &[u8], at: usize, size: usize) -> Result<&[u8], String> {
    bytes.get(at..add(at, size)?).ok_or_else(|| "a zip archive that ends too early (truncated)".into())
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, String> {
    let b = slice(bytes, at, 2)?;
    Ok(u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, String> {
    let b = slice(bytes, at, 4)?;
    Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}
