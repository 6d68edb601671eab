//! What a model says about an image, and the ways to write it down.

use crate::layout::{decimal, fits, wrap};
use anyhow::Result;
use clap::ValueEnum;
use qbnn_bnn::pfp;
use qbnn_eval::{Predictions, arg_max, uncertainty};
use serde_json::json;
use std::rc::Rc;

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    /// A line an image, for people.
    Table,
    /// A JSON object a line.
    Json,
    /// Comma-separated, with a header.
    Csv,
}

/// The header of a table.
const HEADER: &str = "class  probability      total  aleatoric  epistemic  image";

/// Nats of fixed point.
const NAT: f64 = (1u32 << qbnn_core::uncertainty::FRACTION_BITS) as f64;

/// One image's answer, whatever worked it out.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Mean probability of each class.
    pub probabilities: Vec<f64>,
    /// The most probable class, the first of equals.
    pub class: usize,
    /// Total uncertainty in nats.
    pub total: f64,
    /// Aleatoric uncertainty in nats.
    pub aleatoric: f64,
    /// Epistemic uncertainty in nats.
    pub epistemic: f64,
}

impl Answer {
    /// From the logits of every draw, with 16 fraction bits: in integers, as a device works it out.
    ///
    /// # Errors
    /// A draw has more or fewer logits than there are classes.
    pub fn of_draws<'l>(draws: impl Iterator<Item = &'l [i32]>, classes: usize) -> Result<Self> {
        let mut mean = vec![0; classes];
        let u = qbnn_core::uncertainty::uncertainty(draws, &mut mean)?;
        let class = (0..classes).rev().max_by_key(|&c| mean[c]).unwrap_or(0);
        let probabilities = mean.iter().map(|&p| p as f64 / 4_294_967_296.0).collect();
        let nats = |value: u32| value as f64 / NAT;
        Ok(Answer {
            probabilities,
            class,
            total: nats(u.total),
            aleatoric: nats(u.aleatoric),
            epistemic: nats(u.epistemic),
        })
    }

    /// From the probabilities of every draw, `[draw][image][class]`; an answer for each image.
    pub fn of_probabilities(samples: usize, images: usize, classes: usize, draws: Vec<f64>) -> Result<Vec<Self>> {
        let found = uncertainty(&Predictions::new(samples, images, classes, draws)?);
        let answer = |image: usize| {
            let probabilities = found.mean_probs[image * classes..][..classes].to_vec();
            // Of one draw there is nothing that could disagree.
            let epistemic = found.epistemic.as_ref().map_or(0.0, |e| e[image]);
            let (total, aleatoric) = (found.total[image], found.aleatoric[image]);
            Answer { class: arg_max(&probabilities).0, probabilities, total, aleatoric, epistemic }
        };
        Ok((0..images).map(answer).collect())
    }

    /// From an analytic pass.
    pub fn of_pass(pass: pfp::Prediction) -> Self {
        let pfp::Prediction { probabilities, total, aleatoric, epistemic } = pass;
        Answer { class: arg_max(&probabilities).0, probabilities, total, aleatoric, epistemic }
    }
}

/// Writes answers in one format.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    /// Which.
    pub format: AnswerFormat,
    /// Total uncertainty above which no class is given.
    pub abstain_above: Option<f64>,
    /// Columns of the terminal, if it is one: the table's lines are not longer.
    pub columns: Option<usize>,
}

/// Which image an answer is about: a file, and the place in it where it holds several.
#[derive(Clone, Debug)]
pub struct Name {
    /// The file as it was named.
    pub file: Rc<str>,
    /// Place in the file, counted from 0.
    pub image: usize,
    /// Whether the file holds several.
    pub several: bool,
}

impl Writer {
    /// The line before the first answer, where the format has one.
    pub fn header(&self, classes: usize) -> Option<String> {
        match self.format {
            AnswerFormat::Json => None,
            AnswerFormat::Csv => {
                let columns: Vec<_> = (0..classes).map(|c| format!("p{c}")).collect();
                Some(format!("file,image,class,abstained,total,aleatoric,epistemic,{}", columns.join(",")))
            }
            AnswerFormat::Table => {
                Some(HEADER.to_owned()).filter(|_| self.columns.is_none_or(|columns| fits(HEADER, columns)))
            }
        }
    }

