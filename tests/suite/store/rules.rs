//! `access.sqlite`: protection rules of both kinds.

use breakwater::error::Kind;
use breakwater::store::{MinimumLevel, ProtectionRule, RuleId, RuleOwner, TagRule, Visibility};

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

#[test]
fn rules_are_kept_changed_and_go_with_their_owner() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let group = access.create_group("acme", Visibility::Private).unwrap();
    let project = access
        .create_project("acme/api", Visibility::Private)
        .unwrap();
    let (of_project, of_group) = (RuleOwner::Project(project), RuleOwner::Group(group));
    let maintainer = Some(MinimumLevel::Maintainer);
    let first = rule(of_project, "acme/api*", maintainer);
    let id = access.add_rule(&first).unwrap();
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
    assert_eq!(access.add_rule(&first).unwrap_err().kind(), Kind::Conflict);
    let narrowed = ProtectionRule {
        tag_pattern: Some("v*".into()),
        ..first.clone()
    };
    access.add_rule(&narrowed).unwrap();
    access
        .add_rule(&rule(of_group, "acme/api*", maintainer))
        .unwrap();
    assert_eq!(access.rules(of_project).unwrap().len(), 2);
    assert_eq!(access.rules(of_group).unwrap().len(), 1);
    // A rule that asks for nothing is none.
    let empty = access.add_rule(&rule(of_project, "x", None)).unwrap_err();
    assert_eq!(empty.kind(), Kind::BadRequest);

    let changed = ProtectionRule {
        min_push: None,
        min_delete: Some(MinimumLevel::NoAccess),
        ..stored
    };
    access.set_rule(&changed).unwrap();
    assert_eq!(access.rule(id).unwrap(), Some(changed.clone()));
    let gone = ProtectionRule {
        id: RuleId(99),
        ..changed
    };
    assert_eq!(access.set_rule(&gone).unwrap_err().kind(), Kind::NotFound);

    access.remove_rule(id).unwrap();
    assert_eq!(access.remove_rule(id).unwrap_err().kind(), Kind::NotFound);
    access.remove_project(project).unwrap();
    assert_eq!(access.rules(of_project).unwrap(), []);
    access.remove_group(group).unwrap();
    assert_eq!(access.rules(of_group).unwrap(), []);
    let orphan = access.add_rule(&first).unwrap_err();
    assert_eq!(orphan.kind(), Kind::NotFound);
}

#[test]
fn rules_about_tags_share_their_ids_with_the_others() {
    let (_directory, store) = fresh();
    let access = &store.access;
    access.create_group("acme", Visibility::Private).unwrap();
    let project = access
        .create_project("acme/api", Visibility::Private)
        .unwrap();
    let owner = RuleOwner::Project(project);
    let about_paths = access
        .add_rule(&rule(owner, "acme/api", Some(MinimumLevel::Admin)))
        .unwrap();
    let mut about_tags = TagRule {
        id: RuleId(0),
        project,
        pattern: "^v".into(),
        min_push: None,
        min_delete: None,
        immutable: true,
        created_at: at(0),
    };
    about_tags.id = access.add_tag_rule(&about_tags).unwrap();
    assert_ne!(about_tags.id, about_paths);
    assert_eq!(
        access.add_tag_rule(&about_tags).unwrap_err().kind(),
        Kind::Conflict
    );
    about_tags.min_delete = Some(MinimumLevel::Owner);
    access.set_tag_rule(&about_tags).unwrap();
    let stored = access.tag_rule(about_tags.id).unwrap().unwrap();
    about_tags.created_at = stored.created_at;
    assert_eq!(stored, about_tags);
    // An id of the one kind names nothing of the other.
    assert_eq!(access.rule(about_tags.id).unwrap(), None);
    assert_eq!(access.tag_rule(about_paths).unwrap(), None);
    assert_eq!(access.rules(owner).unwrap().len(), 1);
    assert_eq!(access.tag_rules(project).unwrap(), [about_tags.clone()]);
    access.remove_rule(about_tags.id).unwrap();
    assert_eq!(access.tag_rules(project).unwrap(), []);
}

#[test]
fn both_vocabularies_say_the_same() {
    for (minimum, older) in [
        ("maintainer", "developer"),
        ("owner", "maintainer"),
        ("admin", "owner"),
        ("no_access", "no_access"),
    ] {
        let parsed = MinimumLevel::parse(minimum).unwrap();
        assert_eq!(
            MinimumLevel::parse_protected_up_to(older),
            Some(parsed),
            "{older}"
        );
        assert_eq!(
            (parsed.as_str(), parsed.protected_up_to()),
            (minimum, older)
        );
    }
    assert_eq!(MinimumLevel::parse("developer"), None);
    assert_eq!(MinimumLevel::parse_protected_up_to("admin"), None);
    assert!(MinimumLevel::ALL.is_sorted());
}
