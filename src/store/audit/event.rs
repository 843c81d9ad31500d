//! What happened: a kind from a closed set, what it was done to, and a few details.
//!
//! No secret gets in: details are words of this program, numbers, and names that lists show anyway. There is
//! no way in for bytes (digests, sealed passwords), and text that holds what looks like a token's secret or a
//! password's hash is cut before it.

use serde_json::{Map, Value};

use crate::store::ids::{GroupId, ProjectId, UserId};
use crate::time::Timestamp;

macro_rules! kinds { ($($(#[$doc:meta])* $kind:ident = $word:literal,)*) => {
    /// What happened, as a dotted word.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum EventKind { $($(#[$doc])* $kind,)* }

    impl EventKind {
        /// The word in commands, JSON and the database.
        pub fn as_str(self) -> &'static str {
            match self { $(Self::$kind => $word,)* }
        }
    }
}; }
kinds! {
    /// A user or a service account was made.
    UserCreated = "user.created",
    /// A user is let in nowhere from now on.
    UserBlocked = "user.blocked",
    /// A user is let in again.
    UserUnblocked = "user.unblocked",
    /// A user has another password.
    UserPasswordChanged = "user.password_changed",
    /// A user was removed, with memberships and tokens.
    UserRemoved = "user.removed",
    /// A group was made.
    GroupCreated = "group.created",
    /// A group's settings were changed.
    GroupChanged = "group.changed",
    /// A group was removed, with all that is below it.
    GroupRemoved = "group.removed",
    /// A project was made.
    ProjectCreated = "project.created",
    /// A project's settings were changed.
    ProjectChanged = "project.changed",
    /// A project was removed, with its tokens.
    ProjectRemoved = "project.removed",
    /// A cleanup policy took tags from a project, or a deletion of many tags that somebody had asked for was made.
    CleanupRan = "cleanup.ran",
    /// Somebody asked for the deletion of many tags.
    CleanupRequested = "cleanup.requested",
    /// A manifest was pushed, under tags or without.
    ImagePushed = "image.pushed",
    /// A manifest was pulled; only where `audit.pulls` asks for it.
    ImagePulled = "image.pulled",
    /// Pushed images were removed: a tag, an image by its digest, a blob, or a repository.
    ImagesRemoved = "images.removed",
    /// A user became a member, or has another level.
    MemberSet = "member.set",
    /// A user is a member no longer.
    MemberRemoved = "member.removed",
    /// A token was made.
    TokenCreated = "token.created",
    /// A token was replaced by one with another secret.
    TokenRotated = "token.rotated",
    /// A token is refused from now on.
    TokenRevoked = "token.revoked",
    /// A revoked token was to be rotated: all that came from the same first token are refused.
    TokenFamilyRevoked = "token.family_revoked",
    /// A feature flag was set.
    FeatureSet = "feature.set",
    /// A group's value of a feature flag was taken away.
    FeatureReset = "feature.reset",
    /// A network is trusted without login.
    NetworkAdded = "network.added",
    /// A network is trusted no longer.
    NetworkRemoved = "network.removed",
    /// An upstream was added.
    UpstreamAdded = "upstream.added",
    /// An upstream's settings were changed.
    UpstreamChanged = "upstream.changed",
    /// An upstream was removed.
    UpstreamRemoved = "upstream.removed",
    /// A pattern of cached images was pinned.
    PinAdded = "pin.added",
    /// A pattern of cached images is pinned no longer.
    PinRemoved = "pin.removed",
    /// An image was fetched ahead of its first pull, because somebody asked for it.
    CacheWarmed = "cache.warmed",
    /// Images were removed from the cache, because somebody asked for it.
    CachePurged = "cache.purged",
    /// Images went from the cache for one reason: the sum of some minutes, or what somebody asked for.
    CacheEvicted = "cache.evicted",
    /// A webhook was added.
    WebhookAdded = "webhook.added",
    /// A webhook's settings were changed, or its receiver had it switched off.
    WebhookChanged = "webhook.changed",
    /// A webhook's events are signed with another secret.
    WebhookRotated = "webhook.rotated",
    /// A webhook was removed.
    WebhookRemoved = "webhook.removed",
    /// Images of a bundle or an archive were imported.
    BundleImported = "bundle.imported",
    /// A protection rule was added, about repositories or about tags.
    RuleAdded = "rule.added",
    /// A protection rule was changed.
    RuleChanged = "rule.changed",
    /// A protection rule was removed.
    RuleRemoved = "rule.removed",
    /// An external registry takes our tokens.
    RegistryAdded = "registry.added",
    /// An external registry gets no tokens any more.
    RegistryRemoved = "registry.removed",
    /// The access database was copied to a file.
    DatabaseBackedUp = "database.backed_up",
    /// The access database was replaced by a backup.
    DatabaseRestored = "database.restored",
    /// A new key signs the JWTs of the token endpoint.
    KeyRotated = "key.rotated",
    /// A key verifies no JWT any more, and its file is gone.
    KeyRemoved = "key.removed",
    /// The box was cut off from its upstreams.
    OfflineOn = "offline.on",
    /// The box asks its upstreams again.
    OfflineOff = "offline.off",
    /// Somebody was let in at the token endpoint or at `/v2/`.
    LoginSucceeded = "login.succeeded",
    /// Somebody signed in on the page.
    SessionBegan = "session.began",
    /// Somebody ended a session of the page, other than by signing out of it.
    SessionRevoked = "session.revoked",
    /// Wrong credentials.
    LoginFailed = "login.failed",
    /// A login that failed once too often: what comes next from there is not tried any more.
    LoginBanned = "login.banned",
    /// Who was banned may log in again, before the ban's end.
    BanLifted = "ban.lifted",
    /// A login that was not tried: banned, or too many at once.
    LoginTurnedAway = "login.turned_away",
    /// 401: no or no longer valid proof of who it is, for what needs one.
    AccessUnauthorized = "access.unauthorized",
    /// 403: known, but not allowed.
    AccessDenied = "access.denied",
    /// 404: what does not exist, or what the caller may not know of.
    AccessHidden = "access.hidden",
}

/// What is pruned apart: a flood of one of these pushes out none of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Class {
    Change,
    /// Somebody was let in.
    Login,
    Ban,
    /// What anybody can cause who reaches the box.
    Refusal,
    Pull,
}

