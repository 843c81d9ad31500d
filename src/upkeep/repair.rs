//! Repair: what `verify` or the scrub finds damaged is taken out of use, and noted in the store to be fetched again.
//!
//! Fetches nothing: the server does, which knows the upstreams.

use std::sync::Mutex;

use super::verify::{Report, verify_with};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::{Blob, Repaired, SetAside, Store};
use crate::time::Timestamp;

/// Checks everything as [`super::verify()`] does, and takes out of use what is damaged.
///
/// # Errors
/// As [`super::verify()`].
pub fn repair(
    store: &Store,
    progress: &(dyn Fn(u64, u64) + Sync),
    now: Timestamp,
) -> Result<(Report, Repaired)> {
    let repaired = Mutex::new(Repaired::default());
    let report = verify_with(store, progress, &|digest, seen| {
        let set_aside = set_aside(store, digest, seen, now)?;
        if let Ok(mut repaired) = repaired.lock() {
            repaired.add(digest, &set_aside);
        }
        sentence(&set_aside)
    })?;
    let repaired = repaired.into_inner().unwrap_or_default();
    Ok((report, repaired))
}

/// Takes it out of use and says so in the log; `None` where that failed, which it says too.
pub(super) fn set_aside(
    store: &Store,
    digest: &Digest,
    seen: Option<&Blob>,
    now: Timestamp,
) -> Option<SetAside> {
    match store.set_aside(digest, seen, now) {
        Ok(set_aside) => {
            if let Some(sentence) = sentence(&set_aside) {
                tracing::error!(blob = %digest, "damaged: {sentence}");
            }
            Some(set_aside)
        }
        Err(error) => {
            tracing::error!(blob = %digest, "damaged, and cannot be set aside: {error}");
            None
        }
    }
}

fn sentence(set_aside: &SetAside) -> Option<String> {
    Some(match set_aside {
        SetAside::Changed => return None,
        SetAside::Unneeded => "it was set aside, and no image needs it".to_owned(),
        SetAside::ToFetch { images } => {
            format!("it was set aside, and is fetched again for {images}")
        }
        SetAside::Pushed { images } => {
            format!("it was pushed and is kept as it is: push {images} again to mend it")
        }
    })
}
