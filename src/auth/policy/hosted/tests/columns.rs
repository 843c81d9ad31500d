//! Each column alone: the level of a user, the scopes of a token, the reach of a token that has no user, and what
//! a rule asks for. Then all of them crossed.

use super::*;

/// A user's level, whether an administrator, whether the project is public → pull push delete.
const LEVELS: &[(Option<Level>, bool, bool, &str)] = &[
    (None, false, false, "404 404 404"),
    (None, false, true, "ok 403 403"),
    (Some(Level::Guest), false, false, "403 403 403"),
    (Some(Level::Guest), false, true, "ok 403 403"),
    (Some(Level::Reporter), false, false, "ok 403 403"),
    (Some(Level::Reporter), false, true, "ok 403 403"),
    (Some(Level::Developer), false, false, "ok ok 403"),
    (Some(Level::Developer), false, true, "ok ok 403"),
    (Some(Level::Maintainer), false, false, "ok ok ok"),
    (Some(Level::Maintainer), false, true, "ok ok ok"),
    (Some(Level::Owner), false, false, "ok ok ok"),
    (Some(Level::Owner), false, true, "ok ok ok"),
    (None, true, false, "ok ok ok"),
    (Some(Level::Guest), true, false, "ok ok ok"),
];

/// A token's scopes → pull push delete, where the level allows everything.
const SCOPES: &[(&str, &str)] = &[
    ("read_registry", "ok 403 403"),
    ("write_registry", "403 ok 403"),
    ("read_registry write_registry", "ok ok 403"),
    ("read_virtual_registry", "403 403 403"),
    ("write_virtual_registry", "403 403 403"),
    (
        "read_virtual_registry write_virtual_registry",
        "403 403 403",
    ),
    ("read_api", "ok 403 403"),
    ("read_api write_registry", "ok ok 403"),
    ("api", "ok ok ok"),
    ("", "403 403 403"),
    ("from_the_future", "403 403 403"),
];

/// What a rule asks for, and who meets it.
const MINIMUMS: &[(MinimumLevel, &[&str])] = &[
    (
        MinimumLevel::Maintainer,
        &["maintainer", "owner", "administrator"],
    ),
    (MinimumLevel::Owner, &["owner", "administrator"]),
    (MinimumLevel::Admin, &["administrator"]),
    (MinimumLevel::NoAccess, &[]),
];

#[test]
fn levels() {
    for (level, admin, is_public, expected) in LEVELS {
        let who = who(*level, *admin);
        for (kind, principal) in [
            ("password", password(*admin)),
            ("personal token", personal(*admin, "api")),
            ("job of the project", job(*admin, true)),
        ] {
            let got = verdicts(&principal, *level, *is_public, NO_RULES);
            assert_eq!(got, *expected, "{who}'s {kind}, public: {is_public}");
        }
        // A job of another project reads what its user reads, and changes nothing.
        let reads = expected.split(' ').next().unwrap();
        let changes = if reads == "404" { "404" } else { "403" };
        let got = verdicts(&job(*admin, false), *level, *is_public, NO_RULES);
        assert_eq!(
            got,
            format!("{reads} {changes} {changes}"),
            "{who}'s job of another project, public: {is_public}"
        );
    }
}

#[test]
fn scopes() {
    for (scopes, expected) in SCOPES {
        for (kind, principal) in [
            ("owner's personal token", personal(false, scopes)),
            ("administrator's personal token", personal(true, scopes)),
            ("group token", of_group(2, scopes, Level::Owner)),
            ("project token", of_project(true, scopes, Level::Owner)),
        ] {
            let got = verdicts(&principal, Some(Level::Owner), false, NO_RULES);
            assert_eq!(got, *expected, "{kind}: {scopes:?}");
        }
        // A deploy token never deletes, not even with a scope that no command gives it.
        let never_deletes = expected.replace("ok ok ok", "ok ok 403");
        for principal in [group_deploy(2, scopes), project_deploy(true, scopes)] {
            let got = verdicts(&principal, None, false, NO_RULES);
            assert_eq!(got, never_deletes, "{}: {scopes:?}", principal.label());
        }
    }
}

