//! Who may do what with a hosted repository, as tables. First each column alone: level, scope, reach of a
//! token, rule. Then all of them crossed: whoever may by every column may, and nobody else.

use std::sync::Arc;

use super::*;
use crate::auth::policy::tests::{group, identity, project as placed, status, token, user};
use crate::oci::AccessEntry;
use crate::store::{GroupId, RuleId, RuleOwner, TagRule, TokenKind, Visibility};
use crate::time::Timestamp;

/// The project that is asked for is 5, in group 2, which lies in group 1. 9 is elsewhere.
const GROUPS: [i64; 2] = [2, 1];
const REPOSITORY: &str = "group/project/image";

const NO_RULES: (Option<MinimumLevel>, Option<MinimumLevel>) = (None, None);

fn hosted(is_public: bool, rules: Vec<ProtectionRule>, tag_rules: &[TagRule]) -> HostedProject {
    HostedProject {
        placed: placed(&GROUPS),
        is_public,
        quotas: Arc::from([]),
        rules: rules.into(),
        tag_rules: Arc::new(TagRules::new(tag_rules)),
    }
}

fn rule(
    pattern: &str,
    tags: Option<&str>,
    push: Option<MinimumLevel>,
    delete: Option<MinimumLevel>,
) -> ProtectionRule {
    ProtectionRule {
        id: RuleId(1),
        owner: RuleOwner::Project(ProjectId(5)),
        pattern: pattern.into(),
        tag_pattern: tags.map(str::to_owned),
        min_push: push,
        min_delete: delete,
        created_at: Timestamp(0),
    }
}

/// What each of the three comes to, as `pull push delete`: `ok` or a status.
fn verdicts(
    principal: &Principal,
    level: Option<Level>,
    is_public: bool,
    (push, delete): (Option<MinimumLevel>, Option<MinimumLevel>),
) -> String {
    let rules = vec![rule("group/project*", None, push, delete)];
    let project = hosted(is_public, rules, &[]);
    let who = identity(principal.clone(), "192.0.2.1", true);
    let verdict = |wanted| match ask(&who, &project, level, wanted) {
        Ok(_) => "ok",
        Err(refusal) => status(refusal),
    };
    Wanted::ALL.map(verdict).join(" ")
}

fn ask(
    who: &Identity,
    project: &HostedProject,
    level: Option<Level>,
    wanted: Wanted,
) -> Result<RepositoryGrant, Refusal> {
    let name = RepositoryName::parse(REPOSITORY).unwrap();
    let facts = RepositoryFacts {
        project,
        repository: &name,
        level,
    };
    repository(who, Some(facts), wanted)
}

fn password(admin: bool) -> Principal {
    Principal::Password(user(admin))
}

fn personal(admin: bool, scopes: &str) -> Principal {
    Principal::PersonalToken(user(admin), token(TokenKind::Personal, scopes))
}

/// A job of the project that is asked for, or of another one.
fn job(admin: bool, own: bool) -> Principal {
    let mut of = placed(&GROUPS);
    if !own {
        Arc::make_mut(&mut of).project.id = ProjectId(99);
    }
    Principal::JobToken(user(admin), of, token(TokenKind::Job, ""))
}

fn bot(kind: TokenKind, scopes: &str, level: Option<Level>) -> Arc<crate::store::Token> {
    let mut token = token(kind, scopes);
    Arc::make_mut(&mut token).access_level = level;
    token
}

fn of_group(id: i64, scopes: &str, level: Level) -> Principal {
    let group = Arc::new(group(id, Visibility::Private));
    Principal::GroupToken(group, bot(TokenKind::Group, scopes, Some(level)))
}

fn of_project(own: bool, scopes: &str, level: Level) -> Principal {
    let mut of = placed(&GROUPS);
    if !own {
        Arc::make_mut(&mut of).project.id = ProjectId(99);
    }
    Principal::ProjectToken(of, bot(TokenKind::Project, scopes, Some(level)))
}

fn group_deploy(id: i64, scopes: &str) -> Principal {
    let group = Arc::new(group(id, Visibility::Private));
    Principal::GroupDeployToken(group, token(TokenKind::Deploy, scopes))
}

