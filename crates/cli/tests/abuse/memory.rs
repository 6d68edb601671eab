//! Endless, huge and forged sizes: all are refused with what was found and the limit, before memory ends.

use super::common::{succeed, tiny};
use super::{end, fifo, limited, line, refused};
use std::fs;
use std::io::Write;
use std::path::Path;

/// A file with a name that leads to a device without end.
fn endless(folder: &Path, name: &str) {
    std::os::unix::fs::symlink("/dev/zero", folder.join(name)).unwrap();
}

#[test]
fn devices_without_end_are_refused_in_every_place_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["train", "--out", "run"]));
    for name in ["e.toml", "e.npz", "e.safetensors", "e.jsonl", "e.qbnn", "e.png"] {
        endless(at, name);
    }
    fs::write(at.join("s.toml"), "name = \"s\"\nseeds = [1]\n[[question]]\nname = \"q\"\n").unwrap();
    let cases: &[&[&str]] = &[
        &["run", "--config", "e.toml"],
        &["run", "--net", "e.toml"],
        &["config", "--config", "/dev/zero"],
        &["predict", "/dev/zero", "e.png"],
        &["predict", "run/float.qbnn", "e.png"],
        &["predict", "run/float.qbnn", "/dev/zero"],
        &["inspect", "e.qbnn"],
        &["bench", "e.qbnn"],
        &["eval", "e.safetensors", "--data", "strokes"],
        &["check", "e.safetensors", "--data", "strokes"],
        &["quantize", "e.safetensors", "--data", "strokes"],
        &["sweep", "e.toml"],
        &["sweep", "s.toml", "--tables", "--out", "e"],
        &["report", "e.toml"],
        &["report", "s.toml", "--ledger", "e.jsonl"],
        &["report", "--predictions", "e.npz"],
        &["report", "--predictions", "e.safetensors"],
    ];
    fs::create_dir(at.join("e")).unwrap();
    endless(at, "e/ledger.jsonl");
    for args in cases {
        let line = refused(at, args);
        let name = args.iter().find(|a| a.starts_with("e.") || a.starts_with("/dev") || **a == "e");
        assert!(line.contains(name.unwrap()) || line.contains("ledger"), "{line}");
    }
    // What begins like an image and then has no end.
    for start in ["\\211PNG\\r\\n\\032\\n", "\\0\\0\\010\\003"] {
        let feed = format!("printf '{start}' | cat - /dev/zero | ");
        let mut command = std::process::Command::new("sh");
        let program = env!("CARGO_BIN_EXE_qbnn");
        command.current_dir(at).stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        command.args(["-c", &format!("{feed} (ulimit -v 2000000; exec \"{program}\" predict run/float.qbnn -)")]);
        line(&end(command), start);
    }
    // Files of a run folder.
    for name in ["metrics.json", "predictions.safetensors", "metrics.jsonl", "config.toml"] {
        fs::create_dir_all(at.join("r")).unwrap();
        fs::copy(at.join("run/config.toml"), at.join("r/config.toml")).unwrap();
        fs::copy(at.join("run/float.safetensors"), at.join("r/float.safetensors")).unwrap();
        let _ = fs::remove_file(at.join("r").join(name));
        endless(at, &format!("r/{name}"));
        let output = end(limited(at, &["report", "r"], ""));
        assert!(output.status.code().is_some_and(|c| c < 3), "{name}: {output:?}");
        fs::remove_dir_all(at.join("r")).unwrap();
    }
}

#[test]
fn huge_files_and_headers_are_refused_unread() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    for name in ["h.toml", "h.npz", "h.safetensors", "h.qbnn"] {
        // Without a block on the disk.
        fs::File::create(at.join(name)).unwrap().set_len(1 << 42).unwrap();
    }
    for args in [
        &["run", "--config", "h.toml"][..],
        &["predict", "h.qbnn", "x.png"],
        &["eval", "h.safetensors", "--data", "strokes"],
        &["report", "--predictions", "h.npz"],
        &["report", "--predictions", "h.safetensors"],
    ] {
        let line = refused(at, args);
        assert!(line.contains("4398046511104") && line.contains("at most"), "{line}");
    }
    // A header that claims to be nearly all of a large file.
    let mut file = fs::File::create(at.join("head.safetensors")).unwrap();
    file.write_all(&(400_000_000u64).to_le_bytes()).unwrap();
    file.set_len(400_000_100).unwrap();
    assert!(refused(at, &["eval", "head.safetensors", "--data", "strokes"]).contains("400000000"));
    assert!(refused(at, &["report", "--predictions", "head.safetensors"]).contains("400000000"));
}

