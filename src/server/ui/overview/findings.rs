//! What is wrong or risky, with what to do about it.

use maud::{Markup, html};

use crate::admin::{FindingView, FindingsView, Severity};
use crate::server::ui::parts;

/// So many are shown.
const SHOWN: usize = 20;

pub(super) fn show(findings: &FindingsView) -> Markup {
    let all = &findings.findings;
    let left = all.len().saturating_sub(SHOWN);
    html! {
        h2 { "What needs attention" }
        section #findings data-refresh=[findings.as_of.is_none().then_some("3")] aria-label="What needs attention" {
            @match (findings.as_of, all.is_empty()) {
                (None, _) => p.empty { "The box is being looked at for the first time." },
                (Some(_), true) => p { span.badge.good { "nothing" } " Nothing is wrong or risky, as far as the box can see." },
                (Some(_), false) => ul.findings {
                    @for finding in all.iter().take(SHOWN) { li { (one(finding)) } }
                    @if left > 0 { li { "and " (left) " more: see " code { "breakwater doctor" } } }
                },
            }
            @if let Some(at) = findings.as_of {
                p.count {
                    "Looked at " (parts::time(at))
                    @if !findings.accepted.is_empty() { "; " (findings.accepted.len()) " more are accepted by the configuration" }
                }
            }
        }
    }
}

fn one(finding: &FindingView) -> Markup {
    let (class, word) = match finding.severity {
        Severity::Error => ("badge bad", "error"),
        Severity::Warning => ("badge warn", "warning"),
        Severity::Note => ("badge", "note"),
    };
    html! {
        span class=(class) { (word) } " " (parts::sentence(&finding.what))
        @if !finding.remedy.is_empty() { small { (parts::sentence(&finding.remedy)) } }
    }
}
