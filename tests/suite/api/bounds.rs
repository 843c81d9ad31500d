//! What a caller learns or gets no more of by REST than elsewhere: below private groups, of tags, of what a former
//! project left, by a delete that is refused, and by a bot's own rotation.

use std::time::Duration;

use breakwater::time::{Timestamp, parse_moment};
use serde_json::{Value, json};

use super::{Caller, Stage, empty, keys, stage};
use crate::support::pushing::push_image;

const NONE: Value = Value::Null;

fn join(root: &Caller<'_>, place: &str, name: &str, level: i64) {
    let member = json!({ "username": name, "access_level": level });
    root.ok("POST", &format!("{place}/members"), member, 201);
}

fn push(stage: &Stage, repository: &str, tags: &[&str]) {
    let secret = stage.appliance.token("root", &["api"]);
    let scope = format!("repository:{repository}:pull,push");
    let jwt = stage.client.basic("root", &secret).token(&[&scope]);
    let pusher = stage.client.bearer(&jwt);
    for tag in tags {
        push_image(&pusher, repository, tag, &[tag.as_bytes()]);
    }
}

/// What a list's objects have in `field`.
fn column(list: &Value, field: &str) -> Vec<String> {
    let rows = list.as_array().expect("a list").iter();
    rows.map(|row| row[field].as_str().expect("text").to_owned())
        .collect()
}

#[test]
fn what_is_public_below_a_group_that_became_private_is_hidden() {
    let stage = stage();
    let root = stage.root();
    let public = |path: &str| json!({ "path": path, "visibility": "public" });
    let open = root.made("/groups", public("open"));
    let mut sub = public("sub");
    sub["parent_id"] = json!(open);
    let sub = root.made("/groups", sub);
    let mut web = public("web");
    web["namespace_id"] = json!(sub);
    let web = root.made("/projects", web);
    let (boss, _) = stage.user("boss");
    let (inner, _) = stage.user("inner");
    let (stranger, _) = stage.user("stranger");
    join(&root, "/groups/open", "boss", 30);
    join(&root, &format!("/groups/{sub}"), "inner", 10);
    let boss_id = stage.user_id("boss");
    let places = [format!("/groups/{sub}"), format!("/projects/{web}")];
    let seen = [
        format!("/groups/{open}"),
        format!("/groups/{sub}"),
        "/groups/open%2Fsub".to_owned(),
        format!("/groups/{sub}/projects"),
        format!("/groups/{sub}/members/all"),
        format!("/projects/{web}"),
        "/projects/open%2Fsub%2Fweb".to_owned(),
        format!("/projects/{web}/members/all"),
        format!("/projects/{web}/registry/repositories"),
    ];
    for path in &seen {
        stranger.ok("GET", path, NONE, 200);
    }
    let members = |caller: &Caller<'_>, place: &str| {
        let all = caller.ok("GET", &format!("{place}/members/all"), NONE, 200);
        column(&all, "username")
    };
    for place in &places {
        assert!(members(&inner, place).contains(&"boss".to_owned()));
    }

    root.ok(
        "PUT",
        "/groups/open",
        json!({ "visibility": "private" }),
        200,
    );

    let missing = stranger.get("/projects/999").text();
    for path in &seen {
        assert_eq!(stranger.get(path).status, 404, "{path}");
    }
    let hidden = stranger.get(&format!("/projects/{web}"));
    assert_eq!(hidden.text(), missing);
    for list in ["/groups", "/projects"] {
        assert_eq!(stranger.ok("GET", list, NONE, 200), json!([]), "{list}");
    }
    // Who is a member below sees that, but not who is in the group above; who is a member there sees all.
    assert_eq!(inner.get("/groups/open").status, 404);
    for place in &places {
        let of_inner = members(&inner, place);
        assert!(of_inner.contains(&"inner".to_owned()), "{of_inner:?}");
        assert!(!of_inner.contains(&"boss".to_owned()), "{of_inner:?}");
        let one = format!("{place}/members/all/{boss_id}");
        assert_eq!(inner.get(&one).status, 404);
        boss.ok("GET", &one, NONE, 200);
        let of_boss = members(&boss, place);
        for name in ["boss", "inner"] {
            assert!(of_boss.contains(&name.to_owned()), "{of_boss:?}");
        }
    }
}

