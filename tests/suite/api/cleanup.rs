//! Cleanup policies of projects, in GitLab's fields.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Caller, stage};
use crate::support::pushing::push_image;

/// Sets the policy of the project `acme/api`, as GitLab's clients do, and leaves it as it was.
pub(super) fn set_policy(root: &Caller<'_>, api: i64) {
    let project = format!("/projects/{api}");
    let policy =
        || root.ok("GET", &project, Value::Null, 200)["container_expiration_policy"].clone();
    let default = json!({
        "cadence": "1d", "enabled": false, "keep_n": 10, "older_than": "90d", "name_regex": ".*",
        "name_regex_delete": ".*", "name_regex_keep": null, "next_run_at": null, "last_run": null,
    });
    assert_eq!(policy(), default);
    let changes = json!({ "container_expiration_policy_attributes": {
        "enabled": true, "cadence": "7d", "keep_n": 25, "older_than": "14d", "name_regex": "ci-.*", "name_regex_keep": "v.+|main",
    } });
    let set = root.ok("PUT", &project, changes, 200)["container_expiration_policy"].clone();
    assert_eq!(set, policy());
    assert_eq!(
        (
            &set["keep_n"],
            &set["name_regex_delete"],
            &set["name_regex_keep"]
        ),
        (&json!(25), &json!("ci-.*"), &json!("v.+|main"))
    );
    assert!(set["next_run_at"].is_string(), "{set}");
    let listed = root.ok("GET", "/projects?search=api", Value::Null, 200);
    assert_eq!(listed[0]["container_expiration_policy"], set);
    // What is not given stays, and null takes away.
    let changes = json!({ "container_expiration_policy_attributes": { "keep_n": null, "older_than": null, "name_regex_keep": "" } });
    let set = root.ok("PUT", &project, changes, 200)["container_expiration_policy"].clone();
    assert_eq!(
        json!([
            set["enabled"],
            set["keep_n"],
            set["older_than"],
            set["name_regex_keep"],
            set["name_regex"]
        ]),
        json!([true, null, null, null, "ci-.*"])
    );
    let form = root.client.with("Content-Type", "application/x-www-form-urlencoded").request(
        "PUT",
        &format!("/api/v4{project}"),
        b"container_expiration_policy_attributes[enabled]=false&container_expiration_policy_attributes[cadence]=1d\
          &container_expiration_policy_attributes[keep_n]=10&container_expiration_policy_attributes[older_than]=90d\
          &container_expiration_policy_attributes[name_regex_delete]=.*",
    );
    assert_eq!(form.status, 200, "{}", form.text());
    assert_eq!(policy(), default);
}

/// Has many tags of a repository deleted.
pub(super) fn delete_in_bulk(root: &Caller<'_>, tags: &str) {
    let query = "name_regex_delete=v.*&name_regex_keep=v9&keep_n=1&older_than=1d";
    root.ok("DELETE", &format!("{tags}?{query}"), Value::Null, 202);
}

#[test]
fn many_tags_are_deleted_in_the_background_by_maintainers() {
    let stage = stage();
    let root = stage.root();
    let acme = root.made("/groups", json!({ "path": "acme" }));
    let api = root.made("/projects", json!({ "name": "api", "namespace_id": acme }));
    let secret = stage.appliance.token("root", &["api"]);
    let client = &stage.client;
    let pusher = client.bearer(
        &client
            .basic("root", &secret)
            .token(&["repository:acme/api:pull,push"]),
    );
    for tag in ["v1", "v2", "v3", "latest", "main"] {
        push_image(&pusher, "acme/api", tag, &[tag.as_bytes()]);
    }
    let repositories = format!("/projects/{api}/registry/repositories");
    let id = root.ok("GET", &repositories, Value::Null, 200)[0]["id"].clone();
    let tags = format!("{repositories}/{id}/tags");
    for (query, says) in [
        (
            "",
            r#"{"error":"name_regex, name_regex_delete are missing, at least one parameter must be provided"}"#,
        ),
        (
            "?name_regex_delete=(",
            r#"{"message":{"name_regex_delete":["`(` is not a regular expression"#,
        ),
        (
            "?name_regex=.*&older_than=soon",
            r#"{"message":{"older_than":["`soon` is no time (write 1h, 7d or 1month)"]}}"#,
        ),
        (
            "?name_regex=.*&keep_n=many",
            r#"{"error":"keep_n is invalid"}"#,
        ),
    ] {
        let refused = root.delete(&format!("{tags}{query}"));
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().starts_with(says), "{}", refused.text());
    }
    let (developer, _) = stage.user("developer");
    let member = json!({ "user_id": stage.user_id("developer"), "access_level": 30 });
    root.ok("POST", &format!("/projects/{api}/members"), member, 201);
    let refused = developer.delete(&format!("{tags}?name_regex=.*"));
    assert_eq!(refused.status, 403, "{}", refused.text());
    let names = || {
        let listed = root.ok("GET", &tags, Value::Null, 200);
        let names = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| tag["name"].clone());
        json!(names.collect::<Vec<_>>())
    };
    root.ok(
        "DELETE",
        &format!("{tags}?name_regex_delete=v.*&older_than=1d"),
        Value::Null,
        202,
    );
    // Another one is taken when that is done.
    let begun = Instant::now();
    let wait = || {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not done");
        std::thread::sleep(Duration::from_millis(50));
    };
    loop {
        let again = root.delete(&format!("{tags}?name_regex=.*&name_regex_keep=v2"));
        if again.status == 202 {
            break;
        }
        assert_eq!(again.status, 400, "{}", again.text());
        assert!(
            again.text().contains("this request has already been made"),
            "{}",
            again.text()
        );
        wait();
    }
    while names() != json!(["latest", "v2"]) {
        wait();
    }
    let events = stage.appliance.audit(&[]).to_string();
    assert!(
        events.contains("cleanup.requested") && events.contains("cleanup.ran"),
        "{events}"
    );
}