#[test]
fn reach_and_level_of_tokens_that_have_no_user() {
    const ALL: &str = "ok ok ok";
    const HIDDEN: &str = "404 404 404";
    let table: &[(&str, Principal, &str)] = &[
        // A group's token: its group and what is below, at its level.
        ("group's", of_group(2, "api", Level::Owner), ALL),
        ("parent group's", of_group(1, "api", Level::Owner), ALL),
        ("other group's", of_group(9, "api", Level::Owner), HIDDEN),
        (
            "group's, guest",
            of_group(2, "api", Level::Guest),
            "403 403 403",
        ),
        (
            "group's, reporter",
            of_group(2, "api", Level::Reporter),
            "ok 403 403",
        ),
        (
            "group's, developer",
            of_group(2, "api", Level::Developer),
            "ok ok 403",
        ),
        (
            "group's, maintainer",
            of_group(2, "api", Level::Maintainer),
            ALL,
        ),
        // A project's token: its own project, at its level.
        ("project's", of_project(true, "api", Level::Owner), ALL),
        (
            "other project's of the same group",
            of_project(false, "api", Level::Owner),
            HIDDEN,
        ),
        (
            "project's, reporter",
            of_project(true, "api", Level::Reporter),
            "ok 403 403",
        ),
        (
            "project's, developer",
            of_project(true, "api", Level::Developer),
            "ok ok 403",
        ),
        // Deploy tokens: a group's as a group's token, a project's as a project's, by their scopes.
        (
            "group's deploy",
            group_deploy(2, "read_registry write_registry"),
            "ok ok 403",
        ),
        (
            "parent group's deploy",
            group_deploy(1, "read_registry"),
            "ok 403 403",
        ),
        (
            "other group's deploy",
            group_deploy(9, "read_registry"),
            HIDDEN,
        ),
        (
            "project's deploy",
            project_deploy(true, "read_registry write_registry"),
            "ok ok 403",
        ),
        (
            "other project's deploy",
            project_deploy(false, "read_registry"),
            HIDDEN,
        ),
        ("nobody", Principal::Anonymous, "401 401 401"),
    ];
    for (who, principal, expected) in table {
        for is_public in [false, true] {
            // What is public is so for users: none of these is one.
            let got = verdicts(principal, None, is_public, NO_RULES);
            assert_eq!(got, *expected, "{who}, public: {is_public}");
        }
    }
    // A row without a level, which no command writes, is worth a guest's.
    let group = Arc::new(group(2, Visibility::Private));
    let without = Principal::GroupToken(group, bot(TokenKind::Group, "api", None));
    assert_eq!(verdicts(&without, None, false, NO_RULES), "403 403 403");
}

#[test]
fn rules_keep_out_whoever_is_less_than_they_ask_for() {
    for (minimum, meet) in MINIMUMS {
        for (level, admin) in [
            (Some(Level::Developer), false),
            (Some(Level::Maintainer), false),
            (Some(Level::Owner), false),
            (Some(Level::Owner), true),
        ] {
            let who = who(level, admin);
            let push = if meet.contains(&who.as_str()) {
                "ok"
            } else {
                "403"
            };
            let delete = if meet.contains(&who.as_str()) && level >= Some(Level::Maintainer) {
                "ok"
            } else {
                "403"
            };
            let principals = [password(admin), personal(admin, "api"), job(admin, true)];
            for principal in principals {
                let both = (Some(*minimum), Some(*minimum));
                let got = verdicts(&principal, level, true, both);
                let label = principal.label();
                assert_eq!(
                    got,
                    format!("ok {push} {delete}"),
                    "{who} {label} {minimum:?}"
                );
            }
            if let Some(level) = level.filter(|_| !admin) {
                for principal in [of_group(1, "api", level), of_project(true, "api", level)] {
                    let both = (Some(*minimum), Some(*minimum));
                    let got = verdicts(&principal, None, false, both);
                    let label = principal.label();
                    assert_eq!(got, format!("ok {push} {delete}"), "{label} {minimum:?}");
                }
            }
        }
        // A deploy token never pushes to what is protected, whatever the rule asks for.
        let scopes = "read_registry write_registry";
        for principal in [group_deploy(2, scopes), project_deploy(true, scopes)] {
            let got = verdicts(&principal, None, false, (Some(*minimum), None));
            assert_eq!(got, "ok 403 403", "{} {minimum:?}", principal.label());
        }
    }
}

#[test]
fn whoever_may_by_every_column_may_and_nobody_else() {
    let minimums = || std::iter::once(None).chain(MINIMUMS.iter().map(Some));
    let mut cases = 0;
    for (level, admin, is_public, by_level) in LEVELS {
        for (scopes, by_scope) in SCOPES {
            for (push, delete) in
                minimums().flat_map(|push| minimums().map(move |delete| (push, delete)))
            {
                let who = who(*level, *admin);
                let meets = |minimum: Option<&(MinimumLevel, &[&str])>| {
                    minimum.is_none_or(|(_, meet)| meet.contains(&who.as_str()))
                };
                let by_rule = [true, meets(push), meets(delete)];
                let columns = by_level.split(' ').zip(by_scope.split(' ')).zip(by_rule);
                let expected: Vec<&str> = columns
                    .map(|((level, scope), rule)| match (level, scope, rule) {
                        ("404", ..) => "404",
                        ("ok", "ok", true) => "ok",
                        _ => "403",
                    })
                    .collect();
                let rules = (push.map(|rule| rule.0), delete.map(|rule| rule.0));
                let got = verdicts(&personal(*admin, scopes), *level, *is_public, rules);
                assert_eq!(
                    got,
                    expected.join(" "),
                    "{who} {scopes:?} public: {is_public} {rules:?}"
                );
                cases += 1;
            }
        }
    }
    assert_eq!(cases, LEVELS.len() * SCOPES.len() * 25);
}
