//! What a verdict tells: the words of a refusal, and what a grant says of itself and of the JWT that bounds it.

use super::*;
use crate::auth::jwt::{Bearer, Claims};
use crate::oci::AccessEntry;

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
        bound: Some(Arc::new(Claims {
            jti: String::new(),
            iat: 0,
            nbf: 0,
            exp: 0,
            iss: String::new(),
            aud: String::new(),
            sub: String::new(),
            access: vec![AccessEntry {
                kind: "repository".into(),
                name: name.into(),
                actions: actions.iter().map(|&action| action.to_owned()).collect(),
            }],
            bearer: Bearer::Anonymous,
        })),
        ..identity(password(false), "192.0.2.1", true)
    };
    let verdict = |who: &Identity, level| {
        let verdicts =
            Wanted::VARIANTS
                .iter()
                .map(|&wanted| match ask(who, &project, Some(level), wanted) {
                    Ok(_) => "ok",
                    Err(refusal) => status(refusal),
                });
        verdicts.collect::<Vec<_>>()
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
