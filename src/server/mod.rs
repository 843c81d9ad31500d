//! What is served: routes, the token endpoint, the registry protocol. Knows no socket.
//!
//! A request becomes a `Call`, goes by the router to a handler, and comes back as an answer with its
//! `X-Request-Id`; a panic on the way is a 500, and the server lives. Handlers parse, authorize, call
//! a room below, and answer.

mod access_line;
mod activity;
mod addresses;
mod api;
mod authorize;
mod call;
mod configured;
mod error;
mod events;
mod eviction;
mod fields;
mod first_start;
mod history;
mod observe;
mod recalled;
mod refusals;
mod refused_mirror;
mod remembered;
mod repair;
mod router;
mod running;
mod token;
mod troubles;
mod ui;
mod v2;
mod webhooks;

#[cfg(test)]
mod plans;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod viewers;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

pub use crate::admin::check_upstream;
pub use configured::upstreams;
pub use error::status_and_code;
pub use first_start::first_start;
pub use observe::catalog as metrics_catalog;
pub use recalled::Examine;

use parking_lot::Mutex;

use crate::admin::{Admin, OnTheBox};
use crate::auth::Authenticator;
use crate::auth::bans::Bans;
use crate::auth::jwt::{Jwts, lifetime};
use crate::auth::keys::Keys;
use crate::config::Config;
use crate::context;
use crate::error::{Error, Kind, Result};
use crate::hops::{self, Hops};
use crate::http::{Body, Gauge, Handler, Refusal as HttpRefusal, Request, Response};
use crate::proxy::{Freshness, Proxy};
use crate::registry::Registry;
use crate::spool::{IN_MEMORY, Owner};
use crate::store::{Actor, Event, EventKind, Store};
use crate::telemetry::AuthLog;
use crate::time::Timestamp;
use crate::upkeep::eviction::Evictor;
use crate::upkeep::retention::Retention;
use crate::webhooks::{Pace, Webhooks};
use access_line::AccessLine;
use addresses::Addresses;
use call::Call;
use observe::{Observed, RouteClass};
use refused_mirror::RefusedMirror;
use router::Route;
use troubles::Troubles;

/// Everything that answers requests.
pub struct Appliance {
    store: Arc<Store>,
    authenticator: Authenticator,
    proxy: Arc<Proxy>,
    registry: Registry,
    evictor: Evictor,
    retention: Retention,
    webhooks: Arc<Webhooks>,
    auth_log: AuthLog,
    /// Read by every upstream client before it sends anything.
    offline: Arc<AtomicBool>,
    addresses: Addresses,
    refused_mirror: RefusedMirror,
    troubles: Troubles,
    /// What it was started with.
    config: Config,
    /// The first part of request ids: random for each start.
    boot: String,
    requests: AtomicU64,
    /// What is counted and watched; shared with the answers on their way out.
    observed: Arc<Observed>,
    written_sums: history::Written,
    recalled: recalled::Recalled,
    /// For threads of its own that outlive a request.
    itself: OnceLock<Weak<Self>>,
    examine: OnceLock<Examine>,
    /// What was found damaged and is fetched again.
    repairing: Mutex<repair::Tried>,
    repairs_held: AtomicBool,
}

impl Appliance {
    /// Makes the upstream clients and reads the keys; asks nobody.
    ///
    /// # Errors
    /// `Config` for an upstream that cannot be used, `Io` for keys and password files.
    pub fn new(config: &Config, store: Arc<Store>) -> Result<Arc<Self>> {
        let keys = open_keys(&store, config)?;
        let bans = Bans::new(config.auth.ban_after, config.auth.ban_for);
        let jwts = Jwts::new(keys, &config.auth.issuer, config.auth.token_ttl);
        let offline = Arc::new(AtomicBool::new(config.offline || store.is_offline()?));
        let upstreams = upstreams(config, &store, &offline)?;
        let freshness = Freshness {
            tag_ttl: config.cache.tag_ttl,
            revalidate_timeout: config.cache.revalidate_timeout,
            negative_ttl: config.cache.negative_ttl,
        };
        let appliance = Arc::new(Self {
            authenticator: Authenticator::new(Arc::clone(&store), jwts, bans)?,
            proxy: Proxy::new(Arc::clone(&store), upstreams, freshness),
            registry: Registry::new(Arc::clone(&store)),
            evictor: Evictor::new(Arc::clone(&store)),
            retention: Retention::default(),
            webhooks: Webhooks::new(Arc::clone(&store), Arc::clone(&offline), Pace::default())?,
            auth_log: AuthLog::open(store.directory())?,
            store,
            offline,
            addresses: Addresses::new(&config.server),
            refused_mirror: RefusedMirror::default(),
            troubles: Troubles::default(),
            config: config.clone(),
            boot: crate::auth::keys::random_hex::<4>()?,
            requests: AtomicU64::new(0),
            observed: Arc::new(Observed::new()),
            written_sums: history::Written::default(),
            recalled: recalled::Recalled::default(),
            itself: OnceLock::new(),
            examine: OnceLock::new(),
            repairing: Mutex::default(),
            repairs_held: AtomicBool::new(false),
        });
        // It is made only here, so it is set once.
        let _ = appliance.itself.set(Arc::downgrade(&appliance));
        let limits = appliance.limits()?;
        appliance.evictor.set_limits(&limits, Timestamp::now())?;
        Ok(appliance)
    }

    /// Lets metrics and probes know of the public port, once it is open.
    pub fn watch(&self, front_door: Gauge) {
        self.observed.watch(front_door);
    }

    /// Ends what runs behind requests; called after the public port is closed.
    pub fn stop(&self) {
        self.proxy.stop();
        self.evictor.stop(Timestamp::now());
    }

