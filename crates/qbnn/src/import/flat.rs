//! Families whose files have no names for standard deviations: IVON (a vector in the state of its optimizer), Laplace
//! (vectors over all parameters), SWAG (means and means of squares).

use super::family::Family;
use super::found::{Found, FoundLayer, FoundSigma, FoundTensor};
use super::recognise::Told;
use super::rules::SigmaRule;
use super::source::{Constraint, Source};
use qbnn_data::tensor_file::{Array, Content, TensorFile};

/// The least variance that SWAG's own code leaves.
const LEAST_VARIANCE: f64 = 1e-30;

/// Reads a file of one of these families; `None` for any other.
pub(super) fn recognise(file: &TensorFile, told: &Told) -> Result<Option<Found>, String> {
    let root = &file.root;
    let asked = |family: Family| told.family.is_none_or(|told| told == family);
    let found = if asked(Family::Ivon)
        && let Some(groups) = groups(root)
    {
        ivon(file, told, groups)?
    } else if asked(Family::Laplace) && root.get("H").is_some() && root.get("mean").is_some() {
        laplace(root)?
    } else if asked(Family::Swag) {
        match swag(file, told)? {
            Some(found) => found,
            None => return Ok(None),
        }
    } else {
        return Ok(None);
    };
    if told.sigma.is_some() {
        return Err(format!("{} computes sigma from several tensors; leave out --sigma", found.family));
    }
    Ok(Some(found))
}

/// The groups of parameters of IVON's state, wherever it lies in a checkpoint.
fn groups(root: &Content) -> Option<&[Content]> {
    let of = |content: &'_ Content| -> Option<bool> {
        let Content::List(groups) = content.get("param_groups")? else { return None };
        Some(groups.first()?.get("hess").is_some())
    };
    let list = |content: &'_ Content| matches!(of(content), Some(true));
    let entries = root.dict()?;
    let inner = entries.iter().map(|e| &e.content).find(|content| list(content));
    let lists = entries.iter().filter_map(|e| match &e.content {
        Content::List(states) => states.iter().find(|content| list(content)),
        _ => None,
    });
    let state = Some(root).filter(|root| list(root)).or(inner).or(lists.into_iter().next())?;
    match state.get("param_groups") {
        Some(Content::List(groups)) => Some(groups),
        _ => None,
    }
}

/// IVON: sigma = 1 / sqrt(ess (hess + weight_decay)), hess in the order of the network's parameters.
fn ivon(file: &TensorFile, told: &Told, groups: &[Content]) -> Result<Found, String> {
    let source = Source::of(file, told).map_err(|e| {
        format!("it holds the state of IVON, but no network: {e}; save {{'model': net.state_dict(), ...}}")
    })?;
    let parameters = parameters(&source);
    let count: usize = parameters.iter().map(|p| p.1.values.len()).sum();
    let (mut sigma, mut priors, mut prior_of) = (Vec::new(), Vec::new(), Vec::new());
    for group in groups {
        let number = |name: &str| {
            group
                .get(name)
                .and_then(Content::number)
                .ok_or_else(|| format!("IVON's state has no {name}; save it again"))
        };
        let (ess, decay) = (number("ess")?, number("weight_decay")?);
        let hess = group.get("hess").and_then(Content::array).ok_or("IVON's state has a group without hess")?;
        sigma.extend(hess.values.iter().map(|h| 1.0 / (ess * (h + decay)).sqrt()));
        priors.push(1.0 / (ess * decay).sqrt());
        prior_of.extend(hess.values.iter().map(|_| 1.0 / (ess * decay).sqrt()));
    }
    check_count("IVON's hess", sigma.len(), &parameters, count)?;
    let formula = "1 / sqrt(ess (hess + weight_decay))";
    let mut found = split(Family::Ivon, &parameters, &sigma, formula)?;
    let same = priors.iter().all(|p| (p / priors[0] - 1.0).abs() < 1e-9);
    found.prior_sigma = priors.first().copied().filter(|p| same && p.is_finite());
    if priors.iter().any(|p| !p.is_finite()) {
        found
            .warnings
            .push("a group of parameters has no weight decay, hence no prior: --prior-sigma takes its place".into());
    } else if !same {
        found.notes.push(format!("the groups of parameters have priors of different sigma: {priors:?}"));
        put_priors(&mut found.layers, &prior_of);
    }
    found.warnings.push(
        "a network that was saved inside `sampled_params()` holds a draw and not the mean, which no file shows: save it \
         outside"
            .to_owned(),
    );
    Ok(found)
}

