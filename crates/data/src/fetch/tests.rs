//! Downloads against a small server in this process: it answers a script, one connection after the other, and ends.

use super::download::part_of;
use super::*;
use crate::descriptor::Catalogue;
use crate::pt::{Tensor, TensorValues};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::thread::JoinHandle;

/// One answer of the server.
enum Answer {
    /// Status 404.
    NotFound,
    /// The file, honouring a range.
    Ranged(Vec<u8>),
    /// The whole file whatever is asked.
    Whole(Vec<u8>),
    /// Announces the file and breaks off after so many bytes.
    Broken(Vec<u8>, usize),
    /// Status 416 to a range.
    Refused,
}

/// What the server saw and sent: path, range, and bytes of content.
type Seen = (String, Option<String>, usize);

fn serve(script: Vec<Answer>) -> (String, JoinHandle<Vec<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/data/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let answer = |answer| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let path = lines.next().unwrap().unwrap().split(' ').nth(1).unwrap().to_string();
            let mut range = None;
            for line in lines.map(Result::unwrap).take_while(|l| !l.is_empty()) {
                if let Some(value) = line.to_lowercase().strip_prefix("range: bytes=") {
                    range = Some(value.to_string());
                }
            }
            let from = range.as_ref().map_or(0, |r| r.trim_end_matches('-').parse::<usize>().unwrap());
            let (status, announced, sent) = match answer {
                Answer::NotFound => ("404 Not Found".into(), 0, vec![]),
                Answer::Refused => ("416 Range Not Satisfiable".into(), 0, vec![]),
                Answer::Whole(all) => ("200 OK".into(), all.len(), all),
                Answer::Broken(all, size) => ("200 OK".into(), all.len(), all[..size].to_vec()),
                Answer::Ranged(all) if range.is_none() => ("200 OK".into(), all.len(), all),
                Answer::Ranged(all) => {
                    let range = format!("{from}-{}/{}", all.len() - 1, all.len());
                    (
                        format!("206 Partial Content\r\nContent-Range: bytes {range}"),
                        all.len() - from,
                        all[from..].into(),
                    )
                }
            };
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {announced}\r\nConnection: close\r\n\r\n").unwrap();
            // The client may have hung up already.
            let _ = stream.write_all(&sent);
            (path, range, sent.len())
        };
        script.into_iter().map(answer).collect()
    });
    (url, server)
}

fn content() -> Vec<u8> {
    (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// MD5 and SHA-256 of [`content`].
const MD5: Check<'static> = Check::Md5("bc82f4f2ed9ad9079ae8dbdc03b049d8");
const SHA: Check<'static> = Check::Sha256("2c4085b1ab9817526311b5a5b04451140dc922067c6922a59a77e1503918357b");

struct Bench {
    folder: tempfile::TempDir,
    events: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), events: vec![] }
    }

    fn goal(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    fn run(&mut self, check: Check<'_>, mirrors: &[String]) -> Result<(), DataError> {
        let goal = self.goal();
        let events = &mut self.events;
        let job = Job { file: "file", goal: &goal, check, mirrors };
        download::run(&job, &mut |event| {
            events.push(format!("{event:?}"));
            ControlFlow::Continue(())
        })
    }
}

#[test]
fn a_whole_file_arrives_and_is_verified() {
    for check in [MD5, SHA, Check::None] {
        let (url, server) = serve(vec![Answer::Ranged(content())]);
        let mut bench = Bench::new();
        bench.run(check, &[url]).unwrap();
        assert_eq!(std::fs::read(bench.goal()).unwrap(), content());
        assert!(!part_of(&bench.goal()).exists());
        assert_eq!(server.join().unwrap(), [("/data/file".into(), None, 200_000)]);
        assert!(bench.events[0].starts_with("Started") && bench.events.last().unwrap().starts_with("Verified"));
        let progress = bench.events.iter().rfind(|e| e.starts_with("Progress")).unwrap();
        assert!(progress.contains("bytes: 200000, total: Some(200000)"), "{progress}");
    }
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let (url, server) = serve(vec![Answer::Broken(content(), 70_000), Answer::Ranged(content())]);
    let mut bench = Bench::new();
    bench.run(MD5, &[url]).unwrap();
    assert_eq!(std::fs::read(bench.goal()).unwrap(), content());
    let seen = server.join().unwrap();
    assert_eq!(seen[1], ("/data/file".into(), Some("70000-".into()), 130_000));
    assert!(bench.events.iter().any(|e| e.contains("resumed: 70000")));
}

#[test]
fn what_an_earlier_call_left_is_used() {
    let (url, server) = serve(vec![Answer::Ranged(content())]);
    let mut bench = Bench::new();
    std::fs::write(part_of(&bench.goal()), &content()[..150_000]).unwrap();
    bench.run(SHA, &[url]).unwrap();
    assert_eq!(server.join().unwrap()[0].1.as_deref(), Some("150000-"));
    assert_eq!(std::fs::read(bench.goal()).unwrap(), content());
}

