//! The probes: GET and HEAD, without a login, cheap.
//!
//! - `/-/liveness`: 200 whenever a request is answered at all.
//! - `/-/readiness`: 200 while requests can be served; 503 with the reason while the server stops, or where a
//!   database or the blob directory cannot be read. An upstream that is down, and a disk that takes no
//!   writes, leave it at 200: what is kept is served then, and the rest passed through. To take the box out
//!   of service for either would make it worse.
//! - `/-/client-check`: a shell script for the machines of clients.
//! - `/-/health`: JSON, a word for each part; for those who may see metrics also the reasons and numbers.

use serde_json::{Map, Value, json};

use super::{only_reading, refuse_observer};
use crate::error::{Error, Kind, Result};
use crate::http::{Body, Response};
use crate::server::call::Call;
use crate::server::error::json_body;
use crate::server::router::Probe;
use crate::server::{Appliance, observe};
use crate::store::Space;
use crate::time::Timestamp;
use crate::upstream::BreakerState;

/// A write that failed so lately, in seconds, makes the databases degraded.
const LATELY: u64 = 60;
/// Less than a hundredth of the disk, or than 256 MiB: whichever is less, fills begin to fail there.
const LITTLE: (u64, u64) = (100, 256 << 20);

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum State {
    #[strum(serialize = "ok")]
    Good,
    /// Requests are served all the same.
    Degraded,
    Failed,
}

impl State {
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A part, and why it is not good: `why` is for everybody, `detail` may name files and upstreams.
struct Check {
    part: &'static str,
    state: State,
    why: &'static str,
    detail: Option<String>,
}

impl Check {
    fn good(part: &'static str) -> Self {
        Self {
            part,
            state: State::Good,
            why: "",
            detail: None,
        }
    }

    fn bad(part: &'static str, state: State, why: &'static str, detail: Option<String>) -> Self {
        Self {
            part,
            state,
            why,
            detail,
        }
    }
}

pub(in crate::server) fn probe(
    appliance: &Appliance,
    call: &mut Call<'_>,
    probe: Probe,
) -> Result<Response> {
    if !call.reads() {
        return Ok(only_reading());
    }
    match probe {
        Probe::Liveness => Ok(text(200, "ok\n".to_owned())),
        Probe::Readiness => Ok(match not_ready(appliance) {
            None => text(200, "ok\n".to_owned()),
            Some(why) => text(503, format!("not ready: {why}\n")).reason(why),
        }),
        Probe::Health => health(appliance, call),
        Probe::ClientCheck => client_check(&call.external_url(appliance)),
    }
}

fn text(status: u16, text: String) -> Response {
    Response::new(status)
        .header("Content-Type", "text/plain; charset=utf-8")
        .header("Cache-Control", "no-store")
        .body(Body::Bytes(text.into_bytes().into()))
}

/// A shell script that says, where it is run, whether that machine can pull through the box. It holds nothing but the URL by
/// which it was fetched.
fn client_check(url: &str) -> Result<Response> {
    // The URL becomes a part of the script.
    let is_harmless = |c: char| c.is_ascii_alphanumeric() || ":/._-[]".contains(c);
    if !url.chars().all(is_harmless) {
        return Err(Error::new(
            Kind::BadRequest,
            "the script cannot name a host of this form",
        ));
    }
    let script = include_str!("client_check.sh").replace("@URL@", url);
    Ok(text(200, script))
}

/// Why requests cannot be served.
fn not_ready(appliance: &Appliance) -> Option<&'static str> {
    if appliance.observed.is_stopping() {
        return Some("the server is being stopped");
    }
    let failed = |check: &Check| check.state == State::Failed;
    store(appliance)
        .into_iter()
        .find(failed)
        .map(|check| check.why)
}

fn health(appliance: &Appliance, call: &mut Call<'_>) -> Result<Response> {
    let mut checks = store(appliance);
    checks.extend([databases_lately(appliance), upstreams(appliance)]);
    checks.extend(lost_rows(appliance));
    if appliance.observed.is_stopping() {
        let why = "the server is being stopped";
        checks.push(Check::bad("server", State::Failed, why, None));
    }
    let state = checks.iter().map(|check| check.state).max();
    let state = state.unwrap_or(State::Good);
    // Who may not see the details gets the words, and no challenge: this is a probe.
    let detailed = matches!(refuse_observer(appliance, call), Ok(None));
    // Whoever may not see the details is answered all the same.
    call.note.why = None;
    let mut parts = Map::new();
    for check in checks {
        let mut part = Map::new();
        part.insert("status".into(), check.state.as_str().into());
        if check.state != State::Good {
            part.insert("reason".into(), check.why.into());
        }
        if let (true, Some(detail)) = (detailed, check.detail) {
            part.insert("detail".into(), detail.into());
        }
        parts.insert(check.part.into(), Value::Object(part));
    }
    let mut body = json!({ "status": state.as_str(), "checks": parts });
    if detailed {
        details(appliance, &mut body);
    }
    let status = if state == State::Failed { 503 } else { 200 };
    let response = Response::new(status).header("Cache-Control", "no-store");
    Ok(json_body(response, &body))
}

