//! What of the kept content is lost or damaged, and whether somebody looks for it.

use std::time::Duration;

use super::{Finding, Severity};
use crate::error::Result;
use crate::store::{MissingPushed, Store};
use crate::time::Timestamp;

pub(super) fn find(store: &Store, scrub: Duration, now: Timestamp) -> Result<Vec<Finding>> {
    let mut findings = damaged(store)?;
    findings.extend(missing_pushed(store)?);
    findings.extend(store.lost_rows(now)?.map(|lost| {
        Finding::new(
            Severity::Warning,
            "cache_rows_lost",
            lost.sentence(),
            "see what is wrong with the disk; this is said for a week",
        )
    }));
    if let Some(place) = store.cache.scrub_place()? {
        let since = place.ended_at.unwrap_or(place.begun_at);
        let is_late = !scrub.is_zero() && now.since(since) > scrub.saturating_mul(2);
        findings.extend(is_late.then(|| {
            Finding::new(
                Severity::Warning,
                "scrub_late",
                format!("not everything that is kept was read again since {since}, in more than twice cache.scrub"),
                "let the server run, or run `breakwater verify --repair`",
            )
        }));
    }
    Ok(findings)
}

/// Files of pushed images that are not here, as after a restore of the databases alone.
fn missing_pushed(store: &Store) -> Result<Option<Finding>> {
    let MissingPushed {
        missing,
        looked_at,
        images,
    } = store.missing_pushed()?;
    Ok((missing > 0).then(|| {
        Finding::new(
            Severity::Error,
            "pushed_files_missing",
            format!("{missing} of {looked_at} files of pushed images are missing, such as one of {images}: pulls of them fail"),
            "put `blobs/` back from where the backup was made, or push the images again; `breakwater verify` names them all",
        )
    }))
}

fn damaged(store: &Store) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for note in store.cache.repairs()? {
        let what = format!("{} of {}", note.digest, note.images);
        findings.push(match note.lost_at {
            Some(at) => Finding::new(
                Severity::Warning,
                "blob_lost",
                format!("{what} was damaged, and is lost: its upstream had it no more at {at}"),
                "see what is wrong with the disk; this is said for 30 days, or until it is pulled again",
            ),
            None if store.is_pushed(&note.digest)? => Finding::new(
                Severity::Error,
                "pushed_blob_damaged",
                format!("{what} was found damaged at {}", note.found_at),
                "push the image again, or put the file back from a backup",
            ),
            None => Finding::new(
                Severity::Warning,
                "blob_damaged",
                format!("{what} was found damaged at {}, and is not fetched again yet", note.found_at),
                "the server fetches it as soon as its upstream answers; its log says why it did not",
            ),
        });
    }
    Ok(findings)
}
