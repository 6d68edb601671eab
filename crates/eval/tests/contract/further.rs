//! Groups beyond the first of each role, and groups that shifts made.

use super::*;

#[test]
fn groups_that_disagree_are_refused() {
    let refuse = |change: fn(&mut Groups)| {
        let mut groups = groups(4, 0);
        change(&mut groups);
        evaluate(&groups, &QUICK).unwrap_err()
    };
    let error = refuse(|g| g.0[0].labels.truncate(49));
    assert_eq!(error, EvalError::LabelCount { found: 49, wanted: 50 });
    let error = refuse(|g| g.0[0].labels[7] = 4);
    assert_eq!(error, EvalError::LabelRange { label: 4, input: 7, classes: 4 });
    let error = refuse(|g| g.0[2].predictions = some(5, 30, 4, 0, 1.0));
    assert!(matches!(error, EvalError::GroupsDisagree { ref group, dimension: "samples", .. } if group == "ood"));
    let error = refuse(|g| g.0[2].predictions = some(4, 30, 3, 0, 1.0));
    assert!(matches!(error, EvalError::GroupsDisagree { dimension: "classes", .. }));
    let error = refuse(|g| g.0[1].soft_labels = Some(vec![0.25; 3]));
    assert!(matches!(error, EvalError::LengthsDiffer { left: 3, right: 160, .. }));
    let error = refuse(|g| g.0[1].soft_labels = Some(vec![f32::NAN; 160]));
    assert!(matches!(error, EvalError::NotAProbability { .. }));
    assert_eq!(refuse(|g| g.0.retain(|g| g.role != Role::Clean)), EvalError::NoClean);
    let twice = refuse(|g| g.0[2].name = "clean".into());
    assert_eq!(twice, EvalError::GroupTwice { name: "clean".into() });
}

/// Whatever is added to the first groups of their roles, wherever it stands, changes no figure of theirs.
#[test]
fn further_groups_change_no_figure_of_the_first() {
    let (few, more) = (groups(8, 0), more_groups(8, 0));
    assert_eq!(more.iter().map(|g| g.name.as_str()).collect::<Vec<_>>()[..4], ["ood", "clean", "ambiguous", "near"]);
    let [few, more] = [&few, &more].map(|g| evaluate(g, &QUICK).unwrap());
    for h in Headline::ALL {
        assert_eq!((few.value(h), few.interval(h), few.tied(h)), (more.value(h), more.interval(h), more.tied(h)));
    }
    assert_eq!((few.counts(), few.mean_uncertainty()), (more.counts(), more.mean_uncertainty()));
    assert_eq!(few.labels(), more.labels());
}

/// A further group has the figures that it would have, were it the first of its role.
#[test]
fn a_further_group_is_measured_as_the_first_would_be() {
    let all = more_groups(8, 0);
    let more = evaluate(&all, &QUICK).unwrap();
    let names: Vec<_> = more.further().map(|g| g.name).collect();
    assert_eq!(names, ["near", "second-clean", "second-ambiguous", "second-ood", "noise"]);
    for group in more.further() {
        let measured = group.measured;
        let mut alone = all.clone();
        alone.0.retain(|g| g.role != group.role && g.role != Role::Shifted || g.name == *group.name);
        if group.role == Role::Shifted {
            // Measured by itself, as a clean one.
            alone = Groups(vec![TestGroup { role: Role::Clean, ..all.named(group.name).unwrap().clone() }]);
        }
        let alone = evaluate(&alone, &QUICK).unwrap();
        for h in Headline::ALL {
            let wanted = alone.value(h).filter(|_| h.is_of(group.role));
            assert_eq!(measured.value(h), wanted, "{} of {}", h.name(), group.name);
            assert_eq!(more.value_of(group.name, h), wanted);
            // Of 20 inputs some resample may have no wrong prediction, or no right one.
            if !matches!(h, Headline::ErrorAuroc(_)) {
                assert_eq!(measured.interval(h).is_some(), wanted.is_some(), "{} of {}", h.name(), group.name);
            }
        }
    }
    assert_eq!(more.value_of("clean", Headline::Accuracy), more.value(Headline::Accuracy));
    assert_eq!(more.value_of("nobody", Headline::Accuracy), None);
}

/// Groups made by two shifts, of two severities and of one.
fn shifted_groups(salt: usize) -> Groups {
    let mut all = more_groups(8, salt);
    for (i, (kind, severity)) in [("blur", 1), ("noise", 2), ("noise", 4)].into_iter().enumerate() {
        let shift = Shift { kind: kind.into(), severity };
        let group = TestGroup::shifted(some(8, 20, 4, salt + 9 + i, 0.5), vec![1; 20]).named(shift.group());
        all.0.push(TestGroup { shift: Some(shift), ..group });
    }
    all
}

