//! Which upstream a path means: those of the configuration file and those that were added by command, the
//! box's and the groups'.
//!
//! A group's path finds the upstreams of the group, then of the groups above it, then the box's; the
//! nearest one of a name wins. What is added or removed counts from the next request on. The
//! clients of rows that did not change stay as they are, with connections, tokens, breaker and rate limit.
//!
//! Reads rows and makes clients; asks no upstream.

mod states;
mod table;
#[cfg(test)]
mod tests;

pub use states::{UpstreamClient, UpstreamState};

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::auth::seal::{Owner, SealingKeys};
use crate::context;
use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::store::{GroupId, NewUpstream, Store, UpstreamRow};
use crate::upstream::{Ca, Counts, Credentials, Settings, Timeouts, Upstream};
use table::{Client, Place, Table, places};

/// The upstreams of a running box.
pub struct Upstreams {
    store: Arc<Store>,
    of_file: Vec<Arc<Upstream>>,
    /// The one of them in whose place one of its name comes that was added by command.
    built_in: Option<RegistryHost>,
    default: RegistryHost,
    offline: Arc<AtomicBool>,
    /// Counted by name for the box's own upstreams that were added by command, and together for those of groups:
    /// so counters outlive the clients, which are made anew when a row changes.
    counts: Mutex<HashMap<Option<RegistryHost>, Arc<Counts>>>,
    table: RwLock<Arc<Table>>,
    building: Mutex<()>,
}

/// How an upstream of a row is reached; `password` is the opened one.
pub fn settings(upstream: &NewUpstream, password: Option<String>) -> Settings {
    let username = upstream.credentials.as_ref().map(|(username, _)| username);
    Settings {
        name: upstream.name.clone(),
        url: upstream.url.clone(),
        credentials: username
            .zip(password)
            .map(|(username, password)| Credentials {
                username: username.clone(),
                password,
            }),
        auth_realm: upstream.auth_realm.clone(),
        ca: upstream.ca.clone().map(Ca::Pem),
        allow_private_addresses: upstream.allow_private_addresses,
        timeouts: Timeouts::default(),
    }
}

/// The client of an upstream that was added by command, with its password opened. `offline` tells it that no connection
/// may leave the box.
///
/// # Errors
/// `Config` for one that cannot be used; those of the keys that passwords are sealed with.
pub fn client_of(
    store: &Store,
    upstream: &NewUpstream,
    offline: &Arc<AtomicBool>,
) -> Result<Upstream> {
    let open = |(_, sealed): &(String, Vec<u8>)| {
        let owner = Owner::upstream(&upstream.name, upstream.group);
        SealingKeys::find(store.directory())?.open(&owner, sealed)
    };
    let password = upstream.credentials.as_ref().map(open).transpose();
    let password = password.map_err(|error| error.context("its password cannot be read"))?;
    let client = Upstream::new(settings(upstream, password), Arc::clone(offline))?;
    keyed(store, client)
}

/// The client as what it brings is cached for: see [`Upstream::keyed`]. A key is made at first need.
///
/// # Errors
/// As [`Store::origin_key`].
pub fn keyed(store: &Store, upstream: Upstream) -> Result<Upstream> {
    if !upstream.has_credentials() {
        return Ok(upstream);
    }
    Ok(upstream.keyed(&store.origin_key()?))
}

impl Upstreams {
    /// The upstreams `of_file`, of which `default` is for paths that name none, and those of the store.
    /// `offline` tells the latter that no connection may leave the box.
    pub fn new(
        store: Arc<Store>,
        of_file: impl IntoIterator<Item = Upstream>,
        default: RegistryHost,
        offline: Arc<AtomicBool>,
    ) -> Self {
        let mut of_file: Vec<_> = of_file.into_iter().map(Arc::new).collect();
        of_file.sort_by_key(|upstream| upstream.name().clone());
        Self {
            store,
            of_file,
            built_in: None,
            default,
            offline,
            counts: Mutex::default(),
            table: RwLock::new(Arc::new(Table::empty())),
            building: Mutex::new(()),
        }
    }

    /// The same, where the upstream of this name stands in no configuration: one that is added by command takes its place.
    #[must_use]
    pub fn with_built_in(mut self, name: RegistryHost) -> Self {
        self.built_in = Some(name);
        self
    }

    /// Those of the file, but for one that a row has taken the place of.
    fn of_file<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a Arc<Upstream>> {
        let replaced = self.built_in.as_ref().filter(|name| {
            let key = (None, (*name).clone());
            table.by_name.contains_key(&key)
        });
        let mut of_file = self.of_file.iter();
        std::iter::from_fn(move || of_file.find(|one| replaced != Some(one.name())))
    }

    /// The upstream that `host` (`None`: the default one) means in a path of `group`.
    ///
    /// # Errors
    /// `NameUnknown` for a name that neither the group, nor one above it, nor the box has: fetches go to
    /// configured upstreams only. `Unavailable` for one that cannot be used as it was added.
    pub(super) fn resolve(
        &self,
        group: GroupId,
        host: Option<&RegistryHost>,
    ) -> Result<Arc<Upstream>> {
        let table = self.table()?;
        let host = host
            .or_else(|| {
                table
                    .upward(group)
                    .find_map(|(_, at)| at.default_upstream.as_ref())
            })
            .unwrap_or(&self.default);
        let scopes = table.upward(group).map(|(id, _)| Some(id));
        for scope in scopes.chain([None]) {
            if scope.is_none()
                && let Some(upstream) = self.of_file(&table).find(|one| one.name() == host)
            {
                return Ok(Arc::clone(upstream));
            }
            match table
                .by_name
                .get(&(scope, host.clone()))
                .and_then(|&at| table.clients.get(at))
            {
                Some(Client::Ready(upstream)) => return Ok(Arc::clone(upstream)),
                Some(Client::Unusable(_)) => return Err(unusable(host, table.path(scope))),
                None => {}
            }
        }
        Err(Error::new(
            Kind::NameUnknown,
            format!("{host} is not an upstream of this box"),
        )
        .remedy("ask its administrator to configure it"))
    }

