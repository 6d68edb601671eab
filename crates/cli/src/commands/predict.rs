//! `qbnn predict`: images through a model file, each with its class and its uncertainty.

use crate::failure::usage;
use crate::model_file;
use crate::session::Session;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use qbnn_bnn::nn::Shape;
use qbnn_bnn::{Images, machine};
use qbnn_data::idx::Idx;
use serde_json::json;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// `predict`.
#[derive(Debug, Args)]
pub struct PredictCommand {
    /// The model file (.qbnn).
    pub model: PathBuf,
    /// IDX files of images, plain or gzip.
    #[arg(required = true, value_name = "IDX")]
    pub images: Vec<PathBuf>,
    /// Networks drawn for each prediction.
    #[arg(long, value_name = "S", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    pub samples: u32,
    /// Seed of the draws.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Give no class where the total uncertainty exceeds so many nats.
    #[arg(long, value_name = "NATS")]
    pub abstain_above: Option<f64>,
    /// How answers are written; --json is JSON lines.
    #[arg(long, value_enum, default_value_t = PredictFormat::Table)]
    pub format: PredictFormat,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PredictFormat {
    /// A line an image, for people.
    Table,
    /// A JSON object a line.
    Json,
    /// Comma-separated, with a header.
    Csv,
}

/// Nats of fixed point.
const NAT: f64 = (1u32 << qbnn_core::uncertainty::FRACTION_BITS) as f64;

/// One image's answer.
struct Answer {
    probabilities: Vec<f64>,
    class: usize,
    total: f64,
    aleatoric: f64,
    epistemic: f64,
}

/// Predicts every image of every file.
pub fn predict(session: &Session, args: &PredictCommand) -> Result<()> {
    let bytes = model_file::read(&args.model)?;
    let model = model_file::model(&bytes)?;
    let input = model.input();
    let shape = Shape { channels: input.channels, rows: input.rows, columns: input.columns };
    let format = if session.ui.json { PredictFormat::Json } else { args.format };
    if args.abstain_above.is_some_and(|limit| !(limit >= 0.0)) {
        return Err(usage("--abstain-above wants nats, 0 or more"));
    }
    for (i, path) in args.images.iter().enumerate() {
        let pixels = read(path, shape)?;
        if i == 0 {
            header(session, format, model.classes())?;
        }
        let images = Images { shape, pixels: &pixels };
        let mut progress =
            |_: usize, _: usize| if session.stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let logits = machine::logits(model, images, args.samples as usize, args.seed, &mut progress)?;
        let Some(logits) = logits else { bail!("stopped") };
        let (n, classes) = (images.len(), model.classes());
        for image in 0..n {
            let draws = (0..args.samples as usize).map(|s| &logits[(s * n + image) * classes..][..classes]);
            let answer = Answer::new(draws, classes);
            session.ui.result(&line(&answer, format, path, image, args.abstain_above))?;
        }
    }
    Ok(())
}

impl Answer {
    fn new<'l>(draws: impl Iterator<Item = &'l [i32]>, classes: usize) -> Self {
        let mut mean = vec![0; classes];
        let u = qbnn_core::uncertainty::uncertainty(draws, &mut mean);
        let class = (0..classes).rev().max_by_key(|&c| mean[c]).unwrap_or(0);
        let probabilities = mean.iter().map(|&p| p as f64 / 4_294_967_296.0).collect();
        let nats = |value: u32| value as f64 / NAT;
        Answer {
            probabilities,
            class,
            total: nats(u.total),
            aleatoric: nats(u.aleatoric),
            epistemic: nats(u.epistemic),
        }
    }
}

/// Images of an IDX file, plain or gzip.
fn read(path: &Path, shape: Shape) -> Result<Vec<u8>> {
    let (dims, pixels) = Idx::read(path)?.into_u8(3, path)?;
    if shape.channels != 1 || dims[1..] != [shape.rows, shape.columns] {
        bail!(
            "{}: its images are 1x{}x{}, the model reads {}x{}x{}",
            path.display(),
            dims[1],
            dims[2],
            shape.channels,
            shape.rows,
            shape.columns
        );
    }
    Ok(pixels)
}

fn header(session: &Session, format: PredictFormat, classes: usize) -> Result<()> {
    match format {
        PredictFormat::Json => Ok(()),
        PredictFormat::Csv => {
            let columns: Vec<_> = (0..classes).map(|c| format!("p{c}")).collect();
            session.ui.result(&format!("file,image,class,abstained,total,aleatoric,epistemic,{}", columns.join(",")))
        }
        PredictFormat::Table => session.ui.result("class  probability   total  aleatoric  epistemic  image"),
    }
}

fn line(a: &Answer, format: PredictFormat, path: &Path, image: usize, limit: Option<f64>) -> String {
    let abstained = limit.is_some_and(|limit| a.total > limit);
    let file = path.display().to_string();
    match format {
        PredictFormat::Json => json!({
            "file": file,
            "image": image,
            "class": a.class,
            "abstained": abstained,
            "total": a.total,
            "aleatoric": a.aleatoric,
            "epistemic": a.epistemic,
            "probabilities": a.probabilities,
        })
        .to_string(),
        PredictFormat::Csv => {
            let quoted =
                if file.contains([',', '"', '\n']) { format!("\"{}\"", file.replace('"', "\"\"")) } else { file };
            let p: Vec<_> = a.probabilities.iter().map(|p| format!("{p:.6}")).collect();
            let (class, numbers) = (a.class, [a.total, a.aleatoric, a.epistemic].map(|v| format!("{v:.6}")).join(","));
            format!("{quoted},{image},{class},{abstained},{numbers},{}", p.join(","))
        }
        PredictFormat::Table => {
            let class = if abstained { "?".to_owned() } else { a.class.to_string() };
            format!(
                "{class:>5}  {:>11.4}  {:>6.3}  {:>9.3}  {:>9.3}  {file}:{image}",
                a.probabilities[a.class], a.total, a.aleatoric, a.epistemic
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_probabilities_give_the_first_class() {
        let draws = [[0, 0, 0], [0, 0, 0]];
        let a = Answer::new(draws.iter().map(|d| &d[..]), 3);
        assert_eq!(a.class, 0);
        assert!((a.total - 3f64.ln()).abs() < 1e-3 && a.epistemic < 1e-3);
    }
}