/// Means over shifts are those of their groups, resample by resample; groups that no shift made have no part in them.
#[test]
fn groups_made_by_shifts_have_means_and_change_no_other_figure() {
    let (plain, all) = (evaluate(&more_groups(8, 0), &QUICK).unwrap(), evaluate(&shifted_groups(0), &QUICK).unwrap());
    let other = evaluate(&shifted_groups(3), &QUICK).unwrap();
    let names: Vec<_> = all.further().skip(5).map(|g| (g.name, g.inputs)).collect();
    let made = [("blur-1", 20), ("noise-2", 20), ("noise-4", 20)];
    // One group of a kind is no mean.
    assert_eq!(names, [&made[..], &[(SHIFTS_MEAN, 60), ("noise@mean", 40)]].concat());
    for (before, after) in plain.further().zip(all.further()) {
        for h in Headline::ALL {
            assert_eq!(before.measured.value(h), after.measured.value(h));
            assert_eq!(before.measured.interval(h), after.measured.interval(h));
        }
    }
    for (mean, of) in [(SHIFTS_MEAN, &["blur-1", "noise-2", "noise-4"][..]), ("noise@mean", &["noise-2", "noise-4"])] {
        for h in [Headline::Accuracy, Headline::Nll, Headline::Brier, Headline::Ece] {
            let wanted = of.iter().map(|g| all.value_of(g, h).unwrap()).sum::<f64>() / of.len() as f64;
            assert!((all.value_of(mean, h).unwrap() - wanted).abs() < 1e-12);
            let found = all.further().find(|g| g.name == mean).unwrap();
            let [low, high] = found.measured.interval(h).unwrap();
            assert!(low <= wanted && wanted <= high && low < high, "{low} {wanted} {high}");
        }
        assert_eq!(all.value_of(mean, Headline::Auroc(Score::Total, Contrast::OodVsClean)), None);
    }
    let mut metrics = Metrics::new("x", 1);
    metrics.models.push(ModelEntry::new(description("float", Strategy::Float, Bits::FLOAT), &all));
    metrics.differences.push(compare("other", &other, "float", &all).unwrap());
    metrics.check().unwrap();
    let text = serde_json::to_string(&metrics).unwrap();
    assert!(text.contains(r#""name":"noise-4","role":"shifted","shift":{"kind":"noise","severity":4}"#), "{text}");
    assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics);
    // Tables show the mean in the place of its groups, and whatever bears a name of its own.
    let shown: Vec<_> = metrics.measures(&[Headline::Accuracy]).iter().map(Measure::name).collect();
    let wanted = ["accuracy", "second-clean:accuracy", "noise:accuracy", "shifts@mean:accuracy"];
    assert_eq!(shown, wanted);
    let measure = Measure::named("shifts@mean:accuracy").unwrap();
    let difference = metrics.differences[0].measured(&measure).unwrap();
    let of = |e: &Evaluation| e.value_of(SHIFTS_MEAN, Headline::Accuracy).unwrap();
    assert!((difference.value - (of(&other) - of(&all))).abs() < 1e-12 && difference.ci95.is_some());
}

#[test]
fn further_groups_are_written_read_and_compared() {
    let [float, other] = [0, 3].map(|salt| evaluate(&more_groups(8, salt), &QUICK).unwrap());
    let mut metrics = Metrics::new("x", 1);
    let mut entry = ModelEntry::new(description("float", Strategy::Float, Bits::FLOAT), &float);
    entry.by_samples = by_samples(&more_groups(8, 0)).unwrap();
    metrics.models.push(entry);
    metrics.models.push(ModelEntry::new(description("jq", Strategy::Jq, Bits::FLOAT), &other));
    metrics.differences.push(compare("jq", &other, "float", &float).unwrap());
    metrics.check().unwrap();
    let json = serde_json::to_value(&metrics).unwrap();
    let near = &json["models"][0]["groups"][0];
    assert_eq!((&near["name"], &near["role"], &near["inputs"]), (&json!("near"), &json!("ood"), &json!(25)));
    assert!(near["metrics"]["auroc_epistemic_ood_vs_clean"].is_f64() && near["metrics"].get("accuracy").is_none());
    assert_eq!(serde_json::from_value::<Metrics>(json).unwrap(), metrics);
    let measure = Measure { group: Some("noise".into()), headline: Headline::Accuracy };
    let values = metrics.models.iter().map(|m| m.measured(&measure).unwrap()).collect::<Vec<_>>();
    assert_eq!(metrics.differences[0].measured(&measure).unwrap().value, values[1] - values[0]);
    let last = metrics.models[0].by_samples.last().unwrap();
    let noise = last.groups.iter().find(|g| g.name == "noise").unwrap();
    assert_eq!(noise.metrics.get(Headline::Accuracy).unwrap().mean, values[0]);
    // Other groups are not the same inputs.
    let few = evaluate(&groups(8, 0), &QUICK).unwrap();
    assert!(matches!(compare("a", &few, "b", &float), Err(EvalError::NotPaired { .. })));
    // A file of groups that are the first of their roles has no such field.
    let text = serde_json::to_string(&file()).unwrap();
    assert!(!text.contains("\"groups\""));
}
