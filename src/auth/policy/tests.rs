//! The whole matrix: principal × scope × flags × relation to the group.

use std::sync::Arc;

use super::*;
use crate::auth::address::ClientAddress;
use crate::auth::identity::PlacedProject;
use crate::store::{Project, ProjectId, Token, TokenId, TokenKind, User, UserId};
use crate::time::Timestamp;

pub(super) const ON: Flags = Flags {
    enforce: true,
    split: true,
};
const OLDER: Flags = Flags {
    enforce: true,
    split: false,
};
const LOG_ONLY: Flags = Flags {
    enforce: false,
    split: true,
};
const OLDER_LOG_ONLY: Flags = Flags {
    enforce: false,
    split: false,
};

/// The group that is asked for; 1 is its parent, 3 its child, 9 a stranger.
pub(super) const ASKED: i64 = 2;
pub(super) const LINEAGE: [GroupId; 2] = [GroupId(ASKED), GroupId(1)];

pub(super) fn group(id: i64, visibility: Visibility) -> Group {
    Group {
        id: GroupId(id),
        path: format!("group{id}"),
        parent: None,
        visibility,
        dependency_proxy_enabled: true,
        on_read_only_miss: OnReadOnlyMiss::PassThrough,
        default_upstream: None,
        quota: None,
        created_at: Timestamp(0),
    }
}

pub(super) fn user(admin: bool) -> Arc<User> {
    Arc::new(User {
        id: UserId(1),
        name: "alice".into(),
        admin,
        service: false,
        blocked: false,
        password_hash: None,
        password_version: 1,
        created_at: Timestamp(0),
    })
}

pub(super) fn token(kind: TokenKind, scopes: &str) -> Arc<Token> {
    Arc::new(Token {
        id: TokenId(3),
        kind,
        name: "ci".into(),
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        user_id: None,
        group_id: None,
        project_id: None,
        family: TokenId(3),
        username: None,
        access_level: None,
        revoked: false,
        created_at: Timestamp(0),
        expires_at: None,
        created_by: "box".into(),
        last_used_at: None,
    })
}

pub(super) fn project(groups: &[i64]) -> Arc<PlacedProject> {
    let groups: Arc<[GroupId]> = groups.iter().map(|&id| GroupId(id)).collect();
    let project = Project {
        id: ProjectId(5),
        path: "group/project".into(),
        group: groups[0],
        visibility: Visibility::Private,
        quota: None,
        created_at: Timestamp(0),
    };
    Arc::new(PlacedProject { project, groups })
}

pub(super) fn identity(principal: Principal, ip: &str, trustworthy: bool) -> Identity {
    let address = ClientAddress {
        ip: ip.parse().unwrap(),
        trustworthy,
    };
    Identity {
        principal,
        address,
        bound: None,
    }
}

/// `fill`, `read`, or the refusal's status.
pub(super) fn verdict(result: Result<Grant, Refusal>) -> &'static str {
    match result {
        Ok(grant) if grant.may_fill() => "fill",
        Ok(_) => "read",
        Err(refusal) => status(refusal),
    }
}

/// The status that a refusal becomes.
pub(super) fn status(refusal: Refusal) -> &'static str {
    match refusal.error("acme/api").kind() {
        Kind::Unauthorized => "401",
        Kind::NameUnknown => "404",
        Kind::Denied => "403",
        other => panic!("{refusal:?} is {other:?}"),
    }
}

/// The verdict on a principal from nowhere in particular.
fn judge(
    principal: Principal,
    level: Option<Level>,
    visibility: Visibility,
    flags: Flags,
) -> &'static str {
    let group = group(ASKED, visibility);
    let facts = GroupFacts {
        group: &group,
        lineage: &LINEAGE,
        level,
        is_mirror: false,
        networks: &[],
        flags,
    };
    verdict(dependency_proxy(
        &identity(principal, "192.0.2.1", true),
        Some(facts),
    ))
}

