//! Remembers whom the mirror refused for want of a network rule, and what was asked for: for the log, for the doctor,
//! and for whoever is about to give a group a name that clients pull by. In memory and bounded, because anybody can ask.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use parking_lot::Mutex;

use crate::admin::RefusedNetworkView;
use crate::metrics::counters;
use crate::network;
use crate::time::Timestamp;

/// So many networks are remembered. While that many were refused within an hour, no further ones are told of: otherwise
/// whoever has many addresses could fill the log.
const MOST_NETWORKS: usize = 256;
/// So many first parts of names are remembered. While that many were asked for within an hour, no further ones are.
const MOST_NAMES: usize = 1024;
/// How long nobody looks again which names may be forgotten, in seconds.
const NAMES_LOOKED_AT: u64 = 60;
/// Between two lines in the log about the same network, in seconds.
const QUIET: u64 = 3600;
/// For so many seconds it is remembered who asked, and for what.
const LATELY: u64 = 86_400;

counters! {
    /// What the mirror refused in this process.
    pub(super) struct Counters {
        "breakwater_mirror_untrusted_requests_total" "Pulls from the mirror without a login that were refused because no network rule lets the client in." { requests }
    }
}

#[derive(Default)]
pub(super) struct RefusedMirror {
    known: Mutex<Known>,
    pub(super) counters: Counters,
}

#[derive(Default)]
struct Known {
    networks: HashMap<IpNet, Network>,
    /// By first parts of names: the image, and when it was asked for last.
    names: HashMap<String, (String, Timestamp)>,
    /// When those were last forgotten that were not asked for within an hour.
    names_forgotten_at: Option<Timestamp>,
    /// When the log was last told that there are too many networks.
    told_of_many_at: Option<Timestamp>,
}

struct Network {
    view: RefusedNetworkView,
    told_at: Timestamp,
}

/// What the log is to be told.
#[derive(Debug, PartialEq, Eq)]
enum Telling {
    Nothing,
    Network(Box<RefusedNetworkView>),
    TooMany,
}

impl RefusedMirror {
    /// Notes that `address` was refused `image`, because no network rule lets it in, and tells the log: once an hour for
    /// each network.
    pub(super) fn note(&self, address: IpAddr, image: &str, now: Timestamp) {
        self.counters.requests.one();
        // Not in the match: while the log is written nobody waits.
        let telling = self.known.lock().note_network(address, image, now);
        match telling {
            Telling::Nothing => {}
            Telling::Network(network) => tracing::warn!(
                "{} asks the mirror for {} without a login, and no network rule lets {} in, so that its clients pull past this box: {} (this is told once an hour)",
                network.address,
                network.image,
                network.cidr,
                network.remedy()
            ),
            Telling::TooMany => tracing::warn!(
                "more than {MOST_NETWORKS} networks that no network rule lets in ask the mirror: further ones are counted by breakwater_mirror_untrusted_requests_total, and not named (this is told once an hour)"
            ),
        }
    }

    /// Notes that `image` was asked of the mirror, and refused.
    pub(super) fn note_name(&self, image: &str, now: Timestamp) {
        self.known.lock().note_name(image, now);
    }

    /// The networks that were refused within a day, those that asked last first.
    pub(super) fn networks(&self, now: Timestamp) -> Vec<RefusedNetworkView> {
        let known = self.known.lock();
        let views = known.networks.values().map(|network| &network.view);
        let lately = views.filter(|view| now.since(view.last_at).as_secs() < LATELY);
        let mut views: Vec<_> = lately.cloned().collect();
        drop(known);
        views.sort_by_key(|view| (std::cmp::Reverse(view.last_at), view.cidr));
        views
    }

    /// The image below the name `first` that was refused within a day.
    pub(super) fn image(&self, first: &str, now: Timestamp) -> Option<String> {
        let known = self.known.lock();
        let (image, at) = known.names.get(first)?;
        (now.since(*at).as_secs() < LATELY).then(|| image.clone())
    }
}

impl Known {
    fn note_network(&mut self, address: IpAddr, image: &str, now: Timestamp) -> Telling {
        let cidr = network::of_segment(address);
        if let Some(network) = self.networks.get_mut(&cidr) {
            let view = &mut network.view;
            (view.address, view.last_at) = (address, now);
            image.clone_into(&mut view.image);
            view.requests = view.requests.saturating_add(1);
            if now.0.abs_diff(network.told_at.0) < QUIET {
                return Telling::Nothing;
            }
            network.told_at = now;
            return Telling::Network(Box::new(network.view.clone()));
        }
        if self.networks.len() >= MOST_NETWORKS && !self.forget_a_network(now) {
            let is_quiet = |at: Timestamp| now.0.abs_diff(at.0) < QUIET;
            if self.told_of_many_at.is_some_and(is_quiet) {
                return Telling::Nothing;
            }
            self.told_of_many_at = Some(now);
            return Telling::TooMany;
        }
        let view = RefusedNetworkView {
            cidr,
            address,
            image: image.to_owned(),
            requests: 1,
            first_at: now,
            last_at: now,
        };
        let telling = Telling::Network(Box::new(view.clone()));
        self.networks.insert(cidr, Network { view, told_at: now });
        telling
    }

    /// Forgets the network that asked longest ago, if that is more than an hour; whether it did.
    fn forget_a_network(&mut self, now: Timestamp) -> bool {
        let oldest = self.networks.values().map(|network| &network.view);
        let oldest = oldest.min_by_key(|view| view.last_at);
        match oldest.map(|view| (view.cidr, view.last_at)) {
            Some((cidr, at)) if now.0.abs_diff(at.0) >= QUIET => {
                self.networks.remove(&cidr).is_some()
            }
            _ => false,
        }
    }

