//! What scopes allow under each setting of the flags.

use super::*;

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
fn tolerated_credentials_are_reported() {
    let principal =
        Principal::PersonalToken(user(false), token(TokenKind::Personal, "read_registry"));
    let tolerated = |flags| cache_access(&principal, flags).map(|access| access.is_tolerated);
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
            level: Some(Level::Guest),
            ..facts(&group)
        };
        let grant = dependency_proxy(&identity(principal, "192.0.2.1", true), Some(facts)).unwrap();
        assert_eq!(grant.passes_through(), expected);
    }
}
