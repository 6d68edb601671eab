//! A user's own data: what is read from folders, and what is refused.
#![allow(clippy::unwrap_used, missing_docs)]

use qbnn_data::idx::{Idx, Storage, Values};
use qbnn_data::own::{Size, cifar, csv, leaked, pair, pictures};
use qbnn_data::{DataError, Images};
use std::path::Path;

/// `count` grey pictures of a brightness of their own each, in `folder`.
fn write(folder: &Path, count: usize, (height, width): (usize, usize), first: u8) {
    std::fs::create_dir_all(folder).unwrap();
    for i in 0..count {
        let pixels = (0..height * width).map(|p| first.wrapping_add((i * 7 + p) as u8)).collect();
        let image = Images { height, width, channels: 1, pixels };
        image.write_png(0, &folder.join(format!("{i:03}.png"))).unwrap();
    }
}

#[test]
fn a_folder_of_pictures_per_class_is_a_dataset() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("cat"), 20, (5, 4), 0);
    write(&folder.path().join("dog"), 30, (5, 4), 100);
    std::fs::write(folder.path().join("cat/notes.txt"), "no picture").unwrap();
    let own = pictures(folder.path(), "pets", Size::default()).unwrap();
    assert_eq!((own.train.labels.len(), own.validation.is_none(), own.test.is_none()), (50, true, true));
    let d = own.clone().dataset(1).unwrap();
    assert_eq!(
        (d.name.as_str(), d.class_names.join(" "), d.shape().to_string()),
        ("pets", "cat dog".into(), "1x5x4".into())
    );
    // One in ten of each class, twice: 2 + 3, then of the rest 1 + 2.
    let parts = [d.train.pairs.len(), d.validation.labels.len(), d.groups[0].images.len()];
    assert_eq!(parts, [50 - 5 - 3, 5, 3]);
    assert_eq!(d.validation.labels, [0, 0, 1, 1, 1]);
    // The same seed divides alike, another one otherwise, and nothing is in two parts.
    assert_eq!(d, own.clone().dataset(1).unwrap());
    assert_ne!(d.validation, own.dataset(2).unwrap().validation);
    assert_eq!(leaked(&d), 0);
    // Of all values: (x / 255 - mean) / std has mean 0 and deviation 1.
    let values: Vec<f64> = d
        .train
        .images
        .pixels
        .iter()
        .map(|&p| (f64::from(p) / 255.0 - f64::from(d.pixels.mean)) / f64::from(d.pixels.std))
        .collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
    assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
}

#[test]
fn parts_that_are_there_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for (part, count) in [("train", 9), ("val", 2), ("test", 3)] {
        for (class, first) in [("a", 0), ("b", 50), ("c", 99)] {
            write(&folder.path().join(part).join(class), count, (4, 4), first);
        }
    }
    let colour = Size { side: Some((8, 6)), colour: Some(true) };
    let d = pictures(folder.path(), "three", colour).unwrap().dataset(1).unwrap();
    assert_eq!((d.shape().channels, d.shape().rows, d.shape().columns), (3, 8, 6));
    assert_eq!([d.train.pairs.len(), d.validation.labels.len(), d.groups[0].images.len()], [27, 6, 9]);
    // The test pictures are the first of the training ones, byte for byte.
    assert_eq!(leaked(&d), 9);
}

#[test]
fn what_is_no_data_is_refused_with_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let said = |size: Size| pictures(folder.path(), "own", size).and_then(|own| own.dataset(1)).unwrap_err();
    write(&at("a"), 4, (3, 3), 0);
    assert!(matches!(said(Size::default()), DataError::Classes { found: 1, .. }));
    write(&at("b"), 4, (3, 5), 0);
    let error = said(Size::default()).to_string();
    assert!(
        error.contains("is 3 x 3 pixels") && error.contains("is 3 x 5") && error.contains("give data.resize"),
        "{error}"
    );
    let resized = Size { side: Some((3, 3)), colour: Some(false) };
    assert!(pictures(folder.path(), "own", resized).unwrap().dataset(1).is_ok());
    std::fs::create_dir(at("c")).unwrap();
    assert!(matches!(said(resized), DataError::NoImages { files: 0, .. }));
    write(&at("c"), 1, (3, 3), 0);
    assert!(matches!(said(resized), DataError::Class { ref name, found: 1, .. } if name == "c"));
    // A class that only the test folder has.
    for (part, class) in [("train", "a"), ("train", "b"), ("test", "a"), ("test", "z")] {
        write(&at(part).join(class), 3, (3, 3), 0);
    }
    let error = said(resized).to_string();
    assert!(error.starts_with("group test has a folder z"), "{error}");
}

#[test]
fn idx_files_of_any_shape_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, dims: Vec<usize>, modulus: usize| {
        let values = (0..dims.iter().product()).map(|i| (i % modulus) as u8).collect();
        Idx::new(dims, Values::U8(values)).unwrap().write(&folder.path().join(name), Storage::Gzip).unwrap();
    };
    let error = pair(folder.path(), "own").unwrap_err().to_string();
    assert!(error.contains("no train-images and train-labels"), "{error}");
    write("train-images-idx4-ubyte.gz", vec![40, 6, 5, 3], 251);
    write("train-labels.gz", vec![40], 4);
    write("test-images.gz", vec![8, 6, 5, 3], 241);
    write("test-labels.gz", vec![8], 4);
    let d = pair(folder.path(), "own").unwrap().dataset(3).unwrap();
    assert_eq!((d.classes(), d.shape().channels, d.groups[0].images.len()), (4, 3, 8));
    assert_eq!(d.train.pairs.len() + d.validation.labels.len(), 40);
    write("test-labels.gz", vec![7], 4);
    assert!(matches!(pair(folder.path(), "own"), Err(DataError::Disagree { .. })));
    write("test-labels.gz", vec![8], 1);
    write("test-images.gz", vec![8, 5, 6, 3], 251);
    let error = pair(folder.path(), "own").unwrap().dataset(3).unwrap_err().to_string();
    assert!(error.starts_with("group clean has ") && error.contains("resize"), "{error}");
}

