//! Rules about single tags, judged when one is to be written or deleted.

use super::*;

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
            Ok(TagMutability::Immutable(_)) => "immutable".to_owned(),
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
    assert!(matches!(
        grant.judge_tag(&v1, TagAction::Push),
        Err(Refusal::TagProtected(TagAction::Push, _))
    ));
}

/// Whoever may list the rules is told which one it is, and how to change it.
#[test]
fn the_rule_that_makes_a_tag_immutable_is_named_to_owners() {
    let immutable = TagRule {
        id: RuleId(2),
        project: ProjectId(5),
        pattern: "^v1".into(),
        min_push: None,
        min_delete: None,
        immutable: true,
        created_at: Timestamp(0),
    };
    let project = hosted(false, Vec::new(), &[immutable]);
    let who = identity(password(false), "192.0.2.1", true);
    let remedy = |level| {
        let grant = ask(&who, &project, Some(level), Wanted::Push).unwrap();
        let tag = Tag::parse("v1").unwrap();
        let refusal = grant.judge_tag(&tag, TagAction::Delete).unwrap_err();
        refusal.error(REPOSITORY).remedy_text().unwrap().to_owned()
    };
    let shown = remedy(Level::Owner);
    assert!(shown.contains("`breakwater rule set 2`"), "{shown}");
    assert_eq!(remedy(Level::Developer), "push another tag");
}
