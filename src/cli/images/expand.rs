//! `$VAR` and `${VAR:-default}`, as Dockerfiles and compose files have them.

use std::collections::HashMap;
use std::path::Path;

/// How deep defaults may lie in each other.
const MAX_DEPTH: usize = 16;
/// The longest text that comes of it, in bytes: no image's name is nearly as long.
const MAX_LENGTH: usize = 8 << 10;

/// Puts the values of `value` in place of variables. `escape` makes a dollar sign behind it an ordinary one.
///
/// # Errors
/// Why the text cannot be told: a sentence that names the variable.
pub(super) fn expand(
    text: &str,
    escape: char,
    value: &impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    expand_at(text, escape, value, MAX_DEPTH)
}

fn expand_at(
    text: &str,
    escape: char,
    value: &impl Fn(&str) -> Option<String>,
    depth: usize,
) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        if c == escape && after.starts_with('$') {
            expanded.push('$');
            rest = after.get(1..).unwrap_or_default();
        } else if c != '$' {
            expanded.push(c);
            rest = after;
        } else if let Some(inner) = after.strip_prefix('{') {
            let end = end_of_braces(inner).ok_or("a ${ has no }")?;
            let (inside, behind) = inner.split_at_checked(end).unwrap_or_default();
            let depth = depth
                .checked_sub(1)
                .ok_or("its defaults lie too deep in each other")?;
            expanded.push_str(&in_braces(inside, escape, value, depth)?);
            rest = behind.get(1..).unwrap_or_default();
        } else {
            let (name, behind) = split_name(after);
            if name.is_empty() {
                return Err("a $ stands before no name".to_owned());
            }
            expanded.push_str(&value(name).ok_or_else(|| no_value(name))?);
            rest = behind;
        }
        if expanded.len() > MAX_LENGTH {
            return Err("its variables make it longer than any name".to_owned());
        }
    }
    Ok(expanded)
}

/// What stands between `${` and `}`.
fn in_braces(
    inside: &str,
    escape: char,
    value: &impl Fn(&str) -> Option<String>,
    depth: usize,
) -> Result<String, String> {
    let (name, rest) = split_name(inside);
    if name.is_empty() {
        return Err(format!("${{{inside}}} has no name"));
    }
    let (with_colon, operator) = match rest.strip_prefix(':') {
        Some(operator) => (true, operator),
        None => (false, rest),
    };
    // With a colon an empty value counts as none.
    let set = value(name).filter(|value| !with_colon || !value.is_empty());
    let otherwise = |operand| expand_at(operand, escape, value, depth);
    let mut operator = operator.chars();
    match (operator.next(), operator.as_str()) {
        (None, _) if !with_colon => set.ok_or_else(|| no_value(name)),
        (Some('-'), default) => set.map_or_else(|| otherwise(default), Ok),
        (Some('+'), other) => set.map_or_else(|| Ok(String::new()), |_| otherwise(other)),
        (Some('?'), _) => set.ok_or_else(|| no_value(name)),
        _ => Err(format!(
            "${{{inside}}} is written in a way that is not read here"
        )),
    }
}

fn no_value(name: &str) -> String {
    format!("{name} has no value")
}

fn split_name(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    text.split_at_checked(end.unwrap_or(text.len()))
        .unwrap_or_default()
}

/// Where the brace closes that was opened before `text`.
fn end_of_braces(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == '$' => open = open.saturating_add(1),
            '}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
        before = c;
    }
    None
}

/// `NAME=VALUE` lines of the file that docker compose reads beside a compose file; nothing where there is none.
pub(super) fn environment_file(path: &Path) -> HashMap<String, String> {
    let text = super::read_text(path).unwrap_or_default();
    let lines = text.lines().map(str::trim);
    let pairs = lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let line = line.strip_prefix("export ").unwrap_or(line);
            let (name, value) = line.split_once('=')?;
            Some((name.trim().to_owned(), unquoted(value.trim()).to_owned()))
        });
    pairs.collect()
}

/// Without quotes around it; without them, without a comment behind it.
pub(super) fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inside) = value
            .strip_prefix(quote)
            .and_then(|value| value.split_once(quote))
        {
            return inside.0;
        }
    }
    value
        .split_once(" #")
        .map_or(value, |(value, _)| value.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_as_docker_does() {
        let value = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            "LONG" => Some("x".repeat(5_000)),
            _ => None,
        };
        let none = |name: &str| Err(format!("{name} has no value"));
        let cases: &[(&str, Result<String, String>)] = &[
            ("alpine", Ok("alpine".into())),
            ("x:$A", Ok("x:a".into())),
            ("x:${A}-slim", Ok("x:a-slim".into())),
            ("$A.b", Ok("a.b".into())),
            ("x:${B:-1}", Ok("x:1".into())),
            ("x:${B-1}", Ok("x:1".into())),
            ("x:${EMPTY:-1}", Ok("x:1".into())),
            ("x${EMPTY-1}", Ok("x".into())),
            ("x${A:+y}${B:+z}", Ok("xy".into())),
            ("${B:-${C:-d}}", Ok("d".into())),
            ("${B:-a:${A}}", Ok("a:a".into())),
            ("$$A", Ok("$A".into())),
            ("$B", none("B")),
            ("${B}", none("B")),
            ("${B:?say it}", none("B")),
            ("${B", Err("a ${ has no }".into())),
            ("$", Err("a $ stands before no name".into())),
            (
                "${A:}",
                Err("${A:} is written in a way that is not read here".into()),
            ),
            (
                "${A#a}",
                Err("${A#a} is written in a way that is not read here".into()),
            ),
            (
                "$LONG$LONG",
                Err("its variables make it longer than any name".into()),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, '$', &value), *expected, "{text}");
        }
        assert_eq!(expand(r"\$A$A", '\\', &value), Ok("$Aa".into()));
        let deep = format!("{}x{}", "${B:-".repeat(100), "}".repeat(100));
        let why = expand(&deep, '$', &value).unwrap_err();
        assert!(why.contains("too deep"), "{why}");
    }

    #[test]
    fn a_value_loses_its_quotes_and_comment() {
        for (value, expected) in [
            ("1.2", "1.2"),
            ("\"1 # 2\" # x", "1 # 2"),
            ("'1'", "1"),
            ("1 # x", "1"),
            ("a#b", "a#b"),
            ("\"", "\""),
        ] {
            assert_eq!(unquoted(value), expected);
        }
    }
}
