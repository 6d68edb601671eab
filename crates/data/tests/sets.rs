//! Sets on disk and the datasets put together from them: small made-up copies always, the real files where they are.
#![allow(clippy::unwrap_used, missing_docs)]

use qbnn_data::idx::{Idx, Storage, Values};
use qbnn_data::shift::Shifted;
use qbnn_data::{
    Catalogue, DataError, Descriptor, Extent, Half, Limits, Locations, Origin, PixelStatistics, Role, TestGroup,
    TrainSet, list, load, load_divided, load_images, load_labelled,
};
use std::path::{Path, PathBuf};

/// Images at the end of the training half that validate.
const VALIDATION: usize = 5_000;

fn set(name: &str) -> &'static Descriptor {
    Catalogue::built_in().unwrap().set(name).unwrap().0
}

fn write(folder: &Path, name: &str, dims: &[usize], value: impl Fn(usize) -> u8) {
    std::fs::create_dir_all(folder).unwrap();
    let values = (0..dims.iter().product()).map(value).collect();
    let gzip = name.contains("labels");
    let (name, storage) = if gzip { (format!("{name}.gz"), Storage::Gzip) } else { (name.into(), Storage::Plain) };
    Idx::new(dims.to_vec(), Values::U8(values)).unwrap().write(&folder.join(name), storage).unwrap();
}

/// Images of 1 x 2 pixels; the first pixel is the image's number, so that mixing up places shows.
fn write_small(root: &Path, set: &str, train: usize, test: usize) {
    let folder = root.join(set);
    for (prefix, n) in [("train", train), ("t10k", test)] {
        write(
            &folder,
            &format!("{prefix}-images-idx3-ubyte"),
            &[n, 1, 2],
            |i| if i % 2 == 0 { (i / 2) as u8 } else { 0 },
        );
        write(&folder, &format!("{prefix}-labels-idx1-ubyte"), &[n], |i| (i % 10) as u8);
    }
}

fn write_ambiguous(root: &Path, train: usize, test: usize) {
    let folder = root.join("ambiguous-mnist");
    for (prefix, n) in [("train", train), ("t10k", test)] {
        write(
            &folder,
            &format!("{prefix}-images-idx3-ubyte"),
            &[n, 1, 2],
            |i| if i % 2 == 0 { (i / 2) as u8 } else { 9 },
        );
        write(&folder, &format!("{prefix}-labels-idx2-ubyte"), &[n, 10], |i| ((i / 10 + i % 10 % 2) % 10) as u8);
        let rows = (0..n * 10).map(|i| if (i % 10 + 10 - i / 10 % 10) % 10 < 2 { 0.5 } else { 0.0 }).collect();
        let idx = Idx::new(vec![n, 10], Values::F32(rows)).unwrap();
        idx.write(&folder.join(format!("{prefix}-probs-idx2-float")), Storage::Plain).unwrap();
    }
}

fn only(root: &Path) -> Locations {
    Locations::new(Some(root.into()), None, None)
}

fn small() -> (tempfile::TempDir, Locations) {
    let folder = tempfile::tempdir().unwrap();
    write_small(folder.path(), "mnist", VALIDATION + 30, 20);
    write_small(folder.path(), "fashion-mnist", VALIDATION + 10, 15);
    write_ambiguous(folder.path(), 6, 7);
    let locations = only(folder.path());
    (folder, locations)
}

