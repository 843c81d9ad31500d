//! Which rule keeps somebody from what he wants, for whoever may see the rules, and for the log. Pure.

use super::TagRules;
use crate::oci::{RegistryHost, RepositoryName, matches_glob};
use crate::store::{MinimumLevel, ProtectionRule, RuleId};

/// A rule that is in the way, and whether the caller may know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInTheWay {
    id: RuleId,
    /// What it is about, in its own words.
    about: String,
    /// Whom it lets do it; `None` where it is not about that.
    asks: Option<MinimumLevel>,
    /// The project or group that it is of, for the command that shows it.
    of: String,
    is_shown: bool,
}

impl RuleInTheWay {
    /// The strictest of those that are about the repository at `path`, or, with a tag, about that tag of it.
    pub(in crate::auth::policy) fn of_path(
        rules: &[ProtectionRule],
        (path, tag): (&str, Option<&str>),
        asks: impl Fn(&ProtectionRule) -> Option<MinimumLevel>,
        of: &str,
    ) -> Option<Self> {
        let is_about = |rule: &&ProtectionRule| {
            let tags = match (rule.tag_pattern.as_deref(), tag) {
                (Some(tags), Some(tag)) => matches_glob(tags, tag),
                (None, None) => true,
                _ => false,
            };
            tags && matches_glob(&rule.pattern, path)
        };
        let rule = rules
            .iter()
            .filter(is_about)
            .max_by_key(|rule| asks(rule))?;
        let about = match &rule.tag_pattern {
            Some(tags) => format!("`{}` with tags `{tags}`", rule.pattern),
            None => format!("`{}`", rule.pattern),
        };
        Some(Self {
            id: rule.id,
            about,
            asks: asks(rule),
            of: of.to_owned(),
            is_shown: false,
        })
    }

    /// The strictest of the rules of groups that are about filling the cache with this image.
    pub(in crate::auth::policy) fn against_filling(
        rules: &[ProtectionRule],
        host: &RegistryHost,
        repository: &RepositoryName,
    ) -> Option<Self> {
        let names = super::names_of_cached(host, repository).into_iter();
        let found =
            names.filter_map(|name| Self::of_path(rules, (&name, None), |rule| rule.min_push, ""));
        found.max_by_key(|rule| rule.asks)
    }

    /// The same of rules about tags; without `asks`, one that makes the tag immutable.
    pub(in crate::auth::policy) fn of_tag(
        rules: &TagRules,
        tag: &str,
        asks: Option<fn(&super::Minimums) -> Option<MinimumLevel>>,
        of: &str,
    ) -> Option<Self> {
        let about = rules.about(tag);
        let rule = match asks {
            Some(asks) => about.max_by_key(|rule| asks(&rule.minimums)),
            None => about.filter(|rule| rule.immutable).last(),
        }?;
        Some(Self {
            id: rule.id,
            about: format!("tags `{}`", rule.pattern),
            asks: asks.and_then(|asks| asks(&rule.minimums)),
            of: of.to_owned(),
            is_shown: false,
        })
    }

    /// `rule 3 (`acme/app*`) asks for the level owner`
    pub fn sentence(&self) -> String {
        let (id, about) = (self.id.0, &self.about);
        let asks = match self.asks {
            None => "makes it so".to_owned(),
            Some(MinimumLevel::NoAccess) => "lets nobody do it".to_owned(),
            Some(MinimumLevel::Admin) => "asks for an administrator of the box".to_owned(),
            Some(level) => format!("asks for the level {}", level.as_str()),
        };
        format!("rule {id} ({about}) {asks}")
    }

    pub fn id(&self) -> RuleId {
        self.id
    }

    pub fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// The same, shown to whoever may list the rules.
    #[must_use]
    pub(in crate::auth::policy) fn shown(self, is_shown: bool) -> Self {
        Self { is_shown, ..self }
    }

    pub fn remedy(&self) -> String {
        let (id, of) = (self.id.0, &self.of);
        format!("`breakwater rule list {of}` shows it, `breakwater rule set {id}` changes it")
    }
}
