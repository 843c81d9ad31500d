//! What users, groups and tokens may be called. Pure.

use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::RepositoryName;

const MAX_LENGTH: usize = 255;
/// How deep groups nest, as in GitLab: whoever asks for something in one is judged by the rules, members, quotas and
/// flags of all that are above it.
const MAX_DEPTH: usize = 20;

/// A user's name: letters, digits, `_`, `.`, `-`; not a `-` first, not a `.` last.
pub fn check_user_name(name: &str) -> Result<()> {
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

/// A deploy token's own name: as a user's, with `+` too.
pub fn check_deploy_username(name: &str) -> Result<()> {
    // The box gives such names itself, each with the id of its token.
    if name.starts_with("gitlab+deploy-token-") {
        let what = format!("the name `{}` is reserved", excerpt(name));
        return Err(Error::new(Kind::Usage, what).remedy(
            "choose another one, or leave out `username` (on the command line `--username`)",
        ));
    }
    check_user_name(&name.replace('+', "_")).map_err(|error| {
        if name == "gitlab-ci-token" {
            return error;
        }
        wrong(name, "a deploy token's username")
            .remedy("use up to 255 letters, digits, _ . + and -, no - first and no . last")
    })
}

/// A new group's path. `mirror` is the mirror's group, which exists from the first start on.
pub fn check_group_path(path: &str, mirror: &str) -> Result<()> {
    let first = first_part(path);
    if let Some(why) = reserved(first, mirror) {
        let what = format!(
            "a top-level group cannot be called `{}`: {why}",
            excerpt(first)
        );
        return Err(Error::new(Kind::Usage, what).remedy("choose another name"));
    }
    check_parts(path, "group")?;
    if path.split('/').count() > MAX_DEPTH {
        let what = format!(
            "`{}` is too deep: groups nest in at most {MAX_DEPTH} levels",
            excerpt(path)
        );
        return Err(Error::new(Kind::Usage, what).remedy("make it in a group further up"));
    }
    Ok(())
}

/// A new project's path: a group's and one part more. Gives the group's.
pub fn check_project_path<'a>(path: &'a str, mirror: &str) -> Result<&'a str> {
    let Some((group, _)) = path.rsplit_once('/') else {
        return Err(
            wrong(path, "a project's path").remedy("a project lies in a group: write GROUP/NAME")
        );
    };
    let first = first_part(path);
    if let Some(why) = reserved(first, mirror) {
        let what = format!("no project can lie in `{}`: {why}", excerpt(first));
        return Err(Error::new(Kind::Usage, what).remedy("choose another group"));
    }
    check_parts(path, "project")?;
    Ok(group)
}

fn first_part(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// Why no group at the top can be called so.
fn reserved(first: &str, mirror: &str) -> Option<&'static str> {
    match first {
        "library" => Some("it is where Docker Hub keeps its official images"),
        "virtual_registries" | "v2" | "api" | "jwt" | "-" => Some("it is a path of this server"),
        _ if first == mirror => Some("it is the mirror's group"),
        _ if first.contains(['.', ':']) => {
            Some("a dot or a colon makes it the name of an upstream")
        }
        _ => None,
    }
}

fn check_parts(path: &str, noun: &str) -> Result<()> {
    if RepositoryName::parse(path).is_err() {
        return Err(wrong(path, &format!("a {noun}'s path")).remedy(
            "use lower-case letters, digits, and single . _ - between them, parts separated by /",
        ));
    }
    if path.split('/').any(|part| part == "dependency_proxy") {
        let what = format!(
            "no {noun} can be called `dependency_proxy`: it stands in every path of the dependency proxy"
        );
        return Err(Error::new(Kind::Usage, what).remedy("choose another name"));
    }
    Ok(())
}

/// A token's name: free text, but nothing that drives a terminal.
pub fn check_token_name(name: &str) -> Result<()> {
    let printable = !name.chars().any(char::is_control);
    if !name.trim().is_empty() && name.len() <= MAX_LENGTH && printable {
        return Ok(());
    }
    Err(wrong(name, "a token's name").remedy("use 1 to 255 bytes without control characters"))
}

fn wrong(name: &str, what: &str) -> Error {
    Error::new(Kind::Usage, format!("`{}` is not {what}", excerpt(name)))
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
        let (deepest, deeper) = (["a"; 20].join("/"), ["a"; 21].join("/"));
        // The path, and what a refusal must say.
        let cases: &[(&str, Option<&str>)] = &[
            (&deepest, None),
            (&deeper, Some("20 levels")),
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
    fn projects_lie_in_groups() {
        // The path, and its group or what a refusal must say.
        let cases: &[(&str, Result<&str, &str>)] = &[
            ("acme/api", Ok("acme")),
            ("acme/backend/a.b", Ok("acme/backend")),
            ("acme", Err("GROUP/NAME")),
            ("", Err("GROUP/NAME")),
            ("library/alpine", Err("Docker Hub")),
            ("mirror/x", Err("mirror's group")),
            ("quay.io/x", Err("upstream")),
            ("acme/API", Err("lower-case")),
            ("acme/", Err("lower-case")),
            ("acme/dependency_proxy", Err("dependency proxy")),
        ];
        for (path, expected) in cases {
            match (check_project_path(path, "mirror"), expected) {
                (Ok(group), Ok(expected)) => assert_eq!(group, *expected, "{path:?}"),
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{path:?}: {error}");
                }
                (result, _) => panic!("{path:?}: {result:?}"),
            }
        }
    }

    #[test]
    fn deploy_tokens_log_in_with_words_of_their_own() {
        for (name, valid) in [
            ("puller", true),
            ("k8s+prod", true),
            ("", false),
            ("a b", false),
            ("a:b", false),
            ("gitlab-ci-token", false),
            ("gitlab+deploy-token-7", false),
        ] {
            assert_eq!(check_deploy_username(name).is_ok(), valid, "{name:?}");
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
