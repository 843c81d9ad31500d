//! What the kinds of access tokens have in common: their fields, making and rotating them.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::fields::put;
use super::answer::Failure;
use super::ask::{Ask, Place};
use super::parameters::{Parameter, Type, optional, required};
use crate::auth::administration::{expiry::parse_expiry, names, tokens};
use crate::auth::secret::Secret;
use crate::store::{
    GroupId, Level, NewToken, ProjectId, Token, TokenFilter, TokenId, TokenKind, UserId,
};
use crate::time::Timestamp;

/// How long a token lives where nobody says.
const LIFETIME: Duration = Duration::from_secs(365 * 86_400);
/// As [`LIFETIME`], for one that replaces another (GitLab's week).
const ROTATED_LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// The fields of a new personal access token.
pub(super) const CREATION: [Parameter; 3] = [
    required("name", Type::Text, "what it is called in lists"),
    required("scopes", Type::TextList, "what it is worth"),
    optional("expires_at", Type::Text, EXPIRY),
];

/// The fields of a rotation.
pub(super) const ROTATION: &[Parameter] = &[optional(
    "expires_at",
    Type::Text,
    "as at creation, but at most a year away or as before; a week from now unless given, or as long as before; whoever rotates another token of one's own makes one, which ends with the token that is used",
)];

/// What lists of tokens can be asked for.
pub(super) const STATE_FILTERS: [Parameter; 3] = [
    optional("search", Type::Text, "a part of the name"),
    optional("state", Type::OneOf(&["active", "inactive"]), "only these"),
    optional(
        "revoked",
        Type::Boolean,
        "only those that are revoked, or not",
    ),
];

/// How `expires_at` is written.
pub(super) const EXPIRY: &str = "a date (its first moment in UTC), a time, or never; 365 days from now unless given. A personal token that is made for oneself with another one ends with that one at the latest, and is revoked with it";

/// Whose a new token is.
pub(super) struct NewAccessToken {
    pub(super) kind: TokenKind,
    pub(super) user_id: Option<UserId>,
    pub(super) group_id: Option<GroupId>,
    pub(super) project_id: Option<ProjectId>,
    pub(super) access_level: Option<Level>,
}

/// The fields that all access tokens have. An expiry is a date here, as in GitLab: one at a later hour of that
/// day is shown as the day.
pub(super) fn shape(ask: &Ask<'_, '_>, token: &Token) -> Result<Value, Failure> {
    let used = ask.store().cache.token_last_used(token.id)?;
    Ok(json!({
        "id": token.id,
        "name": token.name,
        "scopes": token.scopes,
        "revoked": token.revoked,
        "active": is_active(token, ask.call.now),
        "created_at": token.created_at.to_string(),
        "expires_at": token.expires_at.map(date),
        "last_used_at": used.map(|(at, _)| at.to_string()),
        "created_by": token.maker.label,
        "made_by": token.maker.token_id,
    }))
}

