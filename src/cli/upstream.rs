//! `breakwater upstream`: where images are fetched from, and how that goes.

#![allow(
    rustdoc::bare_urls,
    reason = "help is read on a terminal, not as a page"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Outcome;
use super::output::{Table, print, print_json};
use super::user::read_password;
use super::workplace::{Workplace, find_group, sealing_keys};
use crate::auth::seal::Owner;
use crate::config::UpstreamConfig;
use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::proxy;
use crate::store::{GroupId, NewUpstream, Store, UpstreamRow};

/// More than any bundle of roots has.
const MAX_CA: u64 = 4 * 1024 * 1024;

/// Add, list and remove upstreams, and show how they are
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater upstream add quay.io https://quay.io
  breakwater upstream list
  breakwater upstream status")]
pub(super) struct Upstream {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add an upstream for the whole box, or with --group for a group and those below it
    ///
    /// The running server knows it from its next request on. Entries of the configuration file
    /// stay beside it and cannot be changed by command.
    #[command(after_help = "\
Examples:
  breakwater upstream add quay.io https://quay.io
  pass show hub | breakwater upstream add docker.io https://registry-1.docker.io --group acme --username acme --password-stdin")]
    Add(Add),
    /// List all upstreams, with their state where a server runs
    #[command(after_help = "Example:\n  breakwater upstream list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove an upstream that was added by command; what was fetched from it stays cached
    #[command(after_help = "\
Examples:
  breakwater upstream remove quay.io
  breakwater upstream remove docker.io --group acme")]
    Remove {
        /// As it was added
        name: String,
        /// The group's instead of the box's
        #[arg(long, value_name = "PATH")]
        group: Option<String>,
    },
    /// Ask the running server how its upstreams are: reachable, failing, how much of a rate limit is left
    #[command(after_help = "Example:\n  breakwater upstream status --json")]
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// The word in paths and in ns=, such as quay.io
    name: String,
    /// Where it is, such as https://quay.io
    url: String,
    /// Its username; needs --password-stdin
    #[arg(long, value_name = "U", requires = "password_stdin")]
    username: Option<String>,
    /// Read the password from the first line of standard input; it is stored encrypted
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Only for this group and those below it
    #[arg(long, value_name = "PATH")]
    group: Option<String>,
    /// A PEM file with further roots; it is copied
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A token server on another host that may get the credentials
    #[arg(long, value_name = "URL")]
    auth_realm: Option<String>,
    /// With --group: let it resolve to loopback, link-local and private addresses, as the box's own may
    #[arg(long)]
    allow_private_addresses: bool,
}

impl Upstream {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Add(add) => add.run(place)?,
            Action::List { json } => list(place, json)?,
            Action::Remove { name, group } => remove(place, &name, group.as_deref())?,
            Action::Status { json } => status(place, json)?,
        }
        Ok(Outcome::Done)
    }
}

impl Add {
    fn run(self, place: &Workplace) -> Result<()> {
        let name = RegistryHost::parse(&self.name)?;
        if self.group.is_none() && of_file(place, &name).is_some() {
            return Err(taken_by_file(&name)
                .remedy("change it there and restart the server, or add it with --group"));
        }
        let ca = self.ca.as_deref().map(read_ca).transpose()?;
        let store = place.open_store()?;
        let group = group_id(&store, self.group.as_deref())?;
        let mut upstream = NewUpstream {
            name,
            group,
            url: self.url.trim_end_matches('/').to_owned(),
            credentials: self.username.map(|username| (username, Vec::new())),
            auth_realm: self.auth_realm,
            ca,
            // Whoever configures the box chooses its network; a group's owner does not.
            allow_private_addresses: group.is_none() || self.allow_private_addresses,
        };
        let known = store.access.upstreams()?;
        if known.iter().any(|row| is(row, &upstream.name, group)) {
            let what = format!("there is an upstream {} already", upstream.name);
            return Err(Error::new(Kind::Conflict, what)
                .remedy("remove it first with `breakwater upstream remove`"));
        }
        let password = match upstream.credentials {
            Some(_) => Some(read_password()?),
            None => None,
        };
        // Makes the client and drops it: whatever is wrong with the settings is said now.
        let settings = proxy::settings(&upstream, password.clone());
        crate::upstream::Upstream::new(settings, Arc::new(AtomicBool::new(true)))?;
        if let (Some((_, sealed)), Some(password)) = (&mut upstream.credentials, password) {
            let owner = Owner::upstream(&upstream.name, group);
            *sealed = sealing_keys(&store)?.seal(&owner, &password)?;
        }
        store.access.add_upstream(&place.actor, &upstream)?;
        let whose = self
            .group
            .map_or_else(String::new, |path| format!(" for group {path}"));
        print(&format!("added upstream {}{whose}", upstream.name))
    }
}

