//! Images that a user names, one after the other, as a model reads them.
//!
//! Files come from `data`; what a model reads decides here whether they are taken, scaled or refused.

use crate::answer::Name;
use crate::convert::Planes;
use anyhow::{Result, bail};
use clap::Args;
use qbnn_bnn::nn::Shape;
use qbnn_data::Images;
use qbnn_data::files::{Content, FileKind, folder, open, read_from};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How images are read.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Reading images")]
pub struct ReadArgs {
    /// Exchange dark and bright first: for figures drawn dark on bright, where a model knows bright on dark (MNIST).
    #[arg(long)]
    pub invert: bool,
    /// Read coloured pictures in grey.
    #[arg(long)]
    pub grey: bool,
}

/// What an image argument may be, for `--help`.
pub const HOW: &str = "Images are told apart by their first bytes: PNG of any depth, or IDX (plain or gzip) of the size \
    that the model reads. A PNG is scaled to that size with its proportions kept, each pixel the mean of what it covers, \
    in the middle of a background of 0; transparent parts are background. Values are not inverted unless --invert says \
    so. A picture with colour is refused by a model of grey images unless --grey is given. Of a folder, all PNG and IDX \
    files are read, by name.";

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
pub struct Read {
    /// Channel by channel.
    pub pixels: Vec<u8>,
    /// A name for each.
    pub names: Vec<Name>,
    /// Whether it is a picture that seems to be drawn dark on bright.
    pub bright: bool,
}

/// Reads a file for a model that reads images of a shape.
///
/// # Errors
/// One line: what the file is, what the model reads, and what to do.
pub fn read(path: &Path, shape: Shape, args: ReadArgs) -> Result<Read> {
    let stdin = path.as_os_str() == STDIN;
    let shown = if stdin { "stdin".to_owned() } else { path.display().to_string() };
    let content = if stdin { read_from(io::stdin().lock(), Path::new(&shown))? } else { open(path)? };
    let (images, bright, several) = match content {
        Content::Images(mut images) => {
            if (1, images.height, images.width) != (shape.channels, shape.rows, shape.columns) {
                bail!("{shown}: its images are 1x{}x{}, the model reads {shape}", images.height, images.width);
            }
            if args.invert {
                images.pixels.iter_mut().for_each(|v| *v = 255 - *v);
            }
            (images, false, true)
        }
        Content::Picture(picture) => {
            if ![1, 3].contains(&shape.channels) {
                let channels = shape.channels;
                bail!(
                    "{shown}: a picture has 1 or 3 channels, the model reads {channels} ({shape}); give it IDX files"
                );
            }
            if shape.channels == 1 && !args.grey && picture.has_colour() {
                bail!("{shown}: has colour, the model reads grey images ({shape}); --grey converts it");
            }
            let picture = if args.invert { picture.invert() } else { picture };
            let picture = if args.grey { picture.grey() } else { picture };
            let bright = picture.has_bright_edge();
            let pixels = picture.fit(shape.rows, shape.columns, shape.channels);
            let images = Images { height: shape.rows, width: shape.columns, channels: shape.channels, pixels };
            (images, bright, false)
        }
    };
    let file: Rc<str> = shown.into();
    let names = (0..images.len()).map(|image| Name { file: Rc::clone(&file), image, several }).collect();
    let pixels = if images.channels == 1 { images.pixels } else { Planes::new(&images).images().pixels.to_vec() };
    Ok(Read { pixels, names, bright })
}
