//! Priors of single tensors, paddings that may differ, and comparisons with a source in other forms.

use crate::support::{NETWORK, found, network, posterior, write};
use qbnn::import::assign::{PriorOf, Taking, assign};
use qbnn::import::check::Reference;
use qbnn::import::{self, Layout, Told};
use qbnn::neutral::{Form, to_bytes};
use qbnn_bnn::{Checkpoint, GivenPosterior, ImagesView, Network, Normalisation, Shape, TrainSettings};
use qbnn_data::npz_write;

const INPUT: Shape = Shape { channels: 1, rows: 4, columns: 4 };
const PIXELS: Normalisation = Normalisation { mean: 0.25, std: 0.5 };

fn checkpoint() -> Checkpoint {
    let posterior = posterior(&found("torchbnn.pt"));
    let given = GivenPosterior { mu: &posterior.mu, sigma: &posterior.sigma };
    let train = TrainSettings { epochs: 0, ..TrainSettings::default() };
    Checkpoint::given(&network(NETWORK, 4, 3).spec, INPUT, 3, PIXELS, 1, train, given).unwrap()
}

#[test]
fn a_prior_of_each_parameter_survives_export_and_import() {
    let prior: Vec<f32> = (0..47).map(|i| if i < 20 { 0.25 } else { 2.0 + i as f32 }).collect();
    let first = checkpoint().with_prior(prior.clone()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (form, name) in [(Form::Safetensors, "a.safetensors"), (Form::Npz, "a.npz")] {
        let path = dir.path().join(name);
        std::fs::write(&path, to_bytes(&first, form).unwrap()).unwrap();
        let found = import::read(&path, &Told::default(), None).unwrap();
        let net = Network::new(&found.described.clone().unwrap().network, INPUT, 3).unwrap();
        let read = assign(&found, &net, &Taking::default()).unwrap().prior.unwrap();
        assert_eq!(read.iter().map(|p| p.value(1.0)).collect::<Vec<_>>(), prior, "{name}");
    }
    // Without one of its own, the file has none.
    let path = dir.path().join("plain.npz");
    std::fs::write(&path, to_bytes(&checkpoint(), Form::Npz).unwrap()).unwrap();
    let found = import::read(&path, &Told::default(), None).unwrap();
    assert_eq!(assign(&found, &network(NETWORK, 4, 3), &Taking::default()).unwrap().prior, None);
}

#[test]
fn the_prior_beside_a_tensor_is_that_of_its_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let layer = |prior: Vec<f32>| {
        let shape = if prior.len() == 1 { vec![] } else { vec![3, 16] };
        vec![
            ("fc.mu_weight", vec![3, 16], vec![0.5; 48]),
            ("fc.rho_weight", vec![3, 16], vec![-2.0; 48]),
            ("fc.prior_weight_mu", vec![3, 16], vec![0.0; 48]),
            ("fc.prior_weight_sigma", shape, prior),
        ]
    };
    let net = network("name = \"one\"\n[[layer]]\ntype = \"dense\"\nout = 3\n", 4, 3);
    for prior in [vec![0.25], vec![0.25; 48]] {
        write(&path, &layer(prior));
        let read = import::read(&path, &Told::default(), None).unwrap();
        let prior = assign(&read, &net, &Taking::default()).unwrap().prior.unwrap();
        // Of the biases, which are not in the file, that of the settings.
        assert_eq!((prior[47], prior[48].value(3.0)), (PriorOf { sigma: Some(0.25), factor: 1.0 }, 3.0));
    }
    write(&path, &layer(vec![-1.0]));
    let read = import::read(&path, &Told::default(), None).unwrap();
    assert!(read.warnings.iter().any(|w| w.contains("fc.prior_weight_sigma is no standard deviation")));
}

