//! The file of each library.

use crate::support::{NETWORK, fixture, found, network, posterior, told};
use qbnn::import::assign::{DETERMINISTIC, Taking, assign};
use qbnn::import::{self, Family, SigmaRule, Told};
use serde_json::Value;

const FILES: [(&str, Family); 12] = [
    ("pyro_autonormal.pt", Family::Pyro),
    ("tyxe.pt", Family::Tyxe),
    ("tyxe_max.pt", Family::Tyxe),
    ("bayesian_torch.pt", Family::BayesianTorch),
    ("bayesian_torch_bn.pt", Family::BayesianTorch),
    ("torchbnn.pt", Family::Torchbnn),
    ("blitz_nobias.pt", Family::Blitz),
    ("torch_uncertainty.ckpt", Family::TorchUncertainty),
    ("ivon.pt", Family::Ivon),
    ("laplace_diag.pt", Family::Laplace),
    ("numpyro.npz", Family::Numpyro),
    ("tfp.npz", Family::Tfp),
];

#[test]
fn every_file_is_recognised_and_gives_the_numbers_that_its_library_draws_from() {
    let expected: Value = serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap();
    let net = network(NETWORK, 4, 3);
    for (name, family) in FILES {
        let found = found(name);
        assert_eq!(found.family, family, "{name}");
        let posterior = posterior(&found);
        for (tensor, part) in net.tensors.iter().zip(["conv.weight", "conv.bias", "fc.weight", "fc.bias"]) {
            for (what, values) in [("mu", &posterior.mu), ("sigma", &posterior.sigma)] {
                let wanted = &expected[name][format!("{part}.{what}")];
                let wanted: Vec<f64> = match wanted.as_array() {
                    Some(values) => values.iter().map(|v| v.as_f64().unwrap()).collect(),
                    None => vec![DETERMINISTIC; tensor.range.len()],
                };
                assert_eq!(wanted.len(), tensor.range.len(), "{name} {part}");
                for (found, wanted) in values[tensor.range.clone()].iter().zip(wanted) {
                    let off = (f64::from(*found) - wanted).abs();
                    assert!(off <= 1e-6 * wanted.abs(), "{name} {part}.{what}: {found} and {wanted}");
                }
            }
        }
    }
}

#[test]
fn pyro_and_tyxe_differ_in_the_function_alone() {
    let rule = |name: &str| match &found(name).layers[0].weight.sigma {
        import::found::FoundSigma::Stored { rule, .. } => rule.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(rule("pyro_autonormal.pt"), "softplus");
    assert_eq!(rule("tyxe.pt"), "log-std");
    assert_eq!(rule("tyxe_max.pt"), "interval 0 to 0.1");
}

#[test]
fn what_is_told_counts_over_file_and_library() {
    let told = Told { sigma: Some(SigmaRule::Softplus { add: 0.0 }), ..told(None) };
    let read = import::read(&fixture("tyxe.pt"), &told, None).unwrap();
    let (softplus, exp) = (posterior(&read), posterior(&found("tyxe.pt")));
    assert_eq!(softplus.mu, exp.mu);
    // ln(1 + x) < x
    assert!(softplus.sigma.iter().zip(&exp.sigma).all(|(s, e)| s < e));
}

#[test]
fn the_prior_is_read_where_the_file_has_it() {
    let prior = |name: &str| found(name).prior_sigma;
    let near = |prior: Option<f64>, wanted: f64| (prior.unwrap() / wanted - 1.0).abs() < 1e-6;
    assert!(near(prior("ivon.pt"), (1000.0f64 * 1e-4).sqrt().recip()));
    assert!(near(prior("laplace_diag.pt"), 50.0f64.sqrt().recip()));
    assert_eq!(prior("pyro_autonormal.pt"), None);
}

#[test]
fn biases_that_are_not_used_are_left_out_when_told() {
    let found = found("blitz_nobias.pt");
    assert!(found.warnings.iter().any(|w| w.contains("--no-bias")), "{:?}", found.warnings);
    let taking = Taking { no_bias: vec!["conv".into(), "fc".into()], ..Taking::default() };
    let net = network(NETWORK, 4, 3);
    let posterior = assign(&found, &net, &taking).unwrap();
    let biases = net.tensors.iter().filter(|t| t.bias).flat_map(|t| t.range.clone());
    assert!(biases.clone().all(|at| posterior.mu[at] == 0.0 && f64::from(posterior.sigma[at]) == DETERMINISTIC));
    assert_eq!(posterior.deterministic, biases.count());
    let unknown = assign(&found, &net, &Taking { no_bias: vec!["conv1".into()], ..Taking::default() });
    assert!(unknown.unwrap_err().contains("the file's layers are conv, fc"));
}
