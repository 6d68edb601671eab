//! What is refused, and how the refusal helps.

use crate::support::{NETWORK, Tensor, fixture, found, network, told, write};
use qbnn::import::assign::{Taking, assign};
use qbnn::import::{self, Layout, Told};
use std::path::PathBuf;

/// A file of the neutral form: a layer of 4 inputs and 3 outputs behind one of 16 inputs.
fn arrays(change: impl Fn(&mut Vec<Tensor<'static>>)) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let mut tensors: Vec<Tensor<'static>> = vec![
        ("a.weight.mu", vec![4, 16], vec![0.5; 64]),
        ("a.weight.sigma", vec![4, 16], vec![0.1; 64]),
        ("a.bias.mu", vec![4], vec![0.0; 4]),
        ("a.bias.sigma", vec![4], vec![0.2; 4]),
        ("b.weight.mu", vec![3, 4], vec![0.25; 12]),
        ("b.weight.sigma", vec![3, 4], vec![0.1; 12]),
    ];
    change(&mut tensors);
    write(&path, &tensors);
    (dir, path)
}

const DENSE: &str = "name = \"dense\"\n[[layer]]\ntype = \"dense\"\nout = 4\n[[layer]]\ntype = \"dense\"\nout = 3\n";

/// The whole way of such a file; an error as text.
fn taken(change: impl Fn(&mut Vec<Tensor<'static>>), told: &Told) -> Result<Vec<f32>, String> {
    let (_dir, path) = arrays(change);
    let found = import::read(&path, told, None).map_err(|e| e.to_string())?;
    let posterior = assign(&found, &network(DENSE, 4, 3), &Taking::default())?;
    Ok(posterior.mu)
}

fn refused(change: impl Fn(&mut Vec<Tensor<'static>>)) -> String {
    let error = taken(change, &Told::default()).unwrap_err();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn the_neutral_form_is_taken() {
    assert_eq!(taken(|_| {}, &Told::default()).unwrap()[..2], [0.5, 0.5]);
}

#[test]
fn shapes_are_compared_and_not_numbers_of_elements() {
    let turned = |tensors: &mut Vec<Tensor<'static>>| {
        tensors[4].1 = vec![4, 3];
        tensors[5].1 = vec![4, 3];
    };
    let error = refused(turned);
    assert!(
        error.contains("the file has a [4, 16], b [4, 3]; the network dense wants dense1 [4, 16], dense2 [3, 4]"),
        "{error}"
    );
    assert!(error.contains("--layout jax"), "{error}");
    // As a JAX file only the other layer is turned.
    let (_dir, path) = arrays(turned);
    let found = import::read(&path, &Told::default(), Some(Layout::Jax)).unwrap();
    let error = assign(&found, &network(DENSE, 4, 3), &Taking::default()).unwrap_err();
    assert!(error.contains("a [16, 4], b [3, 4]") && error.contains("--layout torch"), "{error}");
    // A layer fewer or more.
    let error = assign(&found, &network(NETWORK, 4, 3), &Taking::default()).unwrap_err();
    assert!(error.contains("conv1 [2, 1, 3, 3], dense1 [3, 8]") && error.contains("--net"), "{error}");
}

#[test]
fn a_sigma_that_is_none_is_refused_by_name_with_the_other_rules() {
    for wrong in [-0.1, 0.0, f32::NAN, f32::INFINITY] {
        let error = refused(|t| t[1].2[7] = wrong);
        assert!(error.contains("a.weight.mu: sigma = std of a.weight.sigma") && error.contains("number 7"), "{error}");
        assert!(error.contains("--sigma"), "{error}");
    }
    let error = refused(|t| t[0].2[7] = f32::NAN);
    assert!(error.contains("a.weight.mu holds the mean NaN"), "{error}");
}

#[test]
fn a_tensor_that_is_left_over_is_refused_until_it_is_ignored() {
    let more = |t: &mut Vec<Tensor<'static>>| t.push(("log_temperature", vec![2], vec![0.0; 2]));
    let error = refused(more);
    assert!(error.contains("log_temperature [2]") && error.contains("--ignore"), "{error}");
    let told = Told { ignored: vec!["log_temperature".into()], ..Told::default() };
    assert!(taken(more, &told).is_ok());
}

#[test]
fn a_state_dict_of_pyro_does_not_say_how_scales_are_stored() {
    let pyro = |t: &mut Vec<Tensor<'static>>| {
        let names =
            ["locs.a.weight", "scales.a.weight", "locs.a.bias", "scales.a.bias", "locs.b.weight", "scales.b.weight"];
        for (tensor, name) in t.iter_mut().zip(names) {
            tensor.0 = Box::leak(format!("{name}_unconstrained").into_boxed_str());
        }
    };
    let error = refused(pyro);
    assert!(error.contains("--from pyro (softplus, its default)") && error.contains("get_param_store"), "{error}");
    assert!(taken(pyro, &told(Some("pyro"))).is_ok());
    let sigma = Told { sigma: "log-std".parse().ok(), ..Told::default() };
    assert!(taken(pyro, &sigma).is_ok());
}

#[test]
fn names_of_two_libraries_or_of_none_are_told() {
    let unknown = refused(|t| t.iter_mut().for_each(|t| t.0 = Box::leak(t.0.replace(".mu", ".q").into_boxed_str())));
    assert!(unknown.contains("a.weight.q") && unknown.contains("--map"), "{unknown}");
    let two = refused(|t| {
        t.push(("c.mu_weight", vec![1, 1], vec![1.0]));
        t.push(("c.rho_weight", vec![1, 1], vec![1.0]));
    });
    assert!(two.contains("of bayesian-torch and of arrays") && two.contains("--from"), "{two}");
    let full =
        refused(|t| *t = vec![("guide.loc", vec![3], vec![0.0; 3]), ("guide.scale_tril", vec![3, 3], vec![0.0; 9])]);
    assert!(full.contains("full, low-rank or Kronecker covariance"), "{full}");
}

#[test]
fn layers_of_one_shape_need_names() {
    let net = "name = \"same\"\n[[layer]]\ntype = \"dense\"\nname = \"first\"\nout = 4\n[[layer]]\ntype = \"dense\"\n\
               name = \"second\"\nout = 4\n[[layer]]\ntype = \"dense\"\nname = \"last\"\nout = 3\n";
    let (_dir, path) = arrays(|t| {
        // In the file: last, second, first.
        let square = |name: &'static str, value: f32| [(name, vec![4, 4], vec![value; 16])];
        let rest = t.split_off(4);
        t.clear();
        t.extend([
            ("z.last.weight.mu", rest[0].1.clone(), rest[0].2.clone()),
            ("z.last.weight.sigma", rest[1].1.clone(), rest[1].2.clone()),
        ]);
        t.extend(square("z.second.weight.mu", 2.0));
        t.extend(square("z.second.weight.sigma", 0.1));
        t.extend(square("z.first.weight.mu", 1.0));
        t.extend(square("z.first.weight.sigma", 0.1));
    });
    let found = import::read(&path, &Told::default(), None).unwrap();
    let posterior = assign(&found, &network(net, 2, 3), &Taking::default()).unwrap();
    assert_eq!((posterior.mu[0], posterior.mu[20], posterior.mu[40]), (1.0, 2.0, 0.25));
    // Under other names nothing says which is which.
    let error = assign(&found, &network(&net.replace("first", "one"), 2, 3), &Taking::default()).unwrap_err();
    assert!(error.contains("could be either"), "{error}");
}

#[test]
fn an_optimizer_or_a_covariance_that_does_not_fit_is_told() {
    let net = network(DENSE, 4, 3);
    let error = assign(&found("laplace_diag.pt"), &net, &Taking::default()).unwrap_err();
    assert!(error.contains("47 numbers") && error.contains("the network has 83"), "{error}");
    let told = Told { sigma: "std".parse().ok(), ..Told::default() };
    let error = import::read(&fixture("ivon.pt"), &told, None).unwrap_err().to_string();
    assert!(error.contains("leave out --sigma"), "{error}");
}

#[test]
fn whole_modules_are_refused_with_their_class() {
    for (name, place) in [("whole.pt", "it holds a whole"), ("whole_inside.pt", "its item model is a whole")] {
        let error = import::read(&fixture(&format!("../wrong_posteriors/{name}")), &Told::default(), None).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(place) && error.contains("__main__.Net") && error.contains("state_dict"), "{error}");
    }
}