    /// The line of an answer.
    ///
    /// # Errors
    /// None that is known: JSON of numbers and a string.
    pub fn line(&self, a: &Answer, name: &Name) -> Result<String> {
        let abstained = self.abstain_above.is_some_and(|limit| a.total > limit);
        let Name { file, image, several } = name;
        Ok(match self.format {
            AnswerFormat::Json => serde_json::to_string(&json!({
                "file": &**file,
                "image": image,
                "class": a.class,
                "abstained": abstained,
                "total": a.total,
                "aleatoric": a.aleatoric,
                "epistemic": a.epistemic,
                "probabilities": a.probabilities,
            }))?,
            AnswerFormat::Csv => {
                let quoted = if file.contains([',', '"', '\n', '\r']) {
                    format!("\"{}\"", file.replace('"', "\"\""))
                } else {
                    file.to_string()
                };
                let p: Vec<_> = a.probabilities.iter().map(|p| format!("{p:.6}")).collect();
                let numbers = [a.total, a.aleatoric, a.epistemic].map(|v| format!("{v:.6}")).join(",");
                format!("{quoted},{image},{},{abstained},{numbers},{}", a.class, p.join(","))
            }
            AnswerFormat::Table => {
                let class = if abstained { "?".to_owned() } else { a.class.to_string() };
                let place = if *several { format!(":{image}") } else { String::new() };
                let p = a.probabilities[a.class];
                let [total, aleatoric, epistemic] = [a.total, a.aleatoric, a.epistemic].map(nats);
                let figures = format!("{class:>5}  {p:>11.4}  {total:>9}  {aleatoric:>9}  {epistemic:>9}");
                let line = format!("{figures}  {file}{place}");
                match self.columns {
                    // Too narrow for the columns of figures.
                    Some(columns) if !fits(HEADER, columns) => wrap(
                        &format!(
                            "{file}{place}: class {class}, probability {p:.4}, total {total}, aleatoric {aleatoric}, \
                             epistemic {epistemic} nats"
                        ),
                        columns,
                        2,
                    ),
                    Some(columns) if !fits(&line, columns) => {
                        let name = wrap(&format!("       {file}{place}"), columns, 7);
                        format!("{figures}\n{name}")
                    }
                    _ => line,
                }
            }
        })
    }
}

/// Three decimals, or as many as a small value needs.
fn nats(value: f64) -> String {
    if value > 0.0 && value < 0.0095 { decimal(value) } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal() -> Answer {
        let draws = [[0, 0, 0], [0, 0, 0]];
        Answer::of_draws(draws.iter().map(|d| &d[..]), 3).unwrap()
    }

    #[test]
    fn equal_probabilities_give_the_first_class() {
        let a = equal();
        assert_eq!(a.class, 0);
        assert!((a.total - 3f64.ln()).abs() < 1e-3 && a.epistemic < 1e-3);
    }

    #[test]
    fn names_are_quoted_and_doubts_are_kept() {
        let name = Name { file: "a,\"b\".png".into(), image: 0, several: false };
        let writer = |format, abstain_above| Writer { format, abstain_above, columns: None };
        let line = |format, abstain_above| writer(format, abstain_above).line(&equal(), &name).unwrap();
        assert!(line(AnswerFormat::Csv, Some(2.0)).starts_with("\"a,\"\"b\"\".png\",0,0,false,1.09"));
        assert!(line(AnswerFormat::Csv, Some(1.0)).contains(",true,"));
        assert!(line(AnswerFormat::Table, Some(1.0)).trim_start().starts_with('?'));
        assert!(line(AnswerFormat::Table, None).ends_with("a,\"b\".png"));
        for columns in [20, 40, 60, 80] {
            let writer = Writer { columns: Some(columns), ..writer(AnswerFormat::Table, None) };
            let text = writer.line(&equal(), &name).unwrap();
            assert!(fits(&text, columns) && text.contains("1.099") && text.contains("\"b\".png"), "{columns}: {text}");
            assert!(writer.header(3).is_none_or(|header| fits(&header, columns)));
        }
        assert_eq!([0.0, 1.88e-5, 0.0042, 0.25].map(nats), ["0.000", "0.000019", "0.0042", "0.250"]);
    }
}
