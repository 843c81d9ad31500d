//! `access.sqlite`: protection rules of both kinds.

use breakwater::error::Kind;
use breakwater::store::{
    AccessDb, Actor, EventFilter, GroupId, Level, MAX_RULES, MinimumLevel, ProjectId,
    ProtectionRule, RuleId, RuleOwner, TagRule, UserId, Visibility,
};

use super::{at, fresh};

fn rule(owner: RuleOwner, pattern: &str, push: Option<MinimumLevel>) -> ProtectionRule {
    ProtectionRule {
        id: RuleId(0),
        owner,
        pattern: pattern.into(),
        tag_pattern: None,
        min_push: push,
        min_delete: None,
        created_at: at(0),
    }
}

fn immutable(project: ProjectId, pattern: &str) -> TagRule {
    TagRule {
        id: RuleId(0),
        project,
        pattern: pattern.into(),
        min_push: None,
        min_delete: None,
        immutable: true,
        created_at: at(0),
    }
}

/// The group `acme` and its project `acme/api`, both private.
fn group_and_project(access: &AccessDb, by: &Actor) -> (GroupId, ProjectId) {
    let group = access
        .create_group(by, "acme", Visibility::Private)
        .unwrap();
    let project = access
        .create_project(by, "acme/api", Visibility::Private)
        .unwrap();
    (group, project)
}

#[test]
fn rules_are_kept_changed_and_go_with_their_owner() {
    let (_directory, store) = fresh();
    let (access, by) = (&store.access, Actor::on_the_box(None));
    let (group, project) = group_and_project(access, &by);
    let (of_project, of_group) = (RuleOwner::Project(project), RuleOwner::Group(group));
    let maintainer = Some(MinimumLevel::Maintainer);
    let first = rule(of_project, "acme/api*", maintainer);
    let id = access.add_rule(&by, &first).unwrap();
    let stored = access.rule(id).unwrap().unwrap();
    assert_eq!(
        stored,
        ProtectionRule {
            id,
            created_at: stored.created_at,
            ..first.clone()
        }
    );
    // The same pattern twice is a conflict; for other tags, and for another owner, it is another rule.
    assert_eq!(
        access.add_rule(&by, &first).unwrap_err().kind(),
        Kind::Conflict
    );
    let narrowed = ProtectionRule {
        tag_pattern: Some("v*".into()),
        ..first.clone()
    };
    access.add_rule(&by, &narrowed).unwrap();
    access
        .add_rule(&by, &rule(of_group, "acme/api*", maintainer))
        .unwrap();
    assert_eq!(access.rules(of_project).unwrap().len(), 2);
    assert_eq!(access.rules(of_group).unwrap().len(), 1);
    // A rule that asks for nothing is none.
    let empty = access
        .add_rule(&by, &rule(of_project, "x", None))
        .unwrap_err();
    assert_eq!(empty.kind(), Kind::BadRequest);

    let changed = ProtectionRule {
        min_push: None,
        min_delete: Some(MinimumLevel::NoAccess),
        ..stored
    };
    access.set_rule(&by, &changed).unwrap();
    assert_eq!(access.rule(id).unwrap(), Some(changed.clone()));
    let gone = ProtectionRule {
        id: RuleId(99),
        ..changed
    };
    assert_eq!(
        access.set_rule(&by, &gone).unwrap_err().kind(),
        Kind::NotFound
    );

    access.remove_rule(&by, id).unwrap();
    assert_eq!(
        access.remove_rule(&by, id).unwrap_err().kind(),
        Kind::NotFound
    );
    access.remove_project(&by, project).unwrap();
    assert_eq!(access.rules(of_project).unwrap(), []);
    access.remove_group(&by, group).unwrap();
    assert_eq!(access.rules(of_group).unwrap(), []);
    let orphan = access.add_rule(&by, &first).unwrap_err();
    assert_eq!(orphan.kind(), Kind::NotFound);
}

#[test]
fn rules_about_tags_share_their_ids_with_the_others() {
    let (_directory, store) = fresh();
    let (access, by) = (&store.access, Actor::on_the_box(None));
    let (_, project) = group_and_project(access, &by);
    let owner = RuleOwner::Project(project);
    let about_paths = access
        .add_rule(&by, &rule(owner, "acme/api", Some(MinimumLevel::Admin)))
        .unwrap();
    let mut about_tags = immutable(project, "^v");
    about_tags.id = access.add_tag_rule(&by, &about_tags).unwrap();
    assert_ne!(about_tags.id, about_paths);
    assert_eq!(
        access.add_tag_rule(&by, &about_tags).unwrap_err().kind(),
        Kind::Conflict
    );
    about_tags.min_delete = Some(MinimumLevel::Owner);
    access.set_tag_rule(&by, &about_tags).unwrap();
    let stored = access.tag_rule(about_tags.id).unwrap().unwrap();
    about_tags.created_at = stored.created_at;
    assert_eq!(stored, about_tags);
    // An id of the one kind names nothing of the other.
    assert_eq!(access.rule(about_tags.id).unwrap(), None);
    assert_eq!(access.tag_rule(about_paths).unwrap(), None);
    assert_eq!(access.rules(owner).unwrap().len(), 1);
    assert_eq!(access.tag_rules(project).unwrap(), [about_tags.clone()]);
    access.remove_rule(&by, about_tags.id).unwrap();
    assert_eq!(access.tag_rules(project).unwrap(), []);
}

