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
    struct Case<'a> {
        ip: &'a str,
        trustworthy: bool,
        rule: Option<Network>,
        is_mirror: bool,
        expected: &'a str,
    }
    let table: &[Case<'_>] = &[
        // address, trustworthy, rule, the mirror's group → verdict
        Case {
            ip: "127.0.0.1",
            trustworthy: true,
            rule: Some(rule("127.0.0.0/8", Fill, None)),
            is_mirror: true,
            expected: "fill",
        },
        Case {
            ip: "127.0.0.1",
            trustworthy: true,
            rule: Some(rule("127.0.0.0/8", Read, None)),
            is_mirror: true,
            expected: "read",
        },
        Case {
            ip: "127.0.0.1",
            trustworthy: false,
            rule: Some(rule("127.0.0.0/8", Fill, None)),
            is_mirror: true,
            expected: "401",
        },
        Case {
            ip: "192.0.2.1",
            trustworthy: true,
            rule: Some(rule("127.0.0.0/8", Fill, None)),
            is_mirror: true,
            expected: "401",
        },
        Case {
            ip: "127.0.0.1",
            trustworthy: true,
            rule: Some(rule("127.0.0.0/8", Fill, None)),
            is_mirror: false,
            expected: "401",
        },
        Case {
            ip: "127.0.0.1",
            trustworthy: true,
            rule: Some(rule("127.0.0.0/8", Fill, Some(ASKED))),
            is_mirror: false,
            expected: "fill",
        },
        Case {
            ip: "127.0.0.1",
            trustworthy: true,
            rule: Some(rule("127.0.0.0/8", Fill, Some(1))),
            is_mirror: false,
            expected: "401",
        },
        Case {
            ip: "2001:db8::1",
            trustworthy: true,
            rule: Some(rule("2001:db8::/32", Read, None)),
            is_mirror: true,
            expected: "read",
        },
        Case {
            ip: "127.0.0.1",
            trustworthy: true,
            rule: None,
            is_mirror: true,
            expected: "401",
        },
    ];
    for Case {
        ip,
        trustworthy,
        rule,
        is_mirror,
        expected,
    } in table
    {
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
    struct Case<'a> {
        scopes: &'a str,
        rule: Option<Network>,
        is_mirror: bool,
        expected: &'a str,
    }
    let table: &[Case<'_>] = &[
        // scopes, rule, the mirror's group → verdict for a user who is no member
        Case {
            scopes: "read_registry write_registry",
            rule: Some(rule("192.0.2.0/24", Fill, None)),
            is_mirror: true,
            expected: "fill",
        },
        Case {
            scopes: "read_registry write_registry",
            rule: Some(rule("192.0.2.0/24", Read, None)),
            is_mirror: true,
            expected: "read",
        },
        Case {
            scopes: "read_registry",
            rule: Some(rule("192.0.2.0/24", Fill, None)),
            is_mirror: true,
            expected: "read",
        },
        Case {
            scopes: "read_api",
            rule: Some(rule("192.0.2.0/24", Fill, None)),
            is_mirror: true,
            expected: "403",
        },
        Case {
            scopes: "read_registry",
            rule: None,
            is_mirror: true,
            expected: "404",
        },
        Case {
            scopes: "read_registry",
            rule: Some(rule("192.0.2.0/24", Fill, Some(ASKED))),
            is_mirror: false,
            expected: "404",
        },
    ];
    for Case {
        scopes,
        rule,
        is_mirror,
        expected,
    } in table
    {
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

/// The log must not say of other doors that a network rule would open them.
#[test]
fn networks_are_named_in_the_log_only_where_a_rule_would_help() {
    let nobody = identity(Principal::Anonymous, "192.0.2.1", true);
    let mut group = group(ASKED, Visibility::Private);
    let judged = |group: &Group| {
        let facts = GroupFacts {
            group,
            lineage: &LINEAGE,
            level: None,
            is_public: false,
            is_mirror: true,
            networks: &[],
            flags: ON,
        };
        let refusal = dependency_proxy(&nobody, Some(facts)).unwrap_err();
        refusal.error("alpine")
    };
    let untrusted = judged(&group);
    assert!(untrusted.logged_why().contains("in no network"));
    group.dependency_proxy_enabled = false;
    let switched_off = judged(&group);
    assert_eq!(switched_off.to_string(), untrusted.to_string());
    let hosted = repository(&nobody, None, Wanted::Pull)
        .unwrap_err()
        .error("a");
    for error in [switched_off, hosted] {
        assert_eq!(error.logged_why(), "authentication is required");
    }
}
