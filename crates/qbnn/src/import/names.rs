//! Names of layers and tensors: their natural order, and what two of them have in common.

use std::cmp::Ordering;

/// Order of names in which numbers count by their value: `layers.2` before `layers.10`.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    parts(a).cmp(parts(b)).then_with(|| a.cmp(b))
}

/// A name cut into texts and numbers; a number is before a text.
fn parts(name: &str) -> impl Iterator<Item = (Option<u128>, &str)> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let is_digit = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        // A number that no 128 bits hold is a text.
        Some(match part.parse().ok().filter(|_| is_digit) {
            Some(number) => (Some(number), ""),
            None => (None, part),
        })
    })
}

/// A name without its digits: two layers whose names differ in numbers alone have the same.
pub(super) fn without_numbers(name: &str) -> String {
    name.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Where a layer stands and its number: `block1.conv2` is (`block1`, `2`), and so is `block1.bn2`.
pub(super) fn place(name: &str) -> (&str, String) {
    let (path, last) = name.rsplit_once(['.', '/']).unwrap_or(("", name));
    (path, last.chars().filter(char::is_ascii_digit).collect())
}

/// The length of what all names begin with, up to a dot or a slash.
pub(super) fn common_prefix<'a>(mut names: impl Iterator<Item = &'a str> + Clone) -> usize {
    let Some(first) = names.next() else { return 0 };
    let ends = first.char_indices().filter(|(_, c)| ['.', '/'].contains(c)).map(|(at, _)| at + 1);
    ends.filter(|&end| names.clone().all(|name| name.starts_with(&first[..end]))).last().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_by_their_value() {
        let mut names = ["l.10.w", "l.2.w", "l.2.b", "a", "l.1", "l.99999999999999999999999999999999999999999", "l"];
        names.sort_by(|a, b| natural(a, b));
        let long = "l.99999999999999999999999999999999999999999";
        assert_eq!(names, ["a", "l", long, "l.1", "l.2.b", "l.2.w", "l.10.w"]);
        assert_eq!(natural("a01", "a1"), Ordering::Less);
        assert_eq!(natural("a1", "a1"), Ordering::Equal);
    }

    #[test]
    fn a_layer_and_its_normalisation_have_one_place() {
        assert_eq!(place("block1.conv2"), place("block1.bn2"));
        assert_eq!(place("bn1"), ("", "1".to_owned()));
        assert_ne!(place("block1.conv2"), place("block2.bn2"));
        assert_eq!(common_prefix(["net.a.w", "net.b"].into_iter()), 4);
        assert_eq!(without_numbers("fc12.x3"), "fc.x");
    }
}
