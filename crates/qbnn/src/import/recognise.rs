//! Which library wrote a file, and which of its tensors are means, standard deviations, batch normalisations or nothing.

use super::family::{DOUBLES, FORMS, Family, Form, Reading, UNUSED};
use super::flat;
use super::found::{Found, FoundLayer, FoundSigma, FoundTensor};
use super::map::Map;
use super::rules::SigmaRule;
use super::source::{Constraint, Source, short};
use super::{norms, pairs};
use qbnn_data::tensor_file::{Array, TensorFile};
use std::collections::BTreeSet;

/// What is told about a file besides its contents.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The library.
    pub family: Option<Family>,
    /// How standard deviations are stored, over what file or library say.
    pub sigma: Option<SigmaRule>,
    /// The dictionary of a checkpoint that holds the tensors.
    pub key: Option<String>,
    /// Tensors that are of no interest: their names, or what these begin with and a `*`.
    pub ignored: Vec<String>,
    /// Layers and the batch normalisations directly behind them, by their names in the file.
    pub norms_behind: Vec<(String, String)>,
    /// Layers and the batch normalisations directly before them.
    pub norms_before: Vec<(String, String)>,
    /// Which tensors are which, in the place of recognition.
    pub map: Option<Map>,
}

/// Reads everything that a file says of a posterior.
///
/// # Errors
/// Why it is not that of a network with one Gaussian per weight, what was found, and the fix.
pub fn recognise(file: &TensorFile, told: &Told) -> Result<Found, String> {
    if let Some(found) = flat::recognise(file, told)? {
        return Ok(found);
    }
    let source = Source::of(file, told)?;
    if let Some(found) = flat::diagonal(&source, told)? {
        return Ok(found);
    }
    let family = match told.family {
        Some(family) => Some(family),
        None => family_of(&source)?,
    };
    let has_forms = |family| FORMS.iter().any(|form| form.family == family && !form.is_bias && has(&source, form));
    let family = match family {
        Some(family) if family != Family::Arrays || has_forms(family) => family,
        _ => match pairs::recognise(&source, told)? {
            Some(found) => return finish(&source, found, BTreeSet::new()),
            None => return Err(unknown(&source)),
        },
    };
    let mut reader = Reader { source: &source, used: BTreeSet::new(), family, told, said: Vec::new() };
    let layers = reader.layers()?;
    let (mut notes, warnings) = reader.rest(&layers)?;
    if !source.place.is_empty() {
        notes.push(format!("the tensors are those of {}", source.place));
    }
    let used = reader.used;
    finish(&source, Found { notes, warnings, ..Found::new(family, layers) }, used)
}

/// Adds the batch normalisations, and refuses tensors that nothing has used: they may be parameters.
fn finish(source: &Source<'_>, mut found: Found, mut used: BTreeSet<String>) -> Result<Found, String> {
    found.sorted = source.sorted;
    for (_, tensor) in found.tensors() {
        used.insert(tensor.source.clone());
        if let FoundSigma::Stored { source, .. } = &tensor.sigma {
            used.insert(source.clone());
        }
    }
    norms::find(source, &mut found, &mut used)?;
    let is_left = |name: &str| !used.contains(name) && !UNUSED.iter().any(|end| name.ends_with(end));
    let left: Vec<String> = source
        .tensors
        .iter()
        .filter(|(name, _)| is_left(name))
        .map(|(name, array)| format!("{name} {:?}", array.shape))
        .collect();
    let Some(first) = left.first() else { return Ok(found) };
    if left.iter().any(|name| name.contains("scale_auto_loc")) {
        return Err(norms::random(first));
    }
    let are = if left.len() == 1 { "tensor is" } else { "tensors are" };
    Err(format!(
        "{} {are} left over, which may hold parameters: {}; name each that is of no interest with --ignore (`--ignore \
         'aux.*'` names all that begin so)",
        left.len(),
        short(left.iter().map(String::as_str))
    ))
}

/// Whether a file has a mean and a standard deviation of these names.
fn has(source: &Source<'_>, form: &Form) -> bool {
    source.tensors.iter().any(|(name, _)| {
        let named = form.layer(name);
        named.is_some_and(|named| form.sigma.iter().any(|sigma| source.get(&named.other(sigma)).is_some()))
    })
}