/// `2027-01-31`
fn date(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// Whether it still lets somebody in.
pub(super) fn is_active(token: &Token, now: Timestamp) -> bool {
    !token.revoked && !is_expired(token, now)
}

/// Whether its time has come.
pub(super) fn is_expired(token: &Token, now: Timestamp) -> bool {
    token.expires_at.is_some_and(|at| at <= now)
}

/// What the list's fields ask for.
pub(super) fn filter(ask: &Ask<'_, '_>) -> TokenFilter {
    let (fields, now) = (&ask.fields, ask.call.now);
    let by_state = fields.text("state").map(|state| state == "active");
    let active = by_state.or(fields.boolean("active"));
    TokenFilter {
        search: fields.text("search").map(str::to_owned),
        revoked: fields.boolean("revoked"),
        active: active.map(|active| (active, now)),
        ..TokenFilter::default()
    }
}

/// As [`filter`], for tokens of one kind of the place that the path names; all places' where it names none.
pub(super) fn filter_of_place(ask: &Ask<'_, '_>, kind: TokenKind) -> TokenFilter {
    let (group, project) = match ask.place() {
        Place::Group(group) => (Some(group.id), None),
        Place::Project(placed) => (None, Some(placed.project.id)),
        Place::None => (None, None),
    };
    TokenFilter {
        kind: Some(kind),
        group,
        project,
        ..filter(ask)
    }
}

/// Puts the secret into what its maker is told, for the only time.
pub(super) fn with_secret(mut shape: Value, secret: &Secret) -> Value {
    put(&mut shape, "token", json!(secret.expose()));
    shape
}

/// Makes a token from the fields `name`, `scopes` and `expires_at`.
pub(super) fn create(ask: &Ask<'_, '_>, new: NewAccessToken) -> Result<(Token, Secret), Failure> {
    let fields = &ask.fields;
    let name = fields.text("name").unwrap_or_default();
    names::check_token_name(name).map_err(Failure::refused("name"))?;
    let words = fields.list("scopes").iter().map(String::as_str);
    let scopes = tokens::scope_words(new.kind, words).map_err(Failure::refused("scopes"))?;
    let username = match fields.text("username").filter(|name| !name.is_empty()) {
        Some(username) => {
            names::check_deploy_username(username).map_err(Failure::refused("username"))?;
            Some(username.to_owned())
        }
        None => None,
    };
    let token = NewToken {
        kind: new.kind,
        name: name.to_owned(),
        digest: [0; 32],
        scopes,
        user_id: new.user_id,
        group_id: new.group_id,
        project_id: new.project_id,
        username,
        access_level: new.access_level,
        expires_at: new_expiry(ask, &new)?,
        maker: ask.identity.principal.maker(),
    };
    Ok(tokens::create_token(ask.store(), &ask.actor(), token)?)
}

/// Replaces a token by one with another secret.
pub(super) fn rotate(ask: &Ask<'_, '_>, id: TokenId) -> Result<(Token, Secret), Failure> {
    let old = ask.store().access.token(id)?;
    let old = old.ok_or_else(|| Failure::not_found("Access Token"))?;
    if !old.revoked && is_expired(&old, ask.call.now) {
        return Err(Failure::message(400, "400 Bad request - token is expired"));
    }
    let expires_at = rotated_expiry(ask, &old)?;
    let rotated = tokens::rotate_token(
        ask.store(),
        &ask.actor(),
        id,
        expires_at,
        &ask.identity.principal.maker(),
    )?;
    rotated.ok_or_else(|| Failure::message(400, "400 Bad request - token already revoked"))
}

/// When a new token ends. What a user makes for himself with a token of his own ends with it, and an `expires_at` that
/// could not hold is refused rather than shortened.
///
/// # Errors
/// 400 for an `expires_at` that is too late.
fn new_expiry(ask: &Ask<'_, '_>, new: &NewAccessToken) -> Result<Option<Timestamp>, Failure> {
    let asked = expires_at(ask, LIFETIME)?;
    if is_given(ask) {
        refuse_beyond_maker(ask, new.kind, new.user_id, asked)?;
    }
    Ok(asked)
}

/// # Errors
/// 400 where the token that is used makes one of its own user that would outlive it.
fn refuse_beyond_maker(
    ask: &Ask<'_, '_>,
    kind: TokenKind,
    user: Option<UserId>,
    asked: Option<Timestamp>,
) -> Result<(), Failure> {
    let principal = &ask.identity.principal;
    let own = principal.user().map(|user| user.id);
    let latest = principal.token().and_then(|token| token.expires_at);
    match latest {
        Some(latest)
            if kind == TokenKind::Personal
                && user == own
                && asked.is_none_or(|asked| asked > latest) =>
        {
            let why = "what a token makes for its own user ends with it";
            Err(too_late(latest, why))
        }
        _ => Ok(()),
    }
}

fn too_late(latest: Timestamp, why: &str) -> Failure {
    Failure::message(
        400,
        format!("400 Bad request - expires_at can be {latest} at most: {why}"),
    )
}

/// When the successor of `old` ends. A token that replaces itself, by whatever path, gets no longer life than it
/// had: a leaked one must not make itself live longer than its maker let it. Somebody else may give it a year, as in
/// GitLab, and administrators whatever they want; but nobody lengthens it by saying nothing.
///
/// # Errors
/// 400 for an `expires_at` that is too late.
fn rotated_expiry(ask: &Ask<'_, '_>, old: &Token) -> Result<Option<Timestamp>, Failure> {
    let now = ask.call.now;
    let asked = expires_at(ask, ROTATED_LIFETIME)?;
    let own = ask.identity.principal.token();
    let is_by_itself = own.is_some_and(|own| own.id == old.id);
    if is_given(ask) && !is_by_itself {
        refuse_beyond_maker(ask, old.kind, old.user_id, asked)?;
    }
    let Some(old_expiry) = old.expires_at else {
        return Ok(asked);
    };
    let same_life = Timestamp(
        now.0
            .saturating_add(old_expiry.0.saturating_sub(old.created_at.0)),
    );
    if !is_given(ask) {
        return Ok(asked.map(|asked| asked.min(same_life)));
    }
    let (latest, why) = if is_by_itself {
        let why = "a token that rotates itself lives no longer than before";
        (same_life, why)
    } else if ask.is_administrator() {
        return Ok(asked);
    } else {
        let why = "a rotated token lives for a year at most, or as long as before";
        (same_life.max(now.plus(LIFETIME)), why)
    };
    if asked.is_some_and(|asked| asked <= latest) {
        return Ok(asked);
    }
    Err(too_late(latest, why))
}

/// Whether the field `expires_at` says something.
fn is_given(ask: &Ask<'_, '_>) -> bool {
    ask.fields
        .text("expires_at")
        .is_some_and(|text| !text.is_empty())
}

/// The field `expires_at`, or the first moment of the day that is `lifetime` away.
fn expires_at(ask: &Ask<'_, '_>, lifetime: Duration) -> Result<Option<Timestamp>, Failure> {
    let now = ask.call.now;
    match ask.fields.text("expires_at") {
        Some(text) if !text.is_empty() => {
            parse_expiry(text, now).map_err(Failure::refused("expires_at"))
        }
        _ => {
            let at = now.plus(lifetime);
            Ok(Some(Timestamp(
                at.0.saturating_sub(at.0.rem_euclid(86_400)),
            )))
        }
    }
}
