//! Addresses and users that may not log in after too many failures: somebody guesses, or a machine has a wrong secret.

use super::server::RunningServer;
use super::{Finding, Severity};

/// So many are named.
const NAMED: usize = 5;

pub(super) fn find(server: &RunningServer) -> Option<Finding> {
    let bans = &server.bans;
    let first = bans.first()?;
    let named = bans.iter().take(NAMED);
    let mut named: Vec<_> = named
        .map(|ban| {
            let (of, until) = (ban.of(), ban.ends_at);
            format!("{of} until {until}, after {} failures", ban.failed_logins)
        })
        .collect();
    match bans.len().saturating_sub(NAMED) {
        0 => {}
        more => named.push(format!("{more} more")),
    }
    let what = format!("logins are refused for {}", named.join("; "));
    let name = match (&first.address, &first.username) {
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => "USER",
    };
    let remedy = format!(
        "see with `breakwater audit --since 1h` what was tried; once it is mended, `breakwater ban remove {name}` lifts it"
    );
    Some(Finding::new(Severity::Warning, "banned", what, remedy))
}
