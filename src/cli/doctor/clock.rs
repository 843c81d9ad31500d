//! The clock: JWTs, expiries and freshness all hang on it.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Finding, Severity};
use crate::cli::output::shown_time;
use crate::error::Result;
use crate::store::Store;
use crate::time::Timestamp;

/// Before this version was made: 2026-01-01.
const EARLIEST: Timestamp = Timestamp(1_767_225_600);
/// Clocks that are set right may jump back by so much.
const TOLERANCE: Duration = Duration::from_secs(60);
/// systemd answers within milliseconds, or hangs.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn find(store: &Store) -> Result<Vec<Finding>> {
    let latest = store.latest_time()?;
    let mut findings = Vec::from_iter(behind(Timestamp::now(), latest));
    if is_synchronized() == Some(false) {
        findings.push(Finding::new(
            Severity::Warning,
            "clock_not_synchronized",
            "the system says that its clock is not synchronized",
            "run a time service, such as systemd-timesyncd or chrony; where no public time server can be reached, name one of this network to it",
        ));
    }
    Ok(findings)
}

/// What a server says at its start where the clock is behind: everything that it does hangs on it.
pub(in crate::cli) fn complaint(store: &Store) -> Result<Option<String>> {
    let found = behind(Timestamp::now(), store.latest_time()?);
    Ok(found.map(|finding| format!("{} ({})", finding.what, finding.remedy)))
}

/// Whether the clock is behind what is known to have been.
fn behind(now: Timestamp, latest: Option<Timestamp>) -> Option<Finding> {
    let latest = latest.filter(|latest| latest.since(now) > TOLERANCE);
    let what = match latest {
        Some(_) => format!(
            "the clock says {}, but something was recorded here at {}",
            shown_time(Some(now), ""),
            shown_time(latest, "")
        ),
        None if now < EARLIEST => format!(
            "the clock says {}, when this version did not exist",
            shown_time(Some(now), "")
        ),
        None => return None,
    };
    let remedy = "set the clock; until then logins and expiries are judged wrongly";
    Some(Finding::new(Severity::Error, "clock_behind", what, remedy))
}

/// What systemd says of it; `None` where nobody says anything in time.
fn is_synchronized() -> Option<bool> {
    let mut child = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let begun = Instant::now();
    while let Ok(None) = child.try_wait() {
        if begun.elapsed() > PATIENCE {
            // If it cannot be ended, it outlives the doctor.
            let _ = child.kill().and_then(|()| child.wait());
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut said = [0; 64];
    let count = child.stdout?.read(&mut said).ok()?;
    match said.get(..count)?.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_behind_what_was_recorded_or_cannot_be() {
        let now = EARLIEST.plus(Duration::from_secs(1_000_000));
        let later = |seconds| Some(now.plus(Duration::from_secs(seconds)));
        for (now, latest, expected) in [
            (now, None, false),
            (now, Some(now), false),
            (now, later(60), false),
            (now, later(61), true),
            (Timestamp(0), None, true),
            (Timestamp(EARLIEST.0 - 1), None, true),
            (EARLIEST, None, false),
        ] {
            let found = behind(now, latest);
            assert_eq!(found.is_some(), expected, "{now:?} {latest:?}");
        }
    }
}
