//! Unrolls loops in the text of a kernel, for drivers that do not: there, arrays that a loop indexes stay in memory.

use super::DeviceClass;
use std::collections::HashMap;

/// The constant that asks for it.
pub(super) const UNROLL: &str = "UNROLL";

/// That constant for the drivers that need it.
pub(super) fn constant(class: DeviceClass) -> Option<(&'static str, u32)> {
    (class == DeviceClass::Software).then_some((UNROLL, 1))
}

/// `text` with each loop behind a line `#unroll` written out, if `text` has the constant [`UNROLL`], and else without those
/// lines.
///
/// Such a loop is `for (var i = 0u; i < COUNT; i++) {`, COUNT a sum of products of numbers and constants of the text; it ends
/// with the next brace at its indentation. Each turn is a block of its own, with a number in the place of `i`.
pub(super) fn unroll(text: &str) -> String {
    let constants = constants(text);
    let unrolled = constants.contains_key(UNROLL);
    let mut out = String::new();
    append(&text.lines().collect::<Vec<_>>(), &constants, unrolled, &mut out);
    out
}

fn append(lines: &[&str], constants: &HashMap<&str, u32>, unrolled: bool, out: &mut String) {
    let mut rest = lines;
    while let Some((line, behind)) = rest.split_first() {
        rest = behind;
        if line.trim() != "#unroll" {
            out.push_str(line);
            out.push('\n');
        } else if unrolled {
            rest = append_turns(behind, constants, out).unwrap_or_else(|| {
                out.push_str("#error this loop cannot be unrolled:\n");
                behind
            });
        }
    }
}

/// Writes out the loop at the start of `lines`; what is behind it.
fn append_turns<'a, 't>(
    lines: &'a [&'t str],
    constants: &HashMap<&str, u32>,
    out: &mut String,
) -> Option<&'a [&'t str]> {
    let (head, behind) = lines.split_first()?;
    let (indent, head) = head.split_at(head.len() - head.trim_start().len());
    let (name, head) = head.strip_prefix("for (var ")?.split_once(" = 0u; ")?;
    let count = head.strip_prefix(name)?.strip_prefix(" < ")?.strip_suffix(&format!("; {name}++) {{"))?;
    let count = value(count, constants)?;
    let end = behind.iter().position(|line| line.strip_prefix(indent) == Some("}"))?;
    let mut body = String::new();
    append(&behind[..end], constants, true, &mut body);
    for turn in 0..count {
        out.push_str(&format!("{indent}{{\n{}{indent}}}\n", replace(&body, name, &format!("{turn}u"))));
    }
    Some(&behind[end + 1..])
}

/// The `const NAME: u32 = VALUE;` of a text.
fn constants(text: &str) -> HashMap<&str, u32> {
    let mut constants = HashMap::new();
    for line in text.lines() {
        let found = line.strip_prefix("const ").and_then(|line| line.split_once(": u32 = "));
        let Some((name, (expression, _))) =
            found.and_then(|(name, line)| Some((name, line.split_once(';')?)))
        else {
            continue;
        };
        if let Some(value) = value(expression, &constants) {
            constants.insert(name, value);
        }
    }
    constants
}

/// The value of a sum of products, `A * B + C - 1u`.
fn value(expression: &str, constants: &HashMap<&str, u32>) -> Option<u32> {
    let word = |word: &str| {
        constants.get(word).copied().or_else(|| word.strip_suffix('u').unwrap_or(word).parse().ok())
    };
    let product =
        |words: &str| words.split(" * ").map(word).try_fold(1, |product, word| Some(product * word?));
    expression.split(" + ").try_fold(0, |sum: u32, terms| {
        let (first, less) = terms.split_once(" - ").unwrap_or((terms, "0u"));
        (sum + product(first)?).checked_sub(product(less)?)
    })
}

/// `text` with `new` for the identifier `name`.
fn replace(text: &str, name: &str, new: &str) -> String {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::new();
    let mut done = 0;
    for (at, _) in text.match_indices(name) {
        let before = text[..at].chars().next_back().is_some_and(|c| in_word(c) || c == '.');
        let after = text[at + name.len()..].chars().next().is_some_and(in_word);
        if !before && !after && at >= done {
            out.push_str(&text[done..at]);
            out.push_str(new);
            done = at + name.len();
        }
    }
    out + &text[done..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPS: &str = "const A: u32 = 2u;
const B: u32 = A + 2u - 1u; // three
fn main() {
    #unroll
    for (var i = 0u; i < A; i++) {
        let x_i = x.i;
        #unroll
        for (var k = 0u; k < B; k++) {
            y[i * B + k] = x_i;
        }
    }
    for (var i = 0u; i < A; i++) {
        z[i] = 0;
    }
}
";

    #[test]
    fn loops_are_written_out_where_asked_for() {
        let text = unroll(&format!("const UNROLL: u32 = 1u;\n{LOOPS}"));
        for line in ["y[0u * B + 0u] = x_i;", "y[1u * B + 2u] = x_i;", "let x_i = x.i;", "z[i] = 0;"] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("= x_i;").count(), 6);
        assert_eq!(text.matches("for (").count(), 1);
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }

    #[test]
    fn loops_stay_loops_elsewhere() {
        let text = unroll(LOOPS);
        assert_eq!(text.matches("for (").count(), 3);
        assert!(!text.contains('#'));
    }

    #[test]
    fn what_cannot_be_unrolled_does_not_compile() {
        for head in
            ["for (var i = 0u; i < p.units; i++) {", "for (var i = 1u; i < 4u; i++) {", "while true {"]
        {
            let text = unroll(&format!("const UNROLL: u32 = 1u;\n#unroll\n{head}\n}}\n"));
            assert!(text.contains("#error"), "{text}");
        }
    }

    #[test]
    fn counts_are_sums_of_products() {
        let constants = HashMap::from([("A", 5), ("B", 3)]);
        for (expression, expected) in [
            ("A", Some(5)),
            ("A + B - 1u", Some(7)),
            ("B * 4u + A", Some(17)),
            ("A * C", None),
            ("1u - A", None),
        ] {
            assert_eq!(value(expression, &constants), expected, "{expression}");
        }
    }
}
