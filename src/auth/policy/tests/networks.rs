//! What network rules give: to nobody in particular, and to whoever logs in at the mirror.

use super::*;

fn rule(cidr: &str, ability: store::Ability, group: Option<i64>) -> Network {
    Network {
        cidr: cidr.parse().unwrap(),
        ability,
        group: group.map(GroupId),
    }
}

#[test]
fn anonymous_is_judged_by_its_network() {
    use crate::store::Ability::{Fill, Read};
    let table: &[(&str, bool, Option<Network>, bool, &str)] = &[
        // address, trustworthy, rule, the mirror's group → verdict
        (
            "127.0.0.1",
            true,
            Some(rule("127.0.0.0/8", Fill, None)),
            true,
            "fill",
        ),
        (
            "127.0.0.1",
            true,
            Some(rule("127.0.0.0/8", Read, None)),
            true,
            "read",
        ),
        (
            "127.0.0.1",
            false,
            Some(rule("127.0.0.0/8", Fill, None)),
            true,
            "401",
        ),
        (
            "192.0.2.1",
            true,
            Some(rule("127.0.0.0/8", Fill, None)),
            true,
            "401",
        ),
        (
            "127.0.0.1",
            true,
            Some(rule("127.0.0.0/8", Fill, None)),
            false,
            "401",
        ),
        (
            "127.0.0.1",
            true,
            Some(rule("127.0.0.0/8", Fill, Some(ASKED))),
            false,
            "fill",
        ),
        (
            "127.0.0.1",
            true,
            Some(rule("127.0.0.0/8", Fill, Some(1))),
            false,
            "401",
        ),
        (
            "2001:db8::1",
            true,
            Some(rule("2001:db8::/32", Read, None)),
            true,
            "read",
        ),
        ("127.0.0.1", true, None, true, "401"),
    ];
    for (ip, trustworthy, rule, is_mirror, expected) in table {
        let group = group(ASKED, Visibility::Public);
        let networks: Vec<_> = rule.iter().cloned().collect();
        let facts = GroupFacts {
            is_mirror: *is_mirror,
            networks: &networks,
            ..facts(&group)
        };
        let nobody = identity(Principal::Anonymous, ip, *trustworthy);
        assert_eq!(
            verdict(dependency_proxy(&nobody, Some(facts))),
            *expected,
            "{ip} {rule:?} {is_mirror}"
        );
    }
}

#[test]
fn a_login_at_the_mirror_neither_loses_nor_gains_what_the_network_gives() {
    use crate::store::Ability::{Fill, Read};
    let table: &[(&str, Option<Network>, bool, &str)] = &[
        // scopes, rule, the mirror's group → verdict for a user who is no member
        (
            "read_registry write_registry",
            Some(rule("192.0.2.0/24", Fill, None)),
            true,
            "fill",
        ),
        (
            "read_registry write_registry",
            Some(rule("192.0.2.0/24", Read, None)),
            true,
            "read",
        ),
        (
            "read_registry",
            Some(rule("192.0.2.0/24", Fill, None)),
            true,
            "read",
        ),
        (
            "read_api",
            Some(rule("192.0.2.0/24", Fill, None)),
            true,
            "403",
        ),
        ("read_registry", None, true, "404"),
        (
            "read_registry",
            Some(rule("192.0.2.0/24", Fill, Some(ASKED))),
            false,
            "404",
        ),
    ];
    for (scopes, rule, is_mirror, expected) in table {
        let group = group(ASKED, Visibility::Private);
        let networks: Vec<_> = rule.iter().cloned().collect();
        let facts = GroupFacts {
            is_mirror: *is_mirror,
            networks: &networks,
            ..facts(&group)
        };
        let principal = Principal::PersonalToken(user(false), token(TokenKind::Personal, scopes));
        let who = identity(principal, "192.0.2.1", true);
        assert_eq!(
            verdict(dependency_proxy(&who, Some(facts))),
            *expected,
            "{scopes} {rule:?} {is_mirror}"
        );
    }
}
