//! Cleanup policies whose runs fail, or do not come.

use std::time::Duration;

use super::{Finding, Severity};
use crate::error::Result;
use crate::store::Store;
use crate::time::Timestamp;

/// A run waits for those before it, and for a server that is away for a while.
const LATE: Duration = Duration::from_secs(24 * 60 * 60);
/// Projects that are named; of more only the number is said.
const NAMED: usize = 5;

pub(super) fn find(store: &Store) -> Result<Vec<Finding>> {
    let now = Timestamp::now();
    let (mut failing, mut late) = (Vec::new(), Vec::new());
    let projects = store.access.projects()?;
    let ids: Vec<_> = projects.iter().map(|project| project.id).collect();
    let policies = store.access.cleanup_policies(&ids)?;
    let runs = store.registry.cleanup_runs(&ids)?;
    for project in projects {
        let policy = policies.get(&project.id);
        let Some(due) = policy.and_then(|policy| policy.next_run_at) else {
            continue;
        };
        let run = runs.get(&project.id);
        if let Some(error) = run.and_then(|run| run.error.as_deref()) {
            failing.push(format!("{}: {error}", project.path));
        } else if now.since(due) > LATE {
            late.push(format!("{}, since {due}", project.path));
        }
    }
    let finding = |check, what: &str, named: Vec<String>, remedy| {
        let more = named.len().saturating_sub(NAMED);
        let mut shown: Vec<_> = named.into_iter().take(NAMED).collect();
        if more > 0 {
            shown.push(format!("and {more} more"));
        }
        let what = format!("{what} {}", shown.join("; "));
        (!shown.is_empty()).then(|| Finding::new(Severity::Warning, check, what, remedy))
    };
    let failing = finding(
        "cleanup_fails",
        "the cleanup policies of these projects failed when they ran last:",
        failing,
        "see what `breakwater project cleanup PATH --dry-run` says; it is tried again every hour",
    );
    let late = finding(
        "cleanup_overdue",
        "the cleanup policies of these projects are overdue:",
        late,
        "they run while `breakwater serve` does: see whether it runs, and its log",
    );
    Ok(failing.into_iter().chain(late).collect())
}
