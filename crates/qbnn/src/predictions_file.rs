//! `predictions.safetensors`: what an evaluation keeps so that its page can be drawn without the data or the models.
//!
//! Of each model and group (by its name), in double precision: `<model>/<group>/mean_probs` `[N][C]`, and `total`, `aleatoric`,
//! `epistemic` `[N]` in nats (the last absent with one draw), `energy` `[N]` in nats and `logit_disagreement` `[N]` in nats squared
//! (where the logits are known). `labels` `[N]` of the clean group. `gallery/pixels`
//! `[K][row][column][channel]` with `gallery/shelf`, `gallery/group` and `gallery/input` `[K]`. What is not an array is
//! one JSON text under `qbnn_predictions` in the header; it says to which evaluation the file belongs. Version 1 held single
//! precision, and is read.

use crate::calibrate::worth_naming;
use crate::error::{Error, Result};
use crate::input;
use qbnn_eval::report::{Chosen, GalleryImage, GroupPredictions, ModelPredictions, Shelf};
use qbnn_eval::{Metrics, Precision, Role};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

const KEY: &str = "qbnn_predictions";
const VERSION: u32 = 2;
/// What errors call them.
const WHAT: &str = "the predictions";

/// To which evaluation predictions belong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    version: u32,
    dataset: String,
    seed: u64,
    classes: usize,
    /// Name and draws of each model.
    models: Vec<(String, u64)>,
    note: Option<String>,
    /// Name and role of each group; absent where they are among those of [`USUAL`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<(String, Role)>,
    /// Names of the classes; absent where they are their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    class_names: Vec<String>,
}

/// The groups of a file that names none, in the order of the numbers by which its gallery names them.
const USUAL: [Role; 3] = [Role::Clean, Role::Ambiguous, Role::Ood];

/// Those of [`USUAL`], as a file would name them.
fn usual() -> Vec<(String, Role)> {
    USUAL.map(|role| (role.name().to_owned(), role)).to_vec()
}

/// The contents of the file.
#[derive(Clone, Debug)]
pub struct StoredPredictions {
    header: Header,
    /// Of each model.
    pub predictions: Vec<ModelPredictions>,
    /// Of the clean group.
    pub labels: Vec<usize>,
    /// Images chosen for the page.
    pub gallery: Vec<GalleryImage>,
}

/// A tensor that was read: shape, bytes.
type Read = (Vec<usize>, Vec<u8>);

/// A tensor about to be written: name, type, shape, bytes.
type Raw = (String, Dtype, Vec<usize>, Vec<u8>);

impl StoredPredictions {
    /// Predictions of one evaluation.
    pub fn new(metrics: &Metrics, classes: usize, note: Option<String>) -> Self {
        let models = metrics.models.iter().map(|m| (m.name.clone(), m.samples)).collect();
        let header = Header {
            version: VERSION,
            dataset: metrics.dataset.clone(),
            seed: metrics.seed,
            classes,
            models,
            note,
            groups: Vec::new(),
            class_names: Vec::new(),
        };
        StoredPredictions { header, predictions: Vec::new(), labels: Vec::new(), gallery: Vec::new() }
    }

    /// The same, of classes with these names; names that are their numbers are left out.
    #[must_use]
    pub fn with_class_names(mut self, names: &[String]) -> Self {
        self.header.class_names = worth_naming(names);
        self
    }

    /// Names of the classes; none where they are their numbers.
    pub fn class_names(&self) -> &[String] {
        &self.header.class_names
    }

    /// A note on the data.
    pub fn note(&self) -> Option<&str> {
        self.header.note.as_deref()
    }

    /// Whether they were made by the evaluation of these metrics.
    pub fn belongs_to(&self, metrics: &Metrics) -> bool {
        let mut wanted = StoredPredictions::new(metrics, self.header.classes, self.header.note.clone()).header;
        wanted.version = self.header.version;
        wanted.groups.clone_from(&self.header.groups);
        wanted.class_names.clone_from(&self.header.class_names);
        wanted == self.header
    }

