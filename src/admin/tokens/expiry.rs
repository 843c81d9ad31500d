//! When a token ends that is made or that replaces another one, and how late whoever makes it may let it end.

use std::time::Duration;

use crate::admin::Admin;
use crate::auth::administration::expiry::parse_expiry;
use crate::error::{Error, Kind, Result};
use crate::store::{NewToken, Token, TokenKind, UserId};
use crate::time::Timestamp;

/// How long a token lives where nobody says.
const LIFETIME: Duration = Duration::from_secs(365 * 86_400);
/// As [`LIFETIME`], for one that replaces another (GitLab's week).
const ROTATED_LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// When a new token ends. An `expires_at` that could not hold is refused rather than shortened.
///
/// # Errors
/// `BadRequest` where what was asked for is too late.
pub(super) fn of_new(
    admin: &Admin<'_>,
    asked: Option<Option<Timestamp>>,
    token: &NewToken,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    let Some(asked) = asked else {
        return Ok(Some(first_moment_of_day(now.plus(LIFETIME))));
    };
    refuse_beyond_maker(admin, token.kind, token.user_id, asked)?;
    Ok(asked)
}

/// What a user makes for himself with a token of his own ends with it.
///
/// # Errors
/// `BadRequest` where it would outlive the token that makes it.
fn refuse_beyond_maker(
    admin: &Admin<'_>,
    kind: TokenKind,
    user: Option<UserId>,
    asked: Option<Timestamp>,
) -> Result<()> {
    let maker = admin.caller.maker();
    if kind != TokenKind::Personal || user != maker.user_id {
        return Ok(());
    }
    let own = maker.token_id.map(|id| admin.store.access.token(id));
    let own = own.transpose()?.flatten();
    match own.and_then(|own| own.expires_at) {
        Some(latest) if asked.is_none_or(|asked| asked > latest) => {
            let why = "what a token makes for its own user ends with it";
            Err(too_late(latest, why))
        }
        _ => Ok(()),
    }
}

/// When the successor of `old` ends. A token that replaces itself, by whatever path, gets no longer life than it
/// had: a leaked one must not make itself live longer than its maker let it. Somebody else may give it a year, as in
/// GitLab, and administrators whatever they want; but nobody lengthens it by saying nothing.
///
/// # Errors
/// `BadRequest` where what was asked for is too late.
pub(super) fn of_successor(
    admin: &Admin<'_>,
    asked: Option<Option<Timestamp>>,
    old: &Token,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    let life_of = |old_expiry: Timestamp| {
        let life = old_expiry.0.saturating_sub(old.created_at.0);
        Timestamp(now.0.saturating_add(life))
    };
    let same_life = old.expires_at.map(life_of);
    let Some(asked) = asked else {
        let week = first_moment_of_day(now.plus(ROTATED_LIFETIME));
        return Ok(Some(same_life.map_or(week, |life| life.min(week))));
    };
    let is_by_itself = admin.caller.maker().token_id == Some(old.id);
    if !is_by_itself {
        refuse_beyond_maker(admin, old.kind, old.user_id, asked)?;
    }
    let (latest, why) = match same_life {
        None => return Ok(asked),
        Some(life) if is_by_itself => (
            life,
            "a token that rotates itself lives no longer than before",
        ),
        Some(_) if admin.caller.is_administrator() => return Ok(asked),
        Some(life) => {
            let why = "a rotated token lives for a year at most, or as long as before";
            (life.max(now.plus(LIFETIME)), why)
        }
    };
    if asked.is_some_and(|asked| asked <= latest) {
        return Ok(asked);
    }
    Err(too_late(latest, why))
}

/// What is asked for; `None` where nothing is.
///
/// # Errors
/// `Usage` for what is no time to come.
pub(super) fn parse(text: Option<&str>, now: Timestamp) -> Result<Option<Option<Timestamp>>> {
    let given = text.filter(|text| !text.is_empty());
    let parsed = given.map(|text| parse_expiry(text, now));
    parsed
        .transpose()
        .map_err(|error| error.about("expires_at"))
}

fn first_moment_of_day(at: Timestamp) -> Timestamp {
    Timestamp(at.0.saturating_sub(at.0.rem_euclid(86_400)))
}

fn too_late(latest: Timestamp, why: &str) -> Error {
    let what = format!("expires_at can be {latest} at most: {why}");
    Error::new(Kind::BadRequest, what)
}