/// Gives each number its prior, in the order of the parameters.
fn put_priors(layers: &mut [FoundLayer], priors: &[f64]) {
    let mut at = 0;
    for tensor in layers.iter_mut().flat_map(|layer| std::iter::once(&mut layer.weight).chain(&mut layer.bias)) {
        let end = at + tensor.mu.len();
        tensor.prior = priors.get(at..end).map(<[f64]>::to_vec);
        at = end;
    }
}

/// One vector of means and one of standard deviations over all parameters: Pyro's `AutoDiagonalNormal`. `None` for any
/// other file.
pub(super) fn diagonal(source: &Source<'_>, told: &Told) -> Result<Option<Found>, String> {
    if told.family.is_some_and(|told| told != Family::Pyro) {
        return Ok(None);
    }
    // Of several locations each is of a tensor.
    if source.tensors.iter().filter(|(name, _)| name.ends_with("loc")).count() != 1 {
        return Ok(None);
    }
    let vector = |name: &str| source.get(name).filter(|array| array.shape.len() == 1 && array.shape[0] > 1);
    let found = source.tensors.iter().find_map(|&(name, _)| {
        let base = name.strip_suffix("loc").filter(|base| base.is_empty() || base.ends_with('.'))?;
        let names = [format!("{base}scale"), format!("{base}scale_unconstrained")];
        let scale = names.into_iter().find(|name| vector(name).is_some())?;
        let is_covariance = ["scale_tril", "cov_factor"].iter().any(|c| source.get(&format!("{base}{c}")).is_some());
        (!is_covariance).then_some((name, scale))
    });
    let Some((name, scale)) = found else { return Ok(None) };
    let (Some(means), Some(raw)) = (vector(name), vector(&scale)) else { return Ok(None) };
    if means.shape != raw.shape {
        return Ok(None);
    }
    let rule = match (told.sigma, source.constraints.get(scale.as_str())) {
        (Some(told), _) => told,
        (None, Some(Constraint::Positive(rule))) => *rule,
        (None, None) if told.family.is_some() => SigmaRule::Softplus { add: 0.0 },
        _ => {
            return Err(format!(
                "the file does not say by which function {scale} becomes a standard deviation: give --from pyro (softplus, \
                 its default), or another rule with --sigma; the file of pyro.get_param_store().save(FILE) says it by itself"
            ));
        }
    };
    let flat = FoundTensor {
        shape: means.shape.clone(),
        mu: means.values.clone(),
        sigma: FoundSigma::Stored { raw: raw.values.clone(), rule, source: scale.clone() },
        source: name.to_owned(),
        prior: None,
    };
    let used = [name, &scale];
    if let Some((other, _)) = source.tensors.iter().find(|(other, _)| !used.contains(other)) {
        return Err(format!("it holds {other} beside the vectors {name} and {scale}; leave it out with --ignore"));
    }
    let mut found = Found::new(Family::Pyro, vec![FoundLayer::new(FLAT.to_owned(), flat, None)]);
    found.warnings.push(in_order_of_layers());
    Ok(Some(found))
}

fn in_order_of_layers() -> String {
    "the vectors are split in the order of the network's layers, each its weight and then its bias; whether that is the \
     source's order cannot be told from the file (--check tells)"
        .to_owned()
}

