//! Built-in datasets, put together as their descriptors say.

use crate::dataset::{Dataset, LeftOut, Limits, Role, TestGroup, TrainSet};
use crate::descriptor::{Catalogue, Composition, Descriptor, Drawn, Generator, Half};
use crate::error::DataError;
use crate::images::Images;
use crate::locations::Locations;
use crate::random::Random;
use crate::{Labelled, read, strokes};

/// Puts a built-in dataset together. `seed` draws the training pairs kept under [`Limits::train_limit`], and is the seed
/// of data that is drawn by this program, which needs no file.
///
/// # Errors
/// [`DataError::UnknownName`], [`DataError::Limit`] for a limit of 0, [`DataError::MissingSet`],
/// [`DataError::ImageSize`], [`DataError::TooFew`], [`DataError::Group`], and those of reading the files.
pub fn load(name: &str, locations: &Locations, seed: u64, limits: Limits) -> Result<Dataset, DataError> {
    load_divided(name, locations, seed, limits, None)
}

/// The same; with `split` the images for validation are drawn by that seed from all images of the first training set, and not
/// the last of them. Images of a file have an order: the last 5,000 of MNIST are easier than its others.
///
/// # Errors
/// As [`load`]; [`DataError::Limit`] for a split of a dataset that is drawn, whose validation images are drawn too.
pub fn load_divided(
    name: &str,
    locations: &Locations,
    seed: u64,
    limits: Limits,
    split: Option<u64>,
) -> Result<Dataset, DataError> {
    limits.check()?;
    let catalogue = Catalogue::built_in()?;
    let (descriptor, composition) = catalogue.dataset(name)?;
    let mut dataset = match (&composition.drawn, split) {
        (Some(Drawn { by: Generator::Strokes, .. }), None) => strokes::dataset(seed, &strokes::Sizes::default())?,
        (Some(_), Some(found)) => {
            let wanted = "none: the images of this dataset are drawn, those for validation too";
            return Err(DataError::Limit { key: "split", found: found.try_into().unwrap_or(usize::MAX), wanted });
        }
        (None, _) => of_sets(catalogue, descriptor, composition, locations, split)?,
    };
    dataset.limit(limits, seed)?;
    dataset.check()?;
    Ok(dataset)
}

fn of_sets(
    catalogue: &Catalogue,
    descriptor: &Descriptor,
    composition: &Composition,
    locations: &Locations,
    split: Option<u64>,
) -> Result<Dataset, DataError> {
    // All are looked for before anything large is read.
    let wanted = composition.test.iter().filter(|t| !t.optional).map(|t| &t.set);
    for name in composition.train.iter().chain(wanted) {
        locations.find(catalogue.set(name)?.0)?;
    }
    let missing = |reason: &str| DataError::Descriptor { file: descriptor.name.clone(), reason: reason.into() };
    let (first, more) = composition.train.split_first().ok_or_else(|| missing("dataset.train names no set"))?;
    let (first, files) = catalogue.set(first)?;
    let pixels = files.pixels.ok_or_else(|| missing("the first training set has no pixel statistics"))?;
    let mut labelled = read::load_labelled(first, Half::Train, locations)?;
    let held = composition.validation;
    if labelled.images.len() <= held {
        return Err(DataError::TooFew { set: first.name.clone(), found: labelled.images.len(), wanted: held });
    }
    let kept = labelled.images.len() - held;
    let validation = match split {
        None => Labelled { images: labelled.images.split_off(kept), labels: labelled.labels.split_off(kept) },
        Some(seed) => drawn(&mut labelled, held, seed),
    };
    let mut train = TrainSet::of(labelled);
    let classes = files.classes.len();
    for name in more {
        let (set, _) = catalogue.set(name)?;
        let ambiguous = read::load_ambiguous(set, Half::Train, locations)?;
        same_size(first, &train.images, set, &ambiguous.images)?;
        train.append(&ambiguous, classes);
    }
    let (mut groups, mut left_out) = (Vec::with_capacity(composition.test.len()), Vec::new());
    let mut notes: Vec<String> = composition.note.iter().cloned().collect();
    notes.extend(
        split.map(|seed| format!("validation images are drawn from those of the training (data.split = {seed})")),
    );
    for test in &composition.test {
        let (set, set_files) = catalogue.set(&test.set)?;
        if test.optional && matches!(locations.find(set), Err(DataError::MissingSet { .. })) {
            left_out.push(LeftOut { name: test.name().to_owned(), role: test.role, set: test.set.clone() });
            continue;
        }
        let group = match test.role {
            Role::Clean => TestGroup::clean(test.name(), read::load_labelled(set, Half::Test, locations)?),
            Role::Shifted => TestGroup::shifted(test.name(), read::load_labelled(set, Half::Test, locations)?),
            Role::Ambiguous => TestGroup::ambiguous(test.name(), read::load_ambiguous(set, Half::Test, locations)?),
            Role::Ood => TestGroup::ood(test.name(), read::load_images(set, Half::Test, locations)?),
        };
        same_size(first, &train.images, set, &group.images)?;
        notes.extend(set_files.unverified.as_ref().map(|why| format!("{} ({}): {why}", test.name(), set.title)));
        groups.push(group);
    }
    Ok(Dataset {
        name: descriptor.name.clone(),
        class_names: files.classes.clone(),
        train,
        validation,
        groups,
        train_noise: composition.train_noise,
        pixels,
        note: Some(notes.join("; ")).filter(|notes| !notes.is_empty()),
        left_out,
    })
}