fn project_deploy(own: bool, scopes: &str) -> Principal {
    let mut of = placed(&GROUPS);
    if !own {
        Arc::make_mut(&mut of).project.id = ProjectId(99);
    }
    Principal::ProjectDeployToken(of, token(TokenKind::Deploy, scopes))
}

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

fn who(level: Option<Level>, admin: bool) -> String {
    match level {
        _ if admin => "administrator".to_owned(),
        None => "stranger".to_owned(),
        Some(level) => format!("{level:?}").to_lowercase(),
    }
}

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

#[test]
fn refusals_say_what_is_in_the_way_in_a_fixed_order() {
    let project = |push| hosted(false, vec![rule("*", None, push, push)], &[]);
    let free = project(None);
    let protected = project(Some(MinimumLevel::Maintainer));
    let said = |principal: Principal, level, project: &HostedProject, wanted| {
        let refusal = ask(
            &identity(principal, "192.0.2.1", true),
            project,
            level,
            wanted,
        );
        refusal.unwrap_err().error(REPOSITORY).to_string()
    };
    let developer = Some(Level::Developer);
    // To the letter: people search for these two.
    assert_eq!(
        said(password(false), developer, &protected, Wanted::Push),
        "container protected; you are not allowed to push new package"
    );
    assert_eq!(
        said(password(false), developer, &protected, Wanted::Delete),
        "container protected; you are not allowed to delete this package"
    );
    // Whoever may see it reads that it is protected, before what else is missing.
    let reader = personal(false, "read_registry");
    assert_eq!(
        said(reader.clone(), developer, &protected, Wanted::Push),
        "container protected; you are not allowed to push new package"
    );
    let table = [
        (
            reader.clone(),
            developer,
            Wanted::Push,
            "lacks the ability create_container_image",
        ),
        (
            reader.clone(),
            Some(Level::Owner),
            Wanted::Delete,
            "such as api",
        ),
        (
            password(false),
            developer,
            Wanted::Delete,
            "ask for the level maintainer",
        ),
        (
            password(false),
            Some(Level::Guest),
            Wanted::Pull,
            "ask for the level reporter",
        ),
        (
            job(false, false),
            developer,
            Wanted::Push,
            "only in its own project",
        ),
    ];
    for (principal, level, wanted, part) in table {
        let text = said(principal, level, &free, wanted);
        assert!(text.contains(part), "{text}");
    }
    // What is hidden is said in the words of what is not there.
    let hidden = said(password(false), None, &protected, Wanted::Push);
    let absent = repository(
        &identity(password(false), "192.0.2.1", true),
        None,
        Wanted::Push,
    );
    assert_eq!(hidden, absent.unwrap_err().error(REPOSITORY).to_string());
}

#[test]
fn a_jwt_limits_what_its_bearer_may() {
    let project = hosted(false, Vec::new(), &[]);
    let bound = |name: &str, actions: &[&str]| Identity {
        bound: Some(vec![AccessEntry {
            kind: "repository".into(),
            name: name.into(),
            actions: actions.iter().map(|&action| action.to_owned()).collect(),
        }]),
        ..identity(password(false), "192.0.2.1", true)
    };
    let verdict = |who: &Identity, level| {
        Wanted::ALL.map(|wanted| match ask(who, &project, Some(level), wanted) {
            Ok(_) => "ok",
            Err(refusal) => status(refusal),
        })
    };
    let owner = Level::Owner;
    assert_eq!(
        verdict(&bound(REPOSITORY, &["pull"]), owner),
        ["ok", "401", "401"]
    );
    assert_eq!(
        verdict(&bound(REPOSITORY, &["push", "delete"]), owner),
        ["401", "ok", "ok"]
    );
    assert_eq!(
        verdict(&bound("group/project", &["pull", "push"]), owner),
        ["401", "401", "401"]
    );
    // Who may not do it at all is not sent for another token.
    assert_eq!(
        verdict(&bound(REPOSITORY, &["pull"]), Level::Reporter),
        ["ok", "403", "403"]
    );
    let pulls = ask(
        &bound(REPOSITORY, &["pull"]),
        &project,
        Some(owner),
        Wanted::Pull,
    );
    let pulls = pulls.unwrap();
    assert!(pulls.may_pull() && !pulls.may_push() && !pulls.may_delete());
}