#[test]
fn networks_of_any_size_are_refused_with_number_and_limit() {
    let dir = tempfile::tempdir().unwrap();
    let layers = [
        ("dense", "out = 1000000000"),
        ("dense", "out = 9223372036854775807"),
        ("conv", "out = 4\nkernel = 3\npadding = 1000000"),
        ("conv", "out = 4\nkernel = 3\npadding = 9223372036854775807"),
        ("conv", "out = 1000000000\nkernel = 1"),
        ("conv", "out = 4\nkernel = 1000000000\npadding = 500000000"),
        ("conv", "out = 3037000500\nkernel = 28"),
    ];
    for (kind, sizes) in layers {
        let text = format!(
            "name = \"n\"\n[[layer]]\ntype = \"{kind}\"\n{sizes}\n[[layer]]\ntype = \"flatten\"\n[[layer]]\ntype = \
             \"dense\"\nout = 10\n"
        );
        fs::write(dir.path().join("net.toml"), text).unwrap();
        let line =
            refused(dir.path(), &["run", "--net", "net.toml", "--train-limit", "300", "--set", "data.group_limit=50"]);
        assert!(line.contains("wanted at most") && line.contains(&format!("layer {kind}1")), "{line}");
    }
    assert!(!dir.path().join("runs").exists(), "a folder was made for a run that never began");
}

#[test]
fn settings_of_any_size_are_refused_before_training() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["train", "--out", "run"]));
    let n = "1000000000";
    let cases: &[(&[&str], &str)] = &[
        (&["run", "--samples", n], n),
        (&["run", "--samples", "900000"], "lower it to"),
        (&["run", "--bootstrap", n], n),
        (&["run", "--epochs", n], n),
        (&["run", "--qat-epochs", n], n),
        (&["run", "--batch", n], n),
        (&["run", "--set", "train.batch=9223372036854775807"], "batch"),
        (&["run", "--set", "train.draws=1000000000"], n),
        (&["run", "--set", "quantize.calibration=1000000000"], n),
        (&["eval", "run", "--samples", n], n),
        (&["eval", "run", "--samples", "1000000"], "lower it to"),
        (&["eval", "run", "--bootstrap", n], n),
        (&["check", "run", "--samples", "1000000"], "lower it to"),
        (&["predict", "run/float.qbnn", "x.png", "--samples", n], n),
        (&["bench", "--batch", n], n),
        (&["bench", "train", "--batch", n], n),
        (&["bench", "train", "--net", "lenet5", "--batch", "65536", "--quick"], "wanted at most"),
        (&["bench", "--quick", "--bench-threads", "1024"], "thread"),
        (&["run", "--threads", "1024"], "thread"),
        (&["bench", "--bench-threads", n], n),
        (&["report", "--predictions", "x.npz", "--bootstrap", n], n),
        (&["data", "export", "strokes", "out", "--index", "0..18446744073709551615"], "18446744073709551615"),
    ];
    for (args, wanted) in cases {
        let line = refused(at, args);
        assert!(line.contains(wanted), "{args:?}: {line}");
    }
    assert!(!at.join("runs").exists(), "a folder was made for a run that never began");
}

#[test]
fn grids_of_any_size_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let list = |n: usize| format!("{:?}", (1..=n).collect::<Vec<_>>());
    let seeds = |n: usize| format!("name = \"s\"\nseeds = {}\n[[question]]\nname = \"q\"\n", list(n));
    let axes = |n: usize| {
        let keys = ["train.epochs", "train.batch", "eval.samples", "quantize.epochs", "quantize.calibration"];
        let axes: String = keys.iter().map(|k| format!("{k} = {}\n", list(n))).collect();
        format!("{}[question.grid]\n{axes}", seeds(5))
    };
    let members = format!("{}[question.set]\nmodel = \"ensemble\"\nmembers = 1000\n", seeds(500));
    for (text, wanted) in [
        (seeds(100_000), "100000 seeds"),
        (axes(900), "wanted at most"),
        (axes(64), "wanted at most"),
        (members, "500000"),
    ] {
        fs::write(dir.path().join("s.toml"), text).unwrap();
        for args in [&["sweep", "s.toml", "--dry-run"][..], &["report", "s.toml"]] {
            let line = refused(dir.path(), args);
            assert!(line.contains(wanted), "{line}");
        }
    }
}

#[test]
fn a_pipe_is_as_good_as_a_file_and_as_short() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    fifo(&at.join("p.toml"));
    let feed = |text: &'static str| {
        let path = at.join("p.toml");
        std::thread::spawn(move || fs::OpenOptions::new().write(true).open(path).unwrap().write_all(text.as_bytes()))
    };
    let writer = feed("seed = 7\n");
    let output = end(limited(at, &["config", "--config", "p.toml"], ""));
    assert!(String::from_utf8_lossy(&output.stdout).contains("seed = 7"), "{output:?}");
    writer.join().unwrap().unwrap();
    let writer = feed("name = \"s\"\nseeds = [1]\n[[question]]\nname = \"q\"\n");
    let output = end(limited(at, &["sweep", "p.toml", "--dry-run"], ""));
    assert!(output.status.success(), "{output:?}");
    writer.join().unwrap().unwrap();
}

