//! Arrays of numpy as data of one's own: layouts, kinds of labels, names, and what is refused.
#![allow(clippy::unwrap_used, missing_docs)]

use qbnn_data::files::{Content, read_rows};
use qbnn_data::own::{Arrays, Options, export, group, labels, npz, open};
use qbnn_data::{DataError, Images, Locations, Role};
use std::path::Path;

/// Name, kind, shape, content.
type Array<'a> = (&'a str, &'a str, &'a str, Vec<u8>);

/// Writes an archive of stored entries.
fn write(path: &Path, arrays: &[Array<'_>]) {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, kind, shape, values) in arrays {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut content = b"\x93NUMPY\x01\x00".to_vec();
        content.extend((header.len() as u16).to_le_bytes());
        content.extend(header.as_bytes());
        content.extend(values);
        let mut sum = flate2::Crc::new();
        sum.update(&content);
        let name = format!("{name}.npy");
        let mut head = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        head.extend(sum.sum().to_le_bytes());
        head.extend((content.len() as u32).to_le_bytes());
        head.extend((content.len() as u32).to_le_bytes());
        head.extend((name.len() as u32).to_le_bytes());
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&head);
        directory.extend([0; 10]);
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(&head);
        file.extend(name.as_bytes());
        file.extend(content);
    }
    let at = (file.len() as u32).to_le_bytes();
    file.extend(&directory);
    file.extend(b"PK\x05\x06\x00\x00\x00\x00");
    file.extend((arrays.len() as u16).to_le_bytes());
    file.extend((arrays.len() as u16).to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(at);
    file.extend([0, 0]);
    std::fs::write(path, file).unwrap();
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn text(words: &[&str]) -> Vec<u8> {
    words
        .iter()
        .flat_map(|w| format!("{w:\0<4}").chars().collect::<Vec<_>>())
        .flat_map(|c| (c as u32).to_le_bytes())
        .collect()
}

#[test]
fn every_layout_is_read_channels_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.npz");
    let y = ("y_train", "|u1", "(2,)", vec![1, 0]);
    let read = |x: Array<'_>, shape| {
        write(&path, &[x, y.clone()]);
        npz(&path, "own", &Arrays::default(), shape).map(|own| own.train.images)
    };
    let grey = read(("x_train", "|u1", "(2, 1, 3)", (0..6).collect()), None).unwrap();
    assert_eq!((grey.height, grey.width, grey.channels, &grey.pixels[..]), (1, 3, 1, &[0, 1, 2, 3, 4, 5][..]));
    let last = read(("x_train", "|u1", "(2, 1, 2, 3)", (0..12).collect()), None).unwrap();
    assert_eq!((last.height, last.width, last.channels, last.pixels[3]), (1, 2, 3, 3));
    let first = read(("x_train", "|u1", "(2, 3, 1, 2)", (0..12).collect()), None).unwrap();
    assert_eq!((first.width, first.channels, &first.pixels[..6]), (2, 3, &[0, 2, 4, 1, 3, 5][..]));
    let rows = read(("x_train", "<f4", "(2, 2)", floats(&[0.0, 1.0, 0.5, 0.2])), Some([1, 2, 1])).unwrap();
    assert_eq!(rows.pixels, [0, 255, 128, 51]);
    for (x, said) in [
        (("x_train", "|u1", "(2, 4)", vec![0; 8]), "data.shape"),
        (("x_train", "<f4", "(2, 1, 1)", floats(&[0.0, 1.5])), "from 0 to 1"),
        (("x_train", "<f4", "(2, 1, 1)", floats(&[0.0, f32::NAN])), "from 0 to 1"),
        (("x_train", "<i2", "(2, 1, 1)", vec![0, 1, 0, 0]), "x_train holds 256"),
        (("x_train", "|u1", "(2, 0, 1)", vec![]), "no image"),
        (("x_train", "|u1", "(3, 1, 1)", vec![0; 3]), "one label for each of 3 images"),
        (("x_train", "|u1", "(2, 2, 2, 5)", vec![0; 40]), "1 or 3 channels"),
    ] {
        let error = read(x, None).unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn labels_are_numbers_or_names_and_groups_may_have_probabilities() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let x = |name, n: usize| (name, "|u1", "(8, 1, 1)", (0..n as u8).collect::<Vec<u8>>());
    let names = text(&["cat", "ant", "cat", "ant", "cat", "ant", "cat", "ant"]);
    write(&at("a.npz"), &[x("x_train", 8), ("y_train", "<U4", "(8,)", names)]);
    let own = npz(&at("a.npz"), "own", &Arrays::default(), None).unwrap();
    assert_eq!((own.class_names.join(" "), own.train.labels[0]), ("ant cat".to_owned(), 1));
    let dataset = own.dataset(1).unwrap();
    // Names of classes beside numbers, under other names of arrays.
    let arrays = Arrays { x_train: "a".into(), y_train: "b".into(), class_names: "c".into(), ..Arrays::default() };
    let numbers = ("b", "|u1", "(8,)", vec![1, 0, 1, 0, 1, 0, 1, 0]);
    write(&at("b.npz"), &[x("a", 8), numbers.clone(), ("c", "<U4", "(2,)", text(&["no", "yes"]))]);
    assert_eq!(npz(&at("b.npz"), "own", &arrays, None).unwrap().class_names, ["no", "yes"]);
    let error = npz(&at("b.npz"), "own", &Arrays::default(), None).unwrap_err().to_string();
    assert!(error.contains("holds a, b, c") && error.contains("[data.arrays]"), "{error}");
    write(
        &at("b.npz"),
        &[x("x_train", 8), ("y_train", "<i8", "(8,)", (0..8u64).flat_map(|i| (i << 40).to_le_bytes()).collect())],
    );
    assert!(matches!(npz(&at("b.npz"), "own", &Arrays::default(), None), Err(DataError::Label { index: 1, .. })));
    write(&at("b.npz"), &[x("x_train", 8), ("y_train", "|i1", "(8,)", vec![0, 255, 0, 0, 0, 0, 0, 0])]);
    assert!(matches!(npz(&at("b.npz"), "own", &Arrays::default(), None), Err(DataError::Label { found: -1, .. })));
    // A group with probabilities, and what each role wants.
    let group = |file: &str, role| {
        group(&at(file), "more", role, &dataset, &Options::default(), &Locations::default())
            .and_then(|g| dataset.clone().add_group(g.clone()).map(|()| g))
    };
    let soft = |rows: &[f32]| ("y", "<f4", "(2, 2)", floats(rows));
    write(&at("s.npz"), &[("x", "|u1", "(2, 1, 1)", vec![1, 2]), soft(&[0.5, 0.5, 1.0, 0.0])]);
    let found = group("s.npz", Role::Ambiguous).unwrap();
    assert_eq!((found.soft_labels.unwrap().len(), found.labels), (4, None));
    assert!(group("s.npz", Role::Ood).unwrap().soft_labels.is_none());
    assert!(group("s.npz", Role::Shifted).unwrap_err().to_string().contains("role ambiguous"));
    write(&at("s.npz"), &[("x", "|u1", "(2, 1, 1)", vec![1, 2]), soft(&[0.5, 0.6, 1.0, 0.0])]);
    assert!(group("s.npz", Role::Ambiguous).unwrap_err().to_string().contains("row 0 sums to 1.1"));
    write(&at("s.npz"), &[("x", "|u1", "(2, 1, 1)", vec![1, 2])]);
    assert!(group("s.npz", Role::Ambiguous).unwrap_err().to_string().contains("soft labels"));
    assert!(group("s.npz", Role::Clean).unwrap_err().to_string().contains("needs a label"));
    write(&at("s.npz"), &[("x", "|u1", "(1, 2, 2)", vec![1, 2, 3, 4])]);
    assert!(group("s.npz", Role::Ood).unwrap_err().to_string().contains("data.resize"));
}

