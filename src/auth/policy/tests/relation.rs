//! Who a group lets in: levels, visibility, where a token belongs to, and what is off.

use super::*;

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
        level: Some(Level::Owner),
        ..facts(&off)
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