/// The numbers that an administrator looks for first.
fn details(appliance: &Appliance, body: &mut Value) {
    let observed = &appliance.observed;
    let now = Timestamp::now();
    body["version"] = env!("CARGO_PKG_VERSION").into();
    body["uptime_seconds"] = now.since(observed.started_at).as_secs().into();
    body["offline"] = appliance.is_offline().into();
    if let Ok(space) = appliance.store().condition().space {
        body["disk"] = json!({ "free_bytes": space.free, "size_bytes": space.size });
    }
    if let Some(load) = observed.load() {
        body["connections"] = load.connections.into();
        body["workers_busy"] = load.busy.into();
    }
    body["fetches_in_flight"] = appliance.proxy.in_flight().blobs.into();
    if let Ok(upstreams) = appliance.proxy.upstream_figures() {
        let named = upstreams.iter().filter_map(|upstream| {
            let (state, _) = upstream.states.first()?;
            Some(json!({ "name": upstream.name.as_ref()?, "state": state }))
        });
        body["upstreams"] = named.collect();
    }
}

/// The parts of the store, as they are at this moment.
fn store(appliance: &Appliance) -> Vec<Check> {
    let condition = appliance.store().condition();
    let readable = |part, why, result: Result<()>| match result {
        Ok(()) => Check::good(part),
        Err(error) => Check::bad(part, State::Failed, why, Some(error.to_string())),
    };
    let disk = match (condition.space, condition.writing) {
        (Ok(space), _) if space.is_read_only => {
            let why = "the filesystem of the data directory is read-only";
            Check::bad("disk", State::Degraded, why, None)
        }
        (_, Err(error)) => {
            let why = "the data directory cannot be written";
            Check::bad("disk", State::Degraded, why, Some(error.to_string()))
        }
        (Ok(space), Ok(())) if is_almost_full(space) => {
            let why = "the disk is almost full: images are passed through and not kept";
            Check::bad("disk", State::Degraded, why, None)
        }
        (Ok(_), Ok(())) => Check::good("disk"),
        (Err(error), Ok(())) => {
            let why = "the disk does not say how full it is";
            Check::bad("disk", State::Degraded, why, Some(error.to_string()))
        }
    };
    let audit = match condition.audit {
        Ok(()) => Check::good("audit_database"),
        Err(error) => {
            let why = "the database of audit events cannot be read";
            let detail = Some(error.to_string());
            Check::bad("audit_database", State::Degraded, why, detail)
        }
    };
    vec![
        readable(
            "access_database",
            "the database of users and tokens cannot be read",
            condition.access,
        ),
        readable(
            "cache_database",
            "the database of what is cached cannot be read",
            condition.cache,
        ),
        readable(
            "registry_database",
            "the database of the box's own images cannot be read",
            condition.registry,
        ),
        readable(
            "blobs",
            "the blob directory cannot be read",
            condition.blobs,
        ),
        audit,
        disk,
    ]
}

fn is_almost_full(space: Space) -> bool {
    let (part, bytes) = LITTLE;
    space.free < space.size.checked_div(part).unwrap_or(0).min(bytes)
        || space.free_inodes.is_some_and(|free| free < 1000)
}

/// Statements that failed a moment ago.
fn databases_lately(appliance: &Appliance) -> Check {
    let now = Timestamp::now();
    let failures = appliance.store().database_failures();
    let lately = failures.iter().filter(|failures| {
        let at = failures.last_at;
        at.is_some_and(|at| now.since(at).as_secs() < LATELY)
    });
    match lately.max_by_key(|failures| failures.last_at) {
        None => Check::good("database_writes"),
        Some(failures) => Check::bad(
            "database_writes",
            State::Degraded,
            "a database failed within the last minute",
            Some(format!(
                "the last reason was `{}`",
                failures.reason.as_str()
            )),
        ),
    }
}

/// Rows of the cache that were lost within the last week.
fn lost_rows(appliance: &Appliance) -> Option<Check> {
    // A database that does not answer is told of above.
    let lost = appliance.store().lost_rows(Timestamp::now()).ok()??;
    let why = "the database of what is cached was lost, and older rows are in use";
    let detail = Some(lost.sentence());
    Some(Check::bad("cache_rows", State::Degraded, why, detail))
}

/// An upstream that is away degrades the box, and no more.
fn upstreams(appliance: &Appliance) -> Check {
    let part = "upstreams";
    let figures = match appliance.proxy.upstream_figures() {
        Ok(figures) => figures,
        Err(error) => {
            let why = "the upstreams cannot be read from the database";
            return Check::bad(part, State::Degraded, why, Some(error.to_string()));
        }
    };
    let is_away = |state: BreakerState, is_of_box: bool| match state {
        BreakerState::Open | BreakerState::HalfOpen | BreakerState::Unusable => true,
        // A group's password is the group's affair.
        BreakerState::CredentialsRefused => is_of_box,
        _ => false,
    };
    let away = figures.iter().filter(|upstream| {
        let mut states = upstream.states.iter();
        let is_of_box = upstream.name.is_some();
        states.any(|(state, count)| is_away(*state, is_of_box) && *count > 0)
    });
    let away: Vec<&str> = away
        .map(|upstream| upstream.name.as_deref().unwrap_or("one of a group"))
        .collect();
    if away.is_empty() {
        return Check::good(part);
    }
    let why = "an upstream does not answer, or refuses the box's password: what is kept is served";
    Check::bad(part, State::Degraded, why, Some(away.join(", ")))
}

impl observe::Observed {
    /// The load of the public port, once it is open.
    pub(in crate::server) fn load(&self) -> Option<crate::http::Load> {
        self.front_door.get()?.read()
    }

    fn is_stopping(&self) -> bool {
        self.load().is_some_and(|load| load.is_stopping)
    }
}