#[test]
fn lists_name_tags_only_to_who_may_pull() {
    let stage = stage();
    let root = stage.root();
    root.made("/groups", json!({ "path": "acme" }));
    let new = json!({ "path": "api", "namespace_id": "acme" });
    let api = root.made("/projects", new);
    push(&stage, "acme/api/worker", &["v1", "v2"]);
    let lists = [
        format!("/projects/{api}/registry/repositories"),
        "/groups/acme/registry/repositories".to_owned(),
    ];
    for (name, level, reads) in [("guest", 10, false), ("reporter", 20, true)] {
        let (caller, _) = stage.user(name);
        join(&root, "/groups/acme", name, level);
        for list in &lists {
            for (query, asked) in [
                ("tags=true", &["tags", "tags_count"][..]),
                ("tags_count=true", &["tags_count"]),
                ("tags=true&tags_count=true", &["tags", "tags_count"]),
            ] {
                let found = caller.ok("GET", &format!("{list}?{query}"), NONE, 200);
                assert_eq!(column(&found, "path"), ["acme/api/worker"], "{name}");
                let fields = keys(&found[0]);
                let told: Vec<_> = fields
                    .iter()
                    .filter(|key| key.starts_with("tags"))
                    .collect();
                let expected: Vec<_> = asked.iter().filter(|_| reads).collect();
                assert_eq!(told, expected, "{name} {list}?{query}");
            }
        }
    }
}

#[test]
fn what_a_former_project_left_is_not_shown_to_the_next_of_its_path() {
    let stage = stage();
    let root = stage.root();
    root.made("/groups", json!({ "path": "acme" }));
    let new = json!({ "path": "api", "namespace_id": "acme" });
    let former = root.made("/projects", new.clone());
    push(&stage, "acme/api", &["secret"]);
    let list = format!("/projects/{former}/registry/repositories");
    let id = root.ok("GET", &list, NONE, 200)[0]["id"].clone();
    let one = format!("/registry/repositories/{id}?tags=true");
    root.ok("GET", &one, NONE, 200);
    root.call("DELETE", &format!("/projects/{former}"), None);
    assert_eq!(root.get(&one).status, 404);

    let next = root.made("/projects", new);
    assert_ne!(next, former);

    let (missing, left) = (root.get("/registry/repositories/999"), root.get(&one));
    assert_eq!(
        (left.status, left.text()),
        (404, missing.text()),
        "of project {former}, by project {next}"
    );
    push(&stage, "acme/api", &["own"]);
    let list = format!("/projects/{next}/registry/repositories?tags=true");
    let own = root.ok("GET", &list, NONE, 200);
    assert_eq!(column(&own[0]["tags"], "name"), ["own"]);
}

#[test]
fn a_refused_delete_of_a_repository_takes_no_tag_away() {
    let stage = stage();
    let root = stage.root();
    root.made("/groups", json!({ "path": "acme" }));
    let new = json!({ "path": "api", "namespace_id": "acme" });
    let api = root.made("/projects", new);
    let (maintainer, _) = stage.user("maintainer");
    join(&root, "/groups/acme", "maintainer", 40);
    push(&stage, "acme/api", &["a", "keep", "z"]);
    let rules = format!("/projects/{api}/registry/protection/tag/rules");
    let rule = json!({ "tag_name_pattern": "^keep$", "minimum_access_level_for_delete": "owner" });
    let rule = root.ok("POST", &rules, rule, 201);
    let list = format!("/projects/{api}/registry/repositories");
    let id = root.ok("GET", &list, NONE, 200)[0]["id"].clone();
    let one = format!("{list}/{id}");
    let tags = || column(&root.ok("GET", &format!("{one}/tags"), NONE, 200), "name");

    let refused = maintainer.delete(&one);

    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(
        refused.text().contains("tag protected"),
        "{}",
        refused.text()
    );
    assert_eq!(tags(), ["a", "keep", "z"]);
    root.ok("DELETE", &format!("{rules}/{}", rule["id"]), NONE, 204);
    maintainer.ok("DELETE", &one, NONE, 202);
    // A repository without content is none.
    assert_eq!(root.ok("GET", &list, NONE, 200), json!([]));
}

#[test]
fn a_bot_that_rotates_itself_lives_no_longer_than_before() {
    let stage = stage();
    let root = stage.root();
    let acme = root.made("/groups", json!({ "path": "acme" }));
    let new = json!({ "path": "api", "namespace_id": "acme" });
    let api = root.made("/projects", new);
    for place in [format!("/groups/{acme}"), format!("/projects/{api}")] {
        let tokens = format!("{place}/access_tokens");
        let made = |expires_at: &str| {
            let new = json!({ "name": "bot", "scopes": ["api"], "expires_at": expires_at });
            root.ok("POST", &tokens, new, 201)
        };
        let own = format!("{tokens}/self/rotate");
        let expiry = |at: &str| json!({ "expires_at": at });
        let limited = made("2090-01-01");
        let bot = stage.caller(limited["token"].as_str().unwrap());
        for longer in ["never", "2090-02-01", "2300-01-01"] {
            let refused = bot.post(&own, expiry(longer));
            assert_eq!(refused.status, 400, "{longer}: {}", refused.text());
            assert!(
                refused.text().contains("lives no longer than before"),
                "{}",
                refused.text()
            );
            // Nothing was rotated.
            bot.ok("GET", "/personal_access_tokens/self", NONE, 200);
        }
        let same = bot.ok("POST", &own, expiry("2090-01-01"), 200);
        assert_eq!(same["expires_at"], "2090-01-01");
        let bot = stage.caller(same["token"].as_str().unwrap());
        let sooner = bot.ok("POST", &own, expiry("2080-01-01"), 200);
        let bot = stage.caller(sooner["token"].as_str().unwrap());
        // What was given up does not come back, except from whoever manages the place.
        assert_eq!(bot.post(&own, expiry("2090-01-01")).status, 400);
        let by_default = bot.ok("POST", &own, empty(), 200);
        let by_manager = format!("{tokens}/{}/rotate", by_default["id"]);
        let longer = root.ok("POST", &by_manager, expiry("2090-01-01"), 200);
        assert_eq!(longer["expires_at"], "2090-01-01");
        // Without an end there is none to put off.
        let unlimited = made("never");
        let bot = stage.caller(unlimited["token"].as_str().unwrap());
        let next = bot.ok("POST", &own, expiry("never"), 200);
        assert_eq!(next["expires_at"], NONE);
    }
}

