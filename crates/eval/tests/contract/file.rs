//! The fields of `metrics.json`: written, read back, read of earlier versions.

use super::*;

#[test]
fn the_schema_has_these_fields() {
    let metrics = file();
    metrics.check().unwrap();
    let json = serde_json::to_value(&metrics).unwrap();
    let has = |value: &Value, fields: &[&str]| {
        for field in fields {
            assert!(value.get(field).is_some(), "{field} is missing from {:?}", keys(value));
        }
    };
    has(&json, &["schema_version", "dataset", "seed", "models", "differences"]);
    assert_eq!(
        (&json["schema_version"], &json["dataset"], &json["seed"]),
        (&json!(2), &json!("dirty-mnist"), &json!(42))
    );
    let entry = &json["models"][1];
    has(
        entry,
        &["name", "strategy", "bits", "samples", "parameter_bytes", "parameters", "ci95", "mean_uncertainty", "counts"],
    );
    has(&entry["calibrator"], &["inputs", "temperature", "alpha", "rules"]);
    let rules = entry["calibrator"]["rules"].as_array().unwrap();
    let names: Vec<_> = rules.iter().map(|rule| rule["score"].as_str().unwrap()).collect();
    assert_eq!(names, ["lac", "aps", "aps-randomised"]);
    assert_eq!((&entry["strategy"], &json["models"][0]["strategy"]), (&json!("jq"), &json!("float")));
    assert_eq!(entry["bits"], json!({"mu": 4, "sigma": 4, "weight": 4, "activation": 4}));
    assert_eq!(entry["samples"], json!(8));
    assert_eq!(entry["parameters"], json!({"weights_bytes": 80, "biases_bytes": 16, "scales_bytes": 4}));
    assert_eq!(entry["counts"], json!({"clean": 50, "ambiguous": 40, "ood": 30}));
    for headline in Headline::ALL {
        let name = headline.name();
        assert!(entry[name].is_f64(), "{name}");
        assert_eq!(entry["ci95"][name].as_array().map(Vec::len), Some(2), "{name}");
        assert_eq!(keys(&json["differences"][0][name]), ["ci95", "value"], "{name}");
    }
    for group in ["clean", "ambiguous", "ood"] {
        has(&entry["mean_uncertainty"][group], &["total", "aleatoric", "epistemic"]);
    }
    has(&json["differences"][0], &["name", "against"]);
    assert!(json["differences"][0].get("metrics").is_none());
}

#[test]
fn what_was_written_is_read_back() {
    let metrics = file();
    let text = serde_json::to_string(&metrics).unwrap();
    assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics);
}

#[test]
fn a_reader_meets_added_and_absent_fields_unmoved() {
    let mut json = serde_json::to_value(file()).unwrap();
    json["future"] = json!({"a": 1});
    json["models"][0]["future"] = json!("b");
    json["differences"][0]["future"] = json!("c");
    json["models"][0].as_object_mut().unwrap().remove("mean_uncertainty");
    json["models"][0].as_object_mut().unwrap().remove("parameters");
    json["differences"][0].as_object_mut().unwrap().remove("ece");
    let read: Metrics = serde_json::from_value(json).unwrap();
    assert_eq!((read.models[0].parameters, read.models[0].mean_uncertainty), (None, GroupMeans::default()));
    assert_eq!(*read.differences[0].metrics.get(Headline::Ece), None);
    assert!(read.differences[0].metrics.get(Headline::Nll).is_some());
}

