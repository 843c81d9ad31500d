//! The second half of the walk: rules, what was pushed, and what is beyond GitLab.

use serde_json::{Value, json};

use super::{Caller, Stage};
use crate::support::pushing::{OCI_MANIFEST, push_image, put_manifest};

const NONE: Value = Value::Null;

/// Walks through all of it, with the group `acme` and the project `acme/api`.
pub(super) fn walk(stage: &Stage, root: &Caller<'_>, acme: i64, api: i64) {
    rules(root, acme, api);
    repositories(stage, root, acme, api);
    box_state(root, acme, api);
}

fn rules(root: &Caller<'_>, acme: i64, api: i64) {
    let rules = format!("/projects/{api}/registry/protection/repository/rules");
    let new = json!({ "repository_path_pattern": "acme/api/prod*", "minimum_access_level_for_push": "owner" });
    let rule = root.ok("POST", &rules, new.clone(), 201);
    assert_eq!(rule["push_protected_up_to_access_level"], "maintainer");
    assert_eq!(
        (
            &rule["project_id"],
            &rule["minimum_access_level_for_delete"]
        ),
        (&json!(api), &NONE)
    );
    let taken = root.post(&rules, new);
    assert_eq!(taken.status, 422, "{}", taken.text());
    let one = format!("{rules}/{}", rule["id"]);
    let older = json!({ "container_path": "acme/api/*", "delete_protected_up_to_access_level": "no_access",
        "minimum_access_level_for_push": "", "matching_package_version": "v*" });
    let rule = root.ok("PATCH", &one, older, 200);
    assert_eq!(rule["minimum_access_level_for_push"], NONE);
    assert_eq!(rule["minimum_access_level_for_delete"], "no_access");
    assert_eq!(
        (
            &rule["repository_path_pattern"],
            &rule["matching_package_version"]
        ),
        (&json!("acme/api/*"), &json!("v*"))
    );
    assert_eq!(
        root.ok("GET", &rules, NONE, 200).as_array().unwrap().len(),
        1
    );
    for (body, status) in [
        (json!({ "minimum_access_level_for_push": "owner" }), 400),
        (json!({ "repository_path_pattern": "acme/api/x" }), 400),
        (
            json!({ "repository_path_pattern": "other/*", "minimum_access_level_for_push": "owner" }),
            422,
        ),
        (
            json!({ "repository_path_pattern": "acme/api/x", "minimum_access_level_for_push": "developer" }),
            400,
        ),
    ] {
        let refused = root.post(&rules, body.clone());
        assert_eq!(refused.status, status, "{body}: {}", refused.text());
    }

    let tags = format!("/projects/{api}/registry/protection/tag/rules");
    let rule = root.ok(
        "POST",
        &tags,
        json!({ "tag_name_pattern": "^v", "immutable": true }),
        201,
    );
    let of_tags = format!("{tags}/{}", rule["id"]);
    let rule = root.ok(
        "PATCH",
        &of_tags,
        json!({ "minimum_access_level_for_push": "maintainer" }),
        200,
    );
    assert_eq!(
        (&rule["immutable"], &rule["minimum_access_level_for_push"]),
        (&json!(true), &json!("maintainer"))
    );
    assert_eq!(
        root.ok("GET", &tags, NONE, 200).as_array().unwrap().len(),
        1
    );
    assert_eq!(
        root.post(&tags, json!({ "tag_name_pattern": "(", "immutable": true }))
            .status,
        422
    );
    // A rule of the other kind, or of another project, is not there.
    assert_eq!(root.delete(&format!("{rules}/{}", rule["id"])).status, 404);
    root.ok("DELETE", &of_tags, NONE, 204);
    root.ok("DELETE", &one, NONE, 204);

    let rules = format!("/groups/{acme}/registry/protection/repository/rules");
    let new =
        json!({ "repository_path_pattern": "alpine", "minimum_access_level_for_delete": "admin" });
    let rule = root.ok("POST", &rules, new, 201);
    assert_eq!(
        (&rule["group_id"], &rule["project_id"]),
        (&json!(acme), &NONE)
    );
    let one = format!("{rules}/{}", rule["id"]);
    root.ok(
        "PATCH",
        &one,
        json!({ "minimum_access_level_for_push": "owner" }),
        200,
    );
    root.ok("GET", &rules, NONE, 200);
    root.ok("DELETE", &one, NONE, 204);
}

/// The manifest of a tag of `acme/api`.
fn pushed(stage: &Stage, secret: &str, tag: &str) -> Vec<u8> {
    let login = stage.client.basic("root", secret);
    let puller = stage
        .client
        .bearer(&login.token(&["repository:acme/api:pull"]));
    puller.get(&format!("/v2/acme/api/manifests/{tag}")).body
}