#[test]
fn a_rotation_never_lengthens_a_life_by_itself() {
    let stage = stage();
    let root = stage.root();
    root.made("/groups", json!({ "path": "acme" }));
    let (owner, _) = stage.user("owner");
    let member = ["member", "add", "acme", "owner", "--level", "owner"];
    stage.appliance.ok(&member);
    let in_seconds = |seconds: u64| {
        let at = Timestamp::now().plus(Duration::from_secs(seconds));
        json!({ "name": "short", "scopes": ["api"], "expires_at": at.to_string() })
    };
    let stored_end = |id: &Value| {
        let tokens = stage.appliance.json(&["token", "list", "--json"]);
        let mut tokens = tokens.as_array().unwrap().iter();
        let token = tokens.find(|token| token["id"] == *id).unwrap();
        parse_moment(token["expires_at"].as_str().unwrap()).unwrap()
    };
    let places = [
        ("/user/personal_access_tokens", "/personal_access_tokens"),
        ("/groups/acme/access_tokens", "/groups/acme/access_tokens"),
    ];
    for (make, tokens) in places {
        // Who says nothing gets no week for an hour.
        let short = owner.ok("POST", make, in_seconds(3600), 201);
        let by_itself = stage.caller(short["token"].as_str().unwrap());
        let next = by_itself.ok("POST", &format!("{tokens}/self/rotate"), empty(), 200);
        let hour = Timestamp::now().plus(Duration::from_secs(3601));
        assert!(stored_end(&next["id"]) <= hour, "{make}: {next}");
        let by_id = format!("{tokens}/{}/rotate", next["id"]);
        let next = owner.ok("POST", &by_id, empty(), 200);
        let hour = Timestamp::now().plus(Duration::from_secs(3601));
        assert!(stored_end(&next["id"]) <= hour, "{make}: {next}");
        // Who manages it may give it a year, an administrator more.
        let by_id = format!("{tokens}/{}/rotate", next["id"]);
        for late in ["2090-01-01", "never"] {
            let refused = owner.post(&by_id, json!({ "expires_at": late }));
            assert_eq!(refused.status, 400, "{make} {late}: {}", refused.text());
            // Of one's own, it is a token that one makes.
            let why = match make.starts_with("/user/") {
                true => "ends with it",
                false => "a year at most",
            };
            assert!(refused.text().contains(why), "{}", refused.text());
        }
        let month = Timestamp::now().plus(Duration::from_secs(30 * 86_400));
        let month = json!({ "expires_at": month.to_string() });
        let next = owner.ok("POST", &by_id, month, 200);
        let by_id = format!("{tokens}/{}/rotate", next["id"]);
        let next = root.ok("POST", &by_id, json!({ "expires_at": "2090-01-01" }), 200);
        assert_eq!(next["expires_at"], "2090-01-01");
    }
    // A personal token that rotates itself, by whichever path, gets no longer life than it had.
    for path in ["self", "ID"] {
        let short = owner.ok("POST", places[0].0, in_seconds(3600), 201);
        let path = path.replace("ID", &short["id"].to_string());
        let path = format!("/personal_access_tokens/{path}/rotate");
        let by_itself = stage.caller(short["token"].as_str().unwrap());
        let tomorrow = Timestamp::now().plus(Duration::from_secs(86_400));
        for late in [&tomorrow.to_string(), "never"] {
            let refused = by_itself.post(&path, json!({ "expires_at": late }));
            assert_eq!(refused.status, 400, "{path} {late}: {}", refused.text());
            assert!(
                refused.text().contains("lives no longer than before"),
                "{}",
                refused.text()
            );
        }
        let soon = Timestamp::now().plus(Duration::from_secs(1800));
        let soon = json!({ "expires_at": soon.to_string() });
        by_itself.ok("POST", &path, soon, 200);
    }
}