#[test]
fn single_tags_are_judged_at_the_write() {
    use MinimumLevel::{Maintainer, Owner};
    let tag_rule = |pattern: &str, push, delete, immutable| TagRule {
        id: RuleId(2),
        project: ProjectId(5),
        pattern: pattern.into(),
        min_push: push,
        min_delete: delete,
        immutable,
        created_at: Timestamp(0),
    };
    let project = hosted(
        false,
        vec![rule(
            "group/project*",
            Some("prod*"),
            Some(Owner),
            Some(Owner),
        )],
        &[
            tag_rule("^v[0-9]+", Some(Maintainer), Some(Owner), false),
            tag_rule("^release-", None, None, true),
        ],
    );
    // tag → what a push and a delete come to, by level
    let table: &[(&str, Level, &str, &str)] = &[
        ("latest", Level::Developer, "mutable", "mutable"),
        ("v1", Level::Developer, "tag protected", "tag protected"),
        ("v1", Level::Maintainer, "mutable", "tag protected"),
        ("v1", Level::Owner, "mutable", "mutable"),
        (
            "prod-1",
            Level::Maintainer,
            "container protected",
            "container protected",
        ),
        ("prod-1", Level::Owner, "mutable", "mutable"),
        ("release-1", Level::Developer, "immutable", "tag immutable"),
        ("release-1", Level::Owner, "immutable", "tag immutable"),
        ("x-release-1", Level::Developer, "mutable", "mutable"),
    ];
    let who = identity(password(false), "192.0.2.1", true);
    for (tag, level, push, delete) in table {
        let grant = ask(&who, &project, Some(*level), Wanted::Push).unwrap();
        let tag = Tag::parse(tag).unwrap();
        let said = |action| match grant.judge_tag(&tag, action) {
            Ok(TagMutability::Mutable) => "mutable".to_owned(),
            Ok(TagMutability::Immutable) => "immutable".to_owned(),
            Err(refusal) => {
                let text = refusal.error(REPOSITORY).what().to_owned();
                text.split(';').next().unwrap().to_owned()
            }
        };
        assert_eq!(said(TagAction::Push), *push, "push {tag} as {level:?}");
        assert_eq!(
            said(TagAction::Delete),
            *delete,
            "delete {tag} as {level:?}"
        );
    }
    // A deploy token meets no minimum of a tag either.
    let deploy = identity(
        project_deploy(true, "read_registry write_registry"),
        "192.0.2.1",
        true,
    );
    let grant = ask(&deploy, &project, None, Wanted::Push).unwrap();
    let v1 = Tag::parse("v1").unwrap();
    assert_eq!(
        grant.judge_tag(&v1, TagAction::Push),
        Err(Refusal::TagProtected(TagAction::Push))
    );
}

#[test]
fn a_grant_says_whose_repository_it_is_and_what_is_left_to_keep_to() {
    let project = HostedProject {
        quotas: Arc::from([Quota {
            path: "group".into(),
            max_bytes: 7,
        }]),
        ..hosted(false, Vec::new(), &[])
    };
    let who = identity(password(false), "192.0.2.1", true);
    let grant = ask(&who, &project, Some(Level::Developer), Wanted::Push).unwrap();
    assert_eq!(
        (
            grant.project(),
            grant.project_path(),
            grant.repository().as_str()
        ),
        (ProjectId(5), "group/project", REPOSITORY)
    );
    assert_eq!(grant.quotas()[0].max_bytes, 7);
    assert!(grant.may_pull() && grant.may_push() && !grant.may_delete());
    assert!(lists_project(&who, &project, Some(Level::Guest)));
    assert!(!lists_project(&who, &project, None));
    let writes = identity(personal(false, "write_registry"), "192.0.2.1", true);
    assert!(!lists_project(&writes, &project, Some(Level::Owner)));
    assert_eq!(project.placed.groups[..], [GroupId(2), GroupId(1)]);
}
