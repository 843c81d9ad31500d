//! `breakwater serve`: puts the rooms together, starts them from the ground up, and stops them from
//! the public port down.

mod background;
pub(super) mod certificates;
mod listen;
mod system;
mod threads;
mod watchdog;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use rustix::process::Resource;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use super::doctor::{Doctor, clock};
use super::privilege::is_root;
use super::workplace::Workplace;
use super::{Outcome, reached, verify};
use crate::admin;
use crate::config::Config;
use crate::control::{self, Asked, Client, ControlListener, Controlled, Progress, Status};
use crate::error::{Error, Kind, Result};
use crate::http::{Limits, Scheme, Server};
use crate::server::{self, Appliance};
use crate::store::{Actor, DataLock, Repaired, Store};
use crate::telemetry;
use crate::time::Timestamp;
use background::Background;
use certificates::CertificateWatch;
use listen::Opened;
use watchdog::Watchdog;

/// How long answers in flight may take after the first signal.
const GRACE: Duration = Duration::from_secs(30);
/// Descriptors beside one for each connection: databases, blobs, upstreams.
pub(super) const FURTHER_DESCRIPTORS: u64 = 512;

/// Serve: the dependency proxy, the mirror, and the token endpoint
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater serve
  breakwater serve --data /var/lib/breakwater --listen 0.0.0.0:5000 --listen '[::]:5000'")]
pub(super) struct Serve {
    /// Listen here; give it again for more addresses; port 0 takes a free one [default: as configured, or 127.0.0.1:5000]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Vec<String>,
}

impl Serve {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        let config = &place.config;
        telemetry::start(&config.log)?;
        system::give_large_memory_back();
        raise_descriptor_limit(config);
        let mut stop = StopSignals::listen()?;
        Store::make_directory(&config.data)?;
        let lock = take_lock(&config.data)?;
        Store::mend_databases(&config.data, &lock, Timestamp::now())?;
        let store = Arc::new(Store::create(&config.data)?);
        if is_root() {
            tracing::warn!(
                "running as root, which nothing here needs: give the data directory to a user of its own, and breakwater becomes that user"
            );
        }
        if let Some(overlooked) = config.overlooked_data() {
            tracing::warn!("{overlooked}");
        }
        tracing::info!(
            "breakwater {} on the data directory {}",
            env!("CARGO_PKG_VERSION"),
            shown(store.directory())
        );
        // Before anything is recorded at this start.
        match clock::complaint(&store) {
            Ok(None) => {}
            Ok(Some(sentence)) => tracing::warn!("{sentence}"),
            Err(error) => tracing::warn!(%error, "it is not known whether the clock ran back"),
        }
        for sentence in server::first_start(&Actor::server(), &store, config, store.directory())? {
            tracing::info!("{sentence}");
        }
        let reconcile = store.start_up()?;
        let Opened {
            listeners,
            identity,
        } = listen::open(config)?;
        let schemes: Vec<_> = listeners.iter().map(|listener| listener.scheme()).collect();
        let appliance = Appliance::new(config, Arc::clone(&store))?;
        let server = Server::start(listeners, limits(config), Arc::clone(&appliance) as _)?;
        appliance.watch(server.gauge());
        let (examined, examining) = (place.clone(), Arc::clone(&store));
        appliance.examine_by(Arc::new(move |lower_priority| {
            Ok(Doctor::of_server(&examined, &examining, lower_priority))
        }));
        let listening: Vec<_> = schemes
            .into_iter()
            .zip(server.addresses())
            .map(|(scheme, address)| match scheme {
                Scheme::Http => format!("http://{address}"),
                Scheme::Https => format!("https://{address}"),
            })
            .collect();
        let running = Running {
            appliance: Arc::clone(&appliance),
            store: Arc::clone(&store),
            status: Status {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                data: config.data.clone(),
                listening: listening.clone(),
                started_at: Timestamp::now(),
                offline: config.offline,
            },
        };
        let control = ControlListener::start(store.directory(), Arc::new(running))?;
        let background = Background::start(&appliance, &store, reconcile, config.cache.scrub)?;
        let watch = identity.clone().map(CertificateWatch::start).transpose()?;
        greet(&listening, config);
        if appliance.is_offline() {
            tracing::warn!(
                "offline: no connection leaves this box (see `breakwater offline status`)"
            );
        }
        notify(&[sd_notify::NotifyState::Ready]);
        let watchdog = Watchdog::start(server.probe())?;

        let signal = stop.wait(|| certificates::reload(identity.as_deref()));
        tracing::info!(
            "stopping on {signal}; answers in flight have {} s, a second signal stops at once",
            GRACE.as_secs()
        );
        notify(&[sd_notify::NotifyState::Stopping]);
        drop(watchdog);
        let cut = server.stop(GRACE);
        appliance.stop();
        drop(control);
        if let Some(watch) = watch {
            watch.stop();
        }
        if background.stop(&store) {
            store.shut_down()?;
        } else {
            // Noting a clean stop would let the next start believe that rows and files were compared.
            store.audit.write_notes(Timestamp::now())?;
            store.cache.write_notes()?;
            store.registry.write_notes()?;
        }
        tracing::info!(connections_cut = cut, "stopped");
        Ok(Outcome::Done)
    }
}

/// What the control socket may ask of this process.
struct Running {
    appliance: Arc<Appliance>,
    store: Arc<Store>,
    status: Status,
}

impl Controlled for Running {
    fn perform(&self, name: &str, asked: Asked) -> Result<Box<RawValue>> {
        let actor = Actor::on_the_box(asked.account.as_deref());
        admin::perform_named(&self.appliance.admin(actor), name, asked.request)
    }

