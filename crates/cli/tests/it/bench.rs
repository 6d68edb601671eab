//! `qbnn bench`: every row is there, beside a limit of the same run; no test asserts a time.

use crate::common::{fail, json, succeed, tiny};
use serde_json::Value;
use std::fs;

#[test]
fn models_are_measured_and_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    succeed(at, &tiny(&["run", "--out", "a"]));
    let model = "a/jq-mu4s2w8a4.qbnn";
    let sizes = ["--quick", "--batch", "1,40", "--bench-threads", "1,2"];
    let text = succeed(at, &[&["bench", model, "--json", "--record", "records"][..], &sizes].concat());
    let report: Value = serde_json::from_str(&text).unwrap();
    let network = &report["networks"][0];
    assert_eq!((&network["name"], &network["file"]), (&"mlp".into(), &model.into()));
    assert_eq!(network["file_bytes"], fs::metadata(at.join(model)).unwrap().len());
    let rows = network["rows"].as_array().unwrap();
    for what in ["limit", "copy", "drawing", "materialised", "streamed", "float"] {
        for threads in [1, 2] {
            let found: Vec<_> = rows.iter().filter(|r| r["what"] == what && r["threads"] == threads).collect();
            let with_images = ["materialised", "streamed", "float"].contains(&what);
            assert_eq!(found.len(), if with_images { 2 } else { 1 }, "{what}");
            for row in found {
                assert!(row["rate"].as_f64().unwrap() > 0.0 && row["seconds"].as_f64().unwrap() > 0.0, "{row}");
                assert_eq!(row["of_limit"].is_null(), ["limit", "copy"].contains(&what), "{row}");
            }
        }
    }
    assert_eq!(report["bars"].as_array().unwrap().len(), 0, "the bar of the mlp is for batches of 1000");
    let records: Vec<_> = fs::read_dir(at.join("records")).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(records.len() == 1 && records[0].to_string_lossy().ends_with("-run.json"), "{records:?}");
    assert_eq!(json(&records[0]), report);

    let shown = succeed(at, &[&["bench", model][..], &sizes].concat());
    assert!(shown.contains("G multiply-adds/s") && shown.contains("images/s"), "{shown}");

    // The built-in networks, and of the bars those whose batches were measured.
    let text = succeed(at, &["bench", "--json", "--quick", "--batch", "1", "--bench-threads", "1"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let names: Vec<_> = report["networks"].as_array().unwrap().iter().map(|n| n["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["lenet5", "mlp"]);
    let bars: Vec<_> = report["bars"].as_array().unwrap().iter().map(|b| b["what"].as_str().unwrap()).collect();
    let wanted = ["streamed over materialised", "weights drawn", "PFP over one float pass"];
    assert!(bars.len() == 3 && bars.iter().zip(wanted).all(|(bar, wanted)| bar.contains(wanted)), "{bars:?}");
    assert!(fail(at, 1, &["bench", "a/float.safetensors"]).contains("no qbnn model"));
    assert!(fail(at, 1, &["bench", "nowhere.qbnn"]).contains("nowhere.qbnn"));
}
