//! Predictions of other programs: every type and layout that numpy writes gives the same page or one line that says what
//! was found, what was wanted, and the fix.

use crate::common::npz::{self, Array, floats, integers, text};
use crate::common::{fail, succeed};
use std::fs;
use std::path::Path;

/// Two draws of four inputs over two classes.
const PROBS: [f64; 16] = [0.9, 0.1, 0.2, 0.8, 0.5, 0.5, 0.9, 0.1, 0.8, 0.2, 0.1, 0.9, 0.5, 0.5, 0.1, 0.9];

fn probs() -> Array {
    floats("probs", "(2, 4, 2)", &PROBS)
}

fn labels() -> Array {
    integers("labels", "(4,)", &[0, 1, -1, -1])
}

fn groups() -> Array {
    text("groups", &["clean", "clean", "ood", "ood"])
}

fn array(name: &'static str, descr: &'static str, shape: &'static str, bytes: Vec<u8>) -> Array {
    Array { name, descr, shape, bytes }
}

/// The page without what tells one file from another.
fn page(at: &Path, file: &str) -> String {
    succeed(at, &["report", "--predictions", file, "--out", "page.html", "--title", "made", "--bootstrap", "20"]);
    let name = file.split('.').next().unwrap();
    fs::read_to_string(at.join("page.html")).unwrap().replace(file, "FILE").replace(name, "NAME")
}

fn refused(at: &Path, arrays: &[Array]) -> String {
    npz::write(&at.join("refused.npz"), arrays);
    fail(at, 1, &["report", "--predictions", "refused.npz", "--out", "refused.html"])
}

#[test]
fn rounding_is_put_back_and_logits_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let with = |first: [f64; 2]| {
        let values = [&first[..], &PROBS[2..]].concat();
        [floats("probs", "(2, 4, 2)", &values), labels(), groups()]
    };
    npz::write(&at.join("exact-file.npz"), &with([1.0, 0.0]));
    let wanted = page(at, "exact-file.npz");
    for (name, first) in [("below-file.npz", [1.0, -1e-17]), ("above-file.npz", [1.000_000_1, 0.0])] {
        npz::write(&at.join(name), &with(first));
        assert!(page(at, name) == wanted, "{name}");
    }
    let single: Vec<u8> = [1.000_000_1f32, 0.0].iter().chain(&[0.5; 6]).flat_map(|v| v.to_le_bytes()).collect();
    npz::write(
        &at.join("single-file.npz"),
        &[array("probs", "<f4", "(4, 2)", single), integers("labels", "(4,)", &[0, 1, 0, 1])],
    );
    page(at, "single-file.npz");
    for first in [[1.1, -0.1], [2.5, -1.5], [1.002, -0.002], [f64::NAN, 0.5], [f64::INFINITY, 0.0]] {
        let error = refused(at, &with(first));
        assert!(error.contains("sample 0, input 0") && error.contains("wanted"), "{first:?}: {error}");
    }
}

#[test]
fn groups_of_one_role_have_names() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let named = |names: &[&str; 4]| [probs(), integers("labels", "(4,)", &[0, 1, 1, -1]), text("groups", names)];
    npz::write(&at.join("named-file.npz"), &named(&["clean", "ood", "shifted:noise", "ood:near"]));
    let html = page(at, "named-file.npz");
    for said in ["near (ood)", "noise (shifted)", "AUROC epistemic, near vs clean", "accuracy, noise"] {
        assert!(html.contains(said), "{said}");
    }
    for (wrong, said) in
        [("far", "found group far at input 3"), ("ood:", "ood:near"), ("shifted:noise", "at noise input 3")]
    {
        let error = refused(at, &named(&["clean", "ood", "shifted:noise", wrong]));
        assert!(error.contains(said), "{error}");
    }
    let error = refused(at, &named(&["clean", "ood:x", "shifted:x", "ood"]));
    assert!(error.contains("two groups called x"), "{error}");
}