/// laplace-torch, `DiagLaplace`: sigma = 1 / sqrt(H / (sigma_noise^2 temperature) + prior_precision).
fn laplace(root: &Content) -> Result<Found, String> {
    let class = match root.get("cls_name") {
        Some(Content::Text(name)) => name.as_str(),
        _ => "unknown",
    };
    if class != "DiagLaplace" {
        return Err(format!(
            "it is a {class} of laplace-torch, whose covariance is no standard deviation per weight; fit \
             Laplace(net, likelihood, subset_of_weights='all', hessian_structure='diag')"
        ));
    }
    let array = |name: &str| root.get(name).and_then(Content::array).ok_or_else(|| format!("it has no {name}"));
    let (mean, h, precision) = (array("mean")?, array("H")?, array("prior_precision")?);
    let number = |name: &str| root.get(name).and_then(Content::number).unwrap_or(1.0);
    let factor = number("sigma_noise").powi(2) * number("temperature");
    if h.values.len() != mean.values.len() {
        return Err(format!("H has {} numbers and mean has {}; save it again", h.values.len(), mean.values.len()));
    }
    let sigma = |precision: &dyn Fn(usize) -> f64| -> Vec<f64> {
        h.values.iter().enumerate().map(|(i, h)| 1.0 / (h / factor + precision(i)).sqrt()).collect()
    };
    let sigma = match &precision.values[..] {
        [one] => sigma(&|_| *one),
        all if all.len() == mean.values.len() => sigma(&|i| all[i]),
        other => {
            return Err(format!(
                "prior_precision has {} numbers, one for each tensor, and the file does not say where the tensors end; \
                 use one prior precision, or one for each weight",
                other.len()
            ));
        }
    };
    let prior: Vec<f64> = precision.values.iter().map(|p| 1.0 / p.sqrt()).collect();
    if let Some(wrong) = precision.values.iter().find(|p| !(p.is_finite() && **p > 0.0)) {
        return Err(format!("prior_precision holds {wrong}; wanted numbers above 0: fit again with a prior precision"));
    }
    let formula = "1 / sqrt(H / (sigma_noise^2 temperature) + prior_precision)".to_owned();
    let flat = FoundTensor {
        shape: vec![mean.values.len()],
        mu: mean.values.clone(),
        sigma: FoundSigma::Computed { sigma, formula },
        source: "mean".to_owned(),
        prior: (prior.len() > 1).then(|| prior.clone()),
    };
    Ok(Found {
        prior_sigma: prior.first().copied().filter(|_| prior.len() == 1),
        warnings: vec![
            in_order_of_layers(),
            "weights drawn from a Laplace approximation predict worse than its linearised network, which laplace-torch uses \
             by default; look at the accuracy of `qbnn eval`"
                .to_owned(),
        ],
        ..Found::new(Family::Laplace, vec![FoundLayer::new(FLAT.to_owned(), flat, None)])
    })
}

/// What the only layer of a vector over all parameters is called.
pub(super) const FLAT: &str = "(all parameters)";