/// What stands in a PEM file.
fn read_ca(path: &Path) -> Result<String> {
    let cannot = |error| Error::io("cannot read the CA file", path, error);
    let length = std::fs::metadata(path).map_err(cannot)?.len();
    if length > MAX_CA {
        let what = format!("the CA file {} has {length} bytes", path.display());
        return Err(Error::new(Kind::Usage, what).remedy("give a PEM file with certificates"));
    }
    std::fs::read_to_string(path).map_err(cannot)
}

fn remove(place: &Workplace, name: &str, group: Option<&str>) -> Result<()> {
    let name = RegistryHost::parse(name)?;
    let store = place.open_store()?;
    let id = group_id(&store, group)?;
    if store.access.remove_upstream(&place.actor, &name, id)? {
        return print(&format!("removed upstream {name}"));
    }
    if id.is_none() && of_file(place, &name).is_some() {
        return Err(taken_by_file(&name).remedy("remove it there and restart the server"));
    }
    let whose = group.map_or_else(|| "this box".to_owned(), |path| format!("group {path}"));
    let what = format!("{whose} has no upstream {name} of its own");
    Err(Error::new(Kind::NotFound, what).remedy("see `breakwater upstream list`"))
}

fn group_id(store: &Store, path: Option<&str>) -> Result<Option<GroupId>> {
    let group = path.map(|path| find_group(store, path)).transpose()?;
    Ok(group.map(|group| group.id))
}

fn is(row: &UpstreamRow, name: &RegistryHost, group: Option<GroupId>) -> bool {
    row.upstream.name == *name && row.upstream.group == group
}

fn of_file<'a>(place: &'a Workplace, name: &RegistryHost) -> Option<&'a UpstreamConfig> {
    place.config.upstreams.iter().find(|one| one.name == *name)
}

fn taken_by_file(name: &RegistryHost) -> Error {
    let what = format!("the upstream {name} is the configuration's, which commands only read");
    Error::new(Kind::Conflict, what)
}

fn list(place: &Workplace, json: bool) -> Result<()> {
    let live = match place.running_server()? {
        Some(server) => server.get("/upstreams")?,
        None => Value::Null,
    };
    let breaker = |shape: &Value| {
        let same = |state: &&Value| {
            ["name", "group", "by_command"]
                .iter()
                .all(|&key| state[key] == shape[key])
        };
        let state = live.as_array()?.iter().find(same)?;
        Some(text(&state["breaker"]))
    };
    let mut upstreams: Vec<_> = place.config.upstreams.iter().map(shape_of_file).collect();
    // Without a store there are only those of the file.
    if place.config.data.exists() {
        let store = place.open_store()?;
        let groups = store.access.groups()?;
        for row in store.access.upstreams()? {
            let path = row.upstream.group.and_then(|id| {
                let group = groups.iter().find(|group| group.id == id);
                group.map(|group| group.path.as_str())
            });
            upstreams.push(shape_of_row(&row, path));
        }
    }
    for upstream in &mut upstreams {
        let breaker = json!(breaker(upstream));
        if let Some(fields) = upstream.as_object_mut() {
            fields.insert("breaker".to_owned(), breaker);
        }
    }
    if json {
        return print_json(&upstreams);
    }
    let mut table = Table::new(&["NAME", "GROUP", "URL", "USERNAME", "FROM", "BREAKER"]);
    for upstream in upstreams {
        let state = match (field(&upstream, "breaker"), &live) {
            (Value::Null, Value::Null) => "(no server runs)".to_owned(),
            (Value::Null, _) => "unknown".to_owned(),
            (state, _) => text(state),
        };
        let from = match field(&upstream, "read_only").as_bool() {
            Some(true) => "the configuration (read-only)",
            _ => "a command",
        };
        table.row([
            text(field(&upstream, "name")),
            field(&upstream, "group")
                .as_str()
                .unwrap_or("(the box)")
                .to_owned(),
            text(field(&upstream, "url")),
            text(field(&upstream, "username")),
            from.to_owned(),
            state,
        ]);
    }
    table.print()
}