#[test]
fn an_ignored_or_refused_range_starts_again() {
    for (script, requests) in
        [(vec![Answer::Whole(content())], 1), (vec![Answer::Refused, Answer::Ranged(content())], 2)]
    {
        let (url, server) = serve(script);
        let mut bench = Bench::new();
        std::fs::write(part_of(&bench.goal()), b"some other file").unwrap();
        bench.run(MD5, &[url]).unwrap();
        assert_eq!(std::fs::read(bench.goal()).unwrap(), content());
        assert_eq!(server.join().unwrap().len(), requests);
    }
}

#[test]
fn a_foreign_beginning_is_noticed_and_fetched_anew() {
    let (url, server) = serve(vec![Answer::Ranged(content()), Answer::Ranged(content())]);
    let mut bench = Bench::new();
    std::fs::write(part_of(&bench.goal()), b"some other file").unwrap();
    bench.run(MD5, &[url]).unwrap();
    assert_eq!(server.join().unwrap()[1].1, None);
}

#[test]
fn a_wrong_checksum_deletes_and_names_both() {
    for check in [MD5, SHA] {
        let (url, server) = serve(vec![Answer::Whole(vec![1; 9])]);
        let mut bench = Bench::new();
        let error = bench.run(check, &[url]).unwrap_err();
        let (Check::Md5(sum) | Check::Sha256(sum)) = check else { panic!() };
        assert!(matches!(error, DataError::Checksum { ref wanted, .. } if wanted == sum));
        assert!(error.to_string().contains(sum) && !error.to_string().contains('\n'), "{error}");
        assert!(!part_of(&bench.goal()).exists() && !bench.goal().exists());
        server.join().unwrap();
    }
}

#[test]
fn the_next_mirror_is_tried() {
    let (first, one) = serve(vec![Answer::NotFound]);
    let (second, two) = serve(vec![Answer::Whole(vec![1; 9])]);
    let (third, three) = serve(vec![Answer::Whole(content())]);
    let mut bench = Bench::new();
    bench.run(SHA, &[first.clone(), second, third]).unwrap();
    assert!(bench.events[0].contains(&first) && bench.events[0].contains("404"), "{}", bench.events[0]);
    assert_eq!(one.join().unwrap().len() + two.join().unwrap().len() + three.join().unwrap().len(), 3);
}

#[test]
fn no_mirror_left_names_each_address_and_status() {
    let (first, one) = serve(vec![Answer::NotFound]);
    let (second, two) = serve(vec![Answer::NotFound]);
    // Nothing listens here any more.
    let third = serve(vec![]).0;
    let message = Bench::new().run(MD5, &[first.clone(), second.clone(), third.clone()]).unwrap_err().to_string();
    for part in [&first, &second, &third] {
        assert!(message.contains(&format!("{part}file: ")), "{message}");
    }
    assert!(message.matches("status 404").count() == 2 && !message.contains('\n'), "{message}");
    one.join().unwrap();
    two.join().unwrap();
    assert!(Bench::new().run(MD5, &[]).unwrap_err().to_string().contains("no mirror"));
}

/// A build without TLS, without a provider or without root certificates would fail earlier and otherwise.
#[test]
fn https_gets_as_far_as_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 3];
        stream.read_exact(&mut hello).unwrap();
        hello
    });
    let message = Bench::new().run(MD5, &[url]).unwrap_err().to_string();
    // Type "handshake" of the record layer, in the version number that every TLS writes there.
    assert_eq!(server.join().unwrap()[..2], [22, 3], "{message}");
}

#[test]
fn the_caller_can_stop_and_keeps_what_arrived() {
    let (url, server) = serve(vec![Answer::Whole(content())]);
    let bench = Bench::new();
    let goal = bench.goal();
    let stopped = download::run(&Job { file: "file", goal: &goal, check: MD5, mirrors: &[url] }, &mut |event| {
        if matches!(event, FetchEvent::Progress { .. }) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(DataError::Stopped { file }) if file == "file"));
    assert!(std::fs::metadata(part_of(&goal)).unwrap().len() > 0 && !goal.exists());
    server.join().unwrap();
}

fn set(name: &str) -> (&'static Descriptor, &'static SetFiles) {
    Catalogue::built_in().unwrap().set(name).unwrap()
}