#[test]
fn every_type_and_layout_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    npz::write(&at.join("plain-file.npz"), &[probs(), labels(), groups()]);
    let wanted = page(at, "plain-file.npz");
    let big: Vec<u8> = PROBS.iter().flat_map(|v| v.to_be_bytes()).collect();
    // Draws run fastest in column-major order, then inputs.
    let place = |i: usize| i % 2 * 8 + i / 2 % 4 * 2 + i / 8;
    let columns: Vec<u8> = (0..16).flat_map(|i| PROBS[place(i)].to_le_bytes()).collect();
    let small = array("labels", "|i1", "(4,)", vec![0, 1, 255, 255]);
    let unsigned = array("labels", "|u1", "(4,)", vec![0, 1, 0, 0]);
    let wide = array("labels", ">i4", "(4,)", [0i32, 1, -1, -1].iter().flat_map(|v| v.to_be_bytes()).collect());
    let truth = array("labels", "|b1", "(4,)", vec![0, 1, 0, 0]);
    let numbers = integers("groups", "(4,)", &[0, 0, 2, 2]);
    let bytes = array("groups", "|S5", "(4,)", b"cleancleanood\0\0ood\0\0".to_vec());
    let objects = array("meta", "|O", "(3,)", b"\x80\x03]q\0.".to_vec());
    let complex = array("extra", "<c16", "()", vec![0; 16]);
    for (name, arrays) in [
        ("big-file.npz", vec![array("probs", ">f8", "(2, 4, 2)", big), labels(), groups()]),
        ("fortran-file.npz", vec![array("probs", "F<f8", "(2, 4, 2)", columns), labels(), groups()]),
        ("small-file.npz", vec![probs(), small, groups()]),
        ("unsigned-file.npz", vec![probs(), unsigned, groups()]),
        ("wide-file.npz", vec![probs(), wide, groups()]),
        ("truth-file.npz", vec![probs(), truth, groups()]),
        ("numbers-file.npz", vec![probs(), labels(), numbers]),
        ("bytes-file.npz", vec![probs(), labels(), bytes]),
        ("extra-file.npz", vec![objects, probs(), labels(), complex, groups()]),
    ] {
        npz::write(&at.join(name), &arrays);
        assert!(page(at, name) == wanted, "{name}");
    }
    let all = [probs(), labels(), groups()];
    let named = |suffix: &str| all.iter().map(|a| (format!("{}{suffix}", a.name), npz::npy(a))).collect::<Vec<_>>();
    npz::zip(&at.join("deflated-file.npz"), &named(".npy"), true);
    npz::zip(&at.join("bare-file.npz"), &named(""), false);
    let notes = [named(".npy"), vec![("notes.txt".to_owned(), b"no array".to_vec())]].concat();
    npz::zip(&at.join("notes-file.npz"), &notes, true);
    for name in ["deflated-file.npz", "bare-file.npz", "notes-file.npz"] {
        assert!(page(at, name) == wanted, "{name}");
    }
    // Half precision, whose rows sum to 1 only nearly.
    let half: Vec<u8> = [0x3800u16, 0x3800, 0x3B33, 0x2E66].iter().flat_map(|v| v.to_le_bytes()).collect();
    let halves = array("probs", "<f2", "(2, 2)", half);
    npz::write(&at.join("half-file.npz"), &[halves, integers("labels", "(2,)", &[0, 1])]);
    page(at, "half-file.npz");
}

