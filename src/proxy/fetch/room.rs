//! Whether the disk has room for what a fetch stages.

use std::time::Duration;

use crate::proxy::Proxy;
use crate::proxy::flight::FlightKey;

/// What fetches leave free on the disk, for the databases and for manifests; of a small disk a sixteenth.
const RESERVE: u64 = 64 * 1024 * 1024;
/// How long a blob that the disk had no room for is passed through without another try.
const NO_ROOM_FOR: Duration = Duration::from_secs(60);

/// Whether `bytes` more can be staged. A disk that does not say is tried.
pub(super) fn has_room(proxy: &Proxy, bytes: u64) -> bool {
    let Ok((free, size)) = proxy.store.blobs.space() else {
        return true;
    };
    free >= bytes.saturating_add(RESERVE.min(size / 16))
}

/// Whether nothing can be staged now, or this blob could not be a moment ago.
pub(in crate::proxy) fn has_no_room(proxy: &Proxy, key: &FlightKey) -> bool {
    proxy.no_room.recent(key, NO_ROOM_FOR).is_some() || !has_room(proxy, 0)
}
