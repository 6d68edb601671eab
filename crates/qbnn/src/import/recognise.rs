//! Which library wrote a file, and which of its tensors are means, standard deviations, batch normalisations or nothing.

use super::family::{DOUBLES, FORMS, Family, Form, Reading, UNUSED};
use super::flat;
use super::found::{BatchNorm, Found, FoundLayer, FoundSigma, FoundTensor};
use super::map::Map;
use super::rules::SigmaRule;
use super::source::{Constraint, Source};
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
    /// Tensors that are of no interest.
    pub ignored: Vec<String>,
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
    let source = Source::of(file, told.key.as_deref())?;
    let family = match told.family {
        Some(family) => family,
        None => family_of(&source)?,
    };
    let mut reader = Reader { source: &source, used: BTreeSet::new(), family, told };
    let layers = reader.layers()?;
    let (mut notes, warnings) = reader.rest(&layers)?;
    if !source.place.is_empty() {
        notes.push(format!("the tensors are those of {}", source.place));
    }
    let mut found =
        Found { family, layout: family.layout(), layers, prior_sigma: None, described: None, warnings, notes };
    reader.batch_norms(&mut found)?;
    reader.leftover()?;
    Ok(found)
}

/// The only family whose names the file has.
fn family_of(source: &Source<'_>) -> Result<Family, String> {
    let has = |form: &&Form| {
        !form.is_bias
            && source.tensors.iter().any(|(name, _)| {
                let named = form.layer(name);
                named.is_some_and(|named| form.sigma.iter().any(|sigma| source.get(&named.other(sigma)).is_some()))
            })
    };
    let families: BTreeSet<Family> = FORMS.iter().filter(has).map(|form| form.family).collect();
    let list = || {
        let names: Vec<&str> = source.tensors.iter().map(|(name, _)| *name).take(8).collect();
        let more = source.tensors.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", names.join(", "))
    };
    let mut families = families.into_iter();
    match (families.next(), families.next()) {
        (Some(Family::TorchUncertainty), None) => torch_uncertainty(source),
        (Some(one), None) => Ok(one),
        (Some(a), Some(b)) => Err(format!("its names are those of {a} and of {b} ({}); say which with --from", list())),
        _ => {
            if let Some((name, _)) =
                source.tensors.iter().find(|(name, _)| name.ends_with("scale_tril") || name.ends_with("cov_factor"))
            {
                return Err(format!(
                    "its tensor {name} is of a full or low-rank covariance; only one standard deviation per weight can be \
                     imported: fit a mean-field guide (AutoNormal), or keep the diagonal"
                ));
            }
            Err(format!(
                "none of its names is known to be of a mean and a standard deviation: {}; say which tensors are which with \
                 --map, or save them as LAYER.weight.mu, LAYER.weight.sigma, LAYER.bias.mu, LAYER.bias.sigma",
                list()
            ))
        }
    }
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
            let tensor =
                FoundTensor { shape: array.shape.clone(), mu: array.values.clone(), sigma, source: name.to_owned() };
            let into = if form.is_bias { &mut biases } else { &mut weights };
            into.push((named.layer.to_owned(), tensor));
        }
        self.deterministic(&mut weights, &mut biases);
        let mut layers = Vec::with_capacity(weights.len());
        for (name, weight) in weights {
            let at = biases.iter().position(|(layer, _)| *layer == name);
            let bias = at.map(|at| biases.remove(at).1);
            layers.push(FoundLayer { name, weight, bias, batch_norm: None });
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
        };
        for &(name, array) in &self.source.tensors {
            let Some(layer) = name.strip_suffix(".weight").filter(|_| !self.used.contains(name)) else { continue };
            if ![2, 4].contains(&array.shape.len()) || weights.iter().any(|(known, _)| known == layer) {
                continue;
            }
            self.used.insert(name.to_owned());
            // In the place that it has among the others.
            let order = |name: &str| self.source.tensors.iter().position(|tensor| tensor.0 == name);
            let at = weights.iter().position(|(_, w)| order(&w.source) > order(name)).unwrap_or(weights.len());
            weights.insert(at, (layer.to_owned(), plain(name, array)));
            let bias = format!("{layer}.bias");
            if let Some(array) = self.source.get(&bias) {
                biases.push((layer.to_owned(), plain(&bias, array)));
                self.used.insert(bias);
            }
        }
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
        let (mut notes, mut warnings) = (Vec::new(), Vec::new());
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
            notes.push(format!("{} tensors that are not drawn from are passed over: {}", passed.len(), short(&passed)));
        }
        self.used.extend(passed);
        if !source.others.is_empty() {
            let names: Vec<String> = source.others.iter().map(|(name, _)| (*name).to_owned()).collect();
            notes.push(format!("what holds no numbers is passed over: {}", short(&names)));
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
        if self.family == Family::Blitz {
            warnings.push(
                "BLiTZ stores bias_mu and bias_rho also of layers that were made with bias=False and never use them: name \
                 such layers with --no-bias"
                    .to_owned(),
            );
        }
        Ok((notes, warnings))
    }

    /// Batch normalisations, each given to the linear layer before it.
    fn batch_norms(&mut self, found: &mut Found) -> Result<(), String> {
        let source = self.source;
        for &(name, mean) in &source.tensors {
            let Some(base) = name.strip_suffix(".running_mean") else { continue };
            let of = |part: &str| {
                let name = format!("{base}.{part}");
                (source.get(&name), name)
            };
            if let Some(random) = found.tensors().map(|t| t.0).find(|layer| *layer == base) {
                return Err(format!(
                    "the batch normalisation {random} has a random scale: its product with random weights is no Gaussian. \
                     Train with a deterministic one (torch.nn.BatchNorm2d), which is folded exactly"
                ));
            }
            let (Some(variance), _) = of("running_var") else {
                return Err(format!("{base} has running means and no running variances; save the whole state_dict"));
            };
            let channels = mean.values.len();
            let (scale, offset) = (of("weight"), of("bias"));
            let values = |part: &Option<&Array>, default: f64| {
                part.map_or_else(|| vec![default; channels], |array| array.values.clone())
            };
            let norm = BatchNorm {
                name: base.to_owned(),
                scale: values(&scale.0, 1.0),
                offset: values(&offset.0, 0.0),
                mean: mean.values.clone(),
                variance: variance.values.clone(),
            };
            self.used.extend([name.to_owned(), scale.1, offset.1, of("running_var").1]);
            let order = |name: &str| source.tensors.iter().position(|tensor| tensor.0 == name);
            let before = found.layers.iter_mut().rev().find(|layer| order(&layer.weight.source) < order(name));
            let fits =
                |layer: &&mut FoundLayer| layer.weight.shape.first() == Some(&channels) && layer.batch_norm.is_none();
            match before.filter(fits) {
                Some(layer) => {
                    found.warnings.push(format!(
                        "the batch normalisation {base} is folded into {}: right if it comes directly behind it, before \
                         any activation",
                        layer.name
                    ));
                    layer.batch_norm = Some(norm);
                }
                None => {
                    return Err(format!(
                        "the batch normalisation {base} has {channels} channels and stands behind no linear layer of as \
                         many; only one directly behind a linear layer can be folded"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Refuses tensors that nothing has used: they may be parameters.
    fn leftover(&self) -> Result<(), String> {
        let ignored = |name: &str| self.told.ignored.iter().any(|ignored| ignored == name);
        let left: Vec<String> = self
            .source
            .tensors
            .iter()
            .map(|(name, array)| ((*name).to_owned(), array))
            .filter(|(name, _)| !self.used.contains(name) && !ignored(name))
            .map(|(name, array)| format!("{name} {:?}", array.shape))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{} tensors are left over, which may be parameters: {}; name each that is of no interest with --ignore",
            left.len(),
            short(&left)
        ))
    }
}

/// A few names of many.
fn short(names: &[String]) -> String {
    const MOST: usize = 8;
    let more = names.len().saturating_sub(MOST);
    let shown = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