#[test]
fn lines_of_csv_are_images() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.csv");
    let read = |text: &str, shape| {
        std::fs::write(&path, text).unwrap();
        csv(&path, "own", shape)
    };
    let own = read("label,a,b,c,d\n10,0,1,2,3\n9,255,0,0,7\r\n\n10,4,5,6,7\n", None).unwrap();
    // As numbers, not as text.
    assert_eq!((own.class_names.join(" "), own.train.labels), ("9 10".into(), vec![1, 0, 1]));
    assert_eq!(
        own.train.images,
        Images { height: 2, width: 2, channels: 1, pixels: vec![0, 1, 2, 3, 255, 0, 0, 7, 4, 5, 6, 7] }
    );
    let own = read("\"cat\",1,2,3\nant,4,5,6", Some([1, 1, 3])).unwrap();
    assert_eq!(
        (own.class_names.join(" "), own.train.images.channels, own.train.labels),
        ("ant cat".into(), 3, vec![1, 0])
    );
    for (text, shape, said) in [
        ("a,1,2,3,4\nb,1,2\n", None, "line 2: has 2 values, wanted 4"),
        ("a,1,2,3,4\nb,1,2,3,256\n", None, "line 2: holds \"256\""),
        ("a,1,2,3\nb,1,2,3\n", None, "3 values, which are no 1 x 1 x 1 image"),
        ("a,1,2,3,4\nb,1,2,3,4\n", Some([usize::MAX, 2, 1]), "give its shape"),
        ("a,1\n", None, "1 labels, wanted 2 to 1000"),
        ("", None, "holds no image"),
        ("a\nb\n", None, "has 0 values"),
    ] {
        let error = read(text, shape).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn records_of_cifar_are_read_channels_last() {
    let folder = tempfile::tempdir().unwrap();
    let error = cifar(folder.path(), "own").unwrap_err().to_string();
    assert!(error.contains("neither data_batch_1.bin nor train.bin"), "{error}");
    let record = |head: &[u8], first: u8| {
        let pixels = (0..3072).map(|i| if i % 1024 == 0 { first + (i / 1024) as u8 } else { 9 });
        head.iter().copied().chain(pixels).collect::<Vec<u8>>()
    };
    let write = |name: &str, records: &[Vec<u8>]| std::fs::write(folder.path().join(name), records.concat()).unwrap();
    std::fs::write(folder.path().join("batches.meta.txt"), "plane\ncar\n\n").unwrap();
    write("data_batch_1.bin", &[record(&[1], 10), record(&[0], 20)]);
    write("data_batch_2.bin", &[record(&[1], 30)]);
    write("test_batch.bin", &[record(&[0], 40)]);
    let own = cifar(folder.path(), "own").unwrap();
    assert_eq!((own.class_names.join(" "), &own.train.labels[..]), ("plane car".into(), &[1, 0, 1][..]));
    assert_eq!(own.train.images.get(1).unwrap()[..4], [20, 21, 22, 9]);
    assert_eq!(own.test.unwrap().labels, [0]);
    write("test_batch.bin", &[record(&[2], 40)]);
    assert!(matches!(cifar(folder.path(), "own"), Err(DataError::Label { found: 2, classes: 2, .. })));
    write("test_batch.bin", &[vec![0; 100]]);
    assert!(matches!(cifar(folder.path(), "own"), Err(DataError::Truncated { found: 100, wanted: 3073, .. })));
    // Of CIFAR-100 the second label.
    std::fs::write(folder.path().join("fine_label_names.txt"), "a\nb\nc\n").unwrap();
    write("train.bin", &[record(&[0, 2], 1)]);
    assert_eq!(cifar(folder.path(), "own").unwrap().train.labels, [2]);
}

#[test]
fn a_set_that_the_program_draws_gives_the_test_group_of_a_role() {
    use qbnn_data::own::{Options, group, is_drawn};
    use qbnn_data::{Locations, Role, strokes};
    let few = strokes::Sizes { train_clean: 20, train_ambiguous: 1, validation: 2, clean: 2, ambiguous: 1, ood: 1 };
    let (mut data, path) = (strokes::dataset(7, &few).unwrap(), Path::new("strokes"));
    let of = |role, data: &_| group(path, "near", role, data, &Options::default(), &Locations::default());
    assert!(is_drawn(path) && !is_drawn(Path::new("mnist")) && !is_drawn(Path::new("strokes.npz")));
    let shapes = of(Role::Ood, &data).unwrap();
    assert_eq!(
        (shapes.name.as_str(), shapes.role, shapes.images.len(), &shapes.labels),
        ("near", Role::Ood, 2_000, &None)
    );
    // Whatever the seed of the data is, they are the same.
    assert_eq!(shapes, of(Role::Ood, &strokes::dataset(8, &few).unwrap()).unwrap());
    let shifted = of(Role::Shifted, &data).unwrap();
    assert_eq!((shifted.role, shifted.labels.map(|l| l.len())), (Role::Shifted, Some(2_000)));
    assert!(of(Role::Ambiguous, &data).unwrap().soft_labels.is_some());
    // Labels count by the names of their classes; OOD images have none.
    data.class_names[0] = "zero".into();
    assert!(of(Role::Ood, &data).is_ok());
    let error = of(Role::Clean, &data).unwrap_err().to_string();
    assert!(error.contains("near") && error.contains("zero"), "{error}");
}