fn published() -> [Tensor; 3] {
    let n = 12_000;
    let samples = (0..n * 784).map(|i| if i % 784 == 0 { (i / 784 % 256) as f32 / 255.0 } else { 0.5 }).collect();
    let labels = (0..n * 10).map(|i| (i / 10 % 10) as i64).collect();
    let rows = (0..n * 10).map(|i| if i % 10 == i / 10 % 10 { 1.0 } else { 0.0 }).collect();
    [
        Tensor { dims: vec![n, 1, 28, 28], values: TensorValues::F32(samples) },
        Tensor { dims: vec![n, 10], values: TensorValues::I64(labels) },
        Tensor { dims: vec![n, 10], values: TensorValues::F64(rows) },
    ]
}

fn converted(root: &Path, [samples, labels, predictions]: [Tensor; 3]) -> Result<(), DataError> {
    let folder = root.join("ambiguous-mnist");
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name);
    let files = set("ambiguous-mnist").1;
    convert::convert(files, &folder, (&path("s.pt"), samples), (&path("l.pt"), labels), (&path("p.pt"), predictions))
}

#[test]
fn published_tensors_become_a_set() {
    let folder = tempfile::tempdir().unwrap();
    converted(folder.path(), published()).unwrap();
    let locations = Locations::new(Some(folder.path().into()), None, None);
    let (set, _) = set("ambiguous-mnist");
    let train = load_ambiguous(set, Half::Train, &locations).unwrap();
    let test = load_ambiguous(set, Half::Test, &locations).unwrap();
    assert_eq!((train.images.len(), test.images.len()), (6_000, 6_000));
    assert_eq!(train.images.get(255).unwrap()[..2], [255, 128]);
    assert_eq!(test.images.get(1).unwrap()[0], (6_001 % 256) as u8);
    assert_eq!(test.labels[30..40], [3; 10]);
    assert_eq!(test.soft_labels[30..40], [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    // Complete and coherent: nothing is asked of any mirror.
    let mut present = 0;
    let files = fetch(set, folder.path(), &[], &mut |event| {
        present += i32::from(matches!(event, FetchEvent::Present { .. }));
        ControlFlow::Continue(())
    });
    assert_eq!((files.unwrap().len(), present), (6, 3));
}

#[test]
fn tensors_that_are_not_the_set_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |change: fn(&mut [Tensor; 3])| {
        let mut tensors = published();
        change(&mut tensors);
        converted(folder.path(), tensors).unwrap_err()
    };
    assert!(matches!(refused(|t| t[0].dims = vec![12_000, 784]), DataError::WrongShape { .. }));
    assert!(matches!(refused(|t| t.swap(1, 2)), DataError::IdxKind { .. }));
    let bad = refused(|t| t[1].values = TensorValues::I64([vec![-1], vec![0; 119_999]].concat()));
    assert!(matches!(bad, DataError::Label { index: 0, found: -1, .. }));
    let bad = refused(|t| t[2].values = TensorValues::F32(vec![0.2; 120_000]));
    assert!(matches!(bad, DataError::Probabilities { row: 0, .. }));
    let bad = refused(|t| t[0].values = TensorValues::F32(vec![f32::NAN; 12_000 * 784]));
    assert!(matches!(bad, DataError::Intensity { index: 0, .. }));
    assert_eq!(std::fs::read_dir(folder.path().join("ambiguous-mnist")).unwrap().count(), 0);
}

#[test]
fn every_mirror_is_a_folder() {
    for (set, files) in Catalogue::built_in().unwrap().sets() {
        assert!(files.mirrors.iter().all(|m| m.starts_with("http") && m.ends_with('/')), "{set}");
    }
}

/// The whole way with the real files, served from this machine.
#[test]
fn real_mnist_is_fetched_verified_and_kept() {
    let source = Locations::from_environment(None, None);
    let Ok(paths) = source.find(set("mnist").0) else {
        eprintln!("LEFT OUT: fetching the real MNIST (set QBNN_DATA to a folder with mnist)");
        return;
    };
    let read = |path: &PathBuf| {
        let mut bytes = vec![];
        std::fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let (url, server) = serve(paths.iter().map(|p| Answer::Ranged(read(p))).collect());
    let mirrors = [url];
    let folder = tempfile::tempdir().unwrap();
    let mut counts = [0; 2];
    let mut run = || {
        fetch(set("mnist").0, folder.path(), &mirrors, &mut |event| {
            counts[0] += i32::from(matches!(event, FetchEvent::Verified { .. }));
            counts[1] += i32::from(matches!(event, FetchEvent::Present { .. }));
            ControlFlow::Continue(())
        })
    };
    assert_eq!(run().unwrap().len(), 4);
    server.join().unwrap();
    run().unwrap();
    assert_eq!(counts, [4, 4]);
    let plain = folder.path().join("mnist/t10k-labels-idx1-ubyte");
    std::fs::write(&plain, b"wrong").unwrap();
    assert!(fetch(set("mnist").0, folder.path(), &mirrors, &mut |_| ControlFlow::Continue(())).is_err());
}
