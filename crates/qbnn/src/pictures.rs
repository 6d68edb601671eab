//! Images that a user names, one after the other, as a model reads them.
//!
//! Files come from `data`; what a model reads decides here whether they are taken, scaled or refused.

use crate::error::{Error, Result};
use qbnn_core::Shape;
use qbnn_data::files::{self, Content, FileKind, bytes, folder, parts};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How images are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// Exchange dark and bright first: for figures drawn dark on bright, where a model knows bright on dark (MNIST).
    pub invert: bool,
    /// Read coloured pictures in grey.
    pub grey: bool,
    /// Scale images of files of many to the size that the model reads, as pictures are scaled.
    pub resize: bool,
}

/// Which image a prediction is about: a file, and the place in it where it holds several.
#[derive(Clone, Debug)]
pub struct Name {
    /// The file as it was named.
    pub file: Rc<str>,
    /// Place in the file, counted from 0.
    pub image: usize,
    /// Whether the file holds several.
    pub several: bool,
}

/// The file `-`.
const STDIN: &str = "-";

/// What is to be read.
pub struct Sources {
    files: VecDeque<PathBuf>,
    /// Files in all.
    pub count: usize,
    /// Images that they announce; a damaged one may lie.
    pub images: u64,
    /// Files of folders that are no images.
    pub others: usize,
}

impl Sources {
    /// Files, the files of folders, and `-` for stdin.
    ///
    /// # Errors
    /// A folder that cannot be read, or holds no images.
    pub fn new(paths: &[PathBuf]) -> Result<Self> {
        let mut sources = Sources { files: VecDeque::new(), count: 0, images: 0, others: 0 };
        for path in paths {
            if path.is_dir() {
                let found = folder(path)?;
                sources.others += found.others;
                sources.files.extend(found.files);
            } else {
                sources.files.push_back(path.clone());
            }
        }
        sources.count = sources.files.len();
        let announced = |path: &PathBuf| match path.is_file() {
            // What cannot be opened is told when it is read.
            true => File::open(path).and_then(FileKind::of).ok().flatten().map_or(0, FileKind::images),
            // A pipe can be read only once.
            false => 1,
        };
        sources.images = sources.files.iter().map(announced).sum();
        Ok(sources)
    }
}

impl Iterator for Sources {
    type Item = PathBuf;

    fn next(&mut self) -> Option<PathBuf> {
        self.files.pop_front()
    }
}

/// The images of one file, ready for a network.
#[derive(Default)]
pub struct Read {
    /// Channel by channel.
    pub pixels: Vec<u8>,
    /// A name for each.
    pub names: Vec<Name>,
    /// Pictures, or files of images, that it holds one behind the other.
    pub parts: usize,
    /// Why some of them are not among the images.
    pub failed: Vec<Error>,
    /// Bytes behind the last of them that are no image.
    pub left: usize,
    /// Pictures that seem to be drawn dark on bright.
    pub bright: usize,
    /// Pictures on which all pixels are the same.
    pub blank: usize,
}

/// What a file is called in messages.
pub fn shown(path: &Path) -> String {
    if path.as_os_str() == STDIN { "stdin".to_owned() } else { path.display().to_string() }
}

/// Reads a file for a model that reads images of a shape. What of it cannot be read is among the failures.
///
/// # Errors
/// A file that cannot be opened.
pub fn read(path: &Path, shape: Shape, options: ReadOptions) -> Result<Read> {
    let (stdin, shown) = (path.as_os_str() == STDIN, shown(path));
    let content = if stdin {
        bytes(io::stdin().lock(), Path::new(&shown))?
    } else {
        let file = File::open(path).map_err(Error::io_fix("read", path, "check that it exists and may be read"))?;
        bytes(file, path)?
    };
    let (parts, left) = parts(&content);
    let mut read = Read { parts: parts.len(), left, ..Read::default() };
    let file: Rc<str> = shown.as_str().into();
    let mut place = 0;
    for (i, part) in parts.iter().enumerate() {
        let shown = if parts.len() > 1 { format!("{shown}, picture {i}") } else { shown.clone() };
        match read.part(part, &shown, shape, options) {
            Ok((n, several)) => {
                let several = several || parts.len() > 1;
                let name = |i: usize| Name { file: Rc::clone(&file), image: place + i, several };
                read.names.extend((0..n).map(name));
                place += n;
            }
            Err(error) => {
                read.failed.push(error);
                place += 1;
            }
        }
    }
    Ok(read)
}

impl Read {
    /// Adds the images of one picture or file; gives their number, and whether the file may hold several.
    ///
    /// # Errors
    /// One line: what it is, what the model reads, and what to do.
    fn part(&mut self, bytes: &[u8], shown: &str, shape: Shape, options: ReadOptions) -> Result<(usize, bool)> {
        let path = Path::new(shown);
        // Rows of values are taken for images of the model's own shape.
        match files::read_rows(bytes, path, Some([shape.rows, shape.columns, shape.channels]))? {
            Content::Images(mut images) => {
                if shape.channels == 1 && images.channels == 3 {
                    if !options.grey {
                        return Err(Error::mismatch(
                            path,
                            format!(
                                "its images have colour, the model reads grey images ({shape}); --grey converts them"
                            ),
                        ));
                    }
                    images = images.grey();
                }
                if options.resize {
                    images = images.fitted(shape.rows, shape.columns, shape.channels)?;
                } else if shape.channels == 3 && images.channels == 1 {
                    // As a grey picture is read: the same in every channel.
                    images = images.with_colour();
                }
                if (images.channels, images.height, images.width) != (shape.channels, shape.rows, shape.columns) {
                    let (channels, rows, columns) = (images.channels, images.height, images.width);
                    return Err(Error::mismatch(
                        path,
                        format!(
                            "its images are {channels}x{rows}x{columns}, the model reads {shape}; --resize scales them"
                        ),
                    ));
                }
                if options.invert {
                    images.pixels.iter_mut().for_each(|v| *v = 255 - *v);
                }
                let n = images.len();
                self.pixels.extend(images.pixels);
                Ok((n, true))
            }
            Content::Picture(picture) => {
                let channels = shape.channels;
                if ![1, 3].contains(&channels) {
                    return Err(Error::mismatch(
                        path,
                        format!(
                            "a picture has 1 or 3 channels, the model reads {channels} ({shape}); give it IDX or npz files"
                        ),
                    ));
                }
                if channels == 1 && !options.grey && picture.has_colour() {
                    return Err(Error::mismatch(
                        path,
                        format!("has colour, the model reads grey images ({shape}); --grey converts it"),
                    ));
                }
                let picture = if options.invert { picture.invert() } else { picture };
                let picture = if options.grey { picture.grey() } else { picture };
                self.bright += usize::from(picture.has_bright_edge());
                self.blank += usize::from(picture.is_blank());
                self.pixels.extend(picture.fit(shape.rows, shape.columns, channels));
                Ok((1, false))
            }
        }
    }
}