#[test]
fn dirty_mnist_is_both_halves() {
    let (_folder, locations) = small();
    let d = load("dirty-mnist", &locations, 1, Limits::default()).unwrap();
    assert_eq!((d.train.images.len(), d.train.pairs.len(), d.validation.labels.len()), (36, 30 + 60, VALIDATION));
    assert_eq!(d.train.pairs[29], (29, 9));
    assert_eq!(d.train.pairs[30..33], [(30, 0), (30, 1), (30, 0)]);
    assert_eq!(d.train.pairs[89], (35, 6));
    assert_eq!(d.train.images.get(35), Some(&[5, 9][..]));
    assert_eq!(d.train.images.get(36), None);
    let soft = d.train.soft_labels.as_ref().unwrap();
    assert_eq!((soft.len(), soft[29 * 10 + 9], soft[31 * 10 + 1], soft[31 * 10 + 2]), (360, 1.0, 0.5, 0.5));
    assert!(soft.chunks(10).all(|row| row.iter().sum::<f32>() == 1.0));
    // The first validation image is number 30 of the training half.
    assert_eq!((d.validation.images.get(0).unwrap()[0], d.validation.labels[0]), (30, 0));
    let found: Vec<_> = d.groups.iter().map(|g| (g.name.as_str(), g.role, g.images.len())).collect();
    assert_eq!(found, [("clean", Role::Clean, 20), ("ambiguous", Role::Ambiguous, 7), ("ood", Role::Ood, 15)]);
    let left_out: Vec<_> = d.left_out.iter().map(ToString::to_string).collect();
    let kmnist = "the ood group kmnist is left out, its files are not there (`qbnn data fetch kmnist`)";
    let letters = "the ood group letters is left out, its files are not there (put \
                   emnist-letters-test-images-idx3-ubyte.gz of \
                   https://www.nist.gov/itl/products-and-services/emnist-dataset into a folder emnist-letters of those searched)";
    assert_eq!(left_out, [kmnist, letters]);
    let [_, ambiguous, ood] = &d.groups[..] else { panic!("{found:?}") };
    assert_eq!(ambiguous.soft_labels.as_ref().unwrap()[10..13], [0.0, 0.5, 0.5]);
    assert_eq!(ambiguous.labels.as_ref().unwrap(), &[0, 1, 2, 3, 4, 5, 6]);
    assert!(ood.labels.is_none() && d.note.as_ref().unwrap().contains("reconstruction"));
    assert_eq!((d.train_noise, d.pixels), (0.05, PixelStatistics { mean: 0.1307, std: 0.3081 }));
    let f = load("dirty-fashion", &locations, 1, Limits::default()).unwrap();
    assert!(
        f.first(Role::Ambiguous).is_none()
            && f.train.soft_labels.is_none()
            && f.note.is_none()
            && f.first(Role::Ood).unwrap().images.len() == 20
            && f.train.pairs.len() == 10
    );
    assert_eq!((f.train_noise, f.pixels), (0.05, PixelStatistics { mean: 0.2860, std: 0.3530 }));
    assert_eq!(f.class_names[9], "ankle boot");
    assert_eq!(load("mnist", &locations, 1, Limits::default()).unwrap().train_noise, 0.0);
}

#[test]
fn limits_keep_pairs_and_images_together() {
    let (_folder, locations) = small();
    let limits = Limits { train_limit: Some(25), group_limit: Some(3) };
    let whole = load("dirty-mnist", &locations, 5, Limits::default()).unwrap();
    let d = load("dirty-mnist", &locations, 5, limits).unwrap();
    assert_eq!(d, load("dirty-mnist", &locations, 5, limits).unwrap());
    assert_ne!(d.train, load("dirty-mnist", &locations, 6, limits).unwrap().train);
    let clean = d.first(Role::Clean).unwrap();
    assert_eq!(Some(clean), load("dirty-mnist", &locations, 6, limits).unwrap().first(Role::Clean));
    assert_eq!(d.train.pairs.len(), 25);
    let known: Vec<_> =
        whole.train.pairs.iter().map(|&(i, l)| (whole.train.images.get(i as usize).unwrap(), l)).collect();
    let soft = |set: &TrainSet, image: usize| set.soft_labels.as_ref().unwrap()[image * 10..][..10].to_vec();
    for (image, label) in &d.train.pairs {
        let image = *image as usize;
        let at = known.iter().position(|k| *k == (d.train.images.get(image).unwrap(), *label)).unwrap();
        assert_eq!(soft(&d.train, image), soft(&whole.train, whole.train.pairs[at].0 as usize));
    }
    assert_eq!(clean.labels.as_ref().unwrap(), &[0, 6, 3]);
    assert_eq!(clean.images.pixels, [0, 0, 6, 0, 13, 0]);
    let ambiguous = d.first(Role::Ambiguous).unwrap();
    assert_eq!((ambiguous.images.len(), ambiguous.soft_labels.as_ref().unwrap().len()), (3, 30));
    assert_eq!(d.first(Role::Ood).unwrap().images.len(), 3);
    let zero = Limits { train_limit: Some(0), group_limit: None };
    assert!(matches!(load("mnist", &locations, 1, zero), Err(DataError::Limit { .. })));
}

