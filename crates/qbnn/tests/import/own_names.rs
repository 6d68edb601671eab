//! Files of one's own, names with more around them, and the order of layers in a file that is in the order of names.

use crate::support::{Tensor, network, told, write};
use qbnn::import::assign::{Posterior, Taking, assign};
use qbnn::import::{self, Family, Found, Told};

const DENSE: &str = "name = \"dense\"\n[[layer]]\ntype = \"dense\"\nout = 4\n[[layer]]\ntype = \"dense\"\nout = 3\n";

/// Reads a file of these tensors.
fn read(tensors: &[Tensor<'_>], told: &Told) -> Result<Found, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    write(&path, tensors);
    import::read(&path, told, None).map_err(|e| e.to_string())
}

fn taken(tensors: &[Tensor<'_>], told: &Told) -> Result<(Found, Posterior), String> {
    let found = read(tensors, told)?;
    let posterior = assign(&found, &network(DENSE, 4, 3), &Taking::default())?;
    Ok((found, posterior))
}

/// Two dense layers, 16 -> 4 -> 3, whose standard deviations are 0.1, stored as `stored` says; names of a layer's weights and
/// biases by patterns in which L, P and S stand for layer, part and what is stored.
fn named<'a>(patterns: [&str; 2], layers: [&str; 2], words: [&str; 2], stored: f32) -> Vec<Tensor<'a>> {
    let mut tensors: Vec<Tensor<'a>> = Vec::new();
    for (layer, [out, inputs]) in layers.into_iter().zip([[4, 16], [3, 4]]) {
        for (pattern, shape) in patterns.into_iter().zip([vec![out, inputs], vec![out]]) {
            for (word, value) in words.into_iter().zip([0.5, stored]) {
                let name = pattern.replace('L', layer).replace('S', word);
                let count = shape.iter().product();
                tensors.push((Box::leak(name.into_boxed_str()), shape.clone(), vec![value; count]));
            }
        }
    }
    tensors
}

#[test]
fn names_that_say_what_they_are_are_read_by_their_words() {
    let plain = ["L.weight_S", "L.bias_S"];
    for (patterns, words, stored) in [
        (plain, ["mu", "rho"], (0.1f32.exp_m1()).ln()),
        (plain, ["mean", "logvar"], 0.01f32.ln()),
        (plain, ["loc", "log_scale"], 0.1f32.ln()),
        (["L.weight.S", "L.bias.S"], ["mu", "var"], 0.01),
        (["L.W_S", "L.b_S"], ["mu", "p"], (0.1f32.exp_m1()).ln()),
        (["LwS", "LbS"], ["_mu", "_sigma"], 0.1),
        (["S_w.L", "S_b.L"], ["mu", "std"], 0.1),
        (["net/L/W/S", "net/L/b/S"], ["MEAN", "precision"], 100.0),
    ] {
        let tensors = named(patterns, ["fc1", "fc2"], words, stored);
        let (found, posterior) = taken(&tensors, &Told::default()).unwrap_or_else(|e| panic!("{words:?}: {e}"));
        assert!(posterior.mu.iter().all(|m| *m == 0.5), "{words:?}");
        assert!(posterior.sigma.iter().all(|s| (s - 0.1).abs() < 1e-6), "{words:?} {:?}", &posterior.sigma[..3]);
        // A library's own names need no warning.
        let is_library = found.family != Family::Arrays;
        assert!(is_library || found.warnings.iter().any(|w| w.contains("--elbo")), "{words:?} {:?}", found.warnings);
        assert_eq!(posterior.deterministic, 0);
    }
}

#[test]
fn a_word_that_does_not_explain_its_numbers_is_asked_about() {
    let below = named(["L.w_S", "L.b_S"], ["a1", "a2"], ["mu", "sigma"], -2.0);
    let error = read(&below, &Told::default()).unwrap_err();
    assert!(error.contains("is called sigma and holds numbers below 0") && error.contains("--sigma"), "{error}");
    let told = Told { sigma: "log-std".parse().ok(), ..Told::default() };
    assert!((taken(&below, &told).unwrap().1.sigma[0] - (-2.0f32).exp()).abs() < 1e-6);
    // A bias of no layer.
    let mut lost = named(["L.w_S", "L.b_S"], ["a1", "a2"], ["mu", "std"], 0.1);
    lost.extend([("gain_mu", vec![7], vec![0.5; 7]), ("gain_std", vec![7], vec![0.1; 7])]);
    let error = read(&lost, &Told::default()).unwrap_err();
    assert!(error.contains("gain_mu [7]") && error.contains("bias of no layer"), "{error}");
}

#[test]
fn wrappers_of_a_network_change_nothing() {
    for prefix in ["module.", "_orig_mod.", "module._orig_mod.", "model.net."] {
        let patterns = [format!("{prefix}L.S_weight"), format!("{prefix}L.S_bias")];
        let tensors = named([&patterns[0], &patterns[1]], ["fc1", "fc2"], ["mu", "rho"], (0.1f32.exp_m1()).ln());
        let (found, posterior) = taken(&tensors, &Told::default()).unwrap();
        assert_eq!(found.family, Family::BayesianTorch);
        assert!(posterior.sigma.iter().all(|s| (s - 0.1).abs() < 1e-6), "{prefix}");
    }
}

/// Three square layers whose means are their numbers in the network.
fn squares<'a>(names: [&str; 3]) -> Vec<Tensor<'a>> {
    let mut tensors: Vec<Tensor<'a>> = Vec::new();
    for (value, name) in [1.0, 2.0, 3.0].into_iter().zip(names) {
        for (word, value) in [("mu", value), ("sigma", 0.1)] {
            tensors.push((Box::leak(format!("{name}.weight.{word}").into_boxed_str()), vec![4, 4], vec![value; 16]));
        }
    }
    tensors
}

const SQUARES: &str = "name = \"squares\"\n[[layer]]\ntype = \"dense\"\nout = 4\n[[layer]]\ntype = \"dense\"\nout = 4\n\
                       [[layer]]\ntype = \"dense\"\nout = 4\n";

#[test]
fn layers_in_the_order_of_names_run_in_the_order_of_their_numbers() {
    let net = network(SQUARES, 2, 4);
    let means = |names| {
        let found = read(&squares(names), &Told::default())?;
        let posterior = assign(&found, &net, &Taking::default())?;
        Ok::<_, String>([posterior.mu[0], posterior.mu[20], posterior.mu[40]])
    };
    // As text, 10 is before 2.
    assert_eq!(means(["layers.0", "layers.2", "layers.10"]), Ok([1.0, 2.0, 3.0]));
    // `hidden` is before `in` in the file, and nothing says which runs first.
    let error = means(["in", "hidden", "out"]).unwrap_err();
    assert!(error.contains("in the order of names") && error.contains("--map"), "{error}");
}

#[test]
fn layers_that_the_network_has_not_are_left_out_when_told() {
    let mut tensors = named(["L.S_weight", "L.S_bias"], ["fc1", "fc2"], ["mu", "rho"], -2.0);
    tensors.extend([("aux.mu_weight", vec![9, 4], vec![1.0; 36]), ("aux.rho_weight", vec![9, 4], vec![-2.0; 36])]);
    let error = taken(&tensors, &Told::default()).unwrap_err();
    assert!(error.contains("aux [9, 4]") && error.contains("--ignore 'LAYER.*'"), "{error}");
    let ignore = |pattern: &str| Told { ignored: vec![pattern.to_owned()], ..Told::default() };
    assert!(taken(&tensors, &ignore("aux.*")).is_ok());
    let error = taken(&tensors, &ignore("auxiliary.*")).unwrap_err();
    assert!(error.contains("--ignore auxiliary.*: it has no tensor of this name"), "{error}");
}

#[test]
fn a_layer_that_repeats_another_one_is_passed_over_and_said() {
    let mut tensors = named(["L.S_weight", "L.S_bias"], ["fc1", "fc2"], ["mu", "rho"], -2.0);
    // Told from each other.
    tensors.iter_mut().enumerate().for_each(|(at, tensor)| tensor.2[0] += at as f32 / 100.0);
    let again: Vec<Tensor<'_>> = tensors
        .iter()
        .map(|(name, shape, values)| -> Tensor<'_> {
            (Box::leak(format!("shared.{name}").into_boxed_str()), shape.clone(), values.clone())
        })
        .collect();
    let once = taken(&tensors, &Told::default()).unwrap().1;
    tensors.extend(again);
    let (_, twice) = taken(&tensors, &Told::default()).unwrap();
    assert_eq!(twice.mu, once.mu);
    assert!(twice.warnings.iter().any(|w| w.contains("shared.fc1 (fc1)")), "{:?}", twice.warnings);
}

#[test]
fn means_without_standard_deviations_are_no_posterior() {
    let means: Vec<Tensor<'_>> = vec![("fc1.mu_weight", vec![4, 16], vec![0.5; 64])];
    let error = read(&means, &Told::default()).unwrap_err();
    assert!(error.contains("means and no standard deviations"), "{error}");
    let plain: Vec<Tensor<'_>> = vec![("fc1.weight", vec![4, 16], vec![0.5; 64]), ("fc1.bias", vec![4], vec![0.0; 4])];
    let error = read(&plain, &Told::default()).unwrap_err();
    assert!(error.contains("deterministic network"), "{error}");
    let flat: Vec<Tensor<'_>> = vec![("auto_loc", vec![9], vec![0.5; 9]), ("auto_scale", vec![9], vec![0.5; 9])];
    let error = read(&flat, &Told::default()).unwrap_err();
    assert!(error.contains("one vector over all parameters") && error.contains("AutoNormal"), "{error}");
}

#[test]
fn a_vector_over_all_parameters_of_pyro_is_split_in_the_order_of_layers() {
    let count = 4 * 16 + 4 + 3 * 4 + 3;
    let numbers: Vec<f32> = (0..count).map(|i| i as f32).collect();
    let tensors: Vec<Tensor<'_>> =
        vec![("loc", vec![count], numbers.clone()), ("scale_unconstrained", vec![count], vec![0.0; count])];
    let error = read(&tensors, &Told::default()).unwrap_err();
    assert!(error.contains("--from pyro"), "{error}");
    let (found, posterior) = taken(&tensors, &told(Some("pyro"))).unwrap();
    assert_eq!(posterior.mu, numbers);
    assert!(posterior.sigma.iter().all(|s| (s - std::f32::consts::LN_2).abs() < 1e-6));
    assert!(found.warnings.iter().any(|w| w.contains("order of the network's layers")), "{:?}", found.warnings);
    let short: Vec<Tensor<'_>> = vec![("loc", vec![9], vec![0.5; 9]), ("scale_unconstrained", vec![9], vec![0.0; 9])];
    assert!(taken(&short, &told(Some("pyro"))).unwrap_err().contains("9 numbers"));
}