/// SWAG: variance = mean of squares - square of the mean, in f64.
fn swag(file: &TensorFile, told: &Told) -> Result<Option<Found>, String> {
    let pairs: Vec<(String, &Array, &Array)> = match (file.root.get("mean"), file.root.get("sq_mean")) {
        (Some(means), Some(squares)) if means.dict().is_some() => {
            let array = |e: &'_ qbnn_data::tensor_file::Entry| e.content.array().is_some_and(|a| !a.whole);
            let means = means.dict().unwrap_or_default().iter().filter(|e| array(e));
            means.filter_map(|e| Some((e.name.clone(), e.content.array()?, squares.get(&e.name)?.array()?))).collect()
        }
        _ => {
            let Ok(source) = Source::of(file, told) else { return Ok(None) };
            let pair = |(name, mean): &(&str, _)| {
                let base = name.strip_suffix("_mean").filter(|_| !name.ends_with("_sq_mean"))?;
                let square = source.get(&format!("{base}_sq_mean"))?;
                let (layer, part) = base.rsplit_once(['_', '.'])?;
                Some((format!("{layer}.{part}"), *mean, square))
            };
            source.tensors.iter().filter_map(pair).collect()
        }
    };
    if pairs.is_empty() {
        return if told.family == Some(Family::Swag) {
            Err("it holds no pairs of means and means of squares (mean and sq_mean, or L_weight_mean and \
                 L_weight_sq_mean)"
                .into())
        } else {
            Ok(None)
        };
    }
    let (mut clipped, mut count) = (0usize, 0usize);
    let mut sigma = Vec::new();
    for (name, mean, square) in &pairs {
        if mean.shape != square.shape {
            return Err(format!("{name} has means {:?} and squares {:?}; wanted the same", mean.shape, square.shape));
        }
        count += mean.values.len();
        for (m, s) in mean.values.iter().zip(&square.values) {
            let variance = s - m * m;
            clipped += usize::from(variance <= LEAST_VARIANCE);
            sigma.push(variance.max(LEAST_VARIANCE).sqrt());
        }
    }
    let tensors: Vec<(&str, &Array)> = pairs.iter().map(|(name, mean, _)| (name.as_str(), *mean)).collect();
    let mut found = split(Family::Swag, &tensors, &sigma, "sqrt(sq_mean - mean^2)")?;
    if clipped > 0 {
        found.warnings.push(format!(
            "{clipped} of {count} weights ({:.1} %) have a mean of squares that is not above the square of the mean, by the \
             rounding of single precision: their sigma is the least that is stored",
            100.0 * clipped as f64 / count as f64
        ));
    }
    found.warnings.push(
        "sigma is that of SWAG's diagonal; a source that draws with a low-rank part as well has half the variance in each"
            .to_owned(),
    );
    Ok(Some(found))
}

/// The parameters of a network in its state_dict, without buffers.
fn parameters<'a>(source: &Source<'a>) -> Vec<(&'a str, &'a Array)> {
    let is = |name: &str, array: &Array| {
        !array.whole && (name.ends_with(".weight") || name.ends_with(".bias") || name == "weight" || name == "bias")
    };
    source.tensors.iter().copied().filter(|(name, array)| is(name, array)).collect()
}

fn check_count(what: &str, found: usize, tensors: &[(&str, &Array)], wanted: usize) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    let tensors: Vec<String> = tensors.iter().map(|(name, array)| format!("{name} {:?}", array.shape)).collect();
    Err(format!("{what} has {found} numbers, the network's parameters are {wanted}: {}", tensors.join(", ")))
}

/// Layers of tensors `LAYER.weight` and `LAYER.bias`, with standard deviations in their order.
fn split(family: Family, tensors: &[(&str, &Array)], sigma: &[f64], formula: &str) -> Result<Found, String> {
    let mut layers: Vec<FoundLayer> = Vec::new();
    let mut at = 0;
    for (name, array) in tensors {
        let part = sigma.get(at..at + array.values.len()).ok_or("too few standard deviations")?;
        at += array.values.len();
        let (layer, part_name) = name.rsplit_once('.').ok_or_else(|| format!("{name} is of no layer"))?;
        let tensor = FoundTensor {
            shape: array.shape.clone(),
            mu: array.values.clone(),
            sigma: FoundSigma::Computed { sigma: part.to_vec(), formula: formula.to_owned() },
            source: (*name).to_owned(),
            prior: None,
        };
        match (part_name, layers.last_mut()) {
            ("bias", Some(last)) if last.name == layer => last.bias = Some(tensor),
            ("weight", _) if array.shape.len() > 1 => {
                layers.push(FoundLayer::new(layer.to_owned(), tensor, None));
            }
            _ => {
                return Err(format!(
                    "{name} {:?} is no weight or bias of a linear layer (a batch normalisation with random scales cannot \
                     be folded); wanted LAYER.weight and LAYER.bias of dense layers and convolutions",
                    array.shape
                ));
            }
        }
    }
    Ok(Found::new(family, layers))
}
