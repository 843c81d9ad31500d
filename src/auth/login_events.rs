//! What the audit hears of logins: who, from where, with which kind of credential. Never the credential, and no
//! user name that is nobody's here: people type passwords there.

use super::address::ClientAddress;
use super::identity::Principal;
use super::secret::Shape;
use crate::store::{Actor, AuditDb, Event, EventKind, TokenKind};
use crate::time::Timestamp;

/// Who it was is not known: it failed to say so.
const UNKNOWN: &str = "unknown";

/// One login, and where what is to be said of it goes.
pub(super) struct LoginEvents<'a> {
    pub(super) audit: &'a AuditDb,
    pub(super) shape: Shape,
    pub(super) address: ClientAddress,
    pub(super) correlation_id: &'a str,
    pub(super) now: Timestamp,
}

impl LoginEvents<'_> {
    pub(super) fn succeeded(&self, principal: &Principal) {
        let event = about(self.event(EventKind::LoginSucceeded), principal);
        self.note(principal.actor(), event);
    }

    /// Wrong, revoked, expired or blocked: `principal` is whom it would have been, `user` the account that
    /// exists.
    pub(super) fn failed(&self, principal: Option<&Principal>, user: Option<&str>) {
        let event = self.event(EventKind::LoginFailed);
        let event = match (principal, user) {
            (Some(principal), _) => about(event, principal).detail("why", "no longer valid"),
            (None, Some(user)) => event.subject("user", user, None).user(Some(user)),
            (None, None) => event,
        };
        self.note(Actor::new(UNKNOWN), event);
    }

    /// A ban begins, of the `address` or of the `account`.
    pub(super) fn banned(&self, whose: &'static str, user: Option<&str>) {
        self.not_tried(EventKind::LoginBanned, "of", whose, user);
    }

    /// Not tried at all.
    pub(super) fn turned_away(&self, why: &'static str, user: Option<&str>) {
        self.not_tried(EventKind::LoginTurnedAway, "why", why, user);
    }

    fn not_tried(
        &self,
        kind: EventKind,
        key: &'static str,
        word: &'static str,
        user: Option<&str>,
    ) {
        let event = self.event(kind).detail(key, word).user(user);
        let event = match user {
            Some(user) => event.subject("user", user, None),
            None => event,
        };
        self.note(Actor::new(UNKNOWN), event);
    }

    fn event(&self, kind: EventKind) -> Event {
        let credential = match self.shape {
            Shape::Other => "password",
            Shape::Mistyped(_) => "mistyped token",
            Shape::Token(TokenKind::Personal) => "personal token",
            Shape::Token(TokenKind::Group) => "group token",
            Shape::Token(TokenKind::Project) => "project token",
            Shape::Token(TokenKind::Deploy) => "deploy token",
            Shape::Token(TokenKind::Job) => "job token",
        };
        Event::new(kind).detail("credential", credential)
    }

    fn note(&self, actor: Actor, event: Event) {
        let actor = actor
            .address(self.address.ip)
            .correlation_id(self.correlation_id);
        self.audit.note(actor, event, self.now);
    }
}

fn about(event: Event, principal: &Principal) -> Event {
    let user = principal.user();
    let event = event
        .user(user.map(|user| user.name.as_str()))
        .group(principal.place());
    match (principal.token(), user) {
        (Some(token), _) => event.subject("token", &token.name, Some(token.id.0)),
        (None, Some(user)) => event.subject("user", &user.name, Some(user.id.0)),
        (None, None) => event,
    }
}