#[test]
fn what_is_exported_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let sizes = qbnn_data::strokes::Sizes {
        train_clean: 200,
        train_ambiguous: 10,
        validation: 50,
        clean: 100,
        ambiguous: 20,
        ood: 20,
    };
    let strokes = qbnn_data::strokes::dataset(1, &sizes).unwrap();
    let mut all = Vec::new();
    for format in [export::Format::Png, export::Format::Npz, export::Format::Idx, export::Format::Csv] {
        let path = dir.path().join(format!("{format:?}"));
        let parts = export::whole(&strokes, format, &path, 100).unwrap();
        assert_eq!(parts, [100, 50, 100]);
        all.push(open(&path, "own", &Options::default()).unwrap().dataset(1).unwrap());
        let counted = qbnn_data::own::count(&path, &Options::default()).unwrap();
        // A CSV file has a header.
        assert!((100..=101).contains(&counted), "{format:?}: {counted}");
    }
    assert!(all.iter().all(|one| *one == all[0]));
    assert_eq!(all[0].class_names, strokes.class_names);
    let clean = &strokes.groups[0];
    let mut places: Vec<usize> = (0..100).collect();
    places.sort_by_key(|&i| clean.labels.as_ref().unwrap()[i]);
    assert_eq!(all[0].groups[0].images, clean.images.select(&places));
}

