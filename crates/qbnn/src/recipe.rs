//! What is trained when nothing is said: the default data, the default network, a recipe by the size of the data and the
//! network, and another QAT where codes are narrow.
//!
//! Numbers that were found by experiment live here and nowhere else. A config file, a flag or `--set` overrides each of
//! them.

use qbnn_bnn::{BitWidths, PosteriorKind, QuantizeSettings, Strategy, TrainSettings};

/// The data where none is named: embedded, needs no file.
pub const DEFAULT_DATA: &str = "strokes";

/// The network where none is named.
pub const DEFAULT_NETWORK: &str = "lenet5";

/// Settings found good for data of a size and a network.
pub struct Recipe {
    /// Training pairs kept, of those that the dataset has.
    pub train_limit: Option<usize>,
    /// Training in float.
    pub train: TrainSettings,
    /// Quantization.
    pub quantize: QuantizeSettings,
}

/// Data of at most so many training pairs is few: it is gone through more often.
const FEW: usize = 20_000;

/// (few training pairs, network, training pairs kept, float epochs, step size, QAT epochs, QAT step size); `*` is any name.
/// The first row that fits counts.
type Row = (bool, &'static str, Option<usize>, usize, f32, usize, f32);

const TABLE: [Row; 4] = [
    (true, "mlp", None, 40, 2e-3, 8, 2e-4),
    (true, "*", None, 25, 2e-3, 5, 2e-4),
    (false, "mlp", None, 25, 2e-3, 3, 1e-4),
    (false, "*", None, 20, 2e-3, 3, 1e-4),
];

/// The recipe for data of so many training pairs, if that is known, and a network by name. Data of unknown size is taken for
/// much.
pub fn recipe(pairs: Option<usize>, network: &str) -> Recipe {
    let few = pairs.is_some_and(|pairs| pairs <= FEW);
    let row = TABLE.iter().find(|row| row.0 == few && (row.1 == "*" || row.1 == network));
    let (mut train, mut quantize) = (TrainSettings::default(), QuantizeSettings::default());
    let Some(&(_, _, train_limit, epochs, rate, qat_epochs, qat_rate)) = row else {
        return Recipe { train_limit: None, train, quantize };
    };
    train.epochs = epochs;
    train.learning_rate = rate;
    quantize.epochs = qat_epochs;
    quantize.learning_rate = qat_rate;
    Recipe { train_limit, train, quantize }
}

/// Widths where none are given (the table of `experiments/defaults.toml`). JQ stores as many bytes as with 3 bits for both, and
/// its file runs as fast as any: the grid of drawn weights takes no memory, sigma needs two bits, and activations four. A
/// posterior without sigmas draws its means, so that their grid is that of the weights. Other strategies have 4 bits throughout.
pub fn widths(strategy: Strategy, posterior: PosteriorKind) -> BitWidths {
    match (strategy, posterior) {
        (Strategy::Jq, PosteriorKind::Gaussian) => BitWidths { mu: 4, sigma: 2, weight: 8, activation: 4 },
        _ => strategy.widths(4),
    }
}

/// Widths of means, drawn weights or activations from which on codes are narrow.
const NARROW: u32 = 2;

/// The keys of `[quantize]` that [`narrow`] sets. It is a recipe as a whole: where one of them is given, none is changed.
pub const NARROW_KEYS: [&str; 3] = ["epochs", "learning_rate", "kl_weight"];

/// QAT for narrow codes (the table of `experiments/training.toml`): four levels are too far from the float network for a
/// gentle training; one as long as the float training, with a small weight of the divergence, finds them a place of
/// their own.
pub fn narrow(quantize: &mut QuantizeSettings) {
    let bits = quantize.bits;
    if bits.mu.min(bits.weight).min(bits.activation) <= NARROW {
        quantize.epochs = 20;
        quantize.learning_rate = 4e-3;
        quantize.kl_weight = Some(0.3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qbnn_data::Extent;

    fn recipe(data: &str, network: &str) -> Recipe {
        super::recipe(Extent::of(data).map(|extent| extent.pairs), network)
    }

    #[test]
    fn every_pair_has_a_recipe_that_is_in_range() {
        let catalogue = qbnn_data::Catalogue::built_in().unwrap();
        let names = catalogue.datasets().map(|d| d.0.name.as_str());
        assert!(names.clone().any(|name| name == DEFAULT_DATA));
        for data in names.chain(["other"]) {
            for network in ["mlp", "lenet5", "my-own"] {
                let recipe = recipe(data, network);
                recipe.train.check().unwrap();
                recipe.quantize.check().unwrap();
                assert!(recipe.train.epochs > 0);
            }
        }
        let epochs =
            |data: &str, network: &str| (recipe(data, network).train.epochs, recipe(data, network).quantize.epochs);
        assert_eq!((epochs("strokes", "mlp"), epochs("strokes", "lenet5")), ((40, 8), (25, 5)));
        assert_eq!((epochs("mnist", "mlp"), epochs("dirty-mnist", "lenet5")), ((25, 3), (20, 3)));
    }
}