/// The only family whose names the file has; `None` where it has those of none.
fn family_of(source: &Source<'_>) -> Result<Option<Family>, String> {
    let forms = FORMS.iter().filter(|form| !form.is_bias && has(source, form));
    let mut families = forms.map(|form| form.family).collect::<BTreeSet<Family>>().into_iter();
    match (families.next(), families.next()) {
        (Some(Family::TorchUncertainty), None) => torch_uncertainty(source).map(Some),
        (one, None) => Ok(one),
        (Some(a), Some(b)) => {
            let names = short(source.tensors.iter().map(|t| t.0));
            Err(format!("its names are those of {a} and of {b} ({names}); say which with --from"))
        }
        (None, Some(b)) => Ok(Some(b)),
    }
}

/// Why a file is refused in which no mean and no standard deviation was found.
fn unknown(source: &Source<'_>) -> String {
    let names = short(source.tensors.iter().map(|t| t.0));
    let ends = |ends: &[&str]| source.tensors.iter().map(|t| t.0).find(|name| ends.iter().any(|e| name.ends_with(e)));
    if let Some(name) = ends(&["scale_tril", "cov_factor", "cov_diag", "cov_mat_sqrt", "kron_factors"]) {
        return format!(
            "its tensor {name} is of a full, low-rank or Kronecker covariance; only one standard deviation per weight can be \
             imported: fit a mean-field guide (AutoNormal), or keep the diagonal"
        );
    }
    if ends(&["auto_loc"]).is_some() {
        return format!(
            "it holds one vector over all parameters ({names}), and not in which order: fit an AutoNormal guide, whose \
             tensors have the names of layers"
        );
    }
    let is_mean = |name: &str| FORMS.iter().any(|form| !form.is_bias && form.layer(name).is_some());
    let is_weight = |(name, array): &(&str, &Array)| array.shape.len() > 1 && name.ends_with("weight");
    if source.tensors.iter().any(|(name, _)| is_mean(name)) {
        return format!("it holds means and no standard deviations beside them ({names}); save the whole posterior");
    }
    if source.tensors.iter().any(is_weight) {
        return format!(
            "it holds weights without standard deviations ({names}): that of a deterministic network. Only a posterior can be \
             imported; where these are its means, say with --map where the standard deviations are"
        );
    }
    format!(
        "none of its names is known to be of a mean and a standard deviation: {names}; say which tensors are which with \
         --map, or save them as LAYER.weight.mu, LAYER.weight.sigma, LAYER.bias.mu, LAYER.bias.sigma"
    )
}

/// torch-uncertainty calls rho sigma: a value below 0, or the sampler beside it, tells it from a standard deviation.
fn torch_uncertainty(source: &Source<'_>) -> Result<Family, String> {
    let is_rho = |(name, array): &(&str, &Array)| {
        name.ends_with("_sampler.rho") || name.ends_with("_sigma") && array.values.iter().any(|&x| x < 0.0)
    };
    if source.tensors.iter().any(is_rho) {
        return Ok(Family::TorchUncertainty);
    }
    Err("its tensors weight_sigma are all above 0: with torch-uncertainty they hold rho (give --from torch-uncertainty), \
         elsewhere a standard deviation (give --from torch-uncertainty --sigma std)"
        .into())
}

struct Reader<'a> {
    source: &'a Source<'a>,
    used: BTreeSet<String>,
    family: Family,
    told: &'a Told,
    /// Warnings.
    said: Vec<String>,
}