    /// The groups as the file numbers them: those of [`USUAL`], if all are among them, else those that are there.
    fn groups(&self) -> Vec<(String, Role)> {
        let all = self.predictions.first().map_or(&[][..], |m| &m.groups);
        let all: Vec<_> = all.iter().map(|g| (g.name.clone(), g.role)).collect();
        let usual = usual();
        if all.iter().all(|g| usual.contains(g)) { usual } else { all }
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors: Vec<Raw> = Vec::new();
        let groups = self.groups();
        let floats = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        for model in &self.predictions {
            for p in &model.groups {
                let n = p.total.len();
                let mut put = |what: &str, shape: Vec<usize>, values: &[f64]| {
                    let name = format!("{}/{}/{what}", model.name, p.name);
                    tensors.push((name, Dtype::F64, shape, floats(values)));
                };
                put("mean_probs", vec![n, p.classes], &p.mean_probs);
                put("total", vec![n], &p.total);
                put("aleatoric", vec![n], &p.aleatoric);
                let optional =
                    [("epistemic", &p.epistemic), ("energy", &p.energy), ("logit_disagreement", &p.logit_disagreement)];
                for (what, values) in optional {
                    values.iter().for_each(|values| put(what, vec![n], values));
                }
            }
        }
        let wide = |values: &[usize]| values.iter().flat_map(|&v| (v as u32).to_le_bytes()).collect::<Vec<u8>>();
        tensors.push(("labels".into(), Dtype::U32, vec![self.labels.len()], wide(&self.labels)));
        if let Some(GalleryImage { height, width, channels, .. }) = self.gallery.first() {
            let k = self.gallery.len();
            let number = |of: fn(&Chosen) -> usize| self.gallery.iter().map(|g| of(&g.chosen)).collect::<Vec<_>>();
            let pixels = self.gallery.iter().flat_map(|g| g.pixels.clone()).collect();
            tensors.push(("gallery/pixels".into(), Dtype::U8, vec![k, *height, *width, *channels], pixels));
            let first = self.predictions.first().map_or(&[][..], |m| &m.groups);
            let listed = |chosen: &Chosen| {
                let name = &first.get(chosen.group)?.name;
                groups.iter().position(|g| g.0 == *name)
            };
            let no_group = || Error::Encode { what: WHAT, source: "an image of the gallery is of no group".into() };
            let group =
                self.gallery.iter().map(|g| listed(&g.chosen)).collect::<Option<Vec<_>>>().ok_or_else(no_group)?;
            for (name, values) in [
                ("gallery/shelf", number(|c| c.shelf as usize)),
                ("gallery/group", group),
                ("gallery/input", number(|c| c.input)),
            ] {
                tensors.push((name.into(), Dtype::U32, vec![k], wide(&values)));
            }
        }
        let views = tensors.iter().map(|(name, kind, shape, bytes)| {
            TensorView::new(*kind, shape.clone(), bytes).map(|view| (name.as_str(), view))
        });
        let fail = |e: SafeTensorError| Error::Encode { what: WHAT, source: e.into() };
        let views = views.collect::<Result<Vec<_>, _>>().map_err(fail)?;
        let mut header = self.header.clone();
        header.groups = if groups == usual() { Vec::new() } else { groups };
        let header = serde_json::to_string(&header).map_err(Error::encode(WHAT))?;
        safetensors::serialize(views, Some(HashMap::from([(KEY.to_owned(), header)]))).map_err(fail)
    }

