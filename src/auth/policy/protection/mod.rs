//! Protection rules: which of them are about a path or a tag, and what they ask for together. Where several
//! match, the strictest holds. Pure; `membership` decides who meets what.

mod blame;
mod expression;
mod pattern;
#[cfg(test)]
mod tests;

pub use blame::RuleInTheWay;
use expression::Expression;
pub use expression::Expressions;
pub use pattern::{check_pattern, check_tag_expression, check_tag_pattern};

use std::sync::Arc;

use crate::error::Error;
use crate::oci::{RegistryHost, RepositoryName, matches_glob};
use crate::store::{MinimumLevel, ProtectionRule, RuleId, TagRule};

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
        .filter(|rule| rule.tag_pattern.is_none() && matches_glob(&rule.pattern, path))
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
    names_of_cached(host, repository)
        .iter()
        .map(|name| of_path(rules, name))
        .fold(Minimums::default(), |minimums, more| {
            minimums.and(more.push, more.delete)
        })
}

fn names_of_cached(host: &RegistryHost, repository: &RepositoryName) -> Vec<String> {
    let mut names = vec![format!("{host}/{repository}")];
    if host.as_str() == "docker.io" {
        let short = repository.as_str().strip_prefix("library/");
        names.extend(short.map(str::to_owned));
        names.push(repository.as_str().to_owned());
    }
    names
}

/// What the rules that name tags ask for, for this one.
pub(super) fn of_tag(rules: &[ProtectionRule], path: &str, tag: &str) -> Minimums {
    let about = |rule: &&ProtectionRule| {
        let tags = rule.tag_pattern.as_deref();
        tags.is_some_and(|tags| matches_glob(tags, tag)) && matches_glob(&rule.pattern, path)
    };
    rules
        .iter()
        .filter(about)
        .fold(Minimums::default(), |minimums, rule| {
            minimums.and(rule.min_push, rule.min_delete)
        })
}

/// Whether a rule about the repository at `path` names some of its tags.
pub(super) fn names_tags(rules: &[ProtectionRule], path: &str) -> bool {
    let mut with_tags = rules.iter().filter(|rule| rule.tag_pattern.is_some());
    with_tags.any(|rule| matches_glob(&rule.pattern, path))
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
        || tags
            .iter()
            .any(|tag| keeps_tag(rules, tag_rules, path, tag.as_ref()))
}

/// The same of one tag.
pub fn keeps_tag(rules: &[ProtectionRule], tag_rules: &TagRules, path: &str, tag: &str) -> bool {
    let by_tag = tag_rules.of(tag);
    let by_repository = of_path(rules, path)
        .delete
        .max(of_tag(rules, path, tag).delete);
    by_tag.immutable || by_tag.minimums.delete.max(by_repository).is_some()
}

/// A regular expression that matches whole names, ready to be asked.
#[derive(Debug)]
pub struct NameExpression(Expression);

impl NameExpression {
    /// # Errors
    /// `BadRequest` with what is wrong with it.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        pattern::compile_whole_names(pattern).map(Self)
    }

    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// A project's rules about tags, ready to be asked. Nothing is done for that before the first tag is judged: a pull
/// costs no more where a project has many.
#[derive(Debug, Default)]
pub struct TagRules {
    rules: Vec<OneTagRule>,
    expressions: Arc<Expressions>,
}

#[derive(Debug)]
struct OneTagRule {
    id: RuleId,
    pattern: String,
    minimums: Minimums,
    immutable: bool,
}

/// What the rules about tags say of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TagVerdict {
    pub(super) minimums: Minimums,
    pub(super) immutable: bool,
}

impl TagRules {
    /// From stored rows, with the expressions that are ready already.
    pub fn new(rows: &[TagRule], expressions: &Arc<Expressions>) -> Self {
        let rule = |row: &TagRule| OneTagRule {
            id: row.id,
            pattern: row.pattern.clone(),
            minimums: Minimums {
                push: row.min_push,
                delete: row.min_delete,
            },
            immutable: row.immutable,
        };
        Self {
            rules: rows.iter().map(rule).collect(),
            expressions: Arc::clone(expressions),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What they say of `tag`. A row whose expression cannot be used, which `rule tag` refuses to store, protects
    /// every tag: a rule that somebody wrote must not end silently.
    pub(super) fn of(&self, tag: &str) -> TagVerdict {
        self.about(tag)
            .fold(TagVerdict::default(), |verdict, rule| TagVerdict {
                minimums: verdict
                    .minimums
                    .and(rule.minimums.push, rule.minimums.delete),
                immutable: verdict.immutable || rule.immutable,
            })
    }

    fn about<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a OneTagRule> {
        self.rules.iter().filter(move |rule| {
            let expression = self.expressions.get(&rule.pattern);
            expression.is_none_or(|expression| expression.is_match(tag))
        })
    }
}