#[test]
fn what_is_missing_is_named_with_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    write_small(folder.path(), "mnist", 1, 1);
    std::fs::remove_file(folder.path().join("mnist/t10k-labels-idx1-ubyte.gz")).unwrap();
    let error = load("mnist", &only(folder.path()), 1, Limits::default()).unwrap_err().to_string();
    assert!(error.contains("missing t10k-labels-idx1-ubyte") && error.contains("`qbnn data fetch mnist`"), "{error}");
    assert!(error.contains(&folder.path().display().to_string()) && !error.contains('\n'), "{error}");
    write_small(folder.path(), "mnist", 1, 1);
    let error = load("mnist", &only(folder.path()), 1, Limits::default()).unwrap_err().to_string();
    assert!(error.contains("`qbnn data fetch fashion-mnist`"), "{error}");
    write_small(folder.path(), "fashion-mnist", 1, 1);
    assert!(matches!(load("mnist", &only(folder.path()), 1, Limits::default()), Err(DataError::TooFew { .. })));
    let nowhere = Locations::new(None, Some(PathBuf::new()), None);
    assert!(nowhere.find(set("mnist")).unwrap_err().to_string().contains("no folder was given"));
}

#[test]
fn faults_between_files_name_both() {
    let (folder, locations) = small();
    let mnist = folder.path().join("mnist");
    write(&mnist, "t10k-labels-idx1-ubyte", &[19], |_| 0);
    let error = load_labelled(set("mnist"), Half::Test, &locations).unwrap_err().to_string();
    assert!(error.contains("t10k-images-idx3-ubyte holds 20") && error.contains("t10k-labels-idx1-ubyte.gz holds 19"));
    write(&mnist, "t10k-labels-idx1-ubyte", &[20], |i| if i == 4 { 10 } else { 0 });
    let fault = load_labelled(set("mnist"), Half::Test, &locations);
    assert!(matches!(fault, Err(DataError::Label { index: 4, found: 10, .. })));
    let probs = folder.path().join("ambiguous-mnist/t10k-probs-idx2-float");
    let idx = Idx::new(vec![7, 10], Values::F32(vec![f32::NAN; 70])).unwrap();
    idx.write(&probs, Storage::Plain).unwrap();
    write(&mnist, "t10k-labels-idx1-ubyte", &[20], |_| 0);
    let fault = load("dirty-mnist", &locations, 1, Limits::default());
    assert!(matches!(fault, Err(DataError::Probabilities { row: 0, .. })));
    write(&mnist, "t10k-images-idx3-ubyte", &[20, 2, 2], |_| 0);
    assert!(matches!(load("mnist", &locations, 1, Limits::default()), Err(DataError::ImageSize { .. })));
}