#[test]
fn a_policy_that_cannot_be_meant_is_refused_with_its_field_and_changes_nothing() {
    struct Case {
        field: &'static str,
        value: Value,
        says: &'static str,
    }
    let stage = stage();
    let root = stage.root();
    let acme = root.made("/groups", json!({ "path": "acme" }));
    let api = root.made("/projects", json!({ "name": "api", "namespace_id": acme }));
    let before = root.get(&format!("/projects/{api}")).json();
    let case = |field, value: Value, says| Case { field, value, says };
    for case in [
        case(
            "cadence",
            json!("2d"),
            r#"{"error":"container_expiration_policy_attributes[cadence] does not have a valid value"}"#,
        ),
        case(
            "older_than",
            json!("1d"),
            r#"{"error":"container_expiration_policy_attributes[older_than] does not have a valid value"}"#,
        ),
        case(
            "enabled",
            json!("maybe"),
            r#"{"error":"container_expiration_policy_attributes[enabled] is invalid"}"#,
        ),
        case(
            "keep_n",
            json!(7),
            r#"{"message":{"container_expiration_policy.keep_n":["is not included in the list (use 1, 5, 10, 25, 50 or 100, or null)"]}}"#,
        ),
        case(
            "name_regex",
            json!("("),
            r#"{"message":{"container_expiration_policy.name_regex":["`(` is not a regular expression for tags: "#,
        ),
        case(
            "name_regex_delete",
            json!("a)|(b"),
            r#"{"message":{"container_expiration_policy.name_regex":["`a)|(b` is not a regular expression"#,
        ),
        case(
            "name_regex_keep",
            json!("[ab]*a[ab]{20}c"),
            r#"{"message":{"container_expiration_policy.name_regex_keep":["`[ab]*a[ab]{20}c` is not"#,
        ),
    ] {
        let Case { field, value, says } = case;
        let attributes = json!({ "container_expiration_policy_attributes": { field: value } });
        let refused = root.call("PUT", &format!("/projects/{api}"), Some(attributes.clone()));
        assert_eq!(refused.status, 400, "{field}: {}", refused.text());
        assert!(
            refused.text().starts_with(says),
            "{field}: {}",
            refused.text()
        );
        let mut new = json!({ "name": "other", "namespace_id": acme });
        new["container_expiration_policy_attributes"] =
            attributes["container_expiration_policy_attributes"].clone();
        assert_eq!(root.post("/projects", new).status, 400, "{field}");
    }
    let no_object = root.call(
        "PUT",
        &format!("/projects/{api}"),
        Some(json!({ "container_expiration_policy_attributes": 1 })),
    );
    assert_eq!(
        no_object.text(),
        r#"{"error":"container_expiration_policy_attributes is invalid"}"#
    );
    assert_eq!(root.get(&format!("/projects/{api}")).json(), before);
    assert_eq!(root.get("/projects/acme%2Fother").status, 404);
    let new = json!({ "name": "web", "namespace_id": acme, "container_expiration_policy_attributes": { "enabled": true } });
    let web = root.ok("POST", "/projects", new, 201);
    assert_eq!(web["container_expiration_policy"]["enabled"], true);
    let events = stage.appliance.audit(&[]).to_string();
    assert!(events.contains(r#""cleanup_enabled":true"#), "{events}");
}