    /// Reads a file that an evaluation wrote.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Contents`] of a file that is damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = input::tensors(path)?;
        let damaged = |e| format!("holds no whole predictions ({e}); `qbnn eval` on the run writes them again");
        Self::parse(&bytes).map_err(|e| Error::contents(path, damaged(e)))
    }

    /// What the bytes hold, or what is wrong with them.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(text)?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or("its header is missing")?;
        let mut header: Header = serde_json::from_str(json).map_err(text)?;
        let named = if header.groups.is_empty() { usual() } else { std::mem::take(&mut header.groups) };
        let precision = match header.version {
            VERSION => Precision::Double,
            1 => Precision::Single,
            other => return Err(format!("version {other}, this program reads {VERSION} and older")),
        };
        let file = SafeTensors::deserialize(bytes).map_err(text)?;
        let get = |name: &str, kind: Dtype| -> Result<Option<Read>, String> {
            let Ok(view) = file.tensor(name) else { return Ok(None) };
            if view.dtype() != kind {
                return Err(format!("{name} is {:?}, wanted {kind:?}", view.dtype()));
            }
            Ok(Some((view.shape().to_vec(), view.data().to_vec())))
        };
        // `None` is any length.
        let fits = |name: &str, shape: &[usize], wanted: &[Option<usize>]| {
            let same = shape.len() == wanted.len() && shape.iter().zip(wanted).all(|(s, w)| w.is_none_or(|w| w == *s));
            let axes: Vec<_> = wanted.iter().map(|w| w.map_or("images".to_owned(), |w| w.to_string())).collect();
            if same { Ok(()) } else { Err(format!("{name} has shape {shape:?}, wanted [{}]", axes.join(", "))) }
        };
        let floats = |name: &str, wanted: &[Option<usize>]| -> Result<Option<Vec<f64>>, String> {
            let kind = if precision == Precision::Double { Dtype::F64 } else { Dtype::F32 };
            let Some((shape, bytes)) = get(name, kind)? else { return Ok(None) };
            fits(name, &shape, wanted)?;
            Ok(Some(match precision {
                Precision::Double => bytes.as_chunks().0.iter().map(|c| f64::from_le_bytes(*c)).collect(),
                Precision::Single => bytes.as_chunks().0.iter().map(|c| f32::from_le_bytes(*c).into()).collect(),
            }))
        };
        let numbers = |name: &str| -> Result<Vec<usize>, String> {
            let (shape, bytes) = get(name, Dtype::U32)?.ok_or_else(|| format!("{name} is missing"))?;
            fits(name, &shape, &[None])?;
            Ok(bytes.as_chunks().0.iter().map(|c| u32::from_le_bytes(*c) as usize).collect())
        };
        let mut predictions = Vec::new();
        for (name, _) in &header.models {
            let mut groups = Vec::new();
            for (group, role) in &named {
                let at = |what: &str| format!("{name}/{group}/{what}");
                let Some(mean_probs) = floats(&at("mean_probs"), &[None, Some(header.classes)])? else { continue };
                let must = |what: &str| floats(&at(what), &[None])?.ok_or_else(|| format!("{} is missing", at(what)));
                let (total, aleatoric) = (must("total")?, must("aleatoric")?);
                let [epistemic, energy, logit_disagreement] =
                    ["epistemic", "energy", "logit_disagreement"].map(|what| floats(&at(what), &[None]));
                let (epistemic, energy, logit_disagreement) = (epistemic?, energy?, logit_disagreement?);
                let read = GroupPredictions {
                    name: group.clone(),
                    role: *role,
                    classes: header.classes,
                    mean_probs,
                    total,
                    aleatoric,
                    epistemic,
                    energy,
                    logit_disagreement,
                    precision,
                };
                let optional = [&read.epistemic, &read.energy, &read.logit_disagreement];
                let optional = optional.into_iter().flatten().flatten();
                let all = read.mean_probs.iter().chain(&read.total).chain(&read.aleatoric).chain(optional);
                if !read.is_whole() || !all.into_iter().all(|v| v.is_finite()) {
                    return Err(format!("the arrays of {name}, {group} do not fit together"));
                }
                groups.push(read);
            }
            predictions.push(ModelPredictions { name: name.clone(), groups });
        }
        let labels = numbers("labels")?;
        let mut gallery = Vec::new();
        if let Some((shape, pixels)) = get("gallery/pixels", Dtype::U8)? {
            let &[k, height, width, channels] = &shape[..] else { return Err(format!("gallery/pixels has {shape:?}")) };
            let (shelves, groups, inputs) =
                (numbers("gallery/shelf")?, numbers("gallery/group")?, numbers("gallery/input")?);
            // Their product is that of the tensor's bytes, unless there are none at all.
            let size = pixels.len() / k.max(1);
            if k > pixels.len() {
                return Err(format!("gallery/pixels has {shape:?}"));
            }
            for i in 0..k {
                let place = |all: &[usize]| all.get(i).copied().ok_or("the gallery's arrays differ in length");
                let shelf = *Shelf::ALL.get(place(&shelves)?).ok_or("an unknown shelf")?;
                let (name, _) = named.get(place(&groups)?).ok_or("an unknown group")?;
                let all = predictions.first().map_or(&[][..], |m: &ModelPredictions| &m.groups);
                let group = all.iter().position(|g| g.name == *name).ok_or("a group without predictions")?;
                let chosen = Chosen { shelf, group, input: place(&inputs)? };
                let pixels = pixels.get(i * size..(i + 1) * size).unwrap_or_default().to_vec();
                gallery.push(GalleryImage { chosen, height, width, channels: channels.max(1), pixels });
            }
        }
        header.groups = if named == usual() { Vec::new() } else { named };
        Ok(StoredPredictions { header, predictions, labels, gallery })
    }
}

