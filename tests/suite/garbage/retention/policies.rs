//! A table of policies, and what each makes of a repository's tags.

use std::time::Duration;

use breakwater::store::{
    Actor, CleanupPolicy, MinimumLevel, OlderThan, ProtectionRule, RuleId, RuleOwner, TagRule,
};
use breakwater::time::Timestamp;
use breakwater::upkeep::retention::{self, Stays};

use super::{DAY, REPOSITORY, Workshop, everything};

/// A tag, how long ago it was pushed, and what is to become of it.
struct Expected {
    tag: &'static str,
    age: Duration,
    stays: Option<Stays>,
}

fn goes(tag: &'static str, age: Duration) -> Expected {
    Expected {
        tag,
        age,
        stays: None,
    }
}

fn stays(tag: &'static str, age: Duration, why: Stays) -> Expected {
    Expected {
        tag,
        age,
        stays: Some(why),
    }
}

struct Case {
    what: &'static str,
    policy: CleanupPolicy,
    tags: Vec<Expected>,
}

fn cases() -> Vec<Case> {
    let named = |delete: &str, keep: Option<&str>| CleanupPolicy {
        name_regex: Some(delete.to_owned()),
        name_regex_keep: keep.map(str::to_owned),
        ..everything()
    };
    vec![
        Case {
            what: "the example of GitLab's manual",
            policy: CleanupPolicy {
                keep_n: Some(1),
                older_than: Some(OlderThan::Days7),
                ..named(".*", Some("production-.*"))
            },
            tags: vec![
                stays("latest", DAY / 12, Stays::Latest),
                stays("production-v44", 3 * DAY, Stays::KeptName),
                stays("production-v43", 6 * DAY, Stays::KeptName),
                stays("production-v42", 11 * DAY, Stays::KeptName),
                stays("dev-v44", 2 * DAY, Stays::Young),
                stays("dev-v43", 5 * DAY, Stays::Young),
                goes("dev-v42", 10 * DAY),
                stays("v44", DAY, Stays::Newest),
                goes("v43", 12 * DAY),
                goes("v42", 20 * DAY),
            ],
        },
        Case {
            what: "neither number nor age",
            policy: everything(),
            tags: vec![
                stays("latest", 99 * DAY, Stays::Latest),
                goes("new", Duration::ZERO),
                goes("old", 99 * DAY),
            ],
        },
        Case {
            what: "an expression is about the whole name",
            policy: named("v1|dev.*", Some("dev-1")),
            tags: vec![
                goes("v1", DAY),
                stays("v10", DAY, Stays::OtherName),
                stays("xv1", DAY, Stays::OtherName),
                goes("dev", DAY),
                stays("my-dev", DAY, Stays::OtherName),
                stays("dev-1", DAY, Stays::KeptName),
                goes("dev-12", DAY),
            ],
        },
        Case {
            what: "what is kept by its name is not counted among the newest",
            policy: CleanupPolicy {
                keep_n: Some(5),
                ..named("c.*", Some("cat"))
            },
            tags: vec![
                stays("cat", DAY, Stays::KeptName),
                stays("other", DAY, Stays::OtherName),
                stays("c1", 2 * DAY, Stays::Newest),
                stays("c2", 3 * DAY, Stays::Newest),
                stays("c3", 4 * DAY, Stays::Newest),
                stays("c4", 5 * DAY, Stays::Newest),
                stays("c5", 6 * DAY, Stays::Newest),
                goes("c6", 7 * DAY),
            ],
        },
        Case {
            what: "of those of one second the last names are the newest",
            policy: CleanupPolicy {
                keep_n: Some(1),
                ..everything()
            },
            tags: vec![
                goes("a", DAY),
                goes("b", DAY),
                stays("c", DAY, Stays::Newest),
            ],
        },
        Case {
            what: "exactly as old as older_than is not older",
            policy: CleanupPolicy {
                older_than: Some(OlderThan::Days90),
                ..everything()
            },
            tags: vec![
                stays("young", 90 * DAY, Stays::Young),
                goes("old", 90 * DAY + Duration::from_secs(1)),
            ],
        },
        Case {
            what: "no expression",
            policy: CleanupPolicy {
                name_regex: None,
                ..everything()
            },
            tags: vec![stays("v1", 99 * DAY, Stays::OtherName)],
        },
        Case {
            what: "rules about deleting, whatever the level, and immutable tags",
            policy: everything(),
            tags: vec![
                stays("by-maintainers", DAY, Stays::Protected),
                stays("by-nobody", DAY, Stays::Protected),
                stays("immutable", DAY, Stays::Protected),
                stays("by-path", DAY, Stays::Protected),
                goes("pushed-by-owners", DAY),
            ],
        },
        Case {
            what: "protected tags are among the newest",
            policy: CleanupPolicy {
                keep_n: Some(1),
                ..everything()
            },
            tags: vec![
                stays("immutable", DAY, Stays::Newest),
                goes("older", 2 * DAY),
            ],
        },
    ]
}