fn shape_of_file(upstream: &UpstreamConfig) -> Value {
    json!({
        "name": upstream.name,
        "group": null,
        "url": upstream.url,
        "username": upstream.username,
        "auth_realm": upstream.auth_realm,
        "has_ca": upstream.ca.is_some(),
        "allow_private_addresses": true,
        "by_command": false,
        "read_only": true,
    })
}

fn shape_of_row(row: &UpstreamRow, group: Option<&str>) -> Value {
    let upstream = &row.upstream;
    let username = upstream.credentials.as_ref().map(|(name, _)| name.as_str());
    json!({
        "id": row.id,
        "name": upstream.name,
        "group": group,
        "url": upstream.url,
        "username": username.unwrap_or_default(),
        "auth_realm": upstream.auth_realm,
        "has_ca": upstream.ca.is_some(),
        "allow_private_addresses": upstream.allow_private_addresses,
        "created_at": row.created_at.to_string(),
        "by_command": true,
        "read_only": false,
    })
}

fn status(place: &Workplace, json: bool) -> Result<()> {
    let data = &place.config.data;
    let Some(server) = place.running_server()? else {
        let what = format!(
            "no server runs on {}: only a running one knows how upstreams are",
            data.display()
        );
        return Err(Error::new(Kind::NotFound, what).remedy("start it with `breakwater serve`"));
    };
    let answer = server.get("/upstreams")?;
    let upstreams: Vec<Value> = serde_json::from_value(answer).unwrap_or_default();
    if json {
        return print_json(&upstreams.into_iter().map(with_times).collect::<Vec<_>>());
    }
    let mut table = Table::new(&[
        "NAME",
        "GROUP",
        "BREAKER",
        "FAILURES",
        "LAST SUCCESS",
        "RATE LIMIT",
        "LAST FAILURE",
    ]);
    for upstream in upstreams.into_iter().map(with_times) {
        let limit = field(&upstream, "rate_limit");
        let limit = match limit {
            Value::Null => "unknown".to_owned(),
            limit => format!(
                "{} of {} left",
                text(field(limit, "remaining")),
                text(field(limit, "limit"))
            ),
        };
        let failure = match field(&upstream, "last_failure") {
            Value::Null => "none".to_owned(),
            failure => format!(
                "{} at {}",
                text(failure),
                text(field(&upstream, "last_failure_at"))
            ),
        };
        let success = match field(&upstream, "last_success_at") {
            Value::Null => "never".to_owned(),
            at => text(at),
        };
        let failures = text(field(&upstream, "failures_in_a_row"));
        table.row([
            text(field(&upstream, "name")),
            field(&upstream, "group")
                .as_str()
                .unwrap_or("(the box)")
                .to_owned(),
            text(field(&upstream, "breaker")),
            failures,
            success,
            limit,
            failure,
        ]);
    }
    table.print()
}

/// The server speaks in seconds, people and `/api/v4` in RFC 3339.
fn with_times(mut upstream: Value) -> Value {
    let render = |value: &mut Value| {
        if let Some(seconds) = value.as_i64() {
            *value = Value::from(crate::time::Timestamp(seconds).to_string());
        }
    };
    for name in ["last_failure_at", "last_success_at"] {
        upstream.get_mut(name).map(render);
    }
    upstream.pointer_mut("/rate_limit/read_at").map(render);
    upstream
}

/// A field of an answer; null where it has none.
fn field<'a>(answer: &'a Value, name: &str) -> &'a Value {
    answer.get(name).unwrap_or(&Value::Null)
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
