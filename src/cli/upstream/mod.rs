//! `breakwater upstream`: where images are fetched from, and how that goes.

#![allow(
    rustdoc::bare_urls,
    reason = "help is read on a terminal, not as a page"
)]

mod set;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{Table, hint, print, print_json, shown_time, tell, tell_removed};
use super::password::read_password;
use super::words::parse_quota;
use super::workplace::Workplace;
use crate::admin::{
    AddUpstream, Credentials, ListUpstreams, RemoveUpstream, TestUpstream, TestedUpstream,
    UpstreamStates, UpstreamView,
};
use crate::error::{Error, Kind, Result, excerpt};

/// More than any bundle of roots has.
const MAX_CA: u64 = 4 * 1024 * 1024;

/// Add, list, change and remove upstreams, ask them, and show how they are
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater upstream add quay.io https://quay.io
  breakwater upstream list
  breakwater upstream test quay.io
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
    /// stay beside it and cannot be changed by command. It is asked a question that costs no pull; what is wrong
    /// is said on standard error, and the upstream is added all the same: it may be one that is away.
    #[command(after_help = "\
Examples:
  breakwater upstream add quay.io https://quay.io
  pass show hub | breakwater upstream add docker.io https://registry-1.docker.io --group acme --username acme --password-stdin")]
    Add(Add),
    /// Change an upstream that was added by command
    ///
    /// url=URL: where it is
    /// username=NAME: with --password-stdin; nothing behind the = ends the login
    /// ca=FILE: a PEM file with further roots; it is copied; nothing behind the = takes it away
    /// auth_realm=URL: a token server on another host that may get the credentials
    /// allow_private_addresses=true|false: of a group's
    /// max_size=SIZE: how much of it may be cached; nothing behind the = takes the limit away
    ///
    /// What is kept belongs to url, credentials and roots together: after a change of them it is fetched again.
    #[command(
        verbatim_doc_comment,
        after_help = "\
Examples:
  breakwater upstream set quay.io url=https://quay.example ca=/etc/ssl/corp.pem
  pass show hub | breakwater upstream set docker.io username=acme --password-stdin --group acme"
    )]
    Set(set::Set),
    /// Ask an upstream a question that costs no pull; exit status 1 if it cannot be used as it is configured
    #[command(after_help = "\
Examples:
  breakwater upstream test quay.io
  breakwater upstream test docker.io --group acme --json")]
    Test {
        /// As it was added, or as it stands in the configuration
        name: String,
        /// The group's instead of the box's
        #[arg(long, value_name = "PATH")]
        group: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
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
        /// Print JSON
        #[arg(long)]
        json: bool,
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
    /// How much of it may be cached, such as 200GB; no limit of its own without it
    #[arg(long, value_name = "SIZE")]
    max_size: Option<String>,
    /// With --group: let it resolve to loopback, link-local and private addresses, as the box's own may
    #[arg(long)]
    allow_private_addresses: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Do not ask it whether it can be used so
    #[arg(long)]
    no_probe: bool,
}

impl Upstream {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Add(add) => add.run(place)?,
            Action::Set(set) => set.run(place)?,
            Action::Test { name, group, json } => {
                let group = group.map(Into::into);
                let tested = place.perform(TestUpstream { name, group })?;
                return tell_test(&tested, json);
            }
            Action::List { json } => list(place, json)?,
            Action::Remove { name, group, json } => {
                let request = RemoveUpstream {
                    name: name.clone(),
                    group: group.clone(),
                };
                place.perform(request)?;
                let line = format!("removed upstream {name}");
                tell_removed(&name, group, json, &line)?;
            }
            Action::Status { json } => status(place, json)?,
        }
        Ok(Outcome::Done)
    }
}