/// As version 1 wrote it: some AUROCs against clean, some against clean + ambiguous, and no name said which.
#[test]
fn a_file_of_version_1_is_read_as_what_it_meant() {
    let mut json = serde_json::to_value(file()).unwrap();
    json["schema_version"] = json!(1);
    let old = [
        ("auroc_epistemic_ood", "auroc_epistemic_ood_vs_clean_ambiguous"),
        ("auroc_aleatoric_ambiguous", "auroc_aleatoric_ambiguous_vs_clean"),
        ("auroc_epistemic_ambiguous", "auroc_epistemic_ambiguous_vs_clean"),
        ("auroc_aleatoric_ood", "auroc_aleatoric_ood_vs_clean"),
        ("auroc_share_ood", "auroc_share_ood_vs_clean_ambiguous"),
        ("auroc_share_ambiguous", "auroc_share_ambiguous_vs_clean"),
    ];
    let rename = |object: &mut Value| {
        let object = object.as_object_mut().unwrap();
        let values: Vec<_> = old.iter().map(|(old, new)| (*old, object.remove(*new).unwrap())).collect();
        object.retain(|name, _| !name.contains("_vs_"));
        object.extend(values.into_iter().map(|(name, value)| (name.to_owned(), value)));
    };
    for model in 0..2 {
        rename(&mut json["models"][model]["ci95"]);
        json["models"][model].as_object_mut().unwrap().remove("tied_pairs");
        rename(&mut json["models"][model]);
    }
    rename(&mut json["differences"][0]);
    let (read, new): (Metrics, Metrics) = (serde_json::from_value(json).unwrap(), file());
    read.check().unwrap();
    assert_eq!(read.schema_version, SCHEMA_VERSION);
    for headline in Headline::ALL {
        let known = !headline.name().contains("_vs_") || old.iter().any(|o| o.1 == headline.name());
        for (read, new) in read.models.iter().zip(&new.models) {
            assert_eq!(read.value(headline), new.value(headline).filter(|_| known), "{}", headline.name());
            assert_eq!(read.interval(headline), new.interval(headline).filter(|_| known), "{}", headline.name());
        }
        let [read, new] = [&read, &new].map(|m| *m.differences[0].metrics.get(headline));
        assert_eq!(read, new.filter(|_| known), "{}", headline.name());
    }
}

/// As written before AUPR, FPR95 and the metrics of errors were measured: what is absent is absent, and it is the same network.
#[test]
fn a_file_without_the_later_metrics_is_read() {
    let later = ["aupr_", "fpr95_", "error_auroc_", "aurc_", "augrc_", "coverage_", "set_size_", "calibrator"];
    let later = [&later[..], &["nll_at_temperature", "ece_at_temperature"]].concat();
    fn remove(value: &mut Value, later: &[&str]) {
        if let Some(object) = value.as_object_mut() {
            object.retain(|name, _| !later.iter().any(|l| name.starts_with(l)));
            object.values_mut().for_each(|v| remove(v, later));
        }
        value.as_array_mut().into_iter().flatten().for_each(|v| remove(v, later));
    }
    let mut json = serde_json::to_value(file()).unwrap();
    remove(&mut json, &later);
    let (read, new): (Metrics, Metrics) = (serde_json::from_value(json).unwrap(), file());
    read.check().unwrap();
    for headline in Headline::ALL {
        let known = !later.iter().any(|l| headline.name().starts_with(l));
        for (read, new) in read.models.iter().zip(&new.models) {
            assert_eq!(read.value(headline), new.value(headline).filter(|_| known), "{}", headline.name());
        }
    }
    assert!(read.models[0].is_same_network(&new.models[0]) && !read.models[0].is_same_network(&new.models[1]));
}

#[test]
fn a_file_that_json_cannot_hold_is_refused() {
    let mut metrics = file();
    *metrics.models[1].values.get_mut(Headline::Nll) = Some(f64::NAN);
    let error = metrics.check().unwrap_err();
    assert_eq!(error, EvalError::NotFinite { field: "nll".into(), name: "jq-w4a4".into() });
    *metrics.models[1].values.get_mut(Headline::Nll) = None;
    assert_eq!(metrics.check(), Err(EvalError::MissingMetric { metric: "nll", name: "jq-w4a4".into() }));
    metrics.schema_version = 3;
    assert_eq!(metrics.check(), Err(EvalError::SchemaVersion { found: 3, wanted: 2 }));
}