    fn note_name(&mut self, image: &str, now: Timestamp) {
        let first = image.split('/').next().unwrap_or_default();
        let noted = (image.to_owned(), now);
        if let Some(known) = self.names.get_mut(first) {
            *known = noted;
            return;
        }
        if self.names.len() >= MOST_NAMES {
            self.forget_names(now);
        }
        if self.names.len() < MOST_NAMES {
            self.names.insert(first.to_owned(), noted);
        }
    }

    /// Forgets the names that were not asked for within an hour; looks at most once a minute.
    fn forget_names(&mut self, now: Timestamp) {
        let is_within = |at: Timestamp, seconds| now.0.abs_diff(at.0) < seconds;
        let last = self.names_forgotten_at;
        if last.is_some_and(|at| is_within(at, NAMES_LOOKED_AT)) {
            return;
        }
        self.names_forgotten_at = Some(now);
        self.names.retain(|_, (_, at)| is_within(*at, QUIET));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn address(third: u8, last: u8) -> IpAddr {
        [10, 0, third, last].into()
    }

    fn told(telling: &Telling) -> Option<String> {
        match telling {
            Telling::Network(view) => Some(view.cidr.to_string()),
            _ => None,
        }
    }

    #[test]
    fn each_network_is_told_of_once_an_hour() {
        let mut known = Known::default();
        struct Case {
            address: &'static str,
            at: i64,
            told: Option<&'static str>,
        }
        let case = |address, at, told| Case { address, at, told };
        for case in [
            case("10.0.1.5", 0, Some("10.0.1.0/24")),
            case("10.0.1.6", 10, None),
            case("10.0.2.5", 10, Some("10.0.2.0/24")),
            case("2001:db8::1", 10, Some("2001:db8::/64")),
            case("2001:db8::2", 10, None),
            case("2001:db8:0:1::2", 10, Some("2001:db8:0:1::/64")),
            case("10.0.1.5", 3599, None),
            case("10.0.1.5", 3600, Some("10.0.1.0/24")),
            case("10.0.1.5", 7199, None),
            // A clock that was set back does not silence it.
            case("10.0.1.5", -1, Some("10.0.1.0/24")),
        ] {
            let address = case.address.parse().unwrap();
            let telling = known.note_network(address, "redis", Timestamp(case.at));
            assert_eq!(
                told(&telling).as_deref(),
                case.told,
                "{} at {}",
                case.address,
                case.at
            );
        }
    }

    /// A log that is written to slowly must not hold up whoever asks meanwhile.
    #[test]
    fn while_the_log_is_written_nobody_waits() {
        struct Log(Arc<RefusedMirror>);
        impl std::io::Write for Log {
            fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
                assert!(self.0.known.try_lock().is_some(), "the lock is held");
                self.0.counters.requests.one();
                Ok(line.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let refused = Arc::new(RefusedMirror::default());
        let log = Arc::clone(&refused);
        let log = tracing_subscriber::fmt().with_writer(move || Log(Arc::clone(&log)));
        tracing::subscriber::with_default(log.finish(), || {
            refused.note(address(1, 1), "redis", Timestamp(0));
        });
        assert_eq!(refused.counters.requests.value(), 2, "it was written");
    }

    #[test]
    fn a_stranger_with_many_networks_fills_neither_the_memory_nor_the_log() {
        let refused = RefusedMirror::default();
        let mut known = refused.known.lock();
        let mut lines = 0;
        for second in 0..40_000_u32 {
            let [.., third, last] = second.to_be_bytes();
            let address: IpAddr = [172, third, last, 1].into();
            // All within an hour.
            let now = Timestamp(i64::from(second / 20));
            lines += usize::from(known.note_network(address, "x", now) != Telling::Nothing);
            known.note_name(&format!("name{second}/x"), now);
        }
        assert_eq!(lines, MOST_NETWORKS + 1);
        assert_eq!(known.networks.len(), MOST_NETWORKS);
        assert_eq!(known.names.len(), MOST_NAMES);
        assert!(
            known.names.contains_key("name0"),
            "a flood takes no name's place"
        );
        known.note_name("later/x", Timestamp(6000));
        assert!(known.names.contains_key("later"));
        // Whoever comes after they have been quiet for an hour takes the place of one of them.
        let telling = known.note_network(address(9, 9), "redis", Timestamp(6000));
        assert_eq!(told(&telling).as_deref(), Some("10.0.9.0/24"));
        assert_eq!(known.networks.len(), MOST_NETWORKS);
    }

    #[test]
    fn what_was_asked_a_day_ago_is_not_lately() {
        let refused = RefusedMirror::default();
        refused.note(address(1, 1), "grafana/grafana", Timestamp(0));
        refused.note(address(2, 1), "redis", Timestamp(100));
        refused.note_name("grafana/grafana", Timestamp(0));
        let networks = |now| {
            let views = refused.networks(Timestamp(now)).into_iter();
            views.map(|view| view.cidr.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(networks(100), ["10.0.2.0/24", "10.0.1.0/24"]);
        assert_eq!(networks(86_450), ["10.0.2.0/24"]);
        let image = |name, now| refused.image(name, Timestamp(now));
        assert_eq!(image("grafana", 9).as_deref(), Some("grafana/grafana"));
        assert_eq!(image("grafana", 86_400), None);
        assert_eq!(image("redis", 9), None);
        assert_eq!(refused.counters.requests.value(), 2);
    }
}
