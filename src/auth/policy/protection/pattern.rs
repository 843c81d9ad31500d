//! Which patterns a new rule may have. Pure.

use super::expression::{Expression, Unusable};
use crate::error::{Error, Kind, excerpt};

/// The longest pattern or regular expression of a rule, in bytes.
const MAX_PATTERN: usize = 255;

/// Checks the pattern of a new rule, of `project` or (`None`) of a group. A rule that can match nothing protects
/// nothing, and whoever wrote it believes that it does.
///
/// # Errors
/// `BadRequest` for what is no pattern of repositories, or of none of the project's.
pub fn check_pattern(pattern: &str, project: Option<&str>) -> Result<(), Error> {
    let of_names = |b: u8| {
        b.is_ascii_lowercase()
            || b.is_ascii_digit()
            || matches!(b, b'.' | b'_' | b'-' | b'/' | b'*')
    };
    // Only a cached image's name has a host, and so perhaps a port.
    let fits = |b: u8| of_names(b) || b == b':' && project.is_none();
    if pattern.is_empty() || pattern.len() > MAX_PATTERN || !pattern.bytes().all(fits) {
        return Err(wrong(pattern, "a pattern of repositories").remedy(
            "write a path of at most 255 lower-case letters, digits, . _ - and /, with * for any run of characters",
        ));
    }
    match project {
        Some(project) if !can_match_in(pattern, project) => Err(Error::new(
            Kind::BadRequest,
            format!("`{pattern}` matches no repository of the project {project}"),
        )
        .remedy(format!("write the whole path, such as {project}*"))),
        _ => Ok(()),
    }
}

/// Checks the pattern of tags that narrows a rule.
///
/// # Errors
/// `BadRequest` for what no tag can match.
pub fn check_tag_pattern(pattern: &str) -> Result<(), Error> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'*');
    if pattern.is_empty() || pattern.len() > MAX_PATTERN || !pattern.bytes().all(fits) {
        return Err(wrong(pattern, "a pattern of tags")
            .remedy("write letters, digits, . _ and -, with * for any run of characters"));
    }
    Ok(())
}

/// Checks the regular expression of a rule about tags.
///
/// # Errors
/// `BadRequest` with what is wrong with it.
pub fn check_tag_expression(pattern: &str) -> Result<(), Error> {
    if pattern.is_empty() || pattern.len() > MAX_PATTERN {
        return Err(unusable(pattern, "it is empty, or longer than 255 bytes"));
    }
    compile(pattern, pattern).map(drop)
}

/// The table of what `pattern` matches from the first character to the last.
///
/// # Errors
/// `BadRequest` with what is wrong with it.
pub(super) fn compile_whole_names(pattern: &str) -> Result<Expression, Error> {
    // By itself first: a bracket too many would end the group around it.
    check_tag_expression(pattern)?;
    compile(pattern, &format!(r"\A(?:{pattern})\z"))
}

/// The table of `expression`, which was written as `pattern`.
fn compile(pattern: &str, expression: &str) -> Result<Expression, Error> {
    Expression::compile(expression).map_err(|why| match why {
        Unusable::Syntax(why) => unusable(pattern, &why),
        Unusable::TooLarge => unusable(
            pattern,
            "it is too large: what it is compiled to has more than 64 KiB",
        ),
    })
}

fn unusable(pattern: &str, why: &str) -> Error {
    let error = wrong(pattern, "a regular expression for tags");
    Error::new(error.kind(), format!("{}: {why}", error.what()))
        .remedy("write one such as ^v[0-9]+ or ^release-")
}

fn wrong(pattern: &str, what: &str) -> Error {
    Error::new(
        Kind::BadRequest,
        format!("`{}` is not {what}", excerpt(pattern)),
    )
}

/// Whether `pattern` can match the path of a repository of `project`: its own path, or one below it.
fn can_match_in(pattern: &str, project: &str) -> bool {
    let (literal, star) = pattern
        .split_once('*')
        .map_or((pattern, false), |(before, _)| (before, true));
    let is_below = literal
        .strip_prefix(project)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    is_below || star && project.starts_with(literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_protects_nothing_of_the_project_is_found() {
        let table: &[(&str, bool)] = &[
            ("acme/api", true),
            ("acme/api*", true),
            ("acme/api/*", true),
            ("acme/api/prod", true),
            ("acme/*", true),
            ("*", true),
            ("*/prod", true),
            ("acme/a*", true),
            ("acme/apis/*", false),
            ("acme/apis*", false),
            ("acme", false),
            ("prod*", false),
            ("other/api", false),
            ("acme/api-v2", false),
        ];
        for (pattern, expected) in table {
            let checked = check_pattern(pattern, Some("acme/api"));
            assert_eq!(checked.is_ok(), *expected, "{pattern}");
        }
        for pattern in ["", "acme/API", "acme/api?", "acme/a b", "acme/api:v1"] {
            assert!(
                check_pattern(pattern, Some("acme/api")).is_err(),
                "{pattern}"
            );
        }
        assert!(check_pattern("registry:5000/*", None).is_ok());
        assert!(check_pattern("library/Alpine", None).is_err());
        for (pattern, expected) in [
            ("v*", true),
            ("V1.0-rc_1", true),
            ("", false),
            ("v/1", false),
        ] {
            assert_eq!(check_tag_pattern(pattern).is_ok(), expected, "{pattern}");
        }
        for (pattern, said) in [
            ("^v[0-9]+$", None),
            ("(", Some("unclosed group")),
            ("", Some("empty")),
            ("(a{1000}){1000}", Some("too large")),
        ] {
            let error = check_tag_expression(pattern)
                .err()
                .map(|error| error.to_string());
            match (&error, said) {
                (None, None) => {}
                (Some(error), Some(said)) => assert!(error.contains(said), "{error}"),
                _ => panic!("{pattern}: {error:?}"),
            }
        }
    }
}
