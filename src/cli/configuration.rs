//! `breakwater config`: what is configured, where it comes from, and whether a server could start with it.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Outcome;
use super::output::{Table, print, print_json};
use crate::config::{Config, Options};
use crate::error::{Error, Result};
use crate::http::CertificateSummary;
use crate::server;
use crate::time::Timestamp;

/// Show the configuration that holds, and check it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater config show
  breakwater config check --config /etc/breakwater/breakwater.toml")]
pub(super) struct Configuration {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say whether a server could start with the configuration, files that it names included; exit status 1 if not
    #[command(
        after_help = "Example:\n  breakwater config check --config /etc/breakwater/breakwater.toml"
    )]
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print each value, and where it comes from: an option, the environment, a line of the file, or the default
    ///
    /// A running server has what held when it started.
    #[command(
        alias = "list",
        alias = "ls",
        after_help = "\
Examples:
  breakwater config show
  breakwater config show --json"
    )]
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Configuration {
    pub(super) fn run(&self, config: &Config, options: &Options) -> Result<Outcome> {
        match self.action {
            Action::Check { json } => check(config, json),
            Action::Show { json } => show(options, json),
        }
    }
}

fn show(options: &Options, json: bool) -> Result<Outcome> {
    let values = Config::show(options)?;
    if json {
        print_json(&values)?;
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
    for value in values {
        table.row([value.key, value.value.to_string(), value.source.shown()]);
    }
    table.print()?;
    Ok(Outcome::Done)
}

fn check(config: &Config, json: bool) -> Result<Outcome> {
    let mut faults = Vec::new();
    if let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key) {
        match CertificateSummary::from_files(certificate, key) {
            Err(error) => faults.push(error),
            Ok(summary) if summary.not_after <= Timestamp::now() => {
                let path = certificate.display();
                let what = format!(
                    "the certificate in {path} expired at {}: clients refuse it",
                    summary.not_after
                );
                faults.push(
                    Error::new(crate::error::Kind::Config, what)
                        .remedy("put a new pair in the place of the files"),
                );
            }
            Ok(_) => {}
        }
    }
    let upstreams = config.upstreams.iter().map(server::check_upstream);
    faults.extend(upstreams.filter_map(Result::err));
    let outcome = match faults.is_empty() {
        true => Outcome::Done,
        false => Outcome::Bad,
    };
    if json {
        let faults: Vec<_> = faults.iter().map(Error::to_string).collect();
        print_json(
            &json!({ "file": config.file, "is_usable": faults.is_empty(), "faults": faults }),
        )?;
        return Ok(outcome);
    }
    for fault in &faults {
        print(&format!("error: {fault}"))?;
    }
    if !faults.is_empty() {
        return Ok(Outcome::Bad);
    }
    match &config.file {
        Some(file) => print(&format!("{} can be used", file.display()))?,
        None => print("there is no configuration file: the defaults hold")?,
    }
    Ok(Outcome::Done)
}