#[test]
fn refusals_say_what_was_found_and_what_was_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let truth = array("groups", "|b1", "(4,)", vec![0, 0, 1, 1]);
    // As many draws as classes: only the sums tell the axes apart.
    let moved = |axes: [usize; 3]| {
        let shape = [2, 4, 2];
        let size = axes.map(|axis| shape[axis]);
        let value = |i: usize| {
            let at = [i / (size[1] * size[2]), i / size[2] % size[1], i % size[2]];
            let of = |axis: usize| at[axes.iter().position(|&a| a == axis).unwrap()];
            PROBS[of(0) * 8 + of(1) * 2 + of(2)]
        };
        (0..16).map(value).collect::<Vec<f64>>()
    };
    let objects = array("groups", "|O", "(4,)", b"\x80\x03]q\0.".to_vec());
    let images = |descr, shape, bytes| vec![probs(), labels(), groups(), array("images", descr, shape, bytes)];
    for (arrays, parts) in [
        (vec![probs(), labels(), truth], ["groups holds booleans", "clean, ambiguous, ood"]),
        (vec![probs(), labels(), floats("groups", "(4,)", &[0.0; 4])], ["floating-point", "clean, ambiguous, ood"]),
        (vec![probs(), labels(), objects], ["groups: it holds Python objects", "dtype=str"]),
        (
            vec![probs(), labels(), text("groups", &["clean", "Ood", "ood", "ood"])],
            ["group Ood at input 1", "wanted clean"],
        ),
        (vec![probs(), labels(), integers("groups", "(3,)", &[0; 3])], ["found 3 groups", "wanted 4"]),
        (vec![probs(), integers("labels", "(2,)", &[0, 1]), groups()], ["found 2 labels", "-1"]),
        (vec![probs(), integers("labels", "(4, 1)", &[0; 4]), groups()], ["shape [4, 1]", "wanted [4]"]),
        (vec![probs(), integers("labels", "(4, 2)", &[0; 8]), groups()], ["shape [4, 2]", "argmax"]),
        (vec![probs(), integers("labels", "()", &[0]), groups()], ["shape []", "wanted [4]"]),
        (vec![probs(), floats("labels", "(4,)", &[0.0; 4]), groups()], ["labels holds floating-point", "astype(int)"]),
        (vec![integers("probs", "(2, 4, 2)", &[0; 16]), labels(), groups()], ["probs holds integers", "softmax"]),
        (vec![floats("probs", "(16,)", &PROBS), labels()], ["shape [16]", "[S][N][C]"]),
        (
            vec![floats("probs", "(2, 2, 4)", &moved([0, 2, 1])), labels(), groups()],
            ["along axis 1", "moveaxis(probs, 1, -1)"],
        ),
        (
            vec![floats("probs", "(2, 2, 4)", &moved([2, 0, 1])), labels(), groups()],
            ["along axis 0", "moveaxis(probs, 0, -1)"],
        ),
        (
            vec![floats("probs", "(4, 2, 2)", &moved([1, 0, 2])), labels(), groups()],
            ["4 labels", "moveaxis(probs, 0, 1)"],
        ),
        (vec![labels(), groups()], ["found labels, groups", "wanted an array probs"]),
        (vec![probs(), groups()], ["found probs, groups", "wanted an array labels"]),
        (vec![probs(), probs(), labels()], ["probs twice", "store it once"]),
        (
            vec![array("probs", "<f16", "(2, 4, 2)", vec![0; 256]), labels()],
            ["array probs: its type is <f16", "astype"],
        ),
        (images("<f8", "(4, 1, 1)", vec![0; 32]), ["images holds floating-point", "uint8"]),
        (images("|b1", "(4, 1, 1)", vec![0; 4]), ["images holds booleans", "uint8"]),
        (images("<i2", "(4, 1, 1)", vec![0, 1, 0, 0, 0, 0, 0, 0]), ["images holds 256", "0 to 255"]),
        (images("|u1", "(4, 3, 2, 2)", vec![0; 48]), ["shape [4, 3, 2, 2]", "moveaxis(images, 1, -1)"]),
    ] {
        let error = refused(at, &arrays);
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
        assert!(error.contains("refused.npz"), "{error}");
    }
    let not_npz = npz::npy(&probs());
    for (name, bytes, part) in [
        ("page.npz", b"<!DOCTYPE html><html>".to_vec(), "an HTML or XML page"),
        ("pickle.npz", b"\x80\x04\x95abc".to_vec(), "a Python pickle"),
        ("empty.npz", Vec::new(), "an empty file"),
        ("single.npz", not_npz.clone(), "a single array"),
        ("single.npy", not_npz, "a single array"),
        ("picture.npz", b"\x89PNG\r\n".to_vec(), "a PNG picture"),
    ] {
        fs::write(at.join(name), bytes).unwrap();
        let error = fail(at, 1, &["report", "--predictions", name]);
        assert!(error.contains(part) && error.contains("np.savez"), "{error}");
    }
    npz::write(&at.join("whole.npz"), &[probs(), labels(), groups()]);
    let whole = fs::read(at.join("whole.npz")).unwrap();
    fs::write(at.join("cut.npz"), &whole[..whole.len() - 30]).unwrap();
    assert!(fail(at, 1, &["report", "--predictions", "cut.npz"]).contains("cut off"));
}