fn repositories(stage: &Stage, root: &Caller<'_>, acme: i64, api: i64) {
    let secret = stage.appliance.token("root", &["api"]);
    for (repository, tag) in [
        ("acme/api", "v1"),
        ("acme/api", "v2"),
        ("acme/api/worker", "v1"),
    ] {
        let scope = format!("repository:{repository}:pull,push");
        let pusher = stage
            .client
            .bearer(&stage.client.basic("root", &secret).token(&[&scope]));
        push_image(&pusher, repository, tag, &[tag.as_bytes()]);
    }
    let check = "/protection_check?user=root&repository=acme/api&tag=v1&action=push";
    assert_eq!(root.ok("GET", check, NONE, 200)["allowed"], true);
    // What would go with a tag, and what would keep its image.
    let manifest = pushed(stage, &secret, "v1");
    let scope = "repository:acme/api:pull,push";
    let pusher = stage
        .client
        .bearer(&stage.client.basic("root", &secret).token(&[scope]));
    let same = put_manifest(&pusher, "acme/api", "same", OCI_MANIFEST, &manifest);
    assert_eq!(same.status, 201, "{}", same.text());
    let removal = |image: &str| {
        let answer = root.delete(&format!("/registry/images?image={image}&dry_run=true"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let of_tag = removal("acme/api:same");
    assert_eq!(
        (
            &of_tag["other_tags"],
            &of_tag["images"],
            &of_tag["freed_bytes"]
        ),
        (&json!(["v1"]), &json!([]), &json!(0))
    );
    let of_image = removal(&format!(
        "acme/api@{}",
        of_tag["tags"][0]["digest"].as_str().unwrap()
    ));
    assert_eq!(of_image["tags"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&of_image["other_tags"], &of_image["dry_run"]),
        (&json!([]), &json!(true))
    );
    let gone = root.ok("DELETE", "/registry/images?image=acme/api:same", NONE, 200);
    assert_eq!(gone["tags"][0]["name"], "same");
    let shown = root.ok("GET", "/cache/image?image=hosted:acme/api:v1", NONE, 200);
    assert_eq!(shown["repository"], "acme/api");
    let list = format!("/projects/{api}/registry/repositories");
    let all = root.ok(
        "GET",
        &format!("{list}?tags=true&tags_count=true"),
        NONE,
        200,
    );
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(
        (&all[0]["path"], &all[0]["name"], &all[0]["tags_count"]),
        (&json!("acme/api"), &json!(""), &json!(2))
    );
    assert_eq!(
        (&all[1]["name"], &all[1]["tags"][0]["path"]),
        (&json!("worker"), &json!("acme/api/worker:v1"))
    );
    let location = all[1]["location"].as_str().unwrap();
    assert_eq!(
        location,
        format!("{}/acme/api/worker", stage.appliance.address())
    );
    let of_group = root.ok(
        "GET",
        &format!("/groups/{acme}/registry/repositories"),
        NONE,
        200,
    );
    assert_eq!(of_group.as_array().unwrap().len(), 2);
    assert!(of_group[0].get("tags").is_none());
    let (first, second) = (&all[0]["id"], &all[1]["id"]);
    let one = root.ok("GET", &format!("/registry/repositories/{first}"), NONE, 200);
    assert_eq!(one["project_id"], api);
    let tags = format!("{list}/{first}/tags");
    assert_eq!(
        root.ok("GET", &tags, NONE, 200).as_array().unwrap().len(),
        2
    );
    let tag = root.ok("GET", &format!("{tags}/v1"), NONE, 200);
    assert!(
        tag["digest"].as_str().unwrap().starts_with("sha256:"),
        "{tag}"
    );
    assert!(tag["total_size"].as_u64().unwrap() > 100, "{tag}");
    let image = root.ok("GET", &format!("{tags}/v1/image"), NONE, 200);
    assert_eq!(image["digest"], tag["digest"]);
    assert_eq!(
        (&image["tags"], &image["may_delete"]),
        (&json!(["v1"]), &json!(true)),
        "{image}"
    );
    let pushed_by = image["pushed_by"].as_str().unwrap();
    assert!(pushed_by.starts_with("root (token "), "{image}");
    let parts = image["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 2, "a config and a layer: {image}");
    assert!(parts.iter().all(|part| part["is_here"] == true));
    let found = root.ok("GET", "/registry/repositories?search=work", NONE, 200);
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["id"], *second);
    root.ok("DELETE", &format!("{tags}/v1"), NONE, 200);
    let gone = root.get(&format!("{tags}/v1"));
    assert_eq!(gone.text(), r#"{"message":"404 Tag Not Found"}"#);
    // What a rule protects stays, here as in the registry protocol.
    let rules = format!("/projects/{api}/registry/protection/repository/rules");
    let new = json!({ "repository_path_pattern": "acme/api/*", "minimum_access_level_for_delete": "no_access" });
    let rule = root.ok("POST", &rules, new, 201);
    let protected = root.delete(&format!("{list}/{second}"));
    assert_eq!(protected.status, 403, "{}", protected.text());
    assert!(
        protected
            .text()
            .contains("container protected; you are not allowed to delete this package"),
        "{}",
        protected.text()
    );
    root.ok("DELETE", &format!("{rules}/{}", rule["id"]), NONE, 204);
    root.ok("DELETE", &format!("{list}/{second}"), NONE, 202);
    assert_eq!(
        root.ok("GET", &list, NONE, 200).as_array().unwrap().len(),
        1
    );
    // Hidden from a stranger, by its id too: the same bytes as for what does not exist.
    let (stranger, _) = stage.user("stranger");
    let (hidden, missing) = (
        format!("/registry/repositories/{first}"),
        "/registry/repositories/999",
    );
    assert_eq!(stranger.get(&hidden).status, 404);
    assert_eq!(stranger.get(&hidden).text(), stranger.get(missing).text());
    let seen = stranger.ok("GET", "/registry/repositories", NONE, 200);
    assert_eq!(seen, json!([]));
    // A job token opens its own project's repositories and nothing else.
    let job = root.ok(
        "POST",
        &format!("/projects/{api}/job_tokens"),
        json!({}),
        201,
    );
    let by_job = stage
        .client
        .with("JOB-TOKEN", job["token"].as_str().unwrap());
    let status = |path: &str| by_job.get(&format!("/api/v4{path}")).status;
    assert_eq!(
        (
            status(&list),
            status(&tags),
            status("/user"),
            status("/projects")
        ),
        (200, 200, 401, 401)
    );
    let deleted = by_job.request("DELETE", &format!("/api/v4{tags}/v2"), b"");
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    super::cleanup::delete_in_bulk(root, &tags);
}

fn box_state(root: &Caller<'_>, acme: i64, api: i64) {
    for place in [
        String::new(),
        format!("/groups/{acme}"),
        format!("/projects/{api}"),
    ] {
        let events = root.ok(
            "GET",
            &format!("{place}/audit_events?per_page=100"),
            NONE,
            200,
        );
        let events = events.as_array().unwrap().clone();
        assert!(!events.is_empty(), "{place}");
        let times: Vec<_> = events
            .iter()
            .map(|event| event["id"].as_i64().unwrap())
            .collect();
        assert!(times.is_sorted_by(|a, b| a > b), "{place}: newest first");
    }
    let created = root.ok("GET", "/audit_events?event_name=group.created", NONE, 200);
    let made = created
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["details"]["entity_path"] == "acme")
        .unwrap();
    assert_eq!(
        (&made["entity_type"], &made["entity_id"]),
        (&json!("Group"), &json!(acme))
    );
    let details = &made["details"];
    assert_eq!(details["ip_address"], "127.0.0.1");
    assert!(
        details["author_name"]
            .as_str()
            .unwrap()
            .starts_with("root (token "),
        "{made}"
    );
    assert!(details["correlation_id"].is_string(), "{made}");
    assert_eq!(
        root.ok("GET", "/audit_events?created_before=2020-01-01", NONE, 200),
        json!([])
    );
    assert_eq!(
        root.get("/audit_events?created_after=yesterday").status,
        400
    );

    let network = root.ok(
        "POST",
        "/networks",
        json!({ "cidr": "192.0.2.0/24", "ability": "read", "group": "acme" }),
        201,
    );
    assert_eq!(network["group_id"], acme);
    assert_eq!(
        root.ok("GET", "/networks", NONE, 200)
            .as_array()
            .unwrap()
            .len(),
        3
    );
    root.ok("DELETE", "/networks/192.0.2.0%2F24?group=acme", NONE, 204);
    assert_eq!(
        root.delete("/networks/192.0.2.0%2F24?group=acme").status,
        404
    );
    assert_eq!(
        root.post(
            "/networks",
            json!({ "cidr": "192.0.2.1/24", "ability": "read" })
        )
        .status,
        400
    );

    let upstreams = root.ok("GET", "/upstreams", NONE, 200);
    assert_eq!(upstreams[0]["name"], "docker.io");
    root.ok("GET", "/cache/images?search=alpine", NONE, 200);
    assert_eq!(
        root.ok("GET", "/cache/statistics", NONE, 200)["manifests"],
        0
    );
    let status = root.ok("GET", "/status", NONE, 200);
    assert_eq!(status["upstreams"][0]["name"], "docker.io");
    assert_eq!(status["cached"]["manifests"], 0);
    assert_eq!(root.get("/cache/image?image=alpine&brief=true").status, 404);
    let absent = root.get("/cache/image?image=alpine");
    assert_eq!(absent.status, 404, "{}", absent.text());
    // There is nothing to purge, which needs no room.
    let purged = root.delete(&format!("/groups/{acme}/dependency_proxy/cache"));
    assert_eq!(
        (purged.status, &purged.json()["message"]),
        (202, &json!("202 Accepted"))
    );
}