#[test]
fn roots_are_searched_in_order_and_never_mixed() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_small(first.path(), "mnist", 3, 3);
    std::fs::remove_file(first.path().join("mnist/train-images-idx3-ubyte")).unwrap();
    write_small(second.path(), "mnist", 4, 4);
    let locations = Locations::new(Some(first.path().into()), None, Some(second.path().into()));
    assert_eq!(load_labelled(set("mnist"), Half::Test, &locations).unwrap().labels.len(), 4);
    assert_eq!(locations.download_root(), Some(first.path()));
    let reports = list(&locations).unwrap();
    let mnist = reports.iter().find(|r| r.set.name == "mnist").unwrap();
    assert_eq!(mnist.used().unwrap().origin, Origin::Cache);
    assert!(!mnist.places[0].is_complete() && mnist.places[0].files[0].path.is_none());
    assert!(mnist.places[0].files[1].bytes > 0 && mnist.places[1].bytes() > mnist.places[0].bytes());
    write_small(first.path(), "mnist", 3, 3);
    assert_eq!(load_labelled(set("mnist"), Half::Test, &locations).unwrap().labels.len(), 3);
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let error = load("dirty_mnist", &Locations::default(), 1, Limits::default()).unwrap_err().to_string();
    assert!(error.contains("did you mean `dirty-mnist`") && error.contains("fashion-mnist"), "{error}");
    let catalogue = Catalogue::built_in().unwrap();
    let error = catalogue.set("zzz").unwrap_err().to_string();
    assert!(!error.contains("did you mean") && error.contains("known are ambiguous-mnist"), "{error}");
    assert_eq!(catalogue.set("fashion-mnist").unwrap().0.title, "Fashion-MNIST");
    // What has no files cannot be fetched, what has no [dataset] cannot be trained on.
    assert!(catalogue.set("dirty-mnist").is_err() && catalogue.dataset("kmnist").is_err());
}

#[test]
fn real_files_have_their_published_sizes() {
    let locations = Locations::from_environment(None, None);
    let needed = ["mnist", "fashion-mnist", "ambiguous-mnist"];
    if needed.into_iter().any(|name| locations.find(set(name)).is_err()) {
        eprintln!("LEFT OUT: the real files (set QBNN_DATA to a folder with {})", needed.join(", "));
        return;
    }
    let d = load("dirty-mnist", &locations, 1, Limits::default()).unwrap();
    assert_eq!((d.train.images.len(), d.train.pairs.len()), (61_000, 115_000));
    let sizes: Vec<_> = d.groups.iter().map(|g| g.images.len()).collect();
    assert_eq!((d.validation.labels.len(), &sizes[..3]), (5_000, &[10_000, 6_000, 10_000][..]));
    assert_eq!(sizes.len() + d.left_out.len(), 5);
    assert_eq!(d.first(Role::Ambiguous).unwrap().soft_labels.as_ref().unwrap().len(), 60_000);
    assert_eq!(d.first(Role::Clean).unwrap().labels.as_ref().unwrap()[..5], [7, 2, 1, 0, 4]);
    let extent = Extent::of("dirty-mnist").unwrap();
    assert_eq!((extent.pairs, &extent.groups[..sizes.len()], extent.classes), (115_000, &sizes[..], d.classes()));
    let d = load("dirty-fashion", &locations, 1, Limits { train_limit: Some(1000), group_limit: None }).unwrap();
    assert_eq!((d.train.pairs.len(), d.first(Role::Ood).unwrap().images.len()), (1_000, 10_000));
}

/// KMNIST has test images alone: it is another OOD group for digits, and no dataset.
#[test]
fn a_set_of_test_images_is_a_group_of_another() {
    let (folder, locations) = small();
    let test = |name: &str, dims: &[usize]| write(&folder.path().join("kmnist"), name, dims, |i| (i % 10) as u8);
    test("t10k-images-idx3-ubyte", &[4, 1, 2]);
    test("t10k-labels-idx1-ubyte", &[4]);
    let near = load_images(set("kmnist"), Half::Test, &locations).unwrap();
    let mut d = load("mnist", &locations, 1, Limits::default()).unwrap();
    d.add_group(TestGroup::ood("kmnist", near.clone())).unwrap();
    assert_eq!(d.group("kmnist").unwrap().images, near);
    // Dirty-MNIST has it by itself where its files lie there, behind its other groups.
    let d = load("dirty-mnist", &locations, 1, Limits::default()).unwrap();
    assert_eq!((&d.groups[3].name[..], d.groups[3].role, &d.groups[3].images), ("kmnist", Role::Ood, &near));
    assert_eq!(d.left_out.iter().map(|l| &l.set[..]).collect::<Vec<_>>(), ["emnist-letters"]);
    // The first of a role stays what the headline metrics are about.
    assert_eq!(d.first(Role::Ood).unwrap().name, "ood");
    d.check().unwrap();
    let error = load_images(set("kmnist"), Half::Train, &locations).unwrap_err().to_string();
    assert!(error.contains("no file of train images"), "{error}");
}

