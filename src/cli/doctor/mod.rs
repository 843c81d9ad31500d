//! `breakwater doctor`: what is wrong or risky here, in words, with the remedy.
//!
//! Looks and changes nothing. What a token is worth and who may fill is asked of `auth::policy`, so that
//! the doctor cannot say anything else than the server does.

mod certificate;
mod surroundings;
mod tokens;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::Outcome;
use super::output::{print, print_json};
use super::workplace::Workplace;
use crate::error::Result;
use crate::time::Timestamp;

/// Say what is wrong or risky here, and what to do about it; exit status 1 if there is an error
///
/// Names tokens that a setting of the flags would refuse, groups that nobody can fill, networks that are
/// everybody's, the first password while it lies there, a certificate that has ended or soon will, and, where a
/// server runs, upstreams that fail.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater doctor
  breakwater doctor --json")]
pub(super) struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// Something does not work, or anybody may do what nobody should.
    Error,
    /// It works, and will hurt.
    Warning,
    /// Good to know; counts as neither.
    Note,
}

/// One thing that was found.
#[derive(Debug, Serialize)]
struct Finding {
    severity: Severity,
    /// A word for programs, the same for the same kind of finding.
    check: &'static str,
    what: String,
    remedy: String,
    /// The tokens that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tokens: Vec<crate::store::TokenId>,
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
        }
    }
}

impl Doctor {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        let store = place.open_store()?;
        let mut findings = surroundings::find(place, &store)?;
        findings.extend(tokens::find(place, &store)?);
        findings.extend(certificate::find(&place.config.tls, Timestamp::now()));
        findings.sort_by_key(|finding| finding.severity);
        let count = |severity| {
            let of_severity = findings.iter().filter(|one| one.severity == severity);
            of_severity.count()
        };
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        if self.json {
            print_json(&json!({
                "errors": errors,
                "warnings": warnings,
                "findings": findings,
            }))?;
        } else {
            tell(&findings, errors, warnings)?;
        }
        Ok(if errors == 0 {
            Outcome::Done
        } else {
            Outcome::Bad
        })
    }
}

fn tell(findings: &[Finding], errors: usize, warnings: usize) -> Result<()> {
    for finding in findings {
        let word = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        print(&format!("{word}: {} ({})", finding.what, finding.remedy))?;
    }
    let counted = |number: usize, noun: &str| match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    };
    print(&match (errors, warnings) {
        (0, 0) => "nothing is wrong here".to_owned(),
        _ => format!(
            "{}, {}",
            counted(errors, "error"),
            counted(warnings, "warning")
        ),
    })
}
