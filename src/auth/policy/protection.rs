//! Protection rules: which of them are about a path or a tag, and what they ask for together. Where several
//! match, the strictest holds. Pure; who meets what is `standing`'s.

use regex::Regex;

use crate::oci::{RegistryHost, RepositoryName};
use crate::store::{MinimumLevel, ProtectionRule, TagRule};

/// The longest pattern or regular expression of a rule, in bytes.
pub const MAX_PATTERN: usize = 255;

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

/// Whether `pattern` can match the path of a repository of `project`: its own path, or one below it.
///
/// A rule that can match none protects nothing, and whoever wrote it believes that it does.
pub fn can_match_in(pattern: &str, project: &str) -> bool {
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

/// Reads a rule's regular expression.
///
/// # Errors
/// What is wrong with it, as a sentence in several lines.
pub fn tag_expression(pattern: &str) -> Result<Regex, regex::Error> {
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
            assert_eq!(can_match_in(pattern, "acme/api"), *expected, "{pattern}");
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
        assert!(tag_expression("(a{1000}){1000}").is_err(), "too large");
    }
}