#[test]
fn scopes_under_each_setting_of_the_flags() {
    // scopes → verdict with enforcement and split, older rule, log only, older rule log only
    let table: &[(&str, [&str; 4])] = &[
        (
            "read_registry write_registry",
            ["fill", "fill", "fill", "fill"],
        ),
        ("read_registry", ["read", "403", "read", "fill"]),
        ("write_registry", ["fill", "403", "fill", "fill"]),
        ("read_virtual_registry", ["read", "403", "read", "fill"]),
        ("write_virtual_registry", ["fill", "403", "fill", "fill"]),
        (
            "read_virtual_registry write_virtual_registry",
            ["fill", "fill", "fill", "fill"],
        ),
        (
            "read_registry read_virtual_registry",
            ["read", "403", "read", "fill"],
        ),
        (
            "read_registry write_virtual_registry",
            ["fill", "403", "fill", "fill"],
        ),
        (
            "write_registry read_virtual_registry",
            ["fill", "403", "fill", "fill"],
        ),
        ("read_api", ["403", "403", "read", "fill"]),
        ("read_api write_registry", ["fill", "fill", "fill", "fill"]),
        ("api", ["fill", "fill", "fill", "fill"]),
        ("", ["403", "403", "read", "fill"]),
    ];
    for (scopes, expected) in table {
        for (flags, expected) in [ON, OLDER, LOG_ONLY, OLDER_LOG_ONLY]
            .into_iter()
            .zip(expected)
        {
            let by_user = Principal::PersonalToken(user(false), token(TokenKind::Personal, scopes));
            let by_group = Principal::GroupToken(
                Arc::new(group(ASKED, Visibility::Private)),
                token(TokenKind::Group, scopes),
            );
            let by_project =
                Principal::ProjectToken(project(&[ASKED, 1]), token(TokenKind::Project, scopes));
            for principal in [by_user, by_group, by_project] {
                let label = principal.label();
                let got = judge(principal, Some(Level::Guest), Visibility::Private, flags);
                assert_eq!(got, *expected, "{label}: {scopes:?} {flags:?}");
            }
        }
        // Deploy tokens are judged whatever the enforcement flag says.
        for (flags, expected) in [(LOG_ONLY, expected[0]), (OLDER_LOG_ONLY, expected[1])] {
            let group = Arc::new(group(ASKED, Visibility::Private));
            let deploy = Principal::GroupDeployToken(group, token(TokenKind::Deploy, scopes));
            assert_eq!(
                judge(deploy, None, Visibility::Private, flags),
                expected,
                "deploy: {scopes:?} {flags:?}"
            );
        }
    }
}

#[test]
fn credentials_without_scopes() {
    for flags in [ON, OLDER, LOG_ONLY, OLDER_LOG_ONLY] {
        let password = Principal::Password(user(false));
        assert_eq!(
            judge(password, Some(Level::Guest), Visibility::Private, flags),
            "fill"
        );
        let job = Principal::JobToken(user(false), project(&[9]), token(TokenKind::Job, ""));
        assert_eq!(
            judge(job, Some(Level::Guest), Visibility::Private, flags),
            "fill",
            "{flags:?}"
        );
    }
}

#[test]
fn relation_to_the_group() {
    use Visibility::{Private, Public};
    let scopes = "read_registry write_registry";
    let password = |admin| Principal::Password(user(admin));
    let personal =
        |admin| Principal::PersonalToken(user(admin), token(TokenKind::Personal, scopes));
    let job = |admin| Principal::JobToken(user(admin), project(&[9]), token(TokenKind::Job, ""));
    let of_group = |id| {
        Principal::GroupToken(
            Arc::new(group(id, Private)),
            token(TokenKind::Group, scopes),
        )
    };
    let deploy = |id| {
        Principal::GroupDeployToken(
            Arc::new(group(id, Private)),
            token(TokenKind::Deploy, scopes),
        )
    };
    let of_project = |groups: &[i64]| {
        Principal::ProjectToken(project(groups), token(TokenKind::Project, scopes))
    };
    let deploy_project = |groups: &[i64]| {
        Principal::ProjectDeployToken(project(groups), token(TokenKind::Deploy, scopes))
    };
    let table: Vec<(&str, Principal, Option<Level>, Visibility, &str)> = vec![
        (
            "guest",
            password(false),
            Some(Level::Guest),
            Private,
            "fill",
        ),
        (
            "guest's token",
            personal(false),
            Some(Level::Guest),
            Private,
            "fill",
        ),
        (
            "guest's job",
            job(false),
            Some(Level::Guest),
            Private,
            "fill",
        ),
        ("stranger", password(false), None, Private, "404"),
        ("stranger's token", personal(false), None, Private, "404"),
        ("stranger's job", job(false), None, Private, "404"),
        ("stranger, public", password(false), None, Public, "fill"),
        (
            "stranger's token, public",
            personal(false),
            None,
            Public,
            "fill",
        ),
        ("stranger's job, public", job(false), None, Public, "404"),
        ("administrator", password(true), None, Private, "fill"),
        (
            "administrator's token",
            personal(true),
            None,
            Private,
            "fill",
        ),
        ("administrator's job", job(true), None, Private, "fill"),
        (
            "group token of the group",
            of_group(ASKED),
            None,
            Private,
            "fill",
        ),
        (
            "group token of its parent",
            of_group(1),
            None,
            Private,
            "fill",
        ),
        (
            "group token of its child",
            of_group(3),
            None,
            Private,
            "404",
        ),
        (
            "group token of a stranger",
            of_group(9),
            None,
            Private,
            "404",
        ),
        (
            "group token of a stranger, public",
            of_group(9),
            None,
            Public,
            "404",
        ),
        (
            "deploy token of the group",
            deploy(ASKED),
            None,
            Private,
            "fill",
        ),
        (
            "deploy token of its parent",
            deploy(1),
            None,
            Private,
            "fill",
        ),
        ("deploy token of its child", deploy(3), None, Private, "404"),
        ("deploy token of a stranger", deploy(9), None, Public, "404"),
        (
            "project token in the group",
            of_project(&[ASKED, 1]),
            None,
            Private,
            "fill",
        ),
        (
            "project token below it",
            of_project(&[3, ASKED, 1]),
            None,
            Private,
            "fill",
        ),
        (
            "project token above it",
            of_project(&[1]),
            None,
            Private,
            "404",
        ),
        (
            "project token elsewhere",
            of_project(&[9]),
            None,
            Public,
            "404",
        ),
        (
            "project deploy token in the group",
            deploy_project(&[ASKED, 1]),
            None,
            Private,
            "404",
        ),
        (
            "project deploy token, public",
            deploy_project(&[ASKED, 1]),
            None,
            Public,
            "404",
        ),
        ("nobody", Principal::Anonymous, None, Public, "401"),
    ];
    for (who, principal, level, visibility, expected) in table {
        assert_eq!(judge(principal, level, visibility, ON), expected, "{who}");
    }
}

