//! Half precision in the text of a kernel: a buffer of `f16`, converted where it is read and written.

/// What must stand before everything else in a text with `f16`.
const ENABLE: &str = "enable f16;\n";

/// `text` with the storage buffer `name` in half precision.
///
/// Its elements are `f32`, vectors of it, or an alias of one of them. Every use is `name[index]`, read, or as a statement
/// `name[index] = value;`.
pub(super) fn store(text: &str, name: &str) -> String {
    let text = text.strip_prefix(ENABLE).unwrap_or(text);
    let Some((whole, half)) = elements(text, name) else {
        return format!("#error {name} is no buffer of numbers\n{text}");
    };
    let text = text.replace(&format!("> {name}: array<{whole}>"), &format!("> {name}: array<{half}>"));
    format!("{ENABLE}{}", convert(&text, name, &whole, half))
}

/// The type of a buffer's elements, and its half.
fn elements(text: &str, name: &str) -> Option<(String, &'static str)> {
    let (_, declared) = text.split_once(&format!("> {name}: array<"))?;
    let (whole, _) = declared.split_once('>')?;
    let alias = text.split_once(&format!("alias {whole} = ")).and_then(|(_, rest)| rest.split_once(';'));
    let half = match alias.map_or(whole, |(meant, _)| meant) {
        "f32" => "f16",
        "vec2f" => "vec2<f16>",
        "vec4f" => "vec4<f16>",
        _ => return None,
    };
    Some((whole.to_owned(), half))
}

/// `text` with each use of `name[..]` converted.
fn convert(text: &str, name: &str, whole: &str, half: &str) -> String {
    let start = format!("{name}[");
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = find(rest, &start) {
        let index = at + start.len();
        let Some(end) = closing(&rest[index..]).map(|end| index + end + 1) else { break };
        let place = format!("{start}{}", convert(&rest[index..end], name, whole, half));
        out.push_str(&rest[..at]);
        rest = &rest[end..];
        match rest.strip_prefix(" = ").and_then(|rest| rest.split_once(';')) {
            Some((value, behind)) => {
                let value = convert(value, name, whole, half);
                out.push_str(&format!("{place} = {half}({value});"));
                rest = behind;
            }
            None => out.push_str(&format!("{whole}({place})")),
        }
    }
    out + rest
}

/// Where `start`, which begins with an identifier, stands in `text`, and not as the end of another one or behind `//`.
fn find(text: &str, start: &str) -> Option<usize> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let in_comment = |at: usize| text[text[..at].rfind('\n').map_or(0, |line| line + 1)..at].contains("//");
    let starts = |at: usize| !text[..at].chars().next_back().is_some_and(in_word) && !in_comment(at);
    text.match_indices(start).map(|(at, _)| at).find(|&at| starts(at))
}

/// The `]` that closes a bracket opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    text.char_indices().find_map(|(at, c)| match c {
        '[' => {
            depth += 1;
            None
        }
        ']' if depth == 0 => Some(at),
        ']' => {
            depth -= 1;
            None
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str = "const A: u32 = 2u;
alias Images = vec4f;
@group(0) @binding(1) var<storage, read> x: array<Images>; // x[blocks]
@group(0) @binding(2) var<storage, read> edge: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
fn main() {
    // x[i] is read
    let sum = x[i + edge[A]] + other.x[i] + max[i];
    y[i] = sum.x * x[edge[i]].y;
}
";

    #[test]
    fn reads_and_writes_are_converted() {
        let text = store(&store(KERNEL, "x"), "y");
        let expected = KERNEL
            .replace("const A", "enable f16;\nconst A")
            .replace("x: array<Images>", "x: array<vec4<f16>>")
            .replace("y: array<f32>", "y: array<f16>")
            .replace("= x[i + edge[A]] +", "= Images(x[i + edge[A]]) +")
            .replace("y[i] = sum.x * x[edge[i]].y;", "y[i] = f16(sum.x * Images(x[edge[i]]).y);");
        assert_eq!(text, expected);
    }

    #[test]
    fn what_holds_no_numbers_is_an_error() {
        for name in ["edge", "nothing"] {
            assert!(store(KERNEL, name).starts_with("#error"), "{name}");
        }
    }
}
