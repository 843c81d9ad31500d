//! A walk through all resources: each is made, listed, changed and removed, with GitLab's fields and statuses.

use serde_json::{Value, json};

use super::document::operations;
use super::{Stage, empty, keys, stage_with};
use crate::support::appliance::Appliance;
use crate::support::client::{Client, token_path};

const NONE: Value = Value::Null;
/// So that others than the walker can be banned.
pub(super) const PROXIED: &str = "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]";

#[test]
fn every_operation_succeeds_once_and_its_answer_has_its_shape() {
    walk(&stage_with(Appliance::builder().toml(PROXIED)));
}

/// Each operation once, and what it says.
pub(super) fn walk(stage: &Stage) {
    let root = stage.root();

    // The box.
    let version = root.ok("GET", "/version", NONE, 200);
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    root.ok("GET", "/metadata", NONE, 200);
    root.ok("GET", "/openapi.json", NONE, 200);
    root.ok("GET", "/doctor", NONE, 200);

    // Bans.
    let guesser = stage.client.with("X-Forwarded-For", "192.0.2.77");
    let guesser = guesser.basic("x", "bwp_00000000000000000000000000000000");
    let mut guesses = (0..100).map(|_| guesser.get(&token_path(&[])).status);
    assert_eq!(guesses.find(|status| *status != 401), Some(429));
    let bans = root.ok("GET", "/bans", NONE, 200);
    assert_eq!(
        (&bans[0]["kind"], &bans[0]["address"]),
        (&json!("address"), &json!("192.0.2.77"))
    );
    // They lie in memory: a full disk is no reason to go on with one.
    let lifted = root.call("DELETE", "/bans/192.0.2.77", None);
    assert_eq!(lifted.status, 204, "{}", lifted.text());
    assert_eq!(root.ok("GET", "/bans", NONE, 200), json!([]));

    // Upstreams, which are added by command.
    stage.appliance.ok(&["group", "add", "walked"]);
    for group in [&[][..], &["--group", "walked"]] {
        let add = [
            "upstream",
            "add",
            "walk.test",
            "http://127.0.0.1:9",
            "--no-probe",
        ];
        stage.appliance.ok(&[&add[..], group].concat());
    }
    for place in ["", "/groups/walked"] {
        let path = format!("{place}/upstreams/walk.test");
        let change = json!({ "max_size": 1_000_000, "probe": false });
        let changed = root.ok("PUT", &path, change, 200);
        assert_eq!(changed["max_size"], 1_000_000);
        let tested = root.ok("POST", &format!("{path}/test"), NONE, 200);
        assert_eq!(tested["ok"], false, "{tested}");
    }
    let own = root.ok("GET", "/groups/walked/upstreams", NONE, 200);
    assert_eq!(own.as_array().unwrap().len(), 1, "{own}");
    assert_eq!(
        (&own[0]["name"], &own[0]["group"]),
        (&json!("walk.test"), &json!("walked"))
    );
    stage.appliance.ok(&["group", "remove", "walked", "--yes"]);

    // Webhooks, to where nobody listens.
    stage.appliance.ok(&["group", "add", "hooked"]);
    for place in ["", "/groups/hooked"] {
        let hooks = format!("{place}/hooks");
        let new = json!({ "url": "http://127.0.0.1:9/x", "events": ["image.pushed"], "allow_private": true });
        let made = root.ok("POST", &hooks, new, 201);
        assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
        let hook = format!("{hooks}/{}", made["id"]);
        let listed = root.ok("GET", &hooks, NONE, 200);
        let last = listed.as_array().unwrap().last().unwrap();
        assert_eq!((&last["id"], last.get("secret")), (&made["id"], None));
        let changed = root.ok("PUT", &hook, json!({ "events": ["disk.short"] }), 200);
        assert_eq!(root.ok("GET", &hook, NONE, 200), changed);
        assert_eq!(changed["events"], json!(["disk.short"]));
        let tested = root.ok("POST", &format!("{hook}/test"), NONE, 200);
        assert_eq!(tested["ok"], false, "{tested}");
        let rotated = root.ok(
            "POST",
            &format!("{hook}/rotate"),
            json!({ "grace": "7d" }),
            200,
        );
        assert_ne!(rotated["secret"], made["secret"]);
        root.ok("DELETE", &hook, NONE, 204);
    }
    stage.appliance.ok(&["group", "remove", "hooked", "--yes"]);

    // Users.
    let me = root.ok("GET", "/user", NONE, 200);
    assert_eq!(
        (&me["username"], &me["is_admin"]),
        (&json!("root"), &json!(true))
    );
    // What clients need.
    for client in ["docker", "containerd", "podman", "buildkit", "gitlab-ci"] {
        let setup = root.ok(
            "GET",
            &format!("/client_setups/{client}?group=acme"),
            NONE,
            200,
        );
        let address = stage.appliance.address().to_string();
        assert!(
            setup["files"][0]["text"].to_string().contains(&address),
            "{setup}"
        );
    }
    assert_eq!(root.get("/client_setups/telnet").status, 400);

    // Sessions of the page.
    let token = stage.appliance.token("root", &["api"]);
    let signed_in = stage
        .client
        .post_form("/sign-in", &[("username", "root"), ("password", &token)]);
    assert_eq!(signed_in.status, 303);
    let session = root.ok("GET", "/user/sessions", NONE, 200)[0]["id"].clone();
    root.ok("DELETE", &format!("/user/sessions/{session}"), NONE, 204);
    assert_eq!(root.ok("GET", "/user/sessions", NONE, 200), json!([]));

    let alice = root.made("/users", json!({
        "username": "alice", "name": "Alice", "email": "alice@example.com", "password": "correct horse battery",
    }));
    let bot = root.made("/users", json!({ "username": "bot", "service": true }));
    let found = root.ok("GET", "/users?username=alice", NONE, 200);
    assert_eq!(found[0]["id"], alice);
    assert_eq!(found.as_array().unwrap().len(), 1);
    root.ok("GET", &format!("/users/{alice}"), NONE, 200);
    root.ok(
        "PUT",
        &format!("/users/{alice}"),
        json!({ "password": "battery staple horse" }),
        200,
    );
    assert_eq!(
        root.ok("POST", &format!("/users/{bot}/block"), NONE, 201),
        true
    );
    assert_eq!(
        root.ok("GET", &format!("/users/{bot}"), NONE, 200)["state"],
        "blocked"
    );
    root.ok("POST", &format!("/users/{bot}/unblock"), NONE, 201);

    // Groups.
    let acme = root.made("/groups", json!({ "name": "acme", "path": "acme" }));
    let backend = root.made("/groups", json!({
        "name": "backend", "path": "backend", "parent_id": acme, "visibility": "public", "on_read_only_miss": "deny",
    }));
    let group = root.ok("GET", "/groups/acme%2Fbackend", NONE, 200);
    assert_eq!(group["id"], backend);
    assert_eq!(group["parent_id"], acme);
    assert_eq!(group["full_path"], "acme/backend");
    assert_eq!(group["full_name"], "acme / backend");
    assert_eq!(
        (&group["visibility"], &group["on_read_only_miss"]),
        (&json!("public"), &json!("deny"))
    );
    let top = root.ok("GET", "/groups?top_level_only=true&search=acm", NONE, 200);
    assert_eq!(top.as_array().unwrap().len(), 1);
    for below in ["subgroups", "descendant_groups"] {
        let groups = root.ok("GET", &format!("/groups/{acme}/{below}"), NONE, 200);
        assert_eq!(groups[0]["id"], backend, "{below}");
    }
    let changed = json!({ "visibility": "private", "dependency_proxy_enabled": false, "default_upstream": "docker.io" });
    let group = root.ok("PUT", &format!("/groups/{backend}"), changed, 200);
    assert_eq!(group["default_upstream"], "docker.io");
    assert_eq!(group["dependency_proxy_enabled"], false);

    // Members.
    let members = format!("/groups/{acme}/members");
    let member = root.ok(
        "POST",
        &members,
        json!({ "user_id": alice, "access_level": 30 }),
        201,
    );
    assert_eq!(
        (&member["id"], &member["access_level"]),
        (&json!(alice), &json!(30))
    );
    let again = root.post(&members, json!({ "user_id": alice, "access_level": 30 }));
    assert_eq!(
        (again.status, again.json()["message"].clone()),
        (409, json!("Member already exists"))
    );
    root.ok(
        "POST",
        &members,
        json!({ "username": "bot", "access_level": 10 }),
        201,
    );
    assert_eq!(
        root.ok("GET", &members, NONE, 200)
            .as_array()
            .unwrap()
            .len(),
        2
    );
    root.ok("GET", &format!("{members}/{alice}"), NONE, 200);
    let all = format!("/groups/{backend}/members/all");
    assert_eq!(root.ok("GET", &all, NONE, 200)[0]["username"], "alice");
    assert_eq!(
        root.ok("GET", &format!("{all}/{alice}"), NONE, 200)["access_level"],
        30
    );
    assert_eq!(
        root.get(&format!("/groups/{backend}/members/{alice}"))
            .status,
        404
    );
    let edited = root.ok(
        "PUT",
        &format!("{members}/{alice}"),
        json!({ "access_level": 50 }),
        200,
    );
    assert_eq!(edited["access_level"], 50);
    root.ok("DELETE", &format!("{members}/{bot}"), NONE, 204);

    // Projects.
    let api = root.made("/projects", json!({ "name": "api", "namespace_id": acme }));
    let project = root.ok("GET", "/projects/acme%2Fapi", NONE, 200);
    assert_eq!(project["id"], api);
    assert_eq!(project["namespace"]["id"], acme);
    root.ok("GET", "/projects?search=api", NONE, 200);
    let of_group = root.ok("GET", &format!("/groups/{acme}/projects"), NONE, 200);
    assert_eq!(of_group[0]["path_with_namespace"], "acme/api");
    root.ok(
        "PUT",
        &format!("/projects/{api}"),
        json!({ "visibility": "private", "quota": 1_000_000 }),
        200,
    );

    super::cleanup::set_policy(&root, api);

    let clash = root.call(
        "PUT",
        &format!("/projects/{api}"),
        Some(json!({ "visibility": "public" })),
    );
    assert_eq!(clash.status, 400, "{}", clash.text());
    assert!(
        clash.json()["message"]["visibility"].is_array(),
        "{}",
        clash.text()
    );
    let taken = root.post("/projects", json!({ "name": "api", "namespace_id": acme }));
    assert_eq!(
        taken.text(),
        r#"{"message":{"path":["has already been taken"]}}"#
    );
    let taken = root.post("/groups", json!({ "path": "acme" }));
    assert_eq!(
        (taken.status, taken.text().as_str()),
        (400, r#"{"message":{"path":["has already been taken"]}}"#)
    );

    // Members of projects.
    let members = format!("/projects/{api}/members");
    root.ok(
        "POST",
        &members,
        json!({ "user_id": bot, "access_level": 30 }),
        201,
    );
    let own = root.ok("GET", &members, NONE, 200);
    assert_eq!(
        (&own[0]["username"], own.as_array().unwrap().len()),
        (&json!("bot"), 1)
    );
    assert_eq!(
        root.ok("GET", &format!("{members}/all"), NONE, 200)
            .as_array()
            .unwrap()
            .len(),
        2
    );
    root.ok("GET", &format!("{members}/all/{alice}"), NONE, 200);
    root.ok("GET", &format!("{members}/{bot}"), NONE, 200);
    let edited = root.ok(
        "PUT",
        &format!("{members}/{bot}"),
        json!({ "access_level": 40 }),
        200,
    );
    assert_eq!(edited["access_level"], 40);
    root.ok("DELETE", &format!("{members}/{bot}"), NONE, 204);

    // Personal access tokens.
    let new = json!({ "name": "ci", "scopes": ["api"], "expires_at": "2099-01-31" });
    let token = root.ok(
        "POST",
        &format!("/users/{alice}/personal_access_tokens"),
        new.clone(),
        201,
    );
    assert_eq!(token["expires_at"], "2099-01-31");
    assert_eq!(token["user_id"], alice);
    let user = stage.caller(token["token"].as_str().unwrap());
    let own = user.ok("POST", "/user/personal_access_tokens", new, 201);
    let id = own["id"].as_i64().unwrap();
    assert_eq!(keys(&own).len(), keys(&token).len());
    let listed = user.ok(
        "GET",
        "/personal_access_tokens?state=active&search=ci",
        NONE,
        200,
    );
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert!(listed[0].get("token").is_none());
    user.ok("GET", &format!("/personal_access_tokens/{id}"), NONE, 200);
    let rotated = user.ok(
        "POST",
        &format!("/personal_access_tokens/{id}/rotate"),
        empty(),
        200,
    );
    let next = rotated["id"].as_i64().unwrap();
    assert_ne!(next, id);
    user.ok(
        "DELETE",
        &format!("/personal_access_tokens/{next}"),
        NONE,
        204,
    );
    assert_eq!(
        user.ok("GET", "/personal_access_tokens/self", NONE, 200)["id"],
        token["id"]
    );
    let rotated = user.ok(
        "POST",
        "/personal_access_tokens/self/rotate",
        json!({ "expires_at": "2099-01-31" }),
        200,
    );
    let user = stage.caller(rotated["token"].as_str().unwrap());
    user.ok("DELETE", "/personal_access_tokens/self", NONE, 204);
    assert_eq!(user.get("/user").status, 401);

    // Access tokens of groups and projects.
    for place in [format!("/groups/{acme}"), format!("/projects/{api}")] {
        let tokens = format!("{place}/access_tokens");
        let new = json!({ "name": "bot", "scopes": ["read_api", "api"], "access_level": 40 });
        let token = root.ok("POST", &tokens, new, 201);
        let id = token["id"].as_i64().unwrap();
        assert_eq!(
            (&token["access_level"], &token["user_id"]),
            (&json!(40), &NONE)
        );
        assert_eq!(
            root.ok("GET", &format!("{tokens}?state=active"), NONE, 200)[0]["id"],
            id
        );
        root.ok("GET", &format!("{tokens}/{id}"), NONE, 200);
        let bot = stage.caller(token["token"].as_str().unwrap());
        assert_eq!(
            bot.ok("GET", "/personal_access_tokens/self", NONE, 200)["access_level"],
            40
        );
        let rotated = bot.ok("POST", &format!("{tokens}/self/rotate"), empty(), 200);
        let id = rotated["id"].as_i64().unwrap();
        let rotated = root.ok("POST", &format!("{tokens}/{id}/rotate"), empty(), 200);
        let id = rotated["id"].as_i64().unwrap();
        root.ok("DELETE", &format!("{tokens}/{id}"), NONE, 204);
        assert_eq!(
            root.ok("GET", &format!("{tokens}?state=active"), NONE, 200),
            json!([])
        );
        assert_eq!(
            root.ok("GET", &format!("{tokens}?state=inactive"), NONE, 200)
                .as_array()
                .unwrap()
                .len(),
            3
        );
    }

    // Deploy tokens.
    for (place, username) in [
        (format!("/groups/{acme}"), Some("puller")),
        (format!("/projects/{api}"), None),
    ] {
        let tokens = format!("{place}/deploy_tokens");
        let new = json!({ "name": "k8s", "scopes": ["read_registry", "write_registry"], "username": username });
        let token = root.ok("POST", &tokens, new, 201);
        let id = token["id"].as_i64().unwrap();
        let default = format!("gitlab+deploy-token-{id}");
        assert_eq!(token["username"], username.unwrap_or(&default));
        assert_eq!(
            root.ok("GET", &format!("{tokens}/{id}"), NONE, 200)["revoked"],
            false
        );
        assert_eq!(
            root.ok("GET", &format!("{tokens}?active=true"), NONE, 200)[0]["id"],
            id
        );
        assert_eq!(
            root.ok("GET", "/deploy_tokens?active=true", NONE, 200)[0]["id"],
            id
        );
        let login = |token: &Value| {
            let text = |field: &str| token[field].as_str().unwrap().to_owned();
            let client = Client::of(&stage.appliance).basic(&text("username"), &text("token"));
            client.get(&token_path(&[])).status
        };
        assert_eq!(login(&token), 200);
        let used = root.ok("GET", &format!("{tokens}/{id}"), NONE, 200);
        assert!(used["last_used_at"].is_string(), "{used}");
        assert_eq!(used["last_used_ips"], json!(["127.0.0.1"]));
        let is_of_group = place.starts_with("/groups");
        assert_eq!(used["group_id"].is_i64(), is_of_group);
        assert_eq!(used["project_id"].is_i64(), !is_of_group);
        let until = json!({ "expires_at": "2027-01-31" });
        let rotate = format!("{tokens}/{id}/rotate");
        let next = root.ok("POST", &rotate, until, 200);
        for name in ["name", "username", "scopes"] {
            assert_eq!(next[name], token[name], "{name}");
        }
        assert_eq!(next["expires_at"], "2027-01-31T00:00:00Z");
        assert_eq!((login(&token), login(&next)), (401, 200));
        let id = next["id"].as_i64().unwrap();
        assert_eq!(
            root.ok("GET", &format!("{tokens}?active=true"), NONE, 200)[0]["id"],
            id,
            "it belongs to the same place"
        );
        root.ok("DELETE", &format!("{tokens}/{id}"), NONE, 204);
        assert_eq!(
            root.ok("GET", "/deploy_tokens?active=true", NONE, 200),
            json!([])
        );
        assert_eq!(root.ok("GET", &tokens, NONE, 200)[0]["revoked"], true);
        let again = root.call("POST", &rotate, Some(empty()));
        assert_eq!(
            (again.status, again.json()["message"].clone()),
            (400, json!("400 Bad request - token already revoked"))
        );
    }

    // Job tokens.
    let jobs = format!("/projects/{api}/job_tokens");
    let job = root.ok(
        "POST",
        &jobs,
        json!({ "user_id": alice, "ttl": "10m", "name": "job 7" }),
        201,
    );
    assert_eq!(
        (&job["user_id"], &job["project_id"]),
        (&json!(alice), &json!(api))
    );
    assert_eq!(
        root.ok("GET", &format!("{jobs}?active=true"), NONE, 200)
            .as_array()
            .unwrap()
            .len(),
        1
    );
    root.ok("DELETE", &format!("{jobs}/{}", job["id"]), NONE, 204);
    assert_eq!(
        root.ok("GET", &format!("{jobs}?active=true"), NONE, 200),
        json!([])
    );

    // Feature flags.
    let flag = "dependency_proxy_split_abilities";
    let set = root.ok(
        "POST",
        &format!("/features/{flag}"),
        json!({ "value": false }),
        201,
    );
    assert_eq!(
        (&set["state"], &set["gates"]),
        (
            &json!("off"),
            &json!([{ "key": "boolean", "value": false }])
        )
    );
    let set = root.ok(
        "POST",
        &format!("/features/{flag}"),
        json!({ "value": "true", "group": "acme" }),
        201,
    );
    assert_eq!(set["state"], "conditional");
    let path = format!("/features/{flag}/consequences?group=acme");
    let consequences = root.ok("GET", &path, NONE, 200);
    assert_eq!(consequences["group_path"], "acme");
    assert_eq!(
        set["gates"][1],
        json!({ "key": "actors", "value": [format!("Group:{acme}")] })
    );
    assert_eq!(
        root.ok("GET", "/features", NONE, 200)
            .as_array()
            .unwrap()
            .len(),
        2
    );
    root.ok("DELETE", &format!("/features/{flag}"), NONE, 204);
    let flags = root.ok("GET", "/features", NONE, 200);
    assert!(
        flags
            .as_array()
            .unwrap()
            .iter()
            .all(|flag| flag["state"] == "on"),
        "{flags}"
    );

    // The cache: also on a full disk, which is when they are needed.
    let evict = json!({ "to": "0", "dry_run": true });
    let evicted = root.call("POST", "/cache/evict", Some(evict));
    assert_eq!(
        (evicted.status, &evicted.json()["images"]),
        (200, &json!(0))
    );
    let purged = root.call("DELETE", "/cache/images?all=true", None);
    assert_eq!((purged.status, &purged.json()["images"]), (200, &json!(0)));
    let year = root.ok("GET", "/cache/history?period=year", NONE, 200);
    assert_eq!(year["points"].as_array().unwrap().len(), 12);
    // Pins.
    let pattern = json!({ "pattern": "alpine" });
    let pinned = root.ok("POST", "/cache/pins", pattern.clone(), 201);
    assert_eq!(pinned["pattern"], "docker.io/library/alpine");
    // Again, which changes nothing and so needs no room.
    let again = root.call("POST", "/cache/pins", Some(pattern));
    assert_eq!((again.status, again.json()), (201, pinned.clone()));
    assert_eq!(root.ok("GET", "/cache/pins", NONE, 200), json!([pinned]));
    root.ok("DELETE", "/cache/pins?pattern=alpine", NONE, 204);
    assert_eq!(root.delete("/cache/pins?pattern=alpine").status, 204);
    assert_eq!(root.ok("GET", "/cache/pins", NONE, 200), json!([]));

    super::hosted::walk(stage, &root, acme, api);

    // Away with it all.
    assert_eq!(
        root.ok("DELETE", &format!("/projects/{api}"), NONE, 202)["message"],
        "202 Accepted"
    );
    root.ok("DELETE", &format!("/groups/{acme}"), NONE, 202);
    assert_eq!(root.get(&format!("/groups/{backend}")).status, 404);
    root.ok("DELETE", &format!("/users/{alice}"), NONE, 204);
    assert_eq!(root.get(&format!("/users/{alice}")).status, 404);

    let walked = stage.walked.borrow();
    let missing: Vec<_> = operations(&stage.document)
        .into_iter()
        .map(|(method, path, _)| format!("{method} {path}"))
        .filter(|operation| !walked.contains(operation))
        .collect();
    assert_eq!(missing, Vec::<String>::new(), "these never succeeded");
}
