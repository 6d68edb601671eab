//! From settings to what they name: data, network.

use crate::config::{Config, DataConfig, EvalConfig, SHIFT_IMAGES, shifted};
use crate::error::{Error, Result};
use crate::preprocess::Prepared;
use crate::wording::thousands;
use etcetera::BaseStrategy;
use qbnn_bnn::internals::nn::limit;
use qbnn_bnn::{Network, NetworkSpec};
use qbnn_data::shift::Shift;
use qbnn_data::{Catalogue, Dataset, Limits, Locations, PixelStatistics, Role, TestGroup, own};
use std::path::PathBuf;

/// Where data is searched: the named folder, `$QBNN_DATA`, the user's cache.
pub fn locations(named: Option<PathBuf>) -> Locations {
    let cache = etcetera::choose_base_strategy().ok().map(|s| s.cache_dir().join("qbnn"));
    Locations::from_environment(named, cache)
}

/// The built-in datasets by name, as help texts list them.
pub fn datasets() -> String {
    let all = Catalogue::built_in().map(|all| all.datasets().map(|d| d.0.name.as_str()).collect::<Vec<_>>().join(", "));
    all.unwrap_or_else(|e| e.to_string())
}

/// Loads the data of an experiment: a built-in dataset or what lies at a path, and its further test groups.
///
/// # Errors
/// [`crate::Error::Data`]: those of [`qbnn_data::load`], [`own::open`] and [`own::group`], among them a group without
/// images, or with images of another size.
pub fn load(config: &Config) -> Result<Dataset> {
    let mut dataset = open(config)?;
    if let (Some(mean), Some(std)) = (config.data.mean, config.data.std) {
        dataset.pixels = PixelStatistics { mean, std };
    }
    Ok(dataset)
}

/// The data with its own statistics of pixels.
fn open(config: &Config) -> Result<Dataset> {
    let settings = &config.data;
    let limits = Limits { train_limit: settings.train_limit, group_limit: settings.group_limit };
    let locations = locations(settings.dir.clone());
    let Some(path) = &settings.path else {
        let mut dataset = qbnn_data::load_divided(&settings.name, &locations, config.seed, limits, settings.split)?;
        if !settings.test.is_empty() {
            leave_to(&mut dataset, settings);
            add_groups(&mut dataset, settings, &locations)?;
            dataset.limit(limits, config.seed)?;
        }
        let left_out = dataset.left_out.iter().map(ToString::to_string);
        let notes: Vec<String> = dataset.note.take().into_iter().chain(left_out).collect();
        dataset.note = Some(notes.join("; ")).filter(|note| !note.is_empty());
        add_shifted(&mut dataset, config.eval)?;
        return Ok(dataset);
    };
    let own = own::open(path, &settings.name, &settings.options())?;
    let split = settings.split.unwrap_or(1);
    let divided = [("validation", own.validation.is_none()), ("test", own.test.is_none())];
    let divided: Vec<_> = divided.into_iter().filter(|part| part.1).map(|part| part.0).collect();
    let divided = Some(divided.join(" and ")).filter(|parts| !parts.is_empty()).map(|parts| {
        format!(
            "{parts} images are one in ten of each class, taken away from those of the training (data.split = {split})"
        )
    });
    let mut dataset = own.dataset(split)?;
    add_groups(&mut dataset, settings, &locations)?;
    let scaled = settings.resize.map(|[rows, columns]| format!("images are scaled to {rows} x {columns}"));
    let leaked = Some(own::leaked(&dataset)).filter(|&n| n > 0).map(|n| {
        let noun = if n == 1 { "test image is" } else { "test images are" };
        format!("{} {noun} trained on too, byte for byte", thousands(n as u64))
    });
    let notes: Vec<String> = scaled.into_iter().chain(divided).chain(leaked).collect();
    dataset.note = Some(notes.join("; ")).filter(|note| !note.is_empty());
    dataset.limit(limits, config.seed)?;
    add_shifted(&mut dataset, config.eval)?;
    Ok(dataset)
}

/// Leaves optional groups of a built-in dataset to groups of the settings that have their name or are of their set.
fn leave_to(dataset: &mut Dataset, settings: &DataConfig) {
    let taken = |name: &str, set: &str| {
        settings.test.iter().any(|t| t.name == name || (t.is_built_in() && t.path.as_os_str() == set))
    };
    let Ok(catalogue) = Catalogue::built_in() else { return };
    let Ok((_, composition)) = catalogue.dataset(&settings.name) else { return };
    for test in composition.test.iter().filter(|test| test.optional && taken(test.name(), &test.set)) {
        dataset.groups.retain(|group| group.name != test.name());
        dataset.left_out.retain(|group| group.name != test.name());
    }
}