impl Add {
    fn run(self, place: &Workplace) -> Result<()> {
        let credentials = |username| -> Result<Credentials> {
            let password = read_password()?;
            Ok(Credentials { username, password })
        };
        let request = AddUpstream {
            name: self.name,
            url: self.url,
            ca: self.ca.as_deref().map(read_ca).transpose()?,
            credentials: self.username.map(credentials).transpose()?,
            group: self.group,
            auth_realm: self.auth_realm,
            allow_private_addresses: self.allow_private_addresses,
            max_size: self.max_size.as_deref().map(parse_limit).transpose()?,
            probe: !self.no_probe,
        };
        let added = place.perform(request)?;
        let whose = added.group.as_ref();
        let whose = whose.map_or_else(String::new, |path| format!(" for group {path}"));
        let line = format!("added upstream {}{whose}", added.name);
        tell(&added, self.json, &line)?;
        warn(added.tested.as_ref());
        Ok(())
    }
}

/// Says what is wrong with an upstream that was added or changed all the same.
fn warn(tested: Option<&TestedUpstream>) {
    let Some(tested) = tested.filter(|tested| !tested.ok) else {
        return;
    };
    let remedy = tested.remedy.as_deref();
    let remedy = remedy.unwrap_or("see what is in the way, then `breakwater upstream test`");
    hint(&format!("breakwater: {} ({remedy})", tested.message));
}

fn tell_test(tested: &TestedUpstream, json: bool) -> Result<Outcome> {
    if json {
        print_json(tested)?;
    } else if tested.ok {
        let (message, took) = (&tested.message, tested.milliseconds);
        print(&format!("{message} ({}, in {took} ms)", tested.url))?;
    } else {
        warn(Some(tested));
    }
    Ok(match tested.ok {
        true => Outcome::Done,
        false => Outcome::Bad,
    })
}

fn parse_limit(text: &str) -> Result<u64> {
    parse_quota(text).flatten().ok_or_else(|| {
        let what = format!("`{}` is no value of --max-size", excerpt(text));
        Error::new(Kind::Usage, what).remedy("write a size such as 50GiB, or leave it out")
    })
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

fn list(place: &Workplace, json: bool) -> Result<()> {
    // Without a store there are only those of the file.
    let upstreams = if place.config.data.exists() {
        place.perform(ListUpstreams {})?
    } else {
        place
            .config
            .upstreams
            .iter()
            .map(|upstream| UpstreamView::of(upstream, &place.config, 0))
            .collect()
    };
    if json {
        return print_json(&upstreams);
    }
    let runs = upstreams.iter().any(|upstream| upstream.breaker.is_some());
    let mut table = Table::new(&["NAME", "GROUP", "URL", "USERNAME", "FROM", "BREAKER"]);
    for upstream in upstreams {
        let state = match upstream.breaker {
            Some(state) => state.into(),
            None if runs => "unknown",
            None => "(no server runs)",
        };
        let from = match (upstream.built_in, upstream.read_only) {
            (true, _) => "the program itself",
            (false, true) => "the configuration (read-only)",
            (false, false) => "a command",
        };
        table.row([
            upstream.name,
            shown_group(upstream.group),
            upstream.url,
            upstream.username,
            from.to_owned(),
            state.to_owned(),
        ]);
    }
    table.print()
}

fn shown_group(path: Option<String>) -> String {
    path.unwrap_or_else(|| "(the box)".to_owned())
}

fn status(place: &Workplace, json: bool) -> Result<()> {
    let states = place.perform(UpstreamStates::default())?.entries;
    if json {
        return print_json(&states);
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
    for state in states {
        let (group, status) = (state.group, state.status);
        let limit = status.rate_limit.map_or_else(
            || "unknown".to_owned(),
            |limit| format!("{} of {} left", limit.remaining, limit.limit),
        );
        let failure = status.last_failure.map_or_else(
            || "none".to_owned(),
            |why| format!("{why} at {}", shown_time(status.last_failure_at, "?")),
        );
        table.row([
            status.name,
            shown_group(group),
            <&str>::from(status.breaker).to_owned(),
            status.failures_in_a_row.to_string(),
            shown_time(status.last_success_at, "never"),
            limit,
            failure,
        ]);
    }
    table.print()
}