/// A zip archive with one entry of zeros, packed.
fn bomb(name: &str, start: &[u8], zeros: u64) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    let part = vec![0; 1 << 20];
    let mut put = |bytes: &[u8]| {
        crc.update(bytes);
        packed.write_all(bytes).unwrap();
    };
    put(start);
    (0..zeros >> 20).for_each(|_| put(&part));
    let (packed, size, sum) = (packed.finish().unwrap(), start.len() as u64 + (zeros >> 20 << 20), crc.sum());
    let fields = |head: &[u8]| {
        let mut out = head.to_vec();
        out.extend(sum.to_le_bytes());
        out.extend((packed.len() as u32).to_le_bytes());
        // In 64 bits where it needs them, as numpy does it.
        out.extend(u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
        out.extend((name.len() as u16).to_le_bytes());
        out
    };
    let wide = if size > u64::from(u32::MAX) { [&[1, 0, 8, 0][..], &size.to_le_bytes()].concat() } else { Vec::new() };
    let mut out = fields(b"PK\x03\x04\x2d\0\0\0\x08\0\0\0\0\0");
    out.extend((wide.len() as u16).to_le_bytes());
    out.extend(name.as_bytes());
    out.extend(&wide);
    out.extend(&packed);
    let at = out.len() as u32;
    out.extend(fields(b"PK\x01\x02\x2d\0\x2d\0\0\0\x08\0\0\0\0\0"));
    out.extend((wide.len() as u16).to_le_bytes());
    out.extend([0; 10]);
    out.extend(0u32.to_le_bytes());
    out.extend(name.as_bytes());
    out.extend(&wide);
    let length = out.len() as u32 - at;
    out.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    out.extend(length.to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// The header of an array of numpy.
fn npy(kind: &str, shape: &str) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat()
}

#[test]
fn what_unpacks_to_more_than_memory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let cases = [
        // 6 GiB of one array; the most values, as small as they can be; more text than there are people.
        ("a.npz", bomb("probs.npy", &npy("<f4", "(1, 161061273, 10)"), 6 << 30), "6442"),
        ("b.npz", bomb("images.npy", &npy("|u1", "(400, 1024, 1024)"), 400 << 20), "419430400"),
        ("c.npz", bomb("groups.npy", &npy("|S1", "(67108864,)"), 64 << 20), "67108864"),
    ];
    for (name, bytes, wanted) in cases {
        fs::write(at.join(name), bytes).unwrap();
        let line = refused(at, &["report", "--predictions", name]);
        assert!(line.contains(wanted) && line.contains("at most"), "{line}");
    }
    let mut wide =
        b"\x80\0\0\0\0\0\0\0{\"images\":{\"dtype\":\"U8\",\"shape\":[500,1000,1000],\"data_offsets\":[0,500000000]}}"
            .to_vec();
    wide.resize(8 + 128, b' ');
    fs::write(at.join("w.safetensors"), &wide).unwrap();
    fs::OpenOptions::new().write(true).open(at.join("w.safetensors")).unwrap().set_len(136 + 500_000_000).unwrap();
    let line = refused(at, &["report", "--predictions", "w.safetensors"]);
    assert!(line.contains("500000000 values"), "{line}");
    // Images in gzip: as many as are read, and more.
    succeed(at, &tiny(&["train", "--out", "run"]));
    for (images, name) in [(1_000_000u32, "many.gz"), (60_000_000, "more.gz")] {
        let file = fs::File::create(at.join(name)).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gzip.write_all(&[0, 0, 8, 3]).unwrap();
        [images, 28, 27].iter().for_each(|n| gzip.write_all(&n.to_be_bytes()).unwrap());
        (0..700).for_each(|_| gzip.write_all(&vec![0; 1 << 20]).unwrap());
        gzip.finish().unwrap();
        let line = refused(at, &["predict", "run/float.qbnn", name]);
        assert!(line.contains(name), "{line}");
    }
}

#[test]
fn pictures_and_index_files_claim_what_they_want() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["train", "--out", "run"]));
    let huge = u32::MAX.to_be_bytes();
    let idx = |dims: &[[u8; 4]]| [&[0, 0, 8, dims.len() as u8][..], &dims.concat()].concat();
    fs::write(at.join("a"), idx(&[huge; 3])).unwrap();
    fs::write(at.join("b"), idx(&[huge; 255])).unwrap();
    fs::write(at.join("c"), idx(&[40_000_000u32.to_be_bytes(), 28u32.to_be_bytes(), 28u32.to_be_bytes()])).unwrap();
    let header = [b"IHDR", &huge[..], &huge, &[8, 6, 0, 0, 0]].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    let png = [b"\x89PNG\r\n\x1a\n\0\0\0\x0d", &header[..], &crc.sum().to_be_bytes()].concat();
    fs::write(at.join("d"), png).unwrap();
    for name in ["a", "b", "c", "d"] {
        assert!(refused(at, &["predict", "run/float.qbnn", name]).contains(name));
    }
}