#[test]
fn what_is_off_or_absent_is_unknown_to_everybody() {
    let off = Group {
        dependency_proxy_enabled: false,
        ..group(ASKED, Visibility::Public)
    };
    let facts = GroupFacts {
        group: &off,
        lineage: &LINEAGE,
        level: Some(Level::Owner),
        is_mirror: false,
        networks: &[],
        flags: ON,
    };
    let admin = identity(Principal::Password(user(true)), "192.0.2.1", true);
    assert_eq!(verdict(dependency_proxy(&admin, Some(facts))), "404");
    assert_eq!(verdict(dependency_proxy(&admin, None)), "404");
    let nobody = identity(Principal::Anonymous, "192.0.2.1", true);
    assert_eq!(verdict(dependency_proxy(&nobody, None)), "401");
}

#[test]
fn may_not_know_comes_before_may_not_read() {
    let principal =
        || Principal::PersonalToken(user(false), token(TokenKind::Personal, "read_api"));
    assert_eq!(judge(principal(), None, Visibility::Private, ON), "404");
    assert_eq!(
        judge(principal(), Some(Level::Owner), Visibility::Private, ON),
        "403"
    );
}

#[test]
fn tolerated_credentials_are_reported() {
    let principal =
        Principal::PersonalToken(user(false), token(TokenKind::Personal, "read_registry"));
    let tolerated = |flags| worth(&principal, flags).map(|worth| worth.is_tolerated);
    assert_eq!(tolerated(OLDER_LOG_ONLY), Ok(true));
    assert_eq!(tolerated(LOG_ONLY), Ok(false));
    assert_eq!(tolerated(ON), Ok(false));
    assert_eq!(tolerated(OLDER), Err(Ability::CreateContainerImage));
}

#[test]
fn who_may_only_read_is_passed_through_as_the_group_says() {
    let reader =
        || Principal::PersonalToken(user(false), token(TokenKind::Personal, "read_registry"));
    let filler =
        || Principal::PersonalToken(user(false), token(TokenKind::Personal, "write_registry"));
    for (principal, on_read_only_miss, expected) in [
        (reader(), OnReadOnlyMiss::PassThrough, true),
        (reader(), OnReadOnlyMiss::Deny, false),
        (filler(), OnReadOnlyMiss::Deny, true),
    ] {
        let group = Group {
            on_read_only_miss,
            ..group(ASKED, Visibility::Private)
        };
        let facts = GroupFacts {
            group: &group,
            lineage: &LINEAGE,
            level: Some(Level::Guest),
            is_mirror: false,
            networks: &[],
            flags: ON,
        };
        let grant = dependency_proxy(&identity(principal, "192.0.2.1", true), Some(facts)).unwrap();
        assert_eq!(grant.passes_through(), expected);
    }
}

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
            group: &group,
            lineage: &LINEAGE,
            level: None,
            is_mirror: *is_mirror,
            networks: &networks,
            flags: ON,
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
            group: &group,
            lineage: &LINEAGE,
            level: None,
            is_mirror: *is_mirror,
            networks: &networks,
            flags: ON,
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