/// The stream of random numbers that draws images for validation.
const STREAM: u64 = 0x0076_616c_6964;

/// Takes so many images away, drawn at random; the order of both parts is kept.
fn drawn(from: &mut Labelled, count: usize, seed: u64) -> Labelled {
    let mut random = Random::new(seed, STREAM);
    let (total, mut wanted) = (from.images.len(), count);
    // Selection sampling: each image is taken with the chance (still wanted) / (still to come).
    let taken: Vec<bool> = (0..total)
        .map(|seen| {
            let take = random.below((total - seen) as u64) < wanted as u64;
            wanted -= usize::from(take);
            take
        })
        .collect();
    let part = |taken_ones: bool| {
        let places: Vec<usize> = (0..total).filter(|&i| taken[i] == taken_ones).collect();
        Labelled { images: from.images.select(&places), labels: places.iter().map(|&i| from.labels[i]).collect() }
    };
    let (away, rest) = (part(true), part(false));
    *from = rest;
    away
}

fn same_size(first: &Descriptor, a: &Images, second: &Descriptor, b: &Images) -> Result<(), DataError> {
    if a.shape() == b.shape() {
        return Ok(());
    }
    Err(DataError::ImageSize {
        first: first.name.clone(),
        first_size: a.describe(),
        second: second.name.clone(),
        second_size: b.describe(),
    })
}

/// How large a built-in dataset is, by its descriptor: nothing is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Rows, columns and channels of an image.
    pub shape: [usize; 3],
    /// Number of classes.
    pub classes: usize,
    /// Training pairs.
    pub pairs: usize,
    /// Images of each test group.
    pub groups: Vec<usize>,
}

impl Extent {
    /// Of the built-in dataset of this name; `None` where there is none.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let catalogue = Catalogue::built_in().ok()?;
        let composition = catalogue.dataset(name).ok()?.1;
        if let Some(Drawn { by: Generator::Strokes, shape, classes, .. }) = &composition.drawn {
            let (pairs, groups) = strokes::Sizes::default().extent();
            return Some(Self { shape: *shape, classes: classes.len(), pairs, groups });
        }
        let files = |name: &String| catalogue.set(name).ok().map(|s| s.1);
        let first = files(composition.train.first()?)?;
        let pairs: usize =
            composition.train.iter().filter_map(files).map(|set| set.train * set.drawn.unwrap_or(1)).sum();
        Some(Self {
            shape: first.shape,
            classes: first.classes.len(),
            pairs: pairs.saturating_sub(composition.validation),
            groups: composition.test.iter().filter_map(|t| files(&t.set)).map(|set| set.test).collect(),
        })
    }
}