/// EMNIST stores columns before rows. Its letters are a near group where their file lies there, with a word on what is not known.
#[test]
fn letters_are_turned_and_told_to_be_unverified() {
    let (folder, locations) = small();
    let letters = folder.path().join("emnist-letters");
    // Two images of 2 x 1: as they are stored, columns are rows.
    write(&letters, "emnist-letters-test-images-idx3-ubyte", &[2, 2, 1], |i| i as u8 + 1);
    let found = load_images(set("emnist-letters"), Half::Test, &locations).unwrap();
    assert_eq!((found.height, found.width, &found.pixels[..]), (1, 2, &[1, 2, 3, 4][..]));
    let d = load("dirty-mnist", &locations, 1, Limits::default()).unwrap();
    let group = d.groups.last().unwrap();
    assert_eq!((&group.name[..], group.role, &group.images), ("letters", Role::Ood, &found));
    let note = d.note.unwrap();
    assert!(note.contains("letters (EMNIST Letters): no checksum of its file is known"), "{note}");
    assert_eq!(d.left_out.iter().map(|l| &l.set[..]).collect::<Vec<_>>(), ["kmnist"]);
    // Of an image of more rows than columns, and in colour.
    write(&letters, "emnist-letters-test-images-idx3-ubyte", &[1, 2, 3, 3], |i| i as u8);
    let turned = load_images(set("emnist-letters"), Half::Test, &locations).unwrap();
    assert_eq!((turned.height, turned.width), (3, 2));
    assert_eq!(turned.pixels, [0, 1, 2, 9, 10, 11, 3, 4, 5, 12, 13, 14, 6, 7, 8, 15, 16, 17]);
    let error = load_labelled(set("emnist-letters"), Half::Test, &locations).unwrap_err().to_string();
    assert!(error.contains("no file of test labels"), "{error}");
}

/// Images for validation by a seed: none is lost, none is there twice, and pairs keep their labels.
#[test]
fn validation_images_can_be_drawn() {
    let (_folder, locations) = small();
    let of = |split| load_divided("mnist", &locations, 1, Limits::default(), split).unwrap();
    let (last, one, two) = (of(None), of(Some(1)), of(Some(2)));
    assert_eq!((&last, &one), (&load("mnist", &locations, 1, Limits::default()).unwrap(), &of(Some(1))));
    assert!(one.validation != two.validation && one.validation != last.validation);
    assert_eq!(one.groups, last.groups);
    let numbers = |d: &qbnn_data::Dataset| {
        let all = d.train.pairs.iter().map(|&(i, label)| (d.train.images.get(i as usize).unwrap()[0], label));
        let validation = d.validation.labels.iter().enumerate();
        let validation = validation.map(|(i, &label)| (d.validation.images.get(i).unwrap()[0], label));
        let mut all: Vec<_> = all.chain(validation).collect();
        all.sort_unstable();
        all
    };
    assert_eq!((one.train.pairs.len(), one.validation.labels.len()), (30, VALIDATION));
    assert_eq!(numbers(&one), numbers(&last));
    // Those that are left to train on come from everywhere, not from the beginning.
    assert!(one.train.pairs.iter().any(|&(i, _)| one.train.images.get(i as usize).unwrap()[0] >= 30));
    assert!(one.note.unwrap().contains("data.split = 1") && last.note.is_none());
    let error = load_divided("strokes", &locations, 1, Limits::default(), Some(1)).unwrap_err().to_string();
    assert!(error.contains("split") && error.contains("drawn"), "{error}");
}

#[test]
fn the_real_kmnist_is_near_ood() {
    let locations = Locations::from_environment(None, None);
    let Ok(images) = load_images(set("kmnist"), Half::Test, &locations) else {
        eprintln!("LEFT OUT: the real KMNIST (set QBNN_DATA to a folder with kmnist)");
        return;
    };
    assert_eq!((images.len(), images.height, images.width, images.channels), (10_000, 28, 28, 1));
}