/// A decoder's error in words.
fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use qbnn_eval::{EvalOptions, Groups, Predictions, TestGroup, evaluate};

    #[test]
    fn what_was_written_is_read_back_and_damage_is_named() {
        let predictions = Predictions::new(2, 2, 2, vec![0.5, 0.5, 0.25, 0.75, 1.0, 0.0, 0.25, 0.75]).unwrap();
        let groups = Groups(vec![TestGroup::clean(predictions, vec![0, 1])]);
        let evaluation = evaluate(&groups, &EvalOptions { resamples: 0, seed: 0 }).unwrap();
        let metrics = Metrics::new("x", 1);
        let mut stored = StoredPredictions::new(&metrics, 2, Some("note".into()));
        stored.header.models = vec![("float".into(), 2)];
        stored.predictions = vec![ModelPredictions::of("float", &evaluation)];
        stored.labels = vec![0, 1];
        let chosen = Chosen { shelf: Shelf::Ood, group: 0, input: 1 };
        stored.gallery = vec![GalleryImage { chosen, height: 1, width: 2, channels: 1, pixels: vec![7, 9] }];
        let bytes = stored.to_bytes().unwrap();
        let read = StoredPredictions::parse(&bytes).unwrap();
        assert_eq!(
            (&read.predictions, &read.labels, &read.gallery),
            (&stored.predictions, &stored.labels, &stored.gallery)
        );
        assert!(!read.belongs_to(&metrics));
        // As many numbers in another shape are other numbers.
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let at = text(&bytes).find("\"shape\":[2,2]").unwrap() + "\"shape\":[".len();
        for other in [b"4,1", b"1,4"] {
            let mut turned = bytes.clone();
            turned[at..at + 3].copy_from_slice(other);
            let error = StoredPredictions::parse(&turned).unwrap_err();
            assert!(error.contains("mean_probs") && error.contains("wanted"), "{error}");
        }
        for damaged in [&bytes[..bytes.len() - 3], &bytes[..9], &[]] {
            assert!(StoredPredictions::parse(damaged).is_err());
        }
    }

    /// Groups of other names are in the header; a file of the usual ones is as it always was, though one is missing.
    #[test]
    fn groups_are_read_back_by_name_and_role() {
        let some = || Predictions::new(1, 1, 2, vec![0.25, 0.75]).unwrap();
        let usual = vec![TestGroup::clean(some(), vec![1]), TestGroup::ood(some())];
        let more = [usual.clone(), vec![TestGroup::ood(some()).named("near")]].concat();
        for (groups, gallery, listed) in [(usual, [0, 2], false), (more, [0, 1], true)] {
            let evaluation = evaluate(&Groups(groups), &EvalOptions { resamples: 0, seed: 0 }).unwrap();
            let mut stored = StoredPredictions::new(&Metrics::new("x", 1), 2, None);
            stored.header.models = vec![("float".into(), 1)];
            stored.predictions = vec![ModelPredictions::of("float", &evaluation)];
            stored.labels = vec![1];
            let image = |group| {
                let chosen = Chosen { shelf: Shelf::Certain, group, input: 0 };
                GalleryImage { chosen, height: 1, width: 1, channels: 1, pixels: vec![7] }
            };
            stored.gallery = vec![image(0), image(1)];
            let bytes = stored.to_bytes().unwrap();
            assert_eq!(String::from_utf8_lossy(&bytes).contains("near\\\",\\\"ood"), listed);
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let numbers: Vec<u8> = gallery.iter().flat_map(|n: &u32| n.to_le_bytes()).collect();
            assert_eq!(file.tensor("gallery/group").unwrap().data(), numbers);
            let read = StoredPredictions::parse(&bytes).unwrap();
            assert_eq!((&read.predictions, &read.gallery), (&stored.predictions, &stored.gallery));
            assert_eq!(read.to_bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn single_precision_of_version_1_is_read() {
        let header = r#"{"version":1,"dataset":"x","seed":1,"classes":2,"models":[["float",1]],"note":null}"#;
        let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let (probs, one, label) = (bytes(&[0.25, 0.75]), bytes(&[0.5]), 1u32.to_le_bytes());
        let view = |kind, shape: &[usize], bytes| TensorView::new(kind, shape.to_vec(), bytes).unwrap();
        let tensors = [
            ("float/clean/mean_probs", view(Dtype::F32, &[1, 2], &probs)),
            ("float/clean/total", view(Dtype::F32, &[1], &one)),
            ("float/clean/aleatoric", view(Dtype::F32, &[1], &one)),
            ("labels", view(Dtype::U32, &[1], &label)),
        ];
        let file = safetensors::serialize(tensors, Some(HashMap::from([(KEY.to_owned(), header.to_owned())]))).unwrap();
        let read = StoredPredictions::parse(&file).unwrap();
        let clean = read.predictions[0].first(Role::Clean).unwrap();
        assert_eq!((&clean.mean_probs[..], &clean.total[..]), (&[0.25, 0.75][..], &[0.5][..]));
        assert_eq!(clean.precision, Precision::Single);
    }
}
