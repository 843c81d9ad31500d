//! Which rules are about a path, a cached image, or a tag, and what they add up to.

use super::*;
use crate::store::{ProjectId, RuleId, RuleOwner};
use crate::time::Timestamp;

fn rule(pattern: &str, tags: Option<&str>, push: Option<MinimumLevel>) -> ProtectionRule {
    ProtectionRule {
        id: RuleId(1),
        owner: RuleOwner::Project(ProjectId(1)),
        pattern: pattern.into(),
        tag_pattern: tags.map(str::to_owned),
        min_push: push,
        min_delete: None,
        created_at: Timestamp(0),
    }
}

#[test]
fn the_strictest_of_the_matching_rules_holds() {
    use MinimumLevel::{Admin, Maintainer, NoAccess, Owner};
    let rules = [
        rule("acme/api*", None, Some(Maintainer)),
        rule("acme/api/prod*", None, Some(Admin)),
        rule("acme/api/prod/x", None, Some(Owner)),
        rule("acme/api*", Some("v*"), Some(NoAccess)),
        rule("acme/api*", None, None),
    ];
    let table = [
        ("acme/api", Some(Maintainer)),
        ("acme/api/prod/x", Some(Admin)),
        ("acme/other", None),
    ];
    for (path, push) in table {
        assert_eq!(of_path(&rules, path).push, push, "{path}");
        assert_eq!(of_path(&rules, path).delete, None, "{path}");
    }
    assert_eq!(of_tag(&rules, "acme/api", "v1").push, Some(NoAccess));
    assert_eq!(of_tag(&rules, "acme/api", "latest").push, None);
    assert_eq!(of_tag(&rules, "other", "v1").push, None);
}

#[test]
fn a_cached_image_is_found_under_each_of_its_names() {
    let table: &[(&str, &str, &str, bool)] = &[
        // pattern, host, repository → protected
        (
            "docker.io/library/alpine",
            "docker.io",
            "library/alpine",
            true,
        ),
        ("library/alpine", "docker.io", "library/alpine", true),
        ("alpine", "docker.io", "library/alpine", true),
        ("alpine", "docker.io", "library/alpine-git", false),
        ("alpine", "docker.io", "org/alpine", false),
        ("org/*", "docker.io", "org/alpine", true),
        ("alpine", "quay.io", "library/alpine", false),
        ("library/*", "quay.io", "library/alpine", false),
        ("quay.io/*", "quay.io", "library/alpine", true),
        ("*", "quay.io", "library/alpine", true),
    ];
    for (pattern, host, repository, expected) in table {
        let rules = [rule(pattern, None, Some(MinimumLevel::Admin))];
        let host = RegistryHost::parse(host).unwrap();
        let repository = RepositoryName::parse(repository).unwrap();
        let found = of_cached(&rules, &host, &repository).push;
        assert_eq!(
            found.is_some(),
            *expected,
            "{pattern} on {host}/{repository}"
        );
    }
}

#[test]
fn rules_about_tags_add_up_and_an_unreadable_one_is_about_every_tag() {
    let row = |pattern: &str, push, immutable| TagRule {
        id: RuleId(1),
        project: ProjectId(1),
        pattern: pattern.into(),
        min_push: push,
        min_delete: None,
        immutable,
        created_at: Timestamp(0),
    };
    let expressions = Arc::default();
    let rows = [
        row("^v[0-9]", Some(MinimumLevel::Maintainer), true),
        row("rc", Some(MinimumLevel::Owner), false),
    ];
    let rules = TagRules::new(&rows, &expressions);
    let verdict = |tag: &str| (rules.of(tag).minimums.push, rules.of(tag).immutable);
    assert_eq!(verdict("v1"), (Some(MinimumLevel::Maintainer), true));
    assert_eq!(verdict("v1-rc1"), (Some(MinimumLevel::Owner), true));
    assert_eq!(verdict("dev-v1"), (None, false));
    let unreadable = TagRules::new(&[row("(", Some(MinimumLevel::Admin), false)], &expressions);
    assert_eq!(
        unreadable.of("latest").minimums.push,
        Some(MinimumLevel::Admin)
    );
}