#[test]
fn groups_that_do_not_fit_are_refused_by_name() {
    let (_folder, locations) = small();
    let mut d = load("mnist", &locations, 1, Limits::default()).unwrap();
    let (clean, ood) = (d.groups[0].clone(), d.groups[1].clone());
    let mut refuse = |group: TestGroup| d.add_group(group).unwrap_err().to_string();
    let said = refuse(ood.clone());
    assert!(said.starts_with("group ood is there already"), "{said}");
    let named = |name: &str| TestGroup { name: name.into(), ..ood.clone() };
    for name in ["", "a/b", "a b", "é", &"x".repeat(65)] {
        assert!(refuse(named(name)).contains("no usable name"), "{name}");
    }
    let turned = qbnn_data::Images { height: 2, width: 1, ..ood.images.clone() };
    assert!(refuse(TestGroup { images: turned, ..named("turned") }).contains("resize"));
    let empty = qbnn_data::Images { pixels: vec![], ..ood.images.clone() };
    assert!(refuse(TestGroup { images: empty, ..named("empty") }).contains("holds no image"));
    assert!(refuse(TestGroup { labels: None, role: Role::Shifted, ..named("bare") }).contains("needs a label"));
    let labels = Some(vec![10; clean.images.len()]);
    assert!(refuse(TestGroup { name: "far".into(), labels, ..clean.clone() }).contains("label 10, wanted 0 to 9"));
    let soft_labels = Some(vec![0.1; 3]);
    assert!(refuse(TestGroup { name: "soft".into(), soft_labels, ..clean.clone() }).contains("3 soft labels"));
    d.groups.retain(|g| g.role != Role::Clean);
    assert!(d.check().unwrap_err().to_string().contains("accuracy needs"));
}

/// A shifted group of fewer images is part of that of all of them.
#[test]
fn a_made_group_is_spaced_over_the_clean_one_and_each_image_changed_by_its_place() {
    let (_folder, locations) = small();
    let d = load("mnist", &locations, 1, Limits::default()).unwrap();
    let clean = d.first(Role::Clean).unwrap();
    let shift: Shifted = "noise@3".parse().unwrap();
    let whole = TestGroup::made(shift.group(), shift, clean, usize::MAX);
    assert_eq!((whole.name.as_str(), whole.role, whole.shift), ("noise-3", Role::Shifted, Some(shift)));
    assert_eq!((&whole.labels, &whole.images), (&clean.labels, &shift.of(&clean.images)));
    let few = TestGroup::made("few", shift, clean, 3);
    assert_eq!(few.labels.as_deref(), Some(&[0, 6, 3][..]));
    assert_eq!(few.images, whole.images.select(&[0, 6, 13]));
}

/// Any number of classes that 16 bits can tell apart, in colour: nothing is of MNIST here.
#[test]
fn a_dataset_of_many_classes_and_three_channels_is_whole() {
    let images = |n: usize| qbnn_data::Images { height: 2, width: 3, channels: 3, pixels: vec![7; n * 18] };
    let labelled = |n: usize| qbnn_data::Labelled { images: images(n), labels: (0..n as u16).collect() };
    let mut d = qbnn_data::Dataset {
        name: "own".into(),
        class_names: (0..1000).map(|i| format!("class {i}")).collect(),
        train: TrainSet::of(labelled(1000)),
        validation: labelled(20),
        groups: vec![TestGroup::clean("clean", labelled(300)), TestGroup::shifted("dark", labelled(300))],
        train_noise: 0.0,
        pixels: PixelStatistics { mean: 0.5, std: 0.25 },
        note: None,
        left_out: Vec::new(),
    };
    d.check().unwrap();
    assert_eq!((d.classes(), d.train.pairs[999], d.shape().to_string()), (1000, (999, 999), "3x2x3".into()));
    d.class_names.push("one too many".into());
    assert!(d.check().unwrap_err().to_string().contains("classes is 1001, wanted 2 to 1000"));
}

