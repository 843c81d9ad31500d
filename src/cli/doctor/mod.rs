//! `breakwater doctor`: what is wrong or risky here, in words, with the remedy.
//!
//! Looks and changes nothing, and connects to nobody unless `--probe` says so. What a token is worth and who
//! may fill is asked of `auth::policy`, so that the doctor cannot say anything else than the server does.

mod bans;
mod cache;
mod callers;
mod certificate;
mod cleanup;
pub(super) mod clock;
mod configurations;
mod content;
mod disk;
mod docker;
mod dockerd;
mod expiry;
mod limits;
mod machine;
mod offline;
mod other_machines;
mod probe;
mod proxies;
mod server;
mod surroundings;
mod tokens;
mod upstreams;
mod webhooks;

use std::collections::HashSet;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::Outcome;
use super::output::{counted, print, print_json};
use super::workplace::Workplace;
use crate::admin::{FindingView, FindingsView, Severity};
use crate::config::finding;
use crate::error::{Error, Result};
use crate::store::{Store, TokenId};
use crate::time::Timestamp;
pub(super) use callers::Callers;
use machine::Listeners;

/// Say what is wrong or risky here, and what to do about it; exit status 1 if there is an error
///
/// Looks at the clock, the disk and its permissions, limits of the service, docker and proxies on this machine, tokens that a
/// setting of the flags would refuse, or lets in all the same, or that expire, groups that nobody can fill, networks
/// that are everybody's, or that ask the mirror and are refused, cleanup policies that do not run, webhooks that are not
/// delivered, secrets that no key opens, the first password while it lies there, a certificate that has
/// ended or soon will, and, where a server runs, bans after failed logins, and upstreams that fail or run out of pulls.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater doctor
  breakwater doctor --json
  breakwater doctor --probe
  breakwater doctor --accept proxy_suspected")]
pub(super) struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Ask each upstream a question that costs no pull, for 5 seconds at most
    #[arg(long)]
    probe: bool,
    /// Leave findings of this kind out, as doctor.accept does for good: the word that stands in `check` of --json
    #[arg(long, value_name = "CHECK", value_parser = finding)]
    accept: Vec<String>,
    #[arg(skip)]
    callers: Callers,
}

/// One thing that was found.
#[derive(Debug)]
struct Finding {
    severity: Severity,
    /// A word for programs, the same for the same kind of finding.
    check: &'static str,
    what: String,
    remedy: String,
    /// The tokens that it is about, the first of them.
    tokens: Vec<TokenId>,
    /// What several checks may find the same wrong with: it is told once, by the first of them.
    subject: Option<String>,
}

/// How many findings are bad.
#[derive(Debug, Serialize)]
pub(super) struct Counts {
    pub(super) errors: usize,
    pub(super) warnings: usize,
}

impl Counts {
    fn of(findings: &[Finding]) -> Self {
        let count = |severity| {
            let of_severity = findings.iter().filter(|one| one.severity == severity);
            of_severity.count()
        };
        Self {
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
        }
    }
}

impl Finding {
    fn new(
        severity: Severity,
        check: &'static str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            check,
            what: what.into(),
            remedy: remedy.into(),
            tokens: Vec::new(),
            subject: None,
        }
    }

    fn about(mut self, subject: String) -> Self {
        self.subject = Some(subject);
        self
    }

    fn view(self) -> FindingView {
        FindingView {
            severity: self.severity,
            check: self.check.to_owned(),
            what: self.what,
            remedy: self.remedy,
            tokens: self.tokens,
        }
    }
}

impl Doctor {
    /// Looks at what only root may see: called before this process becomes the data directory's owner.
    pub(super) fn look_around(&mut self) {
        self.callers = Callers::see();
    }

    fn examine(
        &self,
        place: &Workplace,
        store: &Arc<Store>,
        locked: Option<Finding>,
    ) -> Vec<Finding> {
        let (server, mut findings) = match server::ask(place) {
            Ok(server) => (Some(server), Vec::new()),
            Err(finding) => (None, vec![finding]),
        };
        let server = server.as_ref();
        let now = Timestamp::now();
        // What keeps one thing from being looked at is a finding too, and not the end of the others.
        let mut look_at = |what: &str, found: Result<Vec<Finding>>| match found {
            Ok(found) => findings.extend(found),
            Err(error) => findings.push(Finding::new(
                Severity::Error,
                "check_failed",
                format!("{what} could not be looked at: {}", error.what_and_why()),
                error
                    .remedy_text()
                    .unwrap_or("see what is wrong with the disk"),
            )),
        };
        look_at("networks and secrets", surroundings::find(place, store));
        look_at("the clock", clock::find(store));
        look_at("the disk", disk::find(place, store, locked));
        look_at("the size of the cache", cache::find(place, store));
        look_at(
            "what is kept",
            content::find(store, place.config.cache.scrub, now),
        );
        look_at("tokens' ends", expiry::find(store));
        look_at("cleanup policies", cleanup::find(store));
        look_at("webhooks", webhooks::find(store, now));
        look_at(
            "networks of clients",
            other_machines::find(place, store, server),
        );
        look_at(
            "whether the box is offline",
            offline::find(place, store, server),
        );
        look_at("tokens and groups", tokens::find(place, store));
        if self.probe {
            look_at("upstreams", probe::find(place, store));
        }
        findings.extend(server.into_iter().flat_map(upstreams::find));
        findings.extend(server.and_then(bans::find));
        findings.extend(limits::find(place, server));
        findings.extend(docker::find(place, server));
        let listeners = Listeners::of(place, server);
        findings.extend(proxies::find(place, &listeners));
        findings.extend(self.callers.find(place, &listeners));
        findings.extend(certificate::find(&place.config.tls, now));
        told_once(findings)
    }

