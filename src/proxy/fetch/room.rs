//! Whether a blob is staged, or passed on at once.

use std::time::Duration;

use crate::proxy::Proxy;
use crate::proxy::shared_fetch::FetchKey;

/// How long a blob that the disk had no room for is passed through without another try.
const NO_ROOM_FOR: Duration = Duration::from_secs(60);

/// Whether nothing can be staged now, or this blob could not be a moment ago.
pub(in crate::proxy) fn has_no_room(proxy: &Proxy, key: &FetchKey) -> bool {
    proxy.no_room.recent(key, NO_ROOM_FOR).is_some() || !proxy.store.blobs.has_room_for(0)
}