impl Class {
    /// The word in the database.
    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }
}

impl EventKind {
    pub(super) fn class(self) -> Class {
        match self {
            Self::LoginSucceeded | Self::SessionBegan => Class::Login,
            Self::LoginBanned => Class::Ban,
            Self::ImagePulled => Class::Pull,
            Self::LoginFailed
            | Self::LoginTurnedAway
            | Self::AccessUnauthorized
            | Self::AccessDenied
            | Self::AccessHidden => Class::Refusal,
            _ => Class::Change,
        }
    }
}

/// A group or project that something was done in: what it was called, and its rows, which no later one of that name
/// has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventPlace {
    pub(super) path: String,
    pub(super) project: Option<ProjectId>,
    /// The group, or the one that the project lies in, and those above it, nearest first.
    pub(super) groups: Vec<GroupId>,
}

impl EventPlace {
    /// A path below these groups, nearest first: of a group itself where it names one.
    pub fn in_groups(path: &str, groups: &[GroupId]) -> Self {
        Self {
            path: shown(path),
            project: None,
            groups: groups.to_vec(),
        }
    }

    /// The group, or the one that the project lies in.
    pub fn group(&self) -> Option<GroupId> {
        self.groups.first().copied()
    }

    /// What it was called.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A project, or a path below it.
    pub fn in_project(path: &str, project: ProjectId, groups: &[GroupId]) -> Self {
        Self {
            project: Some(project),
            ..Self::in_groups(path, groups)
        }
    }
}

/// What happened, without who and when.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    pub(super) kind: EventKind,
    pub(super) subject: Option<Subject>,
    pub(super) user: Option<(String, UserId)>,
    pub(super) place: Option<EventPlace>,
    pub(super) details: Vec<(&'static str, Detail)>,
}

/// What it was done to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    pub(super) noun: &'static str,
    pub(super) name: String,
    pub(super) id: Option<i64>,
}

/// A detail's value. Made from words of this program, numbers and flags by `From`, and from names, which lists
/// show anyway, by [`Detail::name`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Detail(pub(super) Shown);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Shown {
    Word(&'static str),
    Number(i64),
    Flag(bool),
    Name(String),
    Names(Vec<String>),
}

impl Event {
    /// An event of this kind.
    pub fn new(kind: EventKind) -> Self {
        Self {
            kind,
            subject: None,
            user: None,
            place: None,
            details: Vec::new(),
        }
    }

    /// What it was done to: a noun such as `token`, its name, and its row's id.
    #[must_use]
    pub fn subject(mut self, noun: &'static str, name: &str, id: Option<i64>) -> Self {
        let name = shown(name);
        self.subject = Some(Subject { noun, name, id });
        self
    }

