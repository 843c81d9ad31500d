//! What users, groups and tokens may be called. Pure.

use crate::error::{Error, Kind, Result};
use crate::oci::RepositoryName;

const MAX_LENGTH: usize = 255;

/// A user's name: letters, digits, `_`, `.`, `-`; not a `-` first, not a `.` last.
pub(super) fn check_user_name(name: &str) -> Result<()> {
    let valid = (1..=MAX_LENGTH).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        && !name.starts_with('-')
        && !name.ends_with('.');
    if !valid {
        return Err(wrong(name, "a user's name")
            .remedy("use up to 255 letters, digits, _ . and -, no - first and no . last"));
    }
    if name == "gitlab-ci-token" {
        let what = "the name `gitlab-ci-token` is reserved: job tokens log in with it";
        return Err(Error::new(Kind::Usage, what).remedy("choose another one"));
    }
    Ok(())
}

/// A new group's path. `mirror` is the mirror's group, which exists from the first start on.
pub(super) fn check_group_path(path: &str, mirror: &str) -> Result<()> {
    let first = path.split('/').next().unwrap_or_default();
    let reserved = match first {
        "library" => Some("it is where Docker Hub keeps its official images"),
        "virtual_registries" | "v2" | "api" | "jwt" | "-" => Some("it is a path of this server"),
        _ if first == mirror => Some("it is the mirror's group"),
        _ if first.contains(['.', ':']) => {
            Some("a dot or a colon makes it the name of an upstream")
        }
        _ => None,
    };
    if let Some(why) = reserved {
        let what = format!(
            "a top-level group cannot be called `{}`: {why}",
            shown(first)
        );
        return Err(Error::new(Kind::Usage, what).remedy("choose another name"));
    }
    if RepositoryName::parse(path).is_err() {
        return Err(wrong(path, "a group's path").remedy(
            "use lower-case letters, digits, and single . _ - between them, parts separated by /",
        ));
    }
    if path.split('/').any(|part| part == "dependency_proxy") {
        let what = "no group can be called `dependency_proxy`: it stands in every path of the dependency proxy";
        return Err(Error::new(Kind::Usage, what).remedy("choose another name"));
    }
    Ok(())
}

/// A token's name: free text, but nothing that drives a terminal.
pub(super) fn check_token_name(name: &str) -> Result<()> {
    let printable = !name.chars().any(char::is_control);
    if !name.trim().is_empty() && name.len() <= MAX_LENGTH && printable {
        return Ok(());
    }
    Err(wrong(name, "a token's name").remedy("use 1 to 255 bytes without control characters"))
}

fn wrong(name: &str, what: &str) -> Error {
    Error::new(Kind::Usage, format!("`{}` is not {what}", shown(name)))
}

fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_called_by_words() {
        let (longest, longer) = ("a".repeat(255), "a".repeat(256));
        let cases: &[(&str, bool)] = &[
            ("alice", true),
            ("A.b_c-d9", true),
            ("_", true),
            (&longest, true),
            (&longer, false),
            ("", false),
            ("-a", false),
            ("a.", false),
            ("a b", false),
            ("a:b", false),
            ("é", false),
            ("a\n", false),
            ("gitlab+deploy-token-1", false),
            ("gitlab-ci-token", false),
        ];
        for (name, valid) in cases {
            assert_eq!(check_user_name(name).is_ok(), *valid, "{name:?}");
        }
    }

    #[test]
    fn groups_are_called_by_repository_names() {
        // The path, and what a refusal must say.
        let cases: &[(&str, Option<&str>)] = &[
            ("acme", None),
            ("acme/backend", None),
            ("acme/a.b", None),
            ("acme/library", None),
            ("acme/mirror", None),
            ("my-team_1", None),
            ("library", Some("Docker Hub")),
            ("library/x", Some("Docker Hub")),
            ("virtual_registries", Some("path of this server")),
            ("v2", Some("path of this server")),
            ("api/x", Some("path of this server")),
            ("jwt", Some("path of this server")),
            ("-", Some("path of this server")),
            ("mirror", Some("mirror's group")),
            ("mirror/x", Some("mirror's group")),
            ("quay.io", Some("upstream")),
            ("a:b", Some("upstream")),
            ("acme/dependency_proxy", Some("dependency proxy")),
            ("Acme", Some("lower-case")),
            ("", Some("lower-case")),
            ("a//b", Some("lower-case")),
            ("a/", Some("lower-case")),
            ("a/..", Some("lower-case")),
        ];
        for (path, refusal) in cases {
            match (check_group_path(path, "mirror"), refusal) {
                (Ok(()), None) => {}
                (Err(error), Some(part)) => {
                    assert!(error.to_string().contains(part), "{path}: {error}")
                }
                (result, _) => panic!("{path:?}: {result:?}"),
            }
        }
    }

    #[test]
    fn tokens_are_called_by_printable_text() {
        for (name, valid) in [
            ("ci", true),
            ("Bob's laptop, é", true),
            ("", false),
            (" ", false),
            ("a\u{1b}", false),
        ] {
            assert_eq!(check_token_name(name).is_ok(), valid, "{name:?}");
        }
    }
}