    /// The upstream, whosever it is, that has this name and fingerprint: what was kept from it can be had again there.
    ///
    /// # Errors
    /// `Unavailable` where one of the name cannot be used as it was added, and may be it; `Sql`.
    pub(super) fn of_origin(
        &self,
        name: &RegistryHost,
        fingerprint: &str,
    ) -> Result<Option<Arc<Upstream>>> {
        let table = self.table()?;
        let of_rows = table.clients.iter().filter_map(|client| match client {
            Client::Ready(upstream) => Some(upstream),
            Client::Unusable(_) => None,
        });
        let mut all = self.of_file(&table).chain(of_rows);
        let found = all.find(|one| one.name() == name && one.fingerprint() == fingerprint);
        let is_unusable = |(row, client): (&UpstreamRow, &Client)| {
            row.upstream.name == *name && matches!(client, Client::Unusable(_))
        };
        if found.is_none() && table.rows.iter().zip(&table.clients).any(is_unusable) {
            // It may be the one.
            return Err(unusable(name, None));
        }
        Ok(found.cloned())
    }

    /// The table as the database has it now. Where nothing changed, that costs no query.
    fn table(&self) -> Result<Arc<Table>> {
        // Before the rows are read: a change in between makes the table too old, never too new.
        let generation = self.store.access.generation();
        let kept = || Arc::clone(&self.table.read());
        let table = kept();
        if table.is_of(generation) {
            return Ok(table);
        }
        // Before the lock: whoever goes on with this thread's other work may come here too.
        context::waits();
        let _building = self.building.lock();
        let table = kept();
        if table.is_of(generation) {
            return Ok(table);
        }
        let rows = self.store.access.upstreams()?;
        let groups = places(self.store.access.groups()?);
        if table.rows == rows && table.groups == groups && !table.is_retry_due() {
            table.generation.store(generation, Ordering::Release);
            return Ok(table);
        }
        let table = Arc::new(self.build(generation, rows, groups, &table));
        *self.table.write() = Arc::clone(&table);
        Ok(table)
    }

    /// A table of these rows, with the clients of `before` for those that did not change.
    fn build(
        &self,
        generation: u64,
        rows: Vec<UpstreamRow>,
        groups: HashMap<GroupId, Place>,
        before: &Table,
    ) -> Table {
        let known = |row: &UpstreamRow| {
            let at = before.rows.iter().position(|one| one == row)?;
            before.clients.get(at).cloned()
        };
        let clients = rows.iter().map(|row| match known(row) {
            Some(Client::Ready(upstream)) => Client::Ready(upstream),
            broken => self.client(row, broken),
        });
        let clients: Vec<_> = clients.collect();
        let names = rows.iter().enumerate();
        let by_name = names
            .map(|(at, row)| ((row.upstream.group, row.upstream.name.clone()), at))
            .collect();
        for row in rows
            .iter()
            .filter(|row| known(row).is_none() && self.is_hidden(row))
        {
            tracing::warn!(
                "the upstream {} was added by command, but the configuration file has one of that name, which counts",
                row.upstream.name
            );
        }
        Table {
            generation: AtomicU64::new(generation),
            built: Instant::now(),
            rows,
            groups,
            clients,
            by_name,
        }
    }

    /// Whether the file has one of the same name, which was added to it later.
    fn is_hidden(&self, row: &UpstreamRow) -> bool {
        let name = &row.upstream.name;
        let named =
            |one: &Arc<Upstream>| one.name() == name && self.built_in.as_ref() != Some(name);
        row.upstream.group.is_none() && self.of_file.iter().any(named)
    }

    /// The client of a row. What is wrong with one row must not take the others down; it is logged when it
    /// is new.
    fn client(&self, row: &UpstreamRow, before: Option<Client>) -> Client {
        match self.make_client(row) {
            Ok(upstream) => Client::Ready(Arc::new(upstream)),
            Err(error) => {
                let why = error.to_string();
                if !matches!(before, Some(Client::Unusable(known)) if known == why) {
                    tracing::error!(upstream = %row.upstream.name, group_id = row.upstream.group.map(|id| id.0),
                        "an upstream cannot be used: {why}");
                }
                Client::Unusable(why)
            }
        }
    }

    fn make_client(&self, row: &UpstreamRow) -> Result<Upstream> {
        let upstream = &row.upstream;
        let counts = self.counts_of(upstream.group.is_none().then(|| upstream.name.clone()));
        Ok(client_of(&self.store, upstream, &self.offline)?.counted_in(counts))
    }

    /// Where the upstream of this name is counted; `None`: those of groups.
    fn counts_of(&self, name: Option<RegistryHost>) -> Arc<Counts> {
        let mut counts = self.counts.lock();
        Arc::clone(counts.entry(name).or_default())
    }
}

/// What clients are told; why stands in the log, as it may name files of this box.
fn unusable(host: &RegistryHost, group: Option<String>) -> Error {
    let whose = group.map_or_else(|| "this box".to_owned(), |path| format!("group {path}"));
    let retry_after = Duration::from_secs(30);
    Error::new(
        Kind::Unavailable { retry_after },
        format!("the upstream {host} of {whose} cannot be used as it is configured"),
    )
    .remedy("the box's log says why; ask its administrator")
}
