//! Which addresses are this machine's: read from its interfaces, and again from time to time, because they come and go.

use std::io;
use std::net::IpAddr;

use parking_lot::Mutex;

use crate::context;
use crate::http::interface_addresses;
use crate::time::Timestamp;

/// For so many seconds what was read is good.
const GOOD_FOR: u64 = 10;

/// The addresses of this machine, as they were read last.
pub(super) struct OwnAddresses {
    read: fn() -> io::Result<Vec<IpAddr>>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    addresses: Vec<IpAddr>,
    read_at: Option<Timestamp>,
}

impl Default for OwnAddresses {
    fn default() -> Self {
        Self::read_by(interface_addresses)
    }
}

impl OwnAddresses {
    pub(super) fn read_by(read: fn() -> io::Result<Vec<IpAddr>>) -> Self {
        Self {
            read,
            known: Mutex::default(),
        }
    }

    /// Whether `address` is this machine's. `may_read`: whether the interfaces may be read for this answer, which
    /// takes system calls; they are only where what is known is old.
    pub(super) fn contains(&self, address: IpAddr, may_read: bool, now: Timestamp) -> bool {
        if address.is_loopback() {
            return true;
        }
        let is_old = |known: &Known| {
            let read_at = known.read_at;
            read_at.is_none_or(|at| now.0.abs_diff(at.0) >= GOOD_FOR)
        };
        if may_read && is_old(&self.known.lock()) {
            context::waits();
        }
        let mut known = self.known.lock();
        if may_read && is_old(&known) {
            known.read_at = Some(now);
            match (self.read)() {
                Ok(addresses) => known.addresses = addresses,
                Err(error) => {
                    tracing::warn!("cannot list the addresses of this machine: {error}");
                }
            }
        }
        known.addresses.contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    static READ: AtomicU8 = AtomicU8::new(0);

    /// 192.0.2.1 at first, then 192.0.2.2, and so on.
    fn another_each_time() -> io::Result<Vec<IpAddr>> {
        let last = READ.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(vec![[192, 0, 2, last].into()])
    }

    #[test]
    fn addresses_that_come_later_are_found_and_those_that_went_are_not() {
        let own = OwnAddresses::read_by(another_each_time);
        let has = |last: u8, may_read: bool, now: i64| {
            own.contains([192, 0, 2, last].into(), may_read, Timestamp(now))
        };
        assert!(!has(1, false, 100), "nothing is read for it");
        assert_eq!(READ.load(Ordering::SeqCst), 0);
        assert!(has(1, true, 100) && !has(2, true, 109));
        assert_eq!(READ.load(Ordering::SeqCst), 1, "read once in ten seconds");
        assert!(has(1, false, 500), "what is known stays known");
        assert!(has(2, true, 110) && !has(1, true, 110));
        // A clock that was set back does not stop it.
        assert!(has(3, true, 50));
        assert!(own.contains([127, 1, 2, 3].into(), false, Timestamp(0)));
    }

    #[test]
    fn the_machine_s_own_are_read() {
        let own = OwnAddresses::default();
        for address in interface_addresses().unwrap() {
            assert!(own.contains(address, true, Timestamp(1)), "{address}");
        }
        assert!(!own.contains([192, 0, 2, 1].into(), true, Timestamp(1)));
    }
}
