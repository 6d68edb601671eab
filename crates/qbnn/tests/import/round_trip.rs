//! The neutral form: what is exported is imported again to the bit.

use crate::support::{NETWORK, found, network, posterior, told};
use qbnn::import::assign::{Taking, assign};
use qbnn::import::{self, network as networks};
use qbnn::neutral::{Form, to_bytes};
use qbnn_bnn::{Checkpoint, GivenPosterior, Normalisation, Shape, TrainSettings};

const INPUT: Shape = Shape { channels: 1, rows: 4, columns: 4 };
const PIXELS: Normalisation = Normalisation { mean: 0.25, std: 0.5 };

fn checkpoint() -> Checkpoint {
    let posterior = posterior(&found("pyro_autonormal.pt"));
    let given = GivenPosterior { mu: &posterior.mu, sigma: &posterior.sigma };
    let train = TrainSettings { epochs: 0, prior_sigma: 0.5, ..TrainSettings::default() };
    Checkpoint::given(&network(NETWORK, 4, 3).spec, INPUT, 3, PIXELS, 1, train, given).unwrap()
}

#[test]
fn an_export_is_imported_to_the_bit() {
    let first = checkpoint();
    let dir = tempfile::tempdir().unwrap();
    for (form, name) in [(Form::Safetensors, "a.safetensors"), (Form::Npz, "a.npz")] {
        let path = dir.path().join(name);
        std::fs::write(&path, to_bytes(&first, form).unwrap()).unwrap();
        let found = import::read(&path, &told(None), None).unwrap();
        let described = found.described.clone().unwrap();
        assert_eq!((described.normalisation, described.prior_sigma, described.classes), (PIXELS, 0.5, 3));
        let net = qbnn_bnn::Network::new(&described.network, INPUT, 3).unwrap();
        let posterior = assign(&found, &net, &Taking::default()).unwrap();
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&posterior.mu), bits(first.guide().posterior.mu()), "{name}");
        assert_eq!(bits(&posterior.sigma), bits(&first.guide().posterior.sigma()), "{name}");
        let given = GivenPosterior { mu: &posterior.mu, sigma: &posterior.sigma };
        let train = first.train.clone();
        let second = Checkpoint::given(&described.network, INPUT, 3, PIXELS, 1, train, given).unwrap();
        assert_eq!(to_bytes(&second, form).unwrap(), to_bytes(&first, form).unwrap(), "{name}");
    }
}

#[test]
fn a_network_is_proposed_where_shapes_leave_one_way() {
    // 3 x 3 on 4 x 4: no padding and no pool, or padding and a pool.
    let found = found("pyro_autonormal.pt");
    let error = networks::propose(&found, INPUT, 3).unwrap_err();
    assert!(error.contains("2 networks") && error.contains("conv with padding 1 and a pool"), "{error}");
    // On 3 x 5: 1 x 3 are no 4 places, padded and pooled 1 x 2 neither.
    let error = networks::propose(&found, Shape { columns: 5, rows: 3, ..INPUT }, 3).unwrap_err();
    assert!(error.contains("no padding or pooling"), "{error}");
    // On 6 x 3: 4 x 1 without padding; padded, 6 x 3 or 3 x 1.
    let input = Shape { rows: 6, columns: 3, ..INPUT };
    let spec = networks::propose(&found, input, 3).unwrap();
    assert_eq!(spec.layers.len(), 4);
    let net = qbnn_bnn::Network::new(&spec, input, 3).unwrap();
    assert!(assign(&found, &net, &Taking::default()).is_ok());
    let error = networks::propose(&found, INPUT, 10).unwrap_err();
    assert!(error.contains("not one of 10 classes"), "{error}");
}