    /// How many errors and warnings it finds, asking no upstream.
    pub(super) fn count(place: &Workplace, callers: &Callers) -> Result<Counts> {
        let found = Self::by_itself(callers.clone()).found(place, &Arc::new(place.open_store()?));
        Ok(Counts {
            errors: found.errors.unwrap_or_default(),
            warnings: found.warnings.unwrap_or_default(),
        })
    }

    /// What it finds for the server of this process. Processes of others, which only root sees, are not looked at.
    /// `lower_priority` is called once the databases' writers, which pushes and fills wait for, were taken and given back.
    pub(super) fn of_server(
        place: &Workplace,
        store: &Arc<Store>,
        lower_priority: fn(),
    ) -> FindingsView {
        let locked = disk::locked(store);
        lower_priority();
        let doctor = Self::by_itself(Callers::default());
        doctor.judged(place, doctor.examine(place, store, locked))
    }

    /// Without any option.
    fn by_itself(callers: Callers) -> Self {
        Self {
            json: false,
            probe: false,
            accept: Vec::new(),
            callers,
        }
    }

    fn found(&self, place: &Workplace, store: &Arc<Store>) -> FindingsView {
        self.judged(place, self.examine(place, store, disk::locked(store)))
    }

    /// The worst first, without those that somebody has said are meant so.
    fn judged(&self, place: &Workplace, mut findings: Vec<Finding>) -> FindingsView {
        findings.sort_by_key(|finding| finding.severity);
        let accepted = self.take_accepted(place, &mut findings);
        let Counts { errors, warnings } = Counts::of(&findings);
        let views = |findings: Vec<Finding>| findings.into_iter().map(Finding::view).collect();
        FindingsView {
            as_of: Some(Timestamp::now()),
            errors: Some(errors),
            warnings: Some(warnings),
            findings: views(findings),
            accepted: views(accepted),
        }
    }

    /// Takes those out that somebody has said are meant so.
    fn take_accepted(&self, place: &Workplace, findings: &mut Vec<Finding>) -> Vec<Finding> {
        let configured = &place.config.doctor.accept;
        let accept: Vec<&str> = self
            .accept
            .iter()
            .chain(configured)
            .map(String::as_str)
            .collect();
        let is_accepted = |finding: &mut Finding| accept.contains(&finding.check);
        findings.extract_if(.., is_accepted).collect()
    }

    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        let found = match place.open_store() {
            Ok(store) => self.found(place, &Arc::new(store)),
            Err(error) if !place.config.data.exists() => return Err(error),
            Err(error) => self.judged(place, store_unusable(place, &error)),
        };
        if self.json {
            print_json(&found)?;
        } else {
            tell(&found)?;
            tell_accepted(&found.accepted)?;
        }
        Ok(if found.errors.unwrap_or_default() == 0 {
            Outcome::Done
        } else {
            Outcome::Bad
        })
    }
}

/// Why the store cannot be opened, and what of the disk explains it.
fn store_unusable(place: &Workplace, error: &Error) -> Vec<Finding> {
    let remedy = error.remedy_text().unwrap_or(
        "run this as the data directory's owner or as root, and see what is wrong with the disk",
    );
    let what = format!("the store cannot be opened: {}", error.what_and_why());
    let mut findings = vec![Finding::new(
        Severity::Error,
        "store_unusable",
        what,
        remedy,
    )];
    findings.extend(disk::without_store(place));
    findings.extend(docker::find(place, None));
    findings
}

/// An upstream, as the subject of findings.
fn upstream_subject(name: &str, group: Option<&str>) -> String {
    format!("upstream {name} of {}", group.unwrap_or_default())
}

/// What several checks found about the same thing stands only once: what was found first says most.
fn told_once(findings: Vec<Finding>) -> Vec<Finding> {
    let mut known = HashSet::new();
    let is_new = |finding: &Finding| match &finding.subject {
        Some(subject) => known.insert(subject.clone()),
        None => true,
    };
    findings.into_iter().filter(is_new).collect()
}

/// That something is accepted is said in one line, so that nobody forgets it.
fn tell_accepted(accepted: &[FindingView]) -> Result<()> {
    let mut checks: Vec<_> = accepted
        .iter()
        .map(|finding| finding.check.as_str())
        .collect();
    checks.dedup();
    match checks.is_empty() {
        true => Ok(()),
        false => print(&format!(
            "accepted, and not told: {} (--json has them)",
            checks.join(", ")
        )),
    }
}

fn tell(found: &FindingsView) -> Result<()> {
    for finding in &found.findings {
        let word = finding.severity.as_str();
        print(&format!("{word}: {} ({})", finding.what, finding.remedy))?;
    }
    print(&match (
        found.errors.unwrap_or_default(),
        found.warnings.unwrap_or_default(),
    ) {
        (0, 0) => "nothing is wrong here".to_owned(),
        (errors, warnings) => format!(
            "{}, {}",
            counted(errors as u64, "error"),
            counted(warnings as u64, "warning")
        ),
    })
}