#[test]
fn a_padding_that_another_program_may_have_put_on_one_side_is_doubted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let net = |stride: usize, padding: usize| {
        let conv = format!("type = \"conv\"\nout = 2\nkernel = 3\nstride = {stride}\npadding = {padding}\n");
        format!(
            "name = \"n\"\n[[layer]]\n{conv}[[layer]]\ntype = \"relu\"\n[[layer]]\ntype = \"flatten\"\n[[layer]]\n\
             type = \"dense\"\nout = 3\n"
        )
    };
    let doubt = |stride, padding, inputs: usize, layout: Layout| {
        let (kernel, dense) = match layout {
            Layout::Jax => (vec![3, 3, 1, 2], vec![inputs, 3]),
            Layout::Torch => (vec![2, 1, 3, 3], vec![3, inputs]),
        };
        let tensors = [
            ("a.weight.mu", kernel.clone(), vec![0.5; 18]),
            ("a.weight.sigma", kernel, vec![0.1; 18]),
            ("b.weight.mu", dense.clone(), vec![0.5; 3 * inputs]),
            ("b.weight.sigma", dense, vec![0.1; 3 * inputs]),
        ];
        write(&path, &tensors);
        let read = import::read(&path, &Told::default(), Some(layout)).unwrap();
        assign(&read, &network(&net(stride, padding), 4, 3), &Taking::default()).unwrap().doubt
    };
    // 4 pixels, windows of 3, stride 2: "SAME" has one zero, behind.
    let said = doubt(2, 1, 8, Layout::Jax).unwrap();
    assert!(said.contains("layer conv1") && said.contains("one more behind") && said.contains("--check"), "{said}");
    // Stride 1: one zero on each side.
    assert_eq!(doubt(1, 1, 32, Layout::Jax), None);
    assert_eq!(doubt(1, 0, 8, Layout::Jax), None);
    assert_eq!(doubt(2, 1, 8, Layout::Torch), None);
}

#[test]
fn a_source_may_give_logits_logarithms_or_probabilities_and_channels_first() {
    let (rows, columns, channels) = (3, 4, 2);
    let input = Shape { channels, rows, columns };
    let net = network("name = \"one\"\n[[layer]]\ntype = \"flatten\"\n[[layer]]\ntype = \"dense\"\nout = 3\n", 4, 3);
    let mu: Vec<f32> = (0..3 * 24 + 3).map(|i| ((i * 31 % 17) as f32 - 8.0) / 20.0).collect();
    let given = GivenPosterior { mu: &mu, sigma: &vec![0.1; mu.len()] };
    let train = TrainSettings { epochs: 0, ..TrainSettings::default() };
    let checkpoint = Checkpoint::given(&net.spec, input, 3, PIXELS, 1, train, given).unwrap();
    let n = 5;
    let pixels: Vec<u8> = (0..n * 24).map(|i| (i * 37 % 256) as u8).collect();
    let logits = checkpoint.mean_logits(ImagesView { shape: input, pixels: &pixels }).unwrap();
    let rows_of = |f: &dyn Fn(&[f32]) -> Vec<f32>| logits.chunks_exact(3).flat_map(f).collect::<Vec<f32>>();
    let softmax = |row: &[f32]| {
        let sum: f32 = row.iter().map(|l| l.exp()).sum();
        row.iter().map(|l| l.exp() / sum).collect::<Vec<f32>>()
    };
    let first: Vec<u8> = pixels
        .chunks_exact(24)
        .flat_map(|image| (0..channels).flat_map(move |c| (0..12).map(move |at| image[at * channels + c])))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reference.npz");
    let agrees = |shape: &[usize], pixels: &[u8], logits: Vec<f32>| {
        let bytes = logits.iter().flat_map(|l| l.to_le_bytes()).collect();
        let arrays = [
            npz_write::array("images", "|u1", shape, pixels.to_vec()),
            npz_write::array("logits", "<f4", &[n, 3], bytes),
        ];
        std::fs::write(&path, npz_write::archive(&arrays).unwrap()).unwrap();
        Reference::read(&path).unwrap().compare(&checkpoint).unwrap().agrees()
    };
    let last = [n, rows, columns, channels];
    assert!(agrees(&last, &pixels, logits.clone()));
    assert!(agrees(&last, &pixels, rows_of(&|row| row.iter().map(|l| l + 7.0).collect())));
    assert!(agrees(&last, &pixels, rows_of(&|row| softmax(row).into_iter().map(f32::ln).collect())));
    assert!(agrees(&last, &pixels, rows_of(&softmax)));
    assert!(agrees(&[n, channels, rows, columns], &first, rows_of(&softmax)));
    // Another network does not.
    assert!(!agrees(&last, &first, logits.clone()));
    assert!(!agrees(&last, &pixels, rows_of(&|row| vec![row[1], row[0], row[2]])));
}