    fn perform_watched(
        &self,
        name: &str,
        asked: Asked,
        watch: control::Watch<'_>,
    ) -> Result<Box<RawValue>> {
        let actor = Actor::on_the_box(asked.account.as_deref());
        let admin = admin::Admin {
            watch: Some(watch),
            ..self.appliance.admin(actor)
        };
        admin::perform_named(&admin, name, asked.request)
    }

    fn status(&self) -> Status {
        Status {
            offline: self.appliance.is_offline(),
            ..self.status.clone()
        }
    }

    fn has_answered_long(&self) {
        system::give_free_memory_back();
    }

    fn verify(&self, repair: bool, progress: Progress<'_>) -> Result<Box<RawValue>> {
        tracing::info!("verifying every blob, as the command line asked");
        let _held = repair.then(|| self.appliance.hold_repairs());
        let fetch = |found: Repaired| Ok(found.fetched_since(self.appliance.fetch_damaged(true)?));
        let report = verify::report(&self.store, repair, progress, fetch)?;
        let damage = report.get("damage").and_then(Value::as_array);
        let damage = damage.map_or(0, Vec::len);
        if damage > 0 {
            tracing::error!(
                damage,
                "verify found damage: run `breakwater verify` to see it"
            );
        } else {
            tracing::info!("verify found nothing damaged");
        }
        to_raw_value(&report)
            .map_err(|error| Error::internal("the report of verify is no JSON").because(error))
    }
}

/// The store's lock, or who has it.
fn take_lock(data: &Path) -> Result<DataLock> {
    DataLock::take(data).map_err(|error| {
        if error.kind() != Kind::Conflict {
            return error;
        }
        // A server can be asked; a command such as `verify` that holds the lock has no socket.
        let holder = Client::find(data).ok().flatten().and_then(|server| server.status().ok());
        match holder {
            Some(holder) => {
                let what = format!(
                    "the data directory {} is in use by the server with process id {}, which listens on {}",
                    shown(data),
                    holder.pid,
                    holder.listening.join(" and ")
                );
                Error::new(Kind::Conflict, what).remedy("stop it, or name another directory with --data")
            }
            None => error,
        }
    })
}

fn limits(config: &Config) -> Limits {
    let server = &config.server;
    Limits {
        workers: server.workers,
        max_connections: server.max_connections,
        max_connections_per_address: server.max_connections_per_address,
        head_timeout: server.head_timeout,
        idle_timeout: server.idle_timeout,
        stall_timeout: server.stall_timeout,
    }
}

/// Every connection is a descriptor, and systems start processes with 1,024.
fn raise_descriptor_limit(config: &Config) {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, limit) {
        tracing::warn!(error = %std::io::Error::from(error), "cannot raise the limit of open files");
    }
    let current = rustix::process::getrlimit(Resource::Nofile).current;
    let wanted = (config.server.max_connections as u64).saturating_add(FURTHER_DESCRIPTORS);
    if let Some(current) = current.filter(|current| *current < wanted) {
        tracing::warn!(
            "only {current} files may be open at once, but server.max_connections = {} needs {wanted}: raise LimitNOFILE, or lower max_connections",
            config.server.max_connections
        );
    }
}

/// What somebody who has just started it needs to know.
fn greet(listening: &[String], config: &Config) {
    for url in listening {
        tracing::info!("listening on {url}");
    }
    let urls = reached::urls(config, listening);
    if let (true, Some(reached)) = (config.mirror.enabled, urls.first()) {
        let url = &reached.url;
        tracing::info!(
            "to mirror Docker Hub, put {{\"registry-mirrors\": [\"{url}\"]}} into /etc/docker/daemon.json and restart docker"
        );
        if let Some(url) = reached::for_other_machines(&urls).filter(|url| url.is_beyond_loopback) {
            tracing::info!(
                "other machines are set up with what `breakwater client docker` prints, and `curl -fsS {}/-/client-check | sh` there says whether they get through",
                url.url
            );
        }
    }
    let password = config.data.join("initial_root_password");
    if password.exists() {
        tracing::info!(
            "root's first password is in {}; change it with `breakwater user passwd root --password-stdin`",
            shown(&password)
        );
    }
}

/// The absolute path, for whoever reads the log elsewhere.
fn shown(path: &Path) -> String {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_owned())
        .display()
        .to_string()
}

fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// SIGTERM and SIGINT: the first is waited for, the second ends the process where it stands. SIGHUP asks for
/// the certificate to be loaded again.
struct StopSignals(Signals);

impl StopSignals {
    fn listen() -> Result<Self> {
        let listen = || {
            let stopping = Arc::new(AtomicBool::new(false));
            for signal in [SIGTERM, SIGINT] {
                // In this order: the first signal finds the flag down and puts it up.
                flag::register_conditional_shutdown(signal, 1, Arc::clone(&stopping))?;
                flag::register(signal, Arc::clone(&stopping))?;
            }
            Signals::new([SIGTERM, SIGINT, SIGHUP])
        };
        listen().map(Self).map_err(|error: std::io::Error| {
            Error::new(Kind::Io, "cannot listen for signals").because(error)
        })
    }

    fn wait(&mut self, on_hangup: impl Fn()) -> &'static str {
        for signal in self.0.forever() {
            match signal {
                SIGHUP => on_hangup(),
                SIGINT => return "SIGINT",
                _ => break,
            }
        }
        "SIGTERM"
    }
}