impl Reader<'_> {
    /// The linear layers, in the order in which their means lie in the file.
    fn layers(&mut self) -> Result<Vec<FoundLayer>, String> {
        let mut weights: Vec<(String, FoundTensor)> = Vec::new();
        let mut biases: Vec<(String, FoundTensor)> = Vec::new();
        let source = self.source;
        for &(name, array) in &source.tensors {
            if self.used.contains(name) {
                continue;
            }
            let forms = FORMS.iter().filter(|form| form.family == self.family);
            let Some((form, named)) = forms.filter_map(|form| Some((form, form.layer(name)?))).next() else { continue };
            let mut others = form.sigma.iter().map(|sigma| named.other(sigma));
            let sigma = others.find_map(|other| source.get(&other).map(|raw| (other, raw)));
            let sigma = match sigma {
                None => FoundSigma::Deterministic,
                Some((from, raw)) => {
                    if raw.shape != array.shape {
                        return Err(format!(
                            "{from} has shape {:?}, but its mean {name} has {:?}; wanted the same",
                            raw.shape, array.shape
                        ));
                    }
                    let rule = self.rule(form, &from, raw)?;
                    self.used.insert(from.clone());
                    FoundSigma::Stored { raw: raw.values.clone(), rule, source: from }
                }
            };
            self.used.insert(name.to_owned());
            let tensor = FoundTensor {
                shape: array.shape.clone(),
                mu: array.values.clone(),
                sigma,
                source: name.to_owned(),
                prior: self.prior(name, array),
            };
            let into = if form.is_bias { &mut biases } else { &mut weights };
            into.push((named.layer.to_owned(), tensor));
        }
        self.deterministic(&mut weights, &mut biases);
        let mut layers = Vec::with_capacity(weights.len());
        for (name, weight) in weights {
            let at = biases.iter().position(|(layer, _)| *layer == name);
            let bias = at.map(|at| biases.remove(at).1);
            layers.push(FoundLayer::new(name, weight, bias));
        }
        if let Some((name, _)) = biases.first() {
            return Err(format!("layer {name} has biases and no weights"));
        }
        if layers.is_empty() {
            return Err(format!(
                "none of its names is of {}: {}; leave out --from, or use --map",
                self.family,
                source.tensors.iter().map(|(name, _)| *name).take(8).collect::<Vec<_>>().join(", ")
            ));
        }
        Ok(layers)
    }

    /// Layers without standard deviations beside the others: plain `weight` and `bias` of two or four axes.
    fn deterministic(&mut self, weights: &mut Vec<(String, FoundTensor)>, biases: &mut Vec<(String, FoundTensor)>) {
        let plain = |name: &str, array: &Array| FoundTensor {
            shape: array.shape.clone(),
            mu: array.values.clone(),
            sigma: FoundSigma::Deterministic,
            source: name.to_owned(),
            prior: None,
        };
        for &(name, array) in &self.source.tensors {
            let Some(layer) = name.strip_suffix(".weight").filter(|_| !self.used.contains(name)) else { continue };
            if ![2, 4].contains(&array.shape.len()) || weights.iter().any(|(known, _)| known == layer) {
                continue;
            }
            self.used.insert(name.to_owned());
            // In the place that it has among the others.
            let order = |name: &str| self.source.position(name);
            let at = weights.iter().position(|(_, w)| order(&w.source) > order(name)).unwrap_or(weights.len());
            weights.insert(at, (layer.to_owned(), plain(name, array)));
            let bias = format!("{layer}.bias");
            if let Some(array) = self.source.get(&bias) {
                biases.push((layer.to_owned(), plain(&bias, array)));
                self.used.insert(bias);
            }
        }
    }

    /// The standard deviations of the prior beside a tensor of means: the neutral form has them, and older files of
    /// Bayesian-Torch. What is none is passed over, and said.
    fn prior(&mut self, name: &str, means: &Array) -> Option<Vec<f64>> {
        let beside = match self.family {
            Family::Arrays => name.strip_suffix(".mu").map(|base| format!("{base}.prior_sigma")),
            Family::BayesianTorch => {
                let (layer, part) = name.rsplit_once("mu_")?;
                Some(format!("{layer}prior_{part}_sigma").replace("_kernel_", "_weight_"))
            }
            _ => None,
        }?;
        let array = self.source.get(&beside)?;
        self.used.insert(beside.clone());
        let is_one = array.values.iter().all(|s| s.is_finite() && *s > 0.0);
        let fits = array.shape == means.shape || array.values.len() == 1;
        if !(is_one && fits) {
            self.said.push(format!("{beside} is no standard deviation of a prior of {name} and is passed over"));
            return None;
        }
        let same = array.values.iter().all(|s| *s == array.values[0]);
        Some(if same { vec![array.values[0]] } else { array.values.clone() })
    }

    /// By which rule a tensor stores standard deviations.
    fn rule(&self, form: &Form, name: &str, raw: &Array) -> Result<SigmaRule, String> {
        if let Some(told) = self.told.sigma {
            return Ok(told);
        }
        match form.reading {
            Reading::Rule(rule) => Ok(rule),
            Reading::OrNegative(rule) => Ok(if raw.values.iter().any(|&x| x < 0.0) { rule } else { SigmaRule::Std }),
            Reading::Default(rule) if self.told.family.is_some() => Ok(rule),
            Reading::Default(rule) => Err(format!(
                "{name} holds an unconstrained scale, and a state_dict does not say by which function it becomes a standard \
                 deviation: give --from {} ({rule}, its default), or another rule with --sigma; the file of \
                 pyro.get_param_store().save(FILE) says it by itself",
                form.family
            )),
            Reading::Constraint => match self.source.constraints.get(name) {
                Some(Constraint::Positive(rule)) => Ok(*rule),
                Some(other) => {
                    let other = match other {
                        Constraint::Other(class) => class.as_str(),
                        _ => "real",
                    };
                    Err(format!("the file keeps {name} by the constraint {other}, which is no scale; give --sigma"))
                }
                None => Err(format!("the file has no constraint of {name}; say with --sigma how it is stored")),
            },
        }
    }

    /// Compares doubles, and passes over what is of no use.
    fn rest(&mut self, layers: &[FoundLayer]) -> Result<(Vec<String>, Vec<String>), String> {
        let (mut notes, mut warnings) = (Vec::new(), std::mem::take(&mut self.said));
        let source = self.source;
        for &(name, array) in &source.tensors {
            for (double, firsts) in DOUBLES {
                let Some(base) = name.strip_suffix(double) else { continue };
                let mut first = firsts.iter().filter_map(|first| source.get(&format!("{base}{first}")));
                if let Some(first) = first.next()
                    && first.values != array.values
                {
                    return Err(format!("{name} differs from the tensor that it doubles; save the state_dict again"));
                }
            }
        }
        let unused = |name: &str| UNUSED.iter().any(|end| name.ends_with(end));
        let passed: Vec<String> = source
            .tensors
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .filter(|name| !self.used.contains(name) && unused(name))
            .collect();
        if !passed.is_empty() {
            let names = short(passed.iter().map(String::as_str));
            notes.push(format!("tensors that are not drawn from are passed over ({}): {names}", passed.len()));
        }
        self.used.extend(passed);
        if !source.others.is_empty() {
            notes.push(format!("what holds no numbers is passed over: {}", short(source.others.iter().map(|o| o.0))));
        }
        let negative_rho = layers.iter().any(|l| l.weight.source.ends_with(".weight_mu"));
        if self.family == Family::TorchUncertainty && negative_rho {
            notes.push("weight_sigma of torch-uncertainty holds rho: sigma = softplus of it".to_owned());
        }
        if source.tensors.iter().any(|(name, _)| name.ends_with("_prior_dist.sigmas")) {
            warnings.push(
                "the prior of the source is a mixture of Gaussians, which is not imported: QAT has one Gaussian \
                 (--prior-sigma)"
                    .to_owned(),
            );
        }
        let is_mean = |name: &str| name.ends_with(".prior_weight_mu") || name.ends_with(".prior_bias_mu");
        if let Some((name, _)) = source.tensors.iter().find(|(n, a)| is_mean(n) && a.values.iter().any(|x| *x != 0.0)) {
            warnings.push(format!("the prior of the source has another mean than 0 ({name}); QAT has one around 0"));
        }
        // Other programs of one's own use these names too, and then every bias is one.
        let is_blitz = source.tensors.iter().any(|(name, _)| name.ends_with("_sampler.rho"));
        if self.family == Family::Blitz && is_blitz {
            warnings.push(
                "BLiTZ stores bias_mu and bias_rho also of layers that were made with bias=False and never use them: name \
                 such layers with --no-bias"
                    .to_owned(),
            );
        }
        Ok((notes, warnings))
    }
}
