//! What a dataset holds, in numbers: what one looks at before a training.

use crate::dataset::{Dataset, PixelStatistics};
use crate::own::leaked_by_group;
use serde::Serialize;

/// What a dataset holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// What it is called.
    pub name: String,
    /// Rows of an image.
    pub rows: usize,
    /// Columns of an image.
    pub columns: usize,
    /// Values per pixel: 1 is grey, 3 is colour.
    pub channels: usize,
    /// Name of each class, in the order of the labels.
    pub class_names: Vec<String>,
    /// Of the training images.
    pub pixels: PixelStatistics,
    /// Training, validation, and each test group, in their order.
    pub parts: Vec<Part>,
    /// What to show beside every figure.
    pub note: Option<String>,
}

/// A part of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// `training`, `validation`, or the role of a test group.
    pub role: &'static str,
    /// Number of images.
    pub images: usize,
    /// Images of each class, where they have one right label.
    pub classes: Option<Vec<usize>>,
    /// Images that are also trained on, byte for byte; only of test groups.
    pub trained_on_too: Option<usize>,
}

impl Summary {
    /// Counts.
    #[must_use]
    pub fn of(dataset: &Dataset) -> Self {
        let count = |labels: &mut dyn Iterator<Item = u16>| {
            let mut counts = vec![0; dataset.classes()];
            for label in labels {
                if let Some(count) = counts.get_mut(usize::from(label)) {
                    *count += 1;
                }
            }
            Some(counts)
        };
        let part = |role: &'static str, images, classes| Part {
            name: role.to_owned(),
            role,
            images,
            classes,
            trained_on_too: None,
        };
        let (train, validation) = (&dataset.train, &dataset.validation);
        let mut parts = vec![
            part("training", train.images.len(), count(&mut train.pairs.iter().map(|pair| pair.1))),
            part("validation", validation.labels.len(), count(&mut validation.labels.iter().copied())),
        ];
        for (group, leaked) in dataset.groups.iter().zip(leaked_by_group(dataset)) {
            let labels = group.labels.as_ref().filter(|_| group.role.is_labelled());
            let classes = labels.and_then(|labels| count(&mut labels.iter().copied()));
            parts.push(Part {
                name: group.name.clone(),
                trained_on_too: Some(leaked),
                ..part(group.role.name(), group.images.len(), classes)
            });
        }
        let shape = dataset.shape();
        Self {
            name: dataset.name.clone(),
            rows: shape.rows,
            columns: shape.columns,
            channels: shape.channels,
            class_names: dataset.class_names.clone(),
            pixels: dataset.pixels,
            parts,
            note: dataset.note.clone(),
        }
    }
}