const SET: &str = r#"
name = "tiny"
title = "Tiny"
about = "for a test"
[set]
shape = [1, 2, 1]
classes = ["a", "b"]
pixels = { mean = 0.5, std = 0.5 }
train = 3
test = 2
mirrors = ["https://example.org/"]
[[set.file]]
name = "i"
half = "train"
holds = "images"
[[set.file]]
name = "l"
half = "train"
holds = "labels"
[[set.file]]
name = "t"
half = "test"
holds = "images"
"#;

#[test]
fn descriptors_are_checked_against_each_other() {
    let whole = Catalogue::parse(&[("tiny.toml", SET)]).unwrap();
    assert_eq!(whole.sets().count() + whole.datasets().count(), 1);
    let refuse = |texts: &[(&str, &str)]| Catalogue::parse(texts).unwrap_err().to_string();
    let error = refuse(&[("tiny.toml", SET), ("again.toml", SET)]);
    assert!(error.starts_with("again.toml: another set is called tiny"), "{error}");
    let error = refuse(&[("x.toml", &SET.replace("classes =", "clases ="))]);
    assert!(error.starts_with("x.toml: ") && error.contains("clases") && !error.contains('\n'), "{error}");
    assert!(refuse(&[("x.toml", &SET.replace(", \"b\"", ""))]).contains("classes has 1 names, wanted 2 to 1000"));
    let with = |rest: &str| format!("{SET}[dataset]\ngroups = \"\"\n{rest}");
    let (train, one) = ("train = [\"tiny\"]\nvalidation = 1\n", "[[dataset.test]]\nrole = \"clean\"\nset = \"tiny\"\n");
    for (rest, said) in [
        (String::new(), "dataset.train names no set"),
        (format!("train = [\"tinny\"]\nvalidation = 1\n{one}"), "no set with files is called tinny"),
        (format!("train = [\"tiny\"]\n{one}"), "validation of at least 1"),
        (format!("train = [\"tiny\", \"tiny\"]\nvalidation = 1\n{one}"), "tiny has no file of train drawnlabels"),
        (format!("{train}{one}"), "tiny has no file of test labels"),
        (format!("{train}{}", one.replace("clean", "ood").repeat(2)), "two test groups are called ood"),
        (format!("{train}{}", one.replace("clean", "ood")), "no group with role"),
        (format!("{train}{}optional = true\n", one.replace("clean", "ood")), "put one before it that is always there"),
    ] {
        let error = refuse(&[("x.toml", &with(&rest))]);
        assert!(error.contains(said), "{error}");
    }
}

/// Every descriptor of this program is whole, and says where it comes from.
#[test]
fn built_in_descriptors_are_whole() {
    let catalogue = Catalogue::built_in().unwrap();
    for name in ["dirty-fashion", "dirty-mnist", "fashion-mnist", "mnist", "strokes"] {
        assert!(catalogue.dataset(name).is_ok(), "{name}");
    }
    for (set, files) in catalogue.sets() {
        assert!(set.source.is_some() && !files.files.is_empty(), "{set}");
        let sums = files.files.iter().filter_map(|f| f.sha256.as_ref());
        assert!(sums.clone().all(|s| s.len() == 64), "{set}");
        let whole = files.tensors.is_some() || sums.clone().count() == files.files.len();
        assert!(whole != files.unverified.is_some(), "{set}: checksums, or a word on why there are none");
    }
    for (name, pairs, groups) in [
        ("dirty-mnist", 115_000, vec![10_000, 6_000, 10_000, 10_000, 20_800]),
        ("mnist", 55_000, vec![10_000, 10_000]),
        ("strokes", 20_000, vec![2_000, 1_000, 2_000]),
    ] {
        let extent = Extent::of(name).unwrap();
        assert_eq!((extent.pairs, extent.groups, extent.shape), (pairs, groups, [28, 28, 1]), "{name}");
    }
    assert_eq!(Extent::of("kmnist"), None);
}
