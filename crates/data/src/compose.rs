//! Built-in datasets, put together as their descriptors say.

use crate::dataset::{Dataset, LeftOut, Limits, Role, TestGroup, TrainSet};
use crate::descriptor::{Catalogue, Composition, Descriptor, Drawn, Generator, Half};
use crate::error::DataError;
use crate::images::Images;
use crate::locations::Locations;
use crate::{read, strokes};

/// Puts a built-in dataset together. `seed` draws the training pairs kept under [`Limits::train_limit`], and is the seed
/// of data that is drawn by this program, which needs no file.
///
/// # Errors
/// [`DataError::UnknownName`], [`DataError::Limit`] for a limit of 0, [`DataError::MissingSet`],
/// [`DataError::ImageSize`], [`DataError::TooFew`], [`DataError::Group`], and those of reading the files.
pub fn load(name: &str, locations: &Locations, seed: u64, limits: Limits) -> Result<Dataset, DataError> {
    limits.check()?;
    let catalogue = Catalogue::built_in()?;
    let (descriptor, composition) = catalogue.dataset(name)?;
    let mut dataset = match &composition.drawn {
        Some(Drawn { by: Generator::Strokes, .. }) => strokes::dataset(seed, &strokes::Sizes::default())?,
        None => of_sets(catalogue, descriptor, composition, locations)?,
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
    let validation =
        crate::Labelled { images: labelled.images.split_off(kept), labels: labelled.labels.split_off(kept) };
    let mut train = TrainSet::of(labelled);
    let classes = files.classes.len();
    for name in more {
        let (set, _) = catalogue.set(name)?;
        let ambiguous = read::load_ambiguous(set, Half::Train, locations)?;
        same_size(first, &train.images, set, &ambiguous.images)?;
        train.append(&ambiguous, classes);
    }
    let (mut groups, mut left_out) = (Vec::with_capacity(composition.test.len()), Vec::new());
    for test in &composition.test {
        let (set, _) = catalogue.set(&test.set)?;
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
        note: composition.note.clone(),
        left_out,
    })
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
