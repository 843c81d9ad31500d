//! What the audit hears of refusals: 401, 403, and what is hidden behind a 404. One place for all routes.
//!
//! A challenge to somebody who brought nothing is no refusal: that is how every client begins. Failed logins
//! are noted where they are judged, by `auth`.

use super::Appliance;
use super::call::{Call, Credentials};
use super::router::{self, Place, Route};
use crate::error::Kind;
use crate::store::{Actor, Event, EventKind};

/// Notes the refusal that an answer with `status` is, if it is one; `kind` is that of the error behind it.
pub(super) fn note(appliance: &Appliance, call: &Call<'_>, kind: Option<Kind>, status: u16) {
    let Some(event) = refusal(call, kind, status) else {
        return;
    };
    let path = &call.request.path;
    let event = Event::new(event)
        .subject("path", path, None)
        .group(group(appliance, path).as_deref());
    let actor = actor(appliance, call)
        .address(call.address.ip)
        .correlation_id(&call.id);
    appliance.store.audit.note(actor, event, call.now);
}

fn refusal(call: &Call<'_>, kind: Option<Kind>, status: u16) -> Option<EventKind> {
    let brought = call.credentials();
    match (status, kind) {
        // Basic credentials were judged as a login, and noted as such.
        (401, _) if matches!(brought, Credentials::Bearer(_)) => {
            Some(EventKind::AccessUnauthorized)
        }
        (401, _) => {
            let route = router::route(&call.request.path, None);
            let is_refused = match brought {
                Credentials::None => {
                    matches!(route, Ok(Route::Token)) && call.note.principal.is_some()
                }
                _ => matches!(route, Ok(Route::Repository(_))),
            };
            is_refused.then_some(EventKind::AccessUnauthorized)
        }
        (403, _) => Some(EventKind::AccessDenied),
        (404, Some(Kind::NameUnknown)) if !call.note.is_granted => Some(EventKind::AccessHidden),
        _ => None,
    }
}

/// Who was refused. Of a JWT that is no longer valid, whom it was issued for, if we have signed it.
fn actor(appliance: &Appliance, call: &Call<'_>) -> Actor {
    if let Some(actor) = &call.note.actor {
        return actor.clone();
    }
    let subject = match call.credentials() {
        Credentials::Bearer(jwt) => appliance
            .authenticator
            .jwts()
            .signed_subject(&jwt, call.now),
        _ => None,
    };
    Actor::new(subject.as_deref().unwrap_or("unknown"))
}

/// The group that a path names, whether there is one or not; of a hosted repository its own path.
fn group(appliance: &Appliance, path: &str) -> Option<String> {
    let Ok(Route::Repository(route)) = router::route(path, None) else {
        return None;
    };
    let hosted = appliance.hosted_repository(&route.place).ok().flatten();
    let hosted = hosted.map(|name| name.as_str().to_owned());
    match route.place {
        Place::Group { group, .. } => Some(group),
        Place::Mirror { .. } => hosted,
    }
}
