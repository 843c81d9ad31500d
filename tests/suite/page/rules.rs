//! Rules by the forms of the page.

use serde_json::{Value, json};

use super::Browser;
use super::people::people;
use crate::support::appliance::Appliance;

#[test]
fn rules_of_projects_and_groups_are_added_changed_and_removed() {
    let people = people();
    let (max, olga) = (people.browser("max"), people.browser("olga"));
    let rules = |path: &str| people.appliance.json(&["rule", "list", path, "--json"]);
    let keep =
        "minimum_access_level_for_push minimum_access_level_for_delete matching_package_version";

    let repositories = people.project("/registry/protection/repository/rules");
    let page = people.project("/rules");
    let add = [
        ("repository_path_pattern", "acme/api/prod*"),
        ("matching_package_version", "v*"),
        ("minimum_access_level_for_push", "owner"),
        ("minimum_access_level_for_delete", ""),
        ("_keep", keep),
        ("_back", &page),
        ("_form", "new-rule"),
    ];
    let act = format!("/act{repositories}");
    assert_eq!(people.browser("dora").post(&act, &add).status, 403);
    assert_eq!(rules("acme/api"), json!([]));
    let added = max.post(&act, &add);
    assert_eq!(
        (added.status, added.field("Location")),
        (303, Some(page.as_str()))
    );
    let text = max.page(&page);
    assert!(
        text.contains("acme/api/prod*") && text.contains("Owners</td>"),
        "{text}"
    );
    let again = max.post(&act, &add);
    assert_eq!(again.status, 422);
    assert!(
        again.text().contains("has already been taken"),
        "{}",
        again.text()
    );
    let change = [
        ("_method", "PATCH"),
        ("_keep", keep),
        ("repository_path_pattern", "acme/api/prod*"),
        ("matching_package_version", ""),
        ("minimum_access_level_for_push", ""),
        ("minimum_access_level_for_delete", "no_access"),
    ];
    let rule = rules("acme/api")[0].clone();
    let act = format!("{act}/{}", rule["id"]);
    assert_eq!(max.post(&act, &change).status, 303);
    let rule = rules("acme/api")[0].clone();
    for (field, value) in [
        ("matching_package_version", Value::Null),
        ("minimum_access_level_for_push", Value::Null),
        ("minimum_access_level_for_delete", json!("no_access")),
    ] {
        assert_eq!(rule[field], value, "{field}");
    }
    assert!(max.page(&page).contains("Nobody, administrators included"));
    assert_eq!(max.post(&act, &[("_method", "DELETE")]).status, 303);
    assert_eq!(rules("acme/api"), json!([]));

    let tags = format!("/act{}", people.project("/registry/protection/tag/rules"));
    let page = people.project("/rules?of=tags");
    let add = [
        ("tag_name_pattern", "^<v>&\"[0-9]+"),
        ("immutable", "false"),
        ("immutable", "true"),
        ("_keep", keep),
        ("minimum_access_level_for_push", ""),
        ("minimum_access_level_for_delete", ""),
        ("_back", &page),
        ("_form", "new-rule"),
    ];
    let added = max.post(&tags, &add);
    assert_eq!(added.status, 303, "{}", added.text());
    let text = max.page(&page);
    assert!(
        text.contains("immutable</span>") && !text.contains("<v>"),
        "{text}"
    );
    let rule = rules("acme/api")[0].clone();
    assert_eq!(rule["immutable"], true);
    let change = [
        ("_method", "PATCH"),
        ("immutable", "false"),
        ("minimum_access_level_for_push", "maintainer"),
    ];
    assert_eq!(
        max.post(&format!("{tags}/{}", rule["id"]), &change).status,
        303
    );
    assert_eq!(rules("acme/api")[0]["immutable"], false);
    let nothing = [
        ("tag_name_pattern", "x"),
        ("_back", &page),
        ("_form", "new-rule"),
    ];
    let refused = max.post(&tags, &nothing);
    assert_eq!(refused.status, 400);
    assert!(
        refused.text().contains("would protect nothing"),
        "{}",
        refused.text()
    );

    let group = format!(
        "/act{}",
        people.group("/registry/protection/repository/rules")
    );
    let add = [
        ("repository_path_pattern", "docker.io/library/*"),
        ("minimum_access_level_for_push", "owner"),
    ];
    assert_eq!(max.post(&group, &add).status, 403);
    assert_eq!(olga.post(&group, &add).status, 303);
    let text = olga.page(&people.group("/rules"));
    assert!(
        text.contains("Who may fill") && text.contains("docker.io/library/*"),
        "{text}"
    );
    assert!(olga.page("/rules?of=groups").contains("<td>1</td>"));
    assert!(max.page("/rules?of=groups").contains("You own no group"));
    assert!(max.page("/rules").contains(&people.project("/rules")));
    assert!(
        people
            .browser("dora")
            .page("/rules")
            .contains("You manage no project")
    );

    for number in 0..30 {
        let pattern = format!("acme/api/{number}*");
        people
            .appliance
            .ok(&["rule", "add", "acme/api", &pattern, "--min-push", "owner"]);
    }
    let first = max.page(&people.project("/rules"));
    assert_eq!(first.matches("Change the rule").count(), 10);
    assert!(first.len() < 50_000, "{}", first.len());
}

#[test]
fn whoever_manages_a_project_learns_who_may_push_what_and_why() {
    let people = people();
    let protect = [
        "rule",
        "add",
        "acme/api",
        "acme/api/prod*",
        "--min-push",
        "owner",
    ];
    people.appliance.ok(&protect);
    people
        .appliance
        .ok(&["rule", "tag", "acme/api", "^v", "--immutable"]);
    let max = people.browser("max");
    let asked = |user: &str, repository: &str, tag: &str, action: &str| {
        max.page(&format!(
            "/rules?user={user}&token=&repository={repository}&tag={tag}&action={action}"
        ))
    };
    let text = asked("dora", "acme%2Fapi%2Fprod", "v1", "push");
    assert!(text.contains("refused</span>"), "{text}");
    assert!(
        text.contains("dora may not push acme/api/prod:v1"),
        "{text}"
    );
    assert!(text.contains("Rule 1 decides"), "{text}");
    let text = asked("olga", "acme%2Fapi%2Fprod", "v1", "push");
    assert!(
        text.contains("allowed</span>") && text.contains("olga may push"),
        "{text}"
    );
    let text = asked("gina", "acme%2Fapi", "", "pull");
    assert!(text.contains("gina may not pull acme/api<"), "{text}");
    let text = asked("nobody", "acme%2Fapi", "", "pull");
    assert!(text.contains("role=\"alert\""), "{text}");
    let text = asked("%3Cscript%3E", "%22%3E%3Cscript%3E", "", "pull");
    assert!(!text.contains("<script>"), "{text}");
    assert!(
        !max.page("/rules?repository=acme%2Fapi")
            .contains("role=\"alert\"")
    );
    // Others are told nothing.
    let path = "/rules?user=olga&repository=acme%2Fapi&action=push";
    for name in ["sam", "dora"] {
        let text = people.browser(name).page(path);
        assert!(!text.contains("olga may"), "{text}");
    }
}

#[test]
fn what_a_flag_would_refuse_is_found_out_of_the_flag_that_it_is_asked_of() {
    let appliance = Appliance::start();
    let root = Browser::root(&appliance);
    let plain = root.page("/flags");
    let link = "/flags?change=dependency_proxy_split_abilities";
    assert!(plain.contains(link) && !plain.contains("it would refuse"));
    let asked = root.page(link);
    assert_eq!(asked.matches("it would refuse no token").count(), 1);
}
