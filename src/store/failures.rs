//! How often statements failed, and why: counted for the process, because an error does not know which
//! database it came from. What a caller expects, such as a name that is taken, is no failure.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use rusqlite::{ErrorCode, ffi};
use strum::VariantArray;

use crate::time::Timestamp;

/// Why a statement failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum FailureReason {
    /// The disk is full.
    Full,
    /// Another process kept the database locked for too long.
    Busy,
    /// The file or its directory cannot be written.
    ReadOnly,
    /// The file is damaged, or is no database.
    Damaged,
    Other,
}

impl FailureReason {
    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

const REASONS: usize = FailureReason::VARIANTS.len();
static COUNTS: [AtomicU64; REASONS] = [const { AtomicU64::new(0) }; REASONS];
static LAST: [AtomicI64; REASONS] = [const { AtomicI64::new(0) }; REASONS];

/// Failures for one reason since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseFailures {
    pub reason: FailureReason,
    pub count: u64,
    /// When the last one was.
    pub last_at: Option<Timestamp>,
}

/// All reasons, those without a failure too.
pub(super) fn counted() -> Vec<DatabaseFailures> {
    let reasons = FailureReason::VARIANTS.iter().zip(COUNTS.iter().zip(&LAST));
    let failures = reasons.map(|(&reason, (count, last))| {
        let count = count.load(Ordering::Relaxed);
        DatabaseFailures {
            reason,
            count,
            last_at: (count > 0).then(|| Timestamp(last.load(Ordering::Relaxed))),
        }
    });
    failures.collect()
}

/// Counts what SQLite said.
pub(super) fn note(error: &rusqlite::Error) {
    if let Some(reason) = reason(error) {
        let at = reason as usize;
        if let (Some(last), Some(count)) = (LAST.get(at), COUNTS.get(at)) {
            last.store(Timestamp::now().0, Ordering::Relaxed);
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether the disk is full: that shows as an IO error where SQLite grows the shared-memory file.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || extended == Some(ffi::SQLITE_IOERR_SHMSIZE)
}

fn reason(error: &rusqlite::Error) -> Option<FailureReason> {
    if is_full(error) {
        return Some(FailureReason::Full);
    }
    Some(match error.sqlite_error_code() {
        // What was interrupted had nobody who waits for it any more.
        Some(ErrorCode::ConstraintViolation | ErrorCode::OperationInterrupted) => return None,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => FailureReason::Busy,
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            FailureReason::ReadOnly
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => FailureReason::Damaged,
        _ => FailureReason::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqlite_says_has_a_reason() {
        let failure = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        for (code, expected) in [
            (ffi::SQLITE_FULL, Some(FailureReason::Full)),
            (ffi::SQLITE_IOERR_SHMSIZE, Some(FailureReason::Full)),
            (ffi::SQLITE_BUSY, Some(FailureReason::Busy)),
            (ffi::SQLITE_READONLY, Some(FailureReason::ReadOnly)),
            (ffi::SQLITE_CANTOPEN, Some(FailureReason::ReadOnly)),
            (ffi::SQLITE_CORRUPT, Some(FailureReason::Damaged)),
            (ffi::SQLITE_NOTADB, Some(FailureReason::Damaged)),
            (ffi::SQLITE_IOERR_READ, Some(FailureReason::Other)),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, None),
            (ffi::SQLITE_INTERRUPT, None),
        ] {
            assert_eq!(reason(&failure(code)), expected, "{code}");
        }
    }
}
