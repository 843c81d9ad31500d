//! Protection rules: which of them are about a path or a tag, and what they ask for together. Where several
//! match, the strictest holds. Pure; who meets what is `standing`'s.

use regex::Regex;

use crate::error::{Error, Kind};
use crate::oci::{RegistryHost, RepositoryName};
use crate::store::{MinimumLevel, ProtectionRule, TagRule};

/// The longest pattern or regular expression of a rule, in bytes.
const MAX_PATTERN: usize = 255;

/// Whether `pattern` matches the whole of `text`; `*` matches any run of characters, slashes too, and an
/// empty one.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut here) = (0, 0);
    // Behind the last star that was seen, and where in the text its run may next end.
    let mut retry: Option<(usize, usize)> = None;
    while here < text.len() {
        if pattern.get(at) == Some(&b'*') {
            retry = Some((at + 1, here));
            at += 1;
        } else if pattern.get(at) == Some(&text[here]) {
            at += 1;
            here += 1;
        } else if let Some((behind, end)) = retry {
            retry = Some((behind, end + 1));
            (at, here) = (behind, end + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

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
    let why = match tag_expression(pattern) {
        _ if pattern.is_empty() || pattern.len() > MAX_PATTERN => {
            "it is empty, or longer than 255 bytes".to_owned()
        }
        Ok(_) => return Ok(()),
        // The last line says what, those before it show where.
        Err(error) => error
            .to_string()
            .lines()
            .last()
            .map(str::to_owned)
            .unwrap_or_default(),
    };
    let error = wrong(pattern, "a regular expression for tags");
    Err(Error::new(error.kind(), format!("{}: {why}", error.what()))
        .remedy("write one such as ^v[0-9]+ or ^release-"))
}

fn wrong(pattern: &str, what: &str) -> Error {
    let shown: String = pattern
        .chars()
        .take(80)
        .flat_map(char::escape_debug)
        .collect();
    Error::new(Kind::BadRequest, format!("`{shown}` is not {what}"))
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

/// What rules ask of who pushes and who deletes; `None`: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Minimums {
    /// For pushing: of a tag, a manifest, a blob; of a cached image, for filling.
    pub push: Option<MinimumLevel>,
    /// For deleting; of a cached image, for purging.
    pub delete: Option<MinimumLevel>,
}

impl Minimums {
    /// The stricter of both, each.
    #[must_use]
    pub fn and(self, push: Option<MinimumLevel>, delete: Option<MinimumLevel>) -> Self {
        Self {
            push: self.push.max(push),
            delete: self.delete.max(delete),
        }
    }
}

/// What the rules that are about every tag of the repository at `path` ask for.
pub(super) fn of_path(rules: &[ProtectionRule], path: &str) -> Minimums {
    rules
        .iter()
        .filter(|rule| rule.tag_pattern.is_none() && matches(&rule.pattern, path))
        .fold(Minimums::default(), |minimums, rule| {
            minimums.and(rule.min_push, rule.min_delete)
        })
}

/// What the rules of groups ask for, for a cached image: they may name it as `HOST/REPOSITORY`, and one of Docker
/// Hub also without the host, and without `library/`, as people do.
pub(super) fn of_cached(
    rules: &[ProtectionRule],
    host: &RegistryHost,
    repository: &RepositoryName,
) -> Minimums {
    let mut names = vec![format!("{host}/{repository}")];
    if host.as_str() == "docker.io" {
        let short = repository.as_str().strip_prefix("library/");
        names.extend(short.map(str::to_owned));
        names.push(repository.as_str().to_owned());
    }
    names
        .iter()
        .map(|name| of_path(rules, name))
        .fold(Minimums::default(), |minimums, more| {
            minimums.and(more.push, more.delete)
        })
}

/// What the rules that name tags ask for, for this one.
pub(super) fn of_tag(rules: &[ProtectionRule], path: &str, tag: &str) -> Minimums {
    let about = |rule: &&ProtectionRule| {
        let tags = rule.tag_pattern.as_deref();
        tags.is_some_and(|tags| matches(tags, tag)) && matches(&rule.pattern, path)
    };
    rules
        .iter()
        .filter(about)
        .fold(Minimums::default(), |minimums, rule| {
            minimums.and(rule.min_push, rule.min_delete)
        })
}

/// Whether a rule keeps the repository at `path`, or one of its tags, from being deleted by everybody who may delete at
/// all: for whoever is above the rules and wants to know what they would have said.
pub fn keeps(
    rules: &[ProtectionRule],
    tag_rules: &TagRules,
    path: &str,
    tags: &[impl AsRef<str>],
) -> bool {
    of_path(rules, path).delete.is_some()
        || tags.iter().any(|tag| {
            let by_tag = tag_rules.of(tag.as_ref());
            let of_repository = of_tag(rules, path, tag.as_ref());
            by_tag.immutable
                || by_tag
                    .minimums
                    .and(None, of_repository.delete)
                    .delete
                    .is_some()
        })
}

/// A project's rules about tags, ready to be asked.
#[derive(Debug, Default)]
pub struct TagRules(Vec<CompiledTagRule>);

#[derive(Debug)]
struct CompiledTagRule {
    /// `None` for an expression that cannot be read: then the rule is about every tag.
    pattern: Option<Regex>,
    minimums: Minimums,
    immutable: bool,
}

/// What the rules about tags say of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TagVerdict {
    pub(super) minimums: Minimums,
    pub(super) immutable: bool,
}

fn tag_expression(pattern: &str) -> Result<Regex, regex::Error> {
    // A megabyte is more than any tag rule needs, and bounds what a counted repetition can cost.
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build()
}

impl TagRules {
    /// From stored rows. A row whose expression cannot be read, which `rule tag` refuses to store, protects
    /// every tag: a rule that somebody wrote must not end silently.
    pub fn new(rows: &[TagRule]) -> Self {
        let compiled = |row: &TagRule| CompiledTagRule {
            pattern: tag_expression(&row.pattern).ok(),
            minimums: Minimums {
                push: row.min_push,
                delete: row.min_delete,
            },
            immutable: row.immutable,
        };
        Self(rows.iter().map(compiled).collect())
    }

    /// What they say of `tag`.
    pub(super) fn of(&self, tag: &str) -> TagVerdict {
        let about = |rule: &&CompiledTagRule| {
            rule.pattern
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(tag))
        };
        self.0
            .iter()
            .filter(about)
            .fold(TagVerdict::default(), |verdict, rule| TagVerdict {
                minimums: verdict
                    .minimums
                    .and(rule.minimums.push, rule.minimums.delete),
                immutable: verdict.immutable || rule.immutable,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{ProjectId, RuleId, RuleOwner};
    use crate::time::Timestamp;

    #[test]
    fn a_star_is_any_run_of_characters_and_all_else_is_itself() {
        let table: &[(&str, &str, bool)] = &[
            ("acme/api", "acme/api", true),
            ("acme/api", "acme/api/x", false),
            ("acme/api", "acme/ap", false),
            ("acme/api*", "acme/api", true),
            ("acme/api*", "acme/api/x/y", true),
            ("acme/api/*", "acme/api", false),
            ("acme/api/*", "acme/api/x/y", true),
            ("acme/*/prod", "acme/api/x/prod", true),
            ("acme/*/prod", "acme/api/x/prod/y", false),
            ("*", "anything/at/all", true),
            ("*prod*", "acme/api/prod-eu", true),
            ("a*a*b", "aaab", true),
            ("a*a*b", "aac", false),
            ("**", "", true),
            ("", "", true),
            ("", "a", false),
            ("acme/a.i", "acme/api", false),
            ("acme/ap?", "acme/api", false),
            ("v1.*", "v1.2", true),
            ("v1.*", "v12", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text), *expected, "{pattern} on {text}");
        }
        // Many stars against a long text end in time.
        assert!(!matches(&"*a".repeat(100), &"b".repeat(255)));
    }

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
            ("(a{1000}){1000}", Some("size")),
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

    fn rule(pattern: &str, tags: Option<&str>, push: Option<MinimumLevel>) -> ProtectionRule {
        ProtectionRule {
            id: RuleId(1),
            owner: RuleOwner::Project(ProjectId(1)),
            pattern: pattern.into(),
            tag_pattern: tags.map(str::to_owned),
            min_push: push,
            min_delete: None,
            created_at: Timestamp(0),
        }
    }

    #[test]
    fn the_strictest_of_the_matching_rules_holds() {
        use MinimumLevel::{Admin, Maintainer, NoAccess, Owner};
        let rules = [
            rule("acme/api*", None, Some(Maintainer)),
            rule("acme/api/prod*", None, Some(Admin)),
            rule("acme/api/prod/x", None, Some(Owner)),
            rule("acme/api*", Some("v*"), Some(NoAccess)),
            rule("acme/api*", None, None),
        ];
        let table = [
            ("acme/api", Some(Maintainer)),
            ("acme/api/prod/x", Some(Admin)),
            ("acme/other", None),
        ];
        for (path, push) in table {
            assert_eq!(of_path(&rules, path).push, push, "{path}");
            assert_eq!(of_path(&rules, path).delete, None, "{path}");
        }
        assert_eq!(of_tag(&rules, "acme/api", "v1").push, Some(NoAccess));
        assert_eq!(of_tag(&rules, "acme/api", "latest").push, None);
        assert_eq!(of_tag(&rules, "other", "v1").push, None);
    }

    #[test]
    fn a_cached_image_is_found_under_each_of_its_names() {
        let table: &[(&str, &str, &str, bool)] = &[
            // pattern, host, repository → protected
            (
                "docker.io/library/alpine",
                "docker.io",
                "library/alpine",
                true,
            ),
            ("library/alpine", "docker.io", "library/alpine", true),
            ("alpine", "docker.io", "library/alpine", true),
            ("alpine", "docker.io", "library/alpine-git", false),
            ("alpine", "docker.io", "org/alpine", false),
            ("org/*", "docker.io", "org/alpine", true),
            ("alpine", "quay.io", "library/alpine", false),
            ("library/*", "quay.io", "library/alpine", false),
            ("quay.io/*", "quay.io", "library/alpine", true),
            ("*", "quay.io", "library/alpine", true),
        ];
        for (pattern, host, repository, expected) in table {
            let rules = [rule(pattern, None, Some(MinimumLevel::Admin))];
            let host = RegistryHost::parse(host).unwrap();
            let repository = RepositoryName::parse(repository).unwrap();
            let found = of_cached(&rules, &host, &repository).push;
            assert_eq!(
                found.is_some(),
                *expected,
                "{pattern} on {host}/{repository}"
            );
        }
    }

    #[test]
    fn rules_about_tags_add_up_and_an_unreadable_one_is_about_every_tag() {
        let row = |pattern: &str, push, immutable| TagRule {
            id: RuleId(1),
            project: ProjectId(1),
            pattern: pattern.into(),
            min_push: push,
            min_delete: None,
            immutable,
            created_at: Timestamp(0),
        };
        let rules = TagRules::new(&[
            row("^v[0-9]", Some(MinimumLevel::Maintainer), true),
            row("rc", Some(MinimumLevel::Owner), false),
        ]);
        let verdict = |tag: &str| (rules.of(tag).minimums.push, rules.of(tag).immutable);
        assert_eq!(verdict("v1"), (Some(MinimumLevel::Maintainer), true));
        assert_eq!(verdict("v1-rc1"), (Some(MinimumLevel::Owner), true));
        assert_eq!(verdict("dev-v1"), (None, false));
        let unreadable = TagRules::new(&[row("(", Some(MinimumLevel::Admin), false)]);
        assert_eq!(
            unreadable.of("latest").minimums.push,
            Some(MinimumLevel::Admin)
        );
    }
}