/// Images alone, and labels alone, of a file that need not be a dataset: what a model predicts.
#[test]
fn images_and_labels_are_read_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let pixels: Vec<u8> = (0..12).collect();
    let of = |arrays: &[Array<'_>], shape| {
        write(&path, arrays);
        match read_rows(&std::fs::read(&path).unwrap(), &path, shape) {
            Ok(Content::Images(images)) => Ok(images),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    };
    let shape = |images: &Images| (images.len(), images.height, images.width, images.channels);
    let grey =
        of(&[("x_test", "|u1", "(2, 2, 3)", pixels.clone()), ("x_train", "|u1", "(1,)", vec![0])], None).unwrap();
    assert_eq!((shape(&grey), &grey.pixels), ((2, 2, 3, 1), &pixels));
    // Channels first, as floats; whatever the only array is called; rows of values of a shape that is known.
    let values: Vec<f32> = (0..12).map(|v| v as f32 / 255.0).collect();
    let first = of(&[("whatever", "<f4", "(1, 3, 2, 2)", floats(&values))], None).unwrap();
    assert_eq!((shape(&first), &first.pixels[..6]), ((1, 2, 2, 3), &[0, 4, 8, 1, 5, 9][..]));
    let rows = [("x", "|u1", "(2, 6)", pixels.clone()), ("y", "|u1", "(2,)", vec![1, 0])];
    assert_eq!(of(&rows, Some([2, 3, 1])).unwrap(), grey);
    assert!(of(&rows, None).unwrap_err().contains("rows of values"));
    let none = [("a", "|u1", "(1,)", vec![0]), ("b", "|u1", "(1,)", vec![0])];
    let error = of(&none, None).unwrap_err();
    assert!(error.contains("holds a, b") && error.contains("x_test, x or images"), "{error}");

    let classes = ["cat".to_owned(), "dog".to_owned()];
    let labels_of = |arrays: &[Array<'_>]| {
        write(&path, arrays);
        labels(&std::fs::read(&path).unwrap(), &path, &classes).map_err(|e| e.to_string())
    };
    assert_eq!(labels_of(&rows), Ok(vec![1, 0]));
    let words = |text: &str| format!("{text:\0<3}").chars().flat_map(|c| (c as u32).to_le_bytes()).collect::<Vec<u8>>();
    let named = [("names", "<U3", "(2,)", [words("dog"), words("cat")].concat())];
    assert_eq!(labels_of(&named), Ok(vec![1, 0]));
    // Labels of other images are none of these.
    let both = [
        ("y_train", "|u1", "(1,)", vec![9]),
        ("x_test", "|u1", "(1, 1, 1)", vec![0]),
        ("y_test", "|u1", "(1,)", vec![1]),
    ];
    assert_eq!(labels_of(&both), Ok(vec![1]));
    assert!(labels_of(&[("y", "|u1", "(1,)", vec![2])]).unwrap_err().contains("2"));
    let soft = [("y", "<f4", "(1, 2)", floats(&[0.5, 0.5]))];
    assert!(labels_of(&soft).unwrap_err().contains("argmax"));
    assert!(labels_of(&none).unwrap_err().contains("y_test, y or labels"));
}