/// What the rules of every case's project say.
fn add_rules(workshop: &Workshop) {
    let project = workshop.project.placed.project.id;
    let (access, actor) = (&workshop.store.access, Actor::on_the_box(None));
    let tag_rule = |pattern: &str| TagRule {
        id: RuleId(0),
        project,
        pattern: pattern.to_owned(),
        min_push: None,
        min_delete: None,
        immutable: false,
        created_at: Timestamp(0),
    };
    for rule in [
        TagRule {
            min_delete: Some(MinimumLevel::Maintainer),
            ..tag_rule("^by-maintainers$")
        },
        TagRule {
            min_delete: Some(MinimumLevel::NoAccess),
            ..tag_rule("^by-nobody$")
        },
        TagRule {
            immutable: true,
            ..tag_rule("^immutable$")
        },
        TagRule {
            min_push: Some(MinimumLevel::Owner),
            ..tag_rule("^pushed-by-owners$")
        },
    ] {
        access.add_tag_rule(&actor, &rule).unwrap();
    }
    let by_path = ProtectionRule {
        id: RuleId(0),
        owner: RuleOwner::Project(project),
        pattern: "acme/api*".to_owned(),
        tag_pattern: Some("by-path".to_owned()),
        min_push: None,
        min_delete: Some(MinimumLevel::Maintainer),
        created_at: Timestamp(0),
    };
    access.add_rule(&actor, &by_path).unwrap();
}

#[test]
fn a_policy_takes_the_tags_that_nothing_keeps_and_says_why_the_others_stay() {
    for case in cases() {
        let mut workshop = Workshop::new();
        add_rules(&workshop);
        let tags: Vec<_> = case
            .tags
            .iter()
            .map(|expected| (expected.tag, expected.age))
            .collect();
        workshop.push_tags(&tags);
        workshop.set_policy(case.policy);
        let project = workshop.project.placed.project.id;
        let judged = retention::Retention::default()
            .judged(&workshop.store, project, workshop.now)
            .unwrap();
        assert_eq!(judged.len(), 1, "{}", case.what);
        assert_eq!(judged[0].path, REPOSITORY);
        for expected in &case.tags {
            let mut of_tag = judged[0]
                .tags
                .iter()
                .filter(|(tag, _)| tag.name.as_str() == expected.tag);
            let (_, stays) = of_tag.next().expect(expected.tag);
            assert_eq!(*stays, expected.stays, "{}: {}", case.what, expected.tag);
        }
        assert_eq!(
            workshop.tags().len(),
            case.tags.len(),
            "{}: looking takes nothing",
            case.what
        );
        workshop.clean_up();
        let mut left: Vec<_> = case
            .tags
            .iter()
            .filter(|expected| expected.stays.is_some())
            .map(|expected| expected.tag)
            .collect();
        left.sort_unstable();
        assert_eq!(workshop.tags(), left, "{}", case.what);
    }
}

#[test]
fn a_rule_about_a_repository_keeps_all_of_it_and_none_of_another() {
    let mut workshop = Workshop::new();
    workshop.push_tags(&[("v1", DAY), ("v2", DAY)]);
    workshop.push_blob("acme/api/web", b"{}");
    workshop.put_image("acme/api/web", Some("v1"), &[b"{}"]);
    let rule = ProtectionRule {
        id: RuleId(0),
        owner: RuleOwner::Project(workshop.project.placed.project.id),
        pattern: REPOSITORY.to_owned(),
        tag_pattern: None,
        min_push: None,
        min_delete: Some(MinimumLevel::Maintainer),
        created_at: Timestamp(0),
    };
    workshop
        .store
        .access
        .add_rule(&Actor::on_the_box(None), &rule)
        .unwrap();
    workshop.set_policy(everything());
    workshop.clean_up();
    assert_eq!(workshop.tags(), ["v1", "v2"]);
    let web = workshop
        .store
        .registry
        .tags(workshop.place_of("acme/api/web"), "", 9)
        .unwrap();
    assert!(web.is_empty(), "{web:?}");
}