    /// Whether no connection leaves the box.
    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::SeqCst)
    }

    /// What operations work on when `actor` asks for them.
    pub fn admin(&self, actor: Actor) -> Admin<'_> {
        Admin {
            store: &self.store,
            actor,
            caller: &OnTheBox,
            config: &self.config,
            server: Some(self),
            watch: None,
        }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Runs the cleanup policies that are due.
    ///
    /// # Errors
    /// As [`Retention::run_due`].
    pub fn clean_up(&self) -> Result<()> {
        self.retention.run_due(&self.store, Timestamp::now())
    }

    /// The mirror's group; `None` where the mirror is off.
    fn mirror_group(&self) -> Option<&str> {
        let mirror = &self.config.mirror;
        mirror.enabled.then_some(mirror.group.as_str())
    }

    /// Sends a call to its handler.
    fn answer(&self, call: &mut Call<'_>) -> Result<Response> {
        let ns = call.query("ns");
        let route = router::route(&call.request.path, ns.as_deref())?;
        call.note.route = RouteClass::from(&route);
        if !route.is_content() {
            // Passwords, lists, pages: what the poller's thread shall not do.
            context::waits();
        }
        match route {
            Route::Base => v2::base(self, call),
            Route::Token => token::token(self, call),
            Route::Api => Ok(api::answer(self, call)),
            Route::Keys => token::keys(self, call),
            Route::Repository(route) => v2::repository(self, call, &route),
            Route::Catalog => v2::catalog(self, call),
            Route::Probe(probe) => observe::probe(self, call, probe),
            Route::Metrics => observe::metrics(self, call),
            Route::Page => Ok(ui::answer(self, call)),
        }
    }

    /// Moves a long answer from memory to a file, where it waits for a client that may be slow.
    fn unburden(&self, response: Response, call: &Call<'_>) -> Response {
        let bytes = match &response.body {
            Body::Bytes(bytes) if bytes.len() > IN_MEMORY && !call.is_head() => bytes,
            _ => return response,
        };
        let mut spool = self.store.spools.spool(Owner::from(call.address.ip));
        let spooled = spool.append(bytes).and_then(|()| spool.finish());
        match spooled {
            Ok(content) => v2::whole(response, content),
            Err(error) => error::response(&error, &call.id),
        }
    }

    /// The client's own request id if it is harmless, otherwise a new one.
    fn request_id(&self, request: &Request) -> String {
        let harmless = |id: &&str| {
            (1..=64).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        match request.headers.get("X-Request-Id").filter(harmless) {
            Some(id) => id.to_owned(),
            None => self.new_request_id(),
        }
    }

    fn new_request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number:x}", self.boot)
    }
}

impl Handler for Appliance {
    fn handle(&self, request: &mut Request) -> Response {
        let started = Instant::now();
        let id = self.request_id(request);
        let mut call = Call::new(self, request, id.clone());
        context::note_origin(call.address.ip.into());
        let hops = Hops::read(call.request.headers.get_all(hops::HEADER));
        let is_circle = hops.is_circle();
        hops.carry();
        let answered = std::panic::catch_unwind(AssertUnwindSafe(|| match is_circle {
            true => Err(circle()),
            false => self.answer(&mut call),
        }));
        let mut kind = None;
        let response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                kind = Some(error.kind());
                call.note.why.get_or_insert_with(|| error.logged_why());
                let response = error::response(&error, &id);
                if error.kind() == Kind::Unauthorized {
                    v2::challenge(self, &call, response)
                } else {
                    response
                }
            }
            Err(_) => {
                self.observed.traffic.note_panic();
                let error = "a handler panicked; the backtrace stands above";
                error::response(&Error::internal(error), &id)
            }
        };
        let response = self.unburden(response, &call);
        refusals::note(self, &call, kind, response.status);
        let line = AccessLine {
            id: id.clone(),
            remote_ip: call.address.ip,
            note: call.note,
            method: call.request.method.clone(),
            path: std::mem::take(&mut call.request.path),
            started,
            observed: Arc::clone(&self.observed),
        };
        let status = response.status;
        response
            .header("X-Request-Id", id)
            .on_delivered(move |delivery| line.write(status, delivery))
    }

    /// Manifests and short blobs are, as long as nothing was written.
    fn may_answer_from_memory(&self, head: &[u8]) -> bool {
        head.starts_with(b"GET /v2/") || head.starts_with(b"HEAD /v2/")
    }

    fn refuse(&self, refusal: &HttpRefusal) -> Response {
        self.observed.traffic.note_refused(refusal.status);
        let id = self.new_request_id();
        tracing::info!(request_id = id, remote_ip = %refusal.peer.ip(), status = refusal.status, "refused: {}", refusal.message);
        error::body(refusal.status, "UNSUPPORTED", refusal.message).header("X-Request-Id", id)
    }
}

/// The signing keys, without those that verify nothing any more.
fn open_keys(store: &Store, config: &Config) -> Result<Keys> {
    let lifetime = lifetime(config.auth.token_ttl);
    let keys = Keys::open_or_make(&store.directory().join("keys"), lifetime)?;
    for id in keys.remove_retired(Timestamp::now(), false)? {
        let event = Event::new(EventKind::KeyRemoved).subject("key", &id, None);
        store.audit.record(&Actor::server(), &event);
    }
    Ok(keys)
}

/// For a request that has been here already: it must not join the fetch that it was made for.
fn circle() -> Error {
    let what =
        "this request has gone round in a circle: an upstream leads back to the box that asks it";
    Error::new(Kind::Circle, what).remedy(hops::REMEDY)
}