#[test]
fn members_of_a_project_are_counted_with_those_of_the_groups_above() {
    let (_directory, store) = fresh();
    let (access, by) = (&store.access, Actor::on_the_box(None));
    let acme = access
        .create_group(&by, "acme", Visibility::Private)
        .unwrap();
    let backend = access
        .create_group(&by, "acme/backend", Visibility::Private)
        .unwrap();
    let project = access
        .create_project(&by, "acme/backend/api", Visibility::Private)
        .unwrap();
    let alice = access
        .create_user(&by, "alice", false, false, None)
        .unwrap();
    let level = || access.project_level(project, alice).unwrap();
    assert_eq!(level(), None);
    access
        .set_project_member(&by, project, alice, Level::Guest)
        .unwrap();
    assert_eq!(level(), Some(Level::Guest));
    access.set_member(&by, acme, alice, Level::Owner).unwrap();
    assert_eq!(level(), Some(Level::Owner), "the highest wins");
    access.remove_member(&by, acme, alice).unwrap();
    access
        .set_member(&by, backend, alice, Level::Reporter)
        .unwrap();
    access
        .set_project_member(&by, project, alice, Level::Maintainer)
        .unwrap();
    assert_eq!(level(), Some(Level::Maintainer));
    let members = access.project_members(project).unwrap();
    assert_eq!(members.len(), 1);
    assert_eq!(
        (members[0].user.as_str(), members[0].level),
        ("alice", Level::Maintainer)
    );
    assert!(access.remove_project_member(&by, project, alice).unwrap());
    assert!(!access.remove_project_member(&by, project, alice).unwrap());
    assert_eq!(level(), Some(Level::Reporter));
    let nobody = access.set_project_member(&by, project, UserId(99), Level::Guest);
    assert_eq!(nobody.unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn each_change_of_a_rule_or_a_membership_is_an_event() {
    let (_directory, store) = fresh();
    let (access, by) = (&store.access, Actor::new("alice").user("alice", UserId(42)));
    let (_, project) = group_and_project(access, &by);
    let bob = access.create_user(&by, "bob", false, false, None).unwrap();
    access
        .set_project_member(&by, project, bob, Level::Guest)
        .unwrap();
    access.remove_project_member(&by, project, bob).unwrap();
    let owner = RuleOwner::Project(project);
    let mut first = rule(owner, "acme/api*", Some(MinimumLevel::Maintainer));
    first.id = access.add_rule(&by, &first).unwrap();
    first.min_push = Some(MinimumLevel::NoAccess);
    access.set_rule(&by, &first).unwrap();
    access.remove_rule(&by, first.id).unwrap();
    let about_tags = immutable(project, "^v");
    access.add_tag_rule(&by, &about_tags).unwrap();
    let events = store.audit.events(&EventFilter::default()).unwrap();
    let lines: Vec<_> = events[3..]
        .iter()
        .map(|event| {
            let word = |word: &Option<String>| word.clone().unwrap_or_default();
            format!(
                "{} {} by {} in {} {}",
                event.kind,
                word(&event.subject_name),
                event.actor,
                word(&event.group_path),
                event.details
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            r#"member.set bob by alice in acme/api {"access_level":10}"#,
            r"member.removed bob by alice in acme/api {}",
            r#"rule.added acme/api* by alice in acme/api {"min_push":"maintainer"}"#,
            r#"rule.changed acme/api* by alice in acme/api {"min_push":"no_access"}"#,
            r"rule.removed acme/api* by alice in acme/api {}",
            r#"rule.added ^v by alice in acme/api {"immutable":true}"#,
        ]
    );
}

#[test]
fn a_project_and_a_group_have_a_hundred_rules_of_each_kind_at_most() {
    let (_directory, store) = fresh();
    let (access, by) = (&store.access, Actor::on_the_box(None));
    let (group, project) = group_and_project(access, &by);
    let maintainer = Some(MinimumLevel::Maintainer);
    let of_project = |n| {
        rule(
            RuleOwner::Project(project),
            &format!("acme/api/{n}"),
            maintainer,
        )
    };
    let of_group = |n| rule(RuleOwner::Group(group), &format!("x{n}"), maintainer);
    let mut last = RuleId(0);
    for n in 0..MAX_RULES {
        access.add_rule(&by, &of_project(n)).unwrap();
        access.add_rule(&by, &of_group(n)).unwrap();
        last = access
            .add_tag_rule(&by, &immutable(project, &format!("^v{n}")))
            .unwrap();
    }
    for refused in [
        access.add_rule(&by, &of_project(MAX_RULES)),
        access.add_rule(&by, &of_group(MAX_RULES)),
        access.add_tag_rule(&by, &immutable(project, "^w")),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), Kind::BadRequest, "{error}");
        assert!(error.remedy_text().is_some(), "{error}");
    }
    // One that is there may change, and one that goes makes room.
    let changed = TagRule {
        id: last,
        ..immutable(project, "^w")
    };
    access.set_tag_rule(&by, &changed).unwrap();
    access.remove_rule(&by, last).unwrap();
    access.add_tag_rule(&by, &immutable(project, "^w")).unwrap();
}
