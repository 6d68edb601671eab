//! The ways to write down predictions.

use crate::layout::{decimal, fits, wrap};
use anyhow::Result;
use clap::ValueEnum;
use qbnn::decided::Decided;
use qbnn::pictures::Name;
use qbnn::predict::Prediction;
use serde_json::json;

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

/// Writes answers in one format.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Which.
    pub format: AnswerFormat,
    /// Total uncertainty above which no class is given.
    pub abstain_above: Option<f64>,
    /// Columns of the terminal, if it is one: the table's lines are not longer.
    pub columns: Option<usize>,
    /// Names of the classes, or none.
    pub classes: &'a [String],
    /// Whether the model decides: what it does is then written with every answer.
    pub decides: bool,
}

impl Writer<'_> {
    /// The line before the first answer, where the format has one.
    pub fn header(&self, classes: usize) -> Option<String> {
        match self.format {
            AnswerFormat::Json => None,
            AnswerFormat::Csv => {
                let columns: Vec<_> = (0..classes).map(|c| format!("p{c}")).collect();
                let name = if self.classes.is_empty() { "" } else { "class_name," };
                let decided = if self.decides { "ood,set,calibrated_probability," } else { "" };
                let columns = columns.join(",");
                Some(format!("file,image,class,{name}abstained,{decided}total,aleatoric,epistemic,{columns}"))
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
    pub fn line(&self, a: &Prediction, name: &Name) -> Result<String> {
        let decided = a.decided.as_ref().filter(|_| self.decides);
        let abstained = self.abstain_above.is_some_and(|limit| a.total > limit) || decided.is_some_and(|d| d.abstain);
        let Name { file, image, several } = name;
        let class_name = self.classes.get(a.class);
        Ok(match self.format {
            AnswerFormat::Json => {
                let mut object = json!({
                    "file": &**file,
                    "image": image,
                    "class": a.class,
                    "abstained": abstained,
                    "total": a.total,
                    "aleatoric": a.aleatoric,
                    "epistemic": a.epistemic,
                    "probabilities": a.probabilities,
                });
                if let Some(name) = class_name {
                    object["class_name"] = name.as_str().into();
                }
                if let Some(Decided { set, ood, calibrated_probability, .. }) = decided {
                    object["set"] = set.clone().into();
                    if !self.classes.is_empty() {
                        let names: Vec<_> = set.iter().filter_map(|class| self.classes.get(*class)).collect();
                        object["set_names"] = json!(names);
                    }
                    object["ood"] = (*ood).into();
                    object["calibrated_probability"] = (*calibrated_probability).into();
                }
                serde_json::to_string(&object)?
            }
            AnswerFormat::Csv => {
                let file = quoted(file);
                let named = class_name.map_or(String::new(), |name| format!("{},", quoted(name)));
                let p: Vec<_> = a.probabilities.iter().map(|p| format!("{p:.6}")).collect();
                let numbers = [a.total, a.aleatoric, a.epistemic].map(|v| format!("{v:.6}")).join(",");
                let decided = decided.map_or(String::new(), |d| {
                    format!("{},{},{:.6},", d.ood, set(&d.set, " "), d.calibrated_probability)
                });
                format!("{file},{image},{},{named}{abstained},{decided}{numbers},{}", a.class, p.join(","))
            }
            AnswerFormat::Table => {
                let class = if abstained { "?".to_owned() } else { a.class.to_string() };
                let named = class_name.filter(|_| !abstained).map_or(String::new(), |name| format!(": {name}"));
                let unknown = |d: &Decided| if d.ood { ", unknown" } else { "" };
                let name = |class: &usize| self.classes.get(*class).cloned().unwrap_or_else(|| class.to_string());
                let names = |set: &[usize]| set.iter().map(name).collect::<Vec<_>>().join(", ");
                let decided = decided.map_or(String::new(), |d| format!("  {{{}}}{}", names(&d.set), unknown(d)));
                let place = if *several { format!(":{image}{named}{decided}") } else { named + &decided };
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

/// The classes of a set.
fn set(classes: &[usize], between: &str) -> String {
    classes.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

/// A cell of CSV.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// Three decimals, or as many as a small value needs.
fn nats(value: f64) -> String {
    if value > 0.0 && value < 0.0095 { decimal(value) } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal() -> Prediction {
        let total = 3f64.ln();
        Prediction {
            probabilities: vec![1.0 / 3.0; 3],
            class: 0,
            total,
            aleatoric: total,
            epistemic: 0.0,
            decided: None,
        }
    }

    #[test]
    fn classes_are_called_by_their_names_where_they_have_some() {
        let classes = ["a cat".to_owned(), "x, y".to_owned(), "z".to_owned()];
        let name = Name { file: "a.png".into(), image: 0, several: false };
        let writer =
            |format, abstain_above| Writer { format, abstain_above, columns: None, classes: &classes, decides: false };
        let line = |format, abstain_above| writer(format, abstain_above).line(&equal(), &name).unwrap();
        assert!(line(AnswerFormat::Json, None).contains("\"class_name\":\"a cat\""));
        assert!(line(AnswerFormat::Table, None).ends_with("a.png: a cat"));
        // Who abstains names no class.
        assert!(line(AnswerFormat::Table, Some(1.0)).ends_with("a.png"));
        assert!(line(AnswerFormat::Csv, None).starts_with("a.png,0,0,a cat,false,"));
        let header = writer(AnswerFormat::Csv, None).header(3).unwrap();
        assert!(header.starts_with("file,image,class,class_name,abstained,"), "{header}");
        let second = Prediction { class: 1, ..equal() };
        assert!(writer(AnswerFormat::Csv, None).line(&second, &name).unwrap().contains(",1,\"x, y\",false,"));
    }

    #[test]
    fn decisions_are_written_with_every_answer() {
        let decided = Decided { set: vec![0, 2], abstain: true, ood: true, calibrated_probability: 0.4 };
        let answer = Prediction { decided: Some(decided), ..equal() };
        let name = Name { file: "a.png".into(), image: 0, several: false };
        let writer = |format| Writer { format, abstain_above: None, columns: None, classes: &[], decides: true };
        let line = |format| writer(format).line(&answer, &name).unwrap();
        assert!(line(AnswerFormat::Csv).starts_with("a.png,0,0,true,true,0 2,0.400000,1.09"));
        let header = writer(AnswerFormat::Csv).header(3).unwrap();
        assert!(header.starts_with("file,image,class,abstained,ood,set,calibrated_probability,total,"));
        assert_eq!(header.split(',').count(), line(AnswerFormat::Csv).split(',').count());
        let table = line(AnswerFormat::Table);
        assert!(table.trim_start().starts_with('?') && table.ends_with("a.png  {0, 2}, unknown"), "{table}");
        let json: serde_json::Value = serde_json::from_str(&line(AnswerFormat::Json)).unwrap();
        assert_eq!((&json["set"], &json["ood"], &json["abstained"]), (&json!([0, 2]), &json!(true), &json!(true)));
        assert_eq!(json.get("set_names"), None);
        // By their names, where the classes have some; programs have both.
        let classes = ["cat", "dog", "cow"].map(str::to_owned);
        let named = |format| Writer { classes: &classes, ..writer(format) }.line(&answer, &name).unwrap();
        assert!(named(AnswerFormat::Table).ends_with("a.png  {cat, cow}, unknown"));
        let json: serde_json::Value = serde_json::from_str(&named(AnswerFormat::Json)).unwrap();
        assert_eq!((&json["set"], &json["set_names"]), (&json!([0, 2]), &json!(["cat", "cow"])));
    }

    #[test]
    fn names_are_quoted_and_doubts_are_kept() {
        let name = Name { file: "a,\"b\".png".into(), image: 0, several: false };
        let writer =
            |format, abstain_above| Writer { format, abstain_above, columns: None, classes: &[], decides: false };
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
