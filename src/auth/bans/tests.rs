//! Whose failures lead to a ban, and what ends it.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_address_is_banned_after_its_failures_and_let_in_after_the_ban() {
    let mut bans = Bans::new(3, MINUTE);
    let (bad, good, at) = (ip("192.0.2.1"), ip("192.0.2.2"), Timestamp);
    for second in 0..3 {
        assert!(bans.check(bad, None, at(second)).is_ok());
        bans.failed(bad, None, at(second));
    }
    let error = bans.check(bad, None, at(3)).unwrap_err();
    assert_eq!(
        error.kind(),
        Kind::TooManyRequests {
            retry_after: Duration::from_secs(59)
        }
    );
    assert!(bans.check(good, None, at(3)).is_ok());
    assert!(bans.check(bad, None, at(62)).is_ok());
    bans.failed(bad, None, at(62));
    assert!(
        bans.check(bad, None, at(63)).is_ok(),
        "old failures do not count again"
    );
}

#[test]
fn an_account_is_banned_wherever_it_is_tried_from_and_a_success_forgives() {
    let mut bans = Bans::new(2, MINUTE);
    for n in 0..2 {
        bans.failed(ip(&format!("192.0.2.{n}")), Some("root"), Timestamp(0));
    }
    assert!(
        bans.check(ip("192.0.2.9"), Some("root"), Timestamp(1))
            .is_err()
    );
    assert!(
        bans.check(ip("192.0.2.9"), Some("alice"), Timestamp(1))
            .is_ok()
    );
    assert!(
        bans.check(ip("192.0.2.9"), None, Timestamp(1)).is_ok(),
        "tokens are no passwords"
    );
    bans.succeeded("root");
    assert!(
        bans.check(ip("192.0.2.9"), Some("root"), Timestamp(1))
            .is_ok()
    );
}

#[test]
fn a_success_forgives_its_account_and_never_its_address() {
    let mut bans = Bans::new(30, MINUTE);
    let (address, at) = (ip("192.0.2.1"), Timestamp(0));
    for n in 0..29 {
        bans.failed(address, Some(&format!("user-{n}")), at);
        bans.succeeded("mallory");
    }
    assert!(bans.check(address, None, at).is_ok());
    assert_eq!(bans.failed(address, Some("user-29"), at), ["address"]);
    bans.succeeded("mallory");
    assert!(bans.check(address, None, at).is_err());
}

#[test]
fn failures_count_within_one_window_and_a_straggler_ends_no_ban() {
    let address = ip("192.0.2.1");
    // Two in a minute for an hour, where three are too many.
    let mut bans = Bans::new(3, MINUTE);
    for second in (0..3_600).step_by(30) {
        assert!(bans.check(address, None, Timestamp(second)).is_ok());
        assert!(bans.failed(address, None, Timestamp(second)).is_empty());
    }
    let mut bans = Bans::new(3, MINUTE);
    for second in [0, 50, 55] {
        bans.failed(address, None, Timestamp(second));
    }
    bans.failed(address, None, Timestamp(61));
    assert!(bans.check(address, None, Timestamp(62)).is_err());
    assert!(bans.check(address, None, Timestamp(121)).is_ok());
}

#[test]
fn bans_are_listed_with_their_end_and_lifted_by_name() {
    let mut bans = Bans::new(2, MINUTE);
    for second in [10, 20, 25] {
        bans.failed(ip("2001:db8::1"), Some("root"), Timestamp(second));
    }
    bans.failed(ip("192.0.2.1"), None, Timestamp(25));
    let shown_at = |bans: &Bans, at| {
        let bans = bans.list(Timestamp(at)).into_iter();
        let mut shown: Vec<_> = bans
            .map(|ban| {
                let of = match ban.of {
                    FailureKey::Address(network) => shown(&network),
                    FailureKey::Account(name) => name,
                };
                (of, ban.failures, ban.since.0, ban.until.0)
            })
            .collect();
        shown.sort();
        shown
    };
    let network = ("2001:db8::/64".to_owned(), 3, 20, 85);
    assert_eq!(
        shown_at(&bans, 30),
        [network.clone(), ("root".to_owned(), 3, 20, 85)]
    );
    let now = Timestamp(30);
    for (named, is_lifted) in [
        ("192.0.2.1", false),
        ("alice", false),
        // Wider and narrower ones would lift what they do not name.
        ("2001:db8::/32", false),
        ("2001:db8::1/128", false),
        ("::/0", false),
        ("root", true),
        ("root", false),
    ] {
        assert_eq!(bans.lift(named, now).is_some(), is_lifted, "{named}");
    }
    assert_eq!(shown_at(&bans, 30), [network]);
    // By an address of the network, as by the network.
    assert!(bans.lift("2001:db8::7", now).is_some());
    assert!(shown_at(&bans, 30).is_empty());
    assert!(bans.check(ip("2001:db8::1"), Some("root"), now).is_ok());
    assert!(
        bans.failed(ip("2001:db8::1"), None, now).is_empty(),
        "what led to it is forgotten"
    );
}

#[test]
fn a_flood_from_many_addresses_ends_no_ban() {
    let mut bans = Bans::new(3, MINUTE);
    for _ in 0..3 {
        bans.failed(ip("192.0.2.1"), Some("root"), Timestamp(0));
    }
    for n in 0..3 * MAX_ENTRIES as u32 {
        bans.failed(IpAddr::from(n.to_be_bytes()), None, Timestamp(1));
    }
    assert!(bans.failures.len() <= MAX_ENTRIES);
    for (address, account) in [("192.0.2.1", None), ("192.0.2.9", Some("root"))] {
        assert!(bans.check(ip(address), account, Timestamp(2)).is_err());
    }
}

#[test]
fn a_neighbour_of_the_same_64_is_the_same_and_memory_is_bounded() {
    let mut bans = Bans::new(1, MINUTE);
    bans.failed(ip("2001:db8::1"), None, Timestamp(0));
    assert!(bans.check(ip("2001:db8::2"), None, Timestamp(1)).is_err());
    assert!(
        bans.check(ip("2001:db8:0:1::2"), None, Timestamp(1))
            .is_ok()
    );
    for n in 0..3 * MAX_ENTRIES as u32 {
        bans.failed(
            IpAddr::from(n.to_be_bytes()),
            None,
            Timestamp(i64::from(n) / 1_000),
        );
    }
    assert!(bans.failures.len() <= MAX_ENTRIES);
    assert!(
        Bans::new(0, MINUTE)
            .check(ip("192.0.2.1"), None, Timestamp(0))
            .is_ok()
    );
}