/// Adds the shifted groups that the settings ask for, after all others.
fn add_shifted(dataset: &mut Dataset, settings: EvalConfig) -> Result<()> {
    let Some(clean) = dataset.first(Role::Clean).filter(|_| !settings.shifts.is_empty()) else { return Ok(()) };
    let images = settings.shift_images.unwrap_or(SHIFT_IMAGES);
    let made = shifted(settings.shifts, settings.severities);
    let made: Vec<_> = made.map(|shift| TestGroup::made(shift.group(), shift, clean, images)).collect();
    made.into_iter().try_for_each(|group| Ok(dataset.add_group(group)?))
}

/// Adds the test groups that the settings name.
fn add_groups(dataset: &mut Dataset, settings: &DataConfig, locations: &Locations) -> Result<()> {
    if settings.path.is_none()
        && let Some(size) = settings.resize
        && size != [dataset.shape().rows, dataset.shape().columns]
    {
        let wanted =
            format!("{} has {} images; groups are scaled to these, or not at all", dataset.name, dataset.shape());
        return Err(Error::Setting { key: "data.resize", found: format!("{size:?}"), wanted });
    }
    for test in &settings.test {
        if !test.is_built_in() && !test.path.exists() {
            let mut wanted = "it is neither a path that exists nor a set; `qbnn data list` shows all sets".to_owned();
            if test.role == Role::Shifted {
                let names = Shift::ALL.map(Shift::name).join(", ");
                wanted.push_str(&format!("; changes of the clean images are SHIFT@1 to SHIFT@5, with {names}"));
            }
            return Err(Error::Setting { key: "data.test", found: test.to_string(), wanted });
        }
        if let (Some(shift), Some(clean)) = (test.shift(), dataset.first(Role::Clean)) {
            dataset.add_group(TestGroup::made(&test.name, shift, clean, usize::MAX))?;
            continue;
        }
        let group = own::group(&test.path, &test.name, test.role, dataset, &settings.options(), locations)?;
        dataset.add_group(group)?;
    }
    Ok(())
}

/// Builds the network of an experiment for its data; an error comes before any folder is made.
///
/// # Errors
/// [`crate::Error::UnknownName`]; [`crate::Error::Bnn`] of a network that does not fit the data, or takes more memory than any may.
pub fn network(config: &Config, data: &Prepared<'_>) -> Result<(NetworkSpec, Network)> {
    let spec = config.network.spec(data.dataset.classes())?;
    let net = Network::new(&spec, data.shape(), data.dataset.classes())?;
    limit::training(&net, config.train.batch)?;
    Ok((spec, net))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn loaded(sets: &[&str]) -> Dataset {
        let mut layers = Layers::default();
        ["data.train_limit=50", "data.group_limit=40"].iter().chain(sets).for_each(|s| layers.set(s).unwrap());
        load(&layers.finish().unwrap()).unwrap()
    }

    #[test]
    fn shifted_groups_stand_behind_all_others_and_only_where_they_are_asked_for() {
        let names = |d: &Dataset| d.groups.iter().map(|g| g.name.clone()).collect::<Vec<_>>();
        let plain = loaded(&[]);
        assert!(plain.groups.iter().all(|g| g.shift.is_none()));
        let all = loaded(&["eval.shifts=all", "eval.shift_images=7"]);
        assert_eq!(all.groups[..plain.groups.len()], plain.groups[..]);
        let made = &all.groups[plain.groups.len()..];
        assert_eq!(made.len(), 35);
        assert!(made.iter().all(|g| g.images.len() == 7 && g.labels.as_ref().is_some_and(|l| l.len() == 7)));
        let some = loaded(&["eval.shifts=noise,blur", "eval.severities=[3]", "data.test=[\"shifted:own=rotation@2\"]"]);
        assert_eq!(names(&some)[plain.groups.len()..], ["own", "noise-3", "blur-3"]);
        // Of no more images than there are.
        assert_eq!(some.group("blur-3").unwrap().images.len(), 40);
        assert_eq!(some.group("own").unwrap().shift.unwrap().to_string(), "rotation@2");
    }

    #[test]
    fn what_cannot_be_made_is_refused_before() {
        let refuse = |set: &str| {
            let mut layers = Layers::default();
            layers.set(set).and_then(|()| layers.finish().map(drop)).unwrap_err().one_line()
        };
        assert!(refuse("eval.shifts=turn").contains("`turn` is no shift"), "{}", refuse("eval.shifts=turn"));
        assert!(refuse("eval.severities=[6]").contains("6 is no severity"));
        assert!(refuse("eval.shift_images=0").contains("eval.shift_images"));
    }
}
