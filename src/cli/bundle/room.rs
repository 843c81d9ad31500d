//! Whether the disk has room.

use crate::cli::output::shown_size;
use crate::cli::workplace::Workplace;
use crate::error::{Error, Kind, Result};
use crate::store::{ImportDirectory, Space, reserve};
use crate::upkeep::bundle::import::{Archive, ToStage};

/// How much of the disk stays free.
pub(super) fn kept_free(place: &Workplace, space: &Space) -> u64 {
    let cache = &place.config.cache;
    cache.min_free.of(space.size).max(reserve(space.size))
}

/// Refuses what would leave less of the disk free than the configuration asks for.
pub(super) fn check_room(
    place: &Workplace,
    archive: &Archive<'_>,
    files: &[ToStage],
    directory: &ImportDirectory,
) -> Result<()> {
    let (mut needed, mut meanwhile) = (0_u64, 0);
    for file in files {
        if directory.size_of(&file.digest)? != Some(file.size) {
            needed = needed.saturating_add(file.size);
            meanwhile = archive.room_to_make(&file.digest).max(meanwhile);
        }
    }
    let cache = &place.config.cache;
    let space = Space::of(&place.config.data)?;
    let kept = kept_free(place, &space);
    let left = space.free.saturating_sub(kept);
    let full = |what: String| {
        Err(Error::new(Kind::Full, what).remedy(
            "make room with `breakwater cache evict --to SIZE`, use a larger disk, or import fewer images",
        ))
    };
    let for_all = needed.saturating_add(meanwhile);
    if for_all > left {
        return full(format!(
            "{} are to be copied, and the disk of {} has room for {} beside the {} that stay free by cache.min_free",
            shown_size(for_all),
            place.config.data.display(),
            shown_size(left),
            shown_size(kept)
        ));
    }
    match cache.max_size.limit(space.size) {
        Some(most) if needed > most => full(format!(
            "{} are to be copied, and no more than {} may be cached by cache.max_size",
            shown_size(needed),
            shown_size(most)
        )),
        _ => Ok(()),
    }
}
