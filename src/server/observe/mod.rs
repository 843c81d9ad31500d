//! How the box is, for those who watch it: `/metrics` and the probes.
//!
//! - `traffic`: what is counted of every request.
//! - `page`: the numbers of all rooms on one page. No name of a group, project, user or image is on it.
//! - `health`: `/-/liveness`, `/-/readiness`, `/-/health`.
//!
//! The probes answer anybody, with a word for each part. The page and the details of health are for networks
//! that may use the mirror, and for credentials that may read the API ([`policy::observation`]); others get
//! 401, and a challenge for Basic: this is no path of the registry.

mod health;
mod page;
mod traffic;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(super) use health::probe;
pub use page::catalog;
pub(super) use traffic::{Answered, MethodClass, RouteClass};

use parking_lot::Mutex;

use super::call::{Call, Credentials};
use super::{Appliance, error};
use crate::auth::Identity;
use crate::auth::policy::{self, Refusal};
use crate::auth::secret::{Shape, shape};
use crate::context;
use crate::error::{Error, Kind, Result};
use crate::http::{Body, Gauge, Response};
use crate::metrics::{CONTENT_TYPE, Counter};
use crate::store::{Store, Totals};
use crate::time::Timestamp;
use traffic::Traffic;

/// How old counts of a whole table may be: scrapes come often, and on large boxes counting costs a moment.
const COUNTS_FOR: Duration = Duration::from_secs(15);
/// How long the page may take: what cannot be counted by then is left out. Prometheus waits for ten seconds.
const SCRAPE: Duration = Duration::from_secs(5);

/// What is watched besides what the other rooms count themselves.
pub(super) struct Observed {
    pub(super) traffic: Traffic,
    /// Requests, for what the client is or is not.
    pub(super) refused: Counter,
    /// Set when the public port is open.
    front_door: OnceLock<Gauge>,
    started_at: Timestamp,
    totals: Mutex<Option<(Instant, Totals)>>,
}

impl Observed {
    pub(super) fn new() -> Self {
        Self {
            traffic: Traffic::default(),
            refused: Counter::default(),
            front_door: OnceLock::new(),
            started_at: Timestamp::now(),
            totals: Mutex::default(),
        }
    }

    /// From here on the public port is watched too.
    pub(super) fn watch(&self, front_door: Gauge) {
        // There is only one public port, so it is set once.
        let _ = self.front_door.set(front_door);
    }

    fn totals(&self, store: &Store) -> Result<Totals> {
        // Not held while counting, so that nobody waits for it longer than for a turn among the lists.
        let kept = || self.totals.lock();
        if let Some((at, totals)) = &*kept()
            && at.elapsed() < COUNTS_FOR
        {
            return Ok(totals.clone());
        }
        let totals = store.cache.totals()?;
        *kept() = Some((Instant::now(), totals.clone()));
        Ok(totals)
    }
}

/// `GET /metrics`.
pub(super) fn metrics(appliance: &Appliance, call: &mut Call<'_>) -> Result<Response> {
    if !call.reads() {
        return Ok(only_reading());
    }
    if let Some(refused) = refuse_observer(appliance, call)? {
        return Ok(refused);
    }
    Ok(Response::new(200)
        .header("Content-Type", CONTENT_TYPE)
        .header("Cache-Control", "no-store")
        .body(Body::Bytes(page(appliance).into_bytes().into())))
}

/// Waits no longer for a turn among the lists, and for what is counted, than whoever scrapes.
fn page(appliance: &Appliance) -> String {
    context::limited(SCRAPE, || page::metrics(appliance))
}

/// What to answer a caller who may not see the numbers.
fn refuse_observer(appliance: &Appliance, call: &mut Call<'_>) -> Result<Option<Response>> {
    let authenticator = &appliance.authenticator;
    let login = match call.credentials() {
        Credentials::None => None,
        Credentials::Basic(name, secret) => Some((name, secret)),
        // What comes so is a token's secret, and the kinds that may read the API go with any user name. A JWT
        // of the token endpoint is for the registry alone, and nothing here is worth a password's hash.
        Credentials::Bearer(secret) if matches!(shape(&secret), Shape::Token(_)) => {
            Some(("metrics".to_owned(), secret))
        }
        Credentials::Bearer(_) | Credentials::Unknown => {
            let what = "this path takes the secret of a token, or a user name with a password";
            let error = Error::new(Kind::Unauthorized, what);
            return Ok(Some(unauthorized(call, &error)));
        }
    };
    let identity = match login {
        None => Identity::anonymous(call.address),
        Some((name, secret)) => {
            match authenticator.by_basic(&name, &secret, call.address, &call.id, call.now) {
                Ok(identity) => identity,
                Err(error) if error.kind() == Kind::Unauthorized => {
                    return Ok(Some(unauthorized(call, &error)));
                }
                Err(error) => return Err(error),
            }
        }
    };
    call.note_principal(&identity.principal);
    let mirror = match appliance.mirror_group() {
        Some(path) => authenticator.group(path)?.map(|group| group.id),
        None => None,
    };
    let networks = authenticator.networks()?;
    let judged = policy::observation(&identity, &networks, mirror);
    if judged.is_err() {
        appliance.tell_of_not_trusted(&identity, |trusted| {
            policy::observation(trusted, &networks, mirror).is_ok()
        });
    }
    Ok(judged.err().map(|refusal| match refusal {
        Refusal::Denied(_) => {
            let error = Error::new(Kind::Denied, "these credentials may not read metrics")
                .remedy("use a token with the scope read_api or api");
            call.note.why = Some(error.logged_why());
            error::response(&error, &call.id)
        }
        _ => {
            let what = "authentication is required";
            unauthorized(call, &Error::new(Kind::Unauthorized, what))
        }
    }))
}

fn unauthorized(call: &mut Call<'_>, error: &Error) -> Response {
    call.note.why = Some(error.logged_why());
    error::body(401, "UNAUTHORIZED", &error.to_string()).header(
        "WWW-Authenticate",
        r#"Basic realm="breakwater", charset="UTF-8""#,
    )
}

fn only_reading() -> Response {
    error::body(405, "UNSUPPORTED", "this can only be read").header("Allow", "GET, HEAD")
}
