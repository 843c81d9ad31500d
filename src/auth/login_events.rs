//! What the audit records of logins: who, from where, with which kind of credential. It never records the credential,
//! nor a user name that does not exist here, because people type passwords into that field.

use super::address::ClientAddress;
use super::credentials::Refused;
use super::identity::Principal;
use super::secret::Shape;
use crate::store::{Actor, AuditDb, Event, EventKind, EventPlace, TokenKind, User};
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
    /// `place`: the group or project that its token belongs to.
    pub(super) fn succeeded(&self, principal: &Principal, place: Option<EventPlace>) {
        let event = about(self.event(EventKind::LoginSucceeded), principal).place(place);
        self.note(principal.actor(), event);
    }

    /// `user`: the account that exists; `place` as for [`Self::succeeded`].
    pub(super) fn failed(&self, refused: &Refused, place: Option<EventPlace>, user: Option<&User>) {
        let event = self.event(EventKind::LoginFailed);
        let event = event.detail("why", refused.why.why());
        self.of_refused(event, refused, place, user);
    }

    /// As [`Self::failed`], of what was refused so often that it is no longer looked into.
    pub(super) fn sent_too_often(
        &self,
        refused: &Refused,
        place: Option<EventPlace>,
        user: Option<&User>,
    ) {
        let event = self.event(EventKind::LoginTurnedAway);
        let event = event.detail("why", "refused too often");
        self.of_refused(event, refused, place, user);
    }

    fn of_refused(
        &self,
        event: Event,
        refused: &Refused,
        place: Option<EventPlace>,
        user: Option<&User>,
    ) {
        let event = match &refused.of {
            Some(principal) => about(event, principal),
            None => about_account(event, user),
        };
        self.note(Actor::nobody(UNKNOWN), event.place(place));
    }

    /// A ban begins, of the `address` or of the `account`.
    pub(super) fn banned(&self, whose: &'static str, user: Option<&User>) {
        self.not_tried(EventKind::LoginBanned, "of", whose, user);
    }

    /// Not tried at all.
    pub(super) fn turned_away(&self, why: &'static str, user: Option<&User>) {
        self.not_tried(EventKind::LoginTurnedAway, "why", why, user);
    }

    fn not_tried(
        &self,
        kind: EventKind,
        key: &'static str,
        word: &'static str,
        user: Option<&User>,
    ) {
        let event = about_account(self.event(kind).detail(key, word), user);
        self.note(Actor::nobody(UNKNOWN), event);
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

/// An account that exists, as which somebody tried to log in.
fn about_account(event: Event, user: Option<&User>) -> Event {
    match user {
        Some(user) => event
            .subject("user", &user.name, Some(user.id.0))
            .user(Some((&user.name, user.id))),
        None => event,
    }
}

fn about(event: Event, principal: &Principal) -> Event {
    let user = principal.user();
    let event = event.user(user.map(|user| (user.name.as_str(), user.id)));
    match (principal.token(), user) {
        (Some(token), _) => event.subject("token", &token.name, Some(token.id.0)),
        (None, Some(user)) => event.subject("user", &user.name, Some(user.id.0)),
        (None, None) => event,
    }
}