    /// The user whom it concerns, for `breakwater audit --user`.
    #[must_use]
    pub fn user(mut self, user: Option<(&str, UserId)>) -> Self {
        self.user = user.map(|(name, id)| (shown(name), id));
        self
    }

    /// The group or project that it concerns, for `breakwater audit --group`.
    #[must_use]
    pub fn place(mut self, place: Option<EventPlace>) -> Self {
        self.place = place;
        self
    }

    #[must_use]
    pub fn detail(mut self, key: &'static str, value: impl Into<Detail>) -> Self {
        self.details.push((key, value.into()));
        self
    }

    /// One more detail, where there is one.
    #[must_use]
    pub fn detail_if(self, key: &'static str, value: Option<impl Into<Detail>>) -> Self {
        match value {
            Some(value) => self.detail(key, value),
            None => self,
        }
    }

    /// The details as a JSON object.
    pub(super) fn details_json(&self) -> String {
        let values = self.details.iter().map(|(key, detail)| {
            let value = match &detail.0 {
                Shown::Word(word) => Value::from(*word),
                Shown::Number(number) => Value::from(*number),
                Shown::Flag(flag) => Value::from(*flag),
                Shown::Name(name) => Value::from(name.as_str()),
                Shown::Names(names) => Value::from(names.as_slice()),
            };
            ((*key).to_owned(), value)
        });
        Value::Object(values.collect::<Map<_, _>>()).to_string()
    }
}

impl Detail {
    /// A name that lists show to whoever may see the audit: of a user, a path, a host. Never what somebody
    /// typed for a secret.
    pub fn name(name: &str) -> Self {
        Self(Shown::Name(shown(name)))
    }

    /// Several of them, such as a token's scopes.
    pub fn names(names: &[String]) -> Self {
        Self(Shown::Names(names.iter().map(|name| shown(name)).collect()))
    }
}

impl From<&'static str> for Detail {
    fn from(word: &'static str) -> Self {
        Self(Shown::Word(word))
    }
}

impl From<bool> for Detail {
    fn from(flag: bool) -> Self {
        Self(Shown::Flag(flag))
    }
}

impl From<i64> for Detail {
    fn from(number: i64) -> Self {
        Self(Shown::Number(number))
    }
}

impl From<Timestamp> for Detail {
    /// As RFC 3339.
    fn from(time: Timestamp) -> Self {
        Self(Shown::Name(time.to_string()))
    }
}

/// The longest text of one field, in characters.
const MAX_TEXT: usize = 255;
/// How secrets and hashes begin that people paste where a name belongs.
const SECRET_STARTS: [&str; 7] = ["bwp_", "bwg_", "bwr_", "bwd_", "bwj_", "whsec_", "$argon2"];

/// Bounded, and without what looks like a secret.
pub(super) fn shown(text: &str) -> String {
    let secret = SECRET_STARTS
        .iter()
        .filter_map(|start| text.find(start).map(|at| at.saturating_add(start.len())))
        .min();
    match secret.and_then(|end| text.get(..end)) {
        Some(start) => {
            let start: String = start.chars().take(MAX_TEXT).collect();
            format!("{start}…")
        }
        None => text.chars().take(MAX_TEXT).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_cut_and_text_is_bounded() {
        let long = "é".repeat(400);
        for (text, expected) in [
            ("alice", "alice"),
            ("bwp_0123456789abcdef", "bwp_…"),
            ("x bwd_AAAA bwp_BBBB", "x bwd_…"),
            ("$argon2id$v=19$m=19456", "$argon2…"),
            ("", ""),
            (long.as_str(), &long[..2 * MAX_TEXT]),
        ] {
            assert_eq!(shown(text), expected);
        }
        let event = Event::new(EventKind::TokenCreated)
            .subject("token", "bwj_AAAA", Some(7))
            .detail("name", Detail::name("bwr_BBBB"))
            .detail("scopes", Detail::names(&["bwg_CCCC".into(), "api".into()]))
            .detail("level", 30)
            .detail("never", true)
            .detail("expires_at", Timestamp(0));
        assert_eq!(event.subject.as_ref().unwrap().name, "bwj_…");
        assert_eq!(
            event.details_json(),
            r#"{"expires_at":"1970-01-01T00:00:00Z","level":30,"name":"bwr_…","never":true,"scopes":["bwg_…","api"]}"#
        );
    }
}
