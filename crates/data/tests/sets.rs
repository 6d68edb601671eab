//! Sets on disk and the datasets put together from them: small made-up copies always, the real files where they are.
#![allow(clippy::unwrap_used, missing_docs)]

use qbnn_data::idx::{Idx, Storage, Values};
use qbnn_data::{DataError, Half, Limits, Locations, Origin, Set, TrainSet, VALIDATION, list, load, load_labelled};
use std::path::{Path, PathBuf};

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
    let ambiguous = d.ambiguous.unwrap();
    assert_eq!((ambiguous.images.len(), d.clean.images.len(), d.ood.images.len()), (7, 20, 15));
    assert_eq!(ambiguous.soft_labels.unwrap()[10..13], [0.0, 0.5, 0.5]);
    assert_eq!(ambiguous.labels.unwrap(), [0, 1, 2, 3, 4, 5, 6]);
    assert!(d.ood.labels.is_none() && d.note.unwrap().contains("reconstruction"));
    assert_eq!((d.train_noise, d.pixel_mean, d.pixel_std), (0.05, 0.1307, 0.3081));
    let f = load("dirty-fashion", &locations, 1, Limits::default()).unwrap();
    assert!(
        f.ambiguous.is_none()
            && f.train.soft_labels.is_none()
            && f.note.is_none()
            && f.ood.images.len() == 20
            && f.train.pairs.len() == 10
    );
    assert_eq!((f.train_noise, f.pixel_mean, f.pixel_std), (0.05, 0.2860, 0.3530));
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
    assert_eq!(d.clean, load("dirty-mnist", &locations, 6, limits).unwrap().clean);
    assert_eq!(d.train.pairs.len(), 25);
    let known: Vec<_> =
        whole.train.pairs.iter().map(|&(i, l)| (whole.train.images.get(i as usize).unwrap(), l)).collect();
    let soft = |set: &TrainSet, image: usize| set.soft_labels.as_ref().unwrap()[image * 10..][..10].to_vec();
    for (image, label) in &d.train.pairs {
        let image = *image as usize;
        let at = known.iter().position(|k| *k == (d.train.images.get(image).unwrap(), *label)).unwrap();
        assert_eq!(soft(&d.train, image), soft(&whole.train, whole.train.pairs[at].0 as usize));
    }
    assert_eq!(d.clean.labels, [0, 6, 3]);
    assert_eq!(d.clean.images.pixels, [0, 0, 6, 0, 13, 0]);
    let ambiguous = d.ambiguous.unwrap();
    assert_eq!((ambiguous.images.len(), ambiguous.soft_labels.unwrap().len(), d.ood.images.len()), (3, 30, 3));
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
    assert!(nowhere.find(Set::Mnist).unwrap_err().to_string().contains("no folder was given"));
}

#[test]
fn faults_between_files_name_both() {
    let (folder, locations) = small();
    let mnist = folder.path().join("mnist");
    write(&mnist, "t10k-labels-idx1-ubyte", &[19], |_| 0);
    let error = load_labelled(Set::Mnist, Half::Test, &locations).unwrap_err().to_string();
    assert!(error.contains("t10k-images-idx3-ubyte holds 20") && error.contains("t10k-labels-idx1-ubyte.gz holds 19"));
    write(&mnist, "t10k-labels-idx1-ubyte", &[20], |i| if i == 4 { 10 } else { 0 });
    let fault = load_labelled(Set::Mnist, Half::Test, &locations);
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
    assert_eq!(load_labelled(Set::Mnist, Half::Test, &locations).unwrap().labels.len(), 4);
    assert_eq!(locations.download_root(), Some(first.path()));
    let reports = list(&locations);
    let mnist = reports.iter().find(|r| r.set == Set::Mnist).unwrap();
    assert_eq!(mnist.used().unwrap().origin, Origin::Cache);
    assert!(!mnist.places[0].is_complete() && mnist.places[0].files[0].path.is_none());
    assert!(mnist.places[0].files[1].bytes > 0 && mnist.places[1].bytes() > mnist.places[0].bytes());
    write_small(first.path(), "mnist", 3, 3);
    assert_eq!(load_labelled(Set::Mnist, Half::Test, &locations).unwrap().labels.len(), 3);
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let error = load("dirty_mnist", &Locations::default(), 1, Limits::default()).unwrap_err().to_string();
    assert!(error.contains("did you mean `dirty-mnist`") && error.contains("fashion-mnist"), "{error}");
    let error = Set::from_name("cifar").unwrap_err().to_string();
    assert!(!error.contains("did you mean") && error.contains("known are mnist"), "{error}");
    assert_eq!(Set::from_name("fashion-mnist").unwrap(), Set::FashionMnist);
}

#[test]
fn real_files_have_their_published_sizes() {
    let locations = Locations::from_environment(None, None);
    if list(&locations).iter().any(|r| r.used().is_none()) {
        eprintln!("LEFT OUT: the real files (set QBNN_DATA to a folder with mnist, fashion-mnist and ambiguous-mnist)");
        return;
    }
    let d = load("dirty-mnist", &locations, 1, Limits::default()).unwrap();
    assert_eq!((d.train.images.len(), d.train.pairs.len()), (61_000, 115_000));
    assert_eq!((d.validation.labels.len(), d.clean.labels.len(), d.ood.images.len()), (5_000, 10_000, 10_000));
    assert_eq!(d.ambiguous.unwrap().soft_labels.unwrap().len(), 60_000);
    assert_eq!(&d.clean.labels[..5], &[7, 2, 1, 0, 4]);
    let d = load("dirty-fashion", &locations, 1, Limits { train_limit: Some(1000), group_limit: None }).unwrap();
    assert_eq!((d.train.pairs.len(), d.ood.images.len()), (1_000, 10_000));
}
