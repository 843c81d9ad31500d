//! Who may what: roles against routes, what is hidden, and levels that nobody can give beyond their own.

use serde_json::{Value, json};

use super::{Caller, Stage, stage};

/// A private group `acme` with a project `acme/api`, a public group `open`, and a user of each level in acme.
struct Cast<'a> {
    stage: &'a Stage,
    root: Caller<'a>,
    acme: i64,
    api: i64,
}

const LEVELS: [(&str, i64); 5] = [
    ("guest", 10),
    ("reporter", 20),
    ("developer", 30),
    ("maintainer", 40),
    ("owner", 50),
];

fn cast(stage: &Stage) -> Cast<'_> {
    let root = stage.root();
    let acme = root.made("/groups", json!({ "path": "acme" }));
    root.made("/groups", json!({ "path": "open", "visibility": "public" }));
    let api = root.made(
        "/projects",
        json!({ "path": "api", "namespace_id": "acme" }),
    );
    for (name, level) in LEVELS {
        stage.user(name);
        let member = json!({ "username": name, "access_level": level });
        root.ok("POST", "/groups/acme/members", member, 201);
    }
    stage.user("stranger");
    Cast {
        stage,
        root,
        acme,
        api,
    }
}

/// In the order of `EXPECTED`: nobody's member, then by level, then an administrator.
fn callers<'a>(cast: &Cast<'a>) -> Vec<(&'static str, Caller<'a>)> {
    let names = [
        "stranger",
        "guest",
        "reporter",
        "developer",
        "maintainer",
        "owner",
        "root",
    ];
    names
        .into_iter()
        .map(|name| (name, cast.stage.user(name).0))
        .collect()
}

#[test]
fn each_role_may_what_the_table_says() {
    let stage = stage();
    let cast = cast(&stage);
    let none = Value::Null;
    let member = json!({ "username": "root", "access_level": 10 });
    let token = json!({ "name": "t", "scopes": ["read_registry"], "access_level": 10 });
    let flag = "/features/dependency_proxy_split_abilities";
    // Requests that fail for their fields (400, 404, 409) where they are allowed change nothing.
    let table: &[(&str, &str, &Value, [u16; 7])] = &[
        //                                    stranger guest reporter developer maintainer owner root
        (
            "GET",
            "/groups/acme",
            &none,
            [404, 200, 200, 200, 200, 200, 200],
        ),
        (
            "GET",
            "/groups/acme/subgroups",
            &none,
            [404, 200, 200, 200, 200, 200, 200],
        ),
        (
            "GET",
            "/groups/acme/projects",
            &none,
            [404, 200, 200, 200, 200, 200, 200],
        ),
        (
            "GET",
            "/groups/acme/members",
            &none,
            [404, 200, 200, 200, 200, 200, 200],
        ),
        (
            "PUT",
            "/groups/acme",
            &json!({}),
            [404, 403, 403, 403, 403, 200, 200],
        ),
        (
            "POST",
            "/groups/acme/members",
            &json!({}),
            [404, 403, 403, 403, 403, 400, 400],
        ),
        (
            "PUT",
            "/groups/acme/members/1",
            &member,
            [404, 403, 403, 403, 403, 404, 404],
        ),
        (
            "DELETE",
            "/groups/acme/members/999",
            &none,
            [404, 403, 403, 403, 403, 404, 404],
        ),
        (
            "GET",
            "/groups/acme/access_tokens",
            &none,
            [404, 403, 403, 403, 403, 200, 200],
        ),
        (
            "POST",
            "/groups/acme/access_tokens",
            &token,
            [404, 403, 403, 403, 403, 201, 201],
        ),
        (
            "GET",
            "/groups/acme/deploy_tokens",
            &none,
            [404, 403, 403, 403, 403, 200, 200],
        ),
        (
            "POST",
            "/groups/acme/deploy_tokens",
            &json!({}),
            [404, 403, 403, 403, 403, 400, 400],
        ),
        (
            "POST",
            "/groups",
            &json!({ "path": "top" }),
            [403, 403, 403, 403, 403, 403, 201],
        ),
        (
            "POST",
            "/groups",
            &json!({ "path": "A", "parent_id": cast.acme }),
            [404, 403, 403, 403, 403, 400, 400],
        ),
        (
            "POST",
            "/projects",
            &json!({ "path": "A", "namespace_id": "acme" }),
            [404, 403, 403, 403, 400, 400, 400],
        ),
        (
            "GET",
            "/projects/acme%2Fapi",
            &none,
            [404, 200, 200, 200, 200, 200, 200],
        ),
        (
            "PUT",
            "/projects/acme%2Fapi",
            &json!({}),
            [404, 403, 403, 403, 200, 200, 200],
        ),
        (
            "GET",
            "/projects/acme%2Fapi/access_tokens",
            &none,
            [404, 403, 403, 403, 200, 200, 200],
        ),
        (
            "POST",
            "/projects/acme%2Fapi/access_tokens",
            &token,
            [404, 403, 403, 403, 201, 201, 201],
        ),
        (
            "GET",
            "/projects/acme%2Fapi/members",
            &none,
            [404, 200, 200, 200, 200, 200, 200],
        ),
        (
            "POST",
            "/projects/acme%2Fapi/members",
            &json!({}),
            [404, 403, 403, 403, 400, 400, 400],
        ),
        (
            "POST",
            "/projects/acme%2Fapi/deploy_tokens",
            &json!({}),
            [404, 403, 403, 403, 400, 400, 400],
        ),
        (
            "POST",
            "/projects/acme%2Fapi/job_tokens",
            &json!({}),
            [404, 403, 403, 201, 201, 201, 201],
        ),
        (
            "POST",
            "/projects/acme%2Fapi/job_tokens",
            &json!({ "user_id": 1 }),
            [404, 403, 403, 403, 403, 403, 201],
        ),
        (
            "DELETE",
            "/projects/acme%2Fapi",
            &none,
            [404, 403, 403, 403, 403, 202, 404],
        ),
        ("GET", "/users", &none, [200; 7]),
        (
            "POST",
            "/users",
            &json!({}),
            [403, 403, 403, 403, 403, 403, 400],
        ),
        (
            "DELETE",
            "/users/999",
            &none,
            [403, 403, 403, 403, 403, 403, 404],
        ),
        (
            "POST",
            "/users/999/block",
            &none,
            [403, 403, 403, 403, 403, 403, 404],
        ),
        (
            "POST",
            "/users/1/personal_access_tokens",
            &json!({}),
            [403, 403, 403, 403, 403, 403, 400],
        ),
        (
            "GET",
            "/personal_access_tokens/999",
            &none,
            [401, 401, 401, 401, 401, 401, 404],
        ),
        (
            "GET",
            "/deploy_tokens",
            &none,
            [403, 403, 403, 403, 403, 403, 200],
        ),
        (
            "GET",
            "/features",
            &none,
            [403, 403, 403, 403, 403, 403, 200],
        ),
        (
            "POST",
            flag,
            &json!({}),
            [403, 403, 403, 403, 403, 403, 400],
        ),
        (
            "DELETE",
            "/groups/mirror",
            &none,
            [404, 404, 404, 404, 404, 404, 403],
        ),
    ];
    let callers = callers(&cast);
    let mut wrong = Vec::new();
    for (method, path, body, expected) in table {
        for ((name, caller), expected) in callers.iter().zip(expected) {
            let body = Some((*body).clone()).filter(|body| !body.is_null());
            let answer = caller.call(method, path, body);
            if answer.status != *expected {
                wrong.push(format!(
                    "{method} {path} as {name}: {}, not {expected}: {}",
                    answer.status,
                    answer.text()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_hidden_is_answered_as_what_is_not_there() {
    let stage = stage();
    let cast = cast(&stage);
    let (stranger, _) = stage.user("stranger");
    let (acme, api) = (cast.acme, cast.api);
    let token = json!({ "name": "t", "scopes": ["api"] });
    let token = cast
        .root
        .ok("POST", "/user/personal_access_tokens", token, 201);
    let hidden_and_missing = [
        (format!("/groups/{acme}"), "/groups/999".to_owned()),
        ("/groups/acme".to_owned(), "/groups/nothing".to_owned()),
        (
            "/groups/acme/members".to_owned(),
            "/groups/nothing/members".to_owned(),
        ),
        (
            "/groups/acme/access_tokens".to_owned(),
            "/groups/nothing/access_tokens".to_owned(),
        ),
        (format!("/projects/{api}"), "/projects/999".to_owned()),
        (
            "/projects/acme%2Fapi".to_owned(),
            "/projects/acme%2Fnothing".to_owned(),
        ),
        (
            "/projects/acme%2Fapi".to_owned(),
            "/projects/nothing%2Fapi".to_owned(),
        ),
        (
            "/projects/acme%2Fapi/deploy_tokens".to_owned(),
            "/projects/no%2Fapi/deploy_tokens".to_owned(),
        ),
        (
            format!("/personal_access_tokens/{}", token["id"]),
            "/personal_access_tokens/999".to_owned(),
        ),
    ];
    for (hidden, missing) in hidden_and_missing {
        let (hidden_answer, missing_answer) = (stranger.get(&hidden), stranger.get(&missing));
        assert_eq!(hidden_answer.text(), missing_answer.text(), "{hidden}");
        assert_eq!(hidden_answer.status, missing_answer.status, "{hidden}");
        assert_eq!(
            hidden_answer.lasting_fields(),
            missing_answer.lasting_fields(),
            "{hidden}"
        );
        let deleted = (
            stranger.delete(&hidden).text(),
            stranger.delete(&missing).text(),
        );
        assert_eq!(deleted.0, deleted.1, "DELETE {hidden}");
    }
    assert_eq!(
        stranger.get("/groups/acme").text(),
        r#"{"message":"404 Group Not Found"}"#
    );
    assert_eq!(
        stranger.get("/projects/1").text(),
        r#"{"message":"404 Project Not Found"}"#
    );
    for (into, absent) in [(json!(acme), json!(999)), (json!("acme"), json!("nothing"))] {
        let make = |namespace: Value| {
            stranger.post(
                "/projects",
                json!({ "path": "x", "namespace_id": namespace }),
            )
        };
        assert_eq!(make(into).text(), make(absent).text());
    }
    // Lists show each their own.
    let paths = |caller: &Caller<'_>, path: &str, field: &str| -> Vec<String> {
        let list = caller.get(path).json();
        let list = list.as_array().unwrap().clone();
        list.iter()
            .map(|one| one[field].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(paths(&stranger, "/groups", "full_path"), ["open"]);
    assert_eq!(
        paths(&stranger, "/projects", "path_with_namespace"),
        Vec::<String>::new()
    );
    let (guest, _) = stage.user("guest");
    assert_eq!(paths(&guest, "/groups", "full_path"), ["acme", "open"]);
    assert_eq!(
        paths(&guest, "/groups?owned=true", "full_path"),
        Vec::<String>::new()
    );
    assert_eq!(
        paths(&guest, "/groups?min_access_level=10", "full_path"),
        ["acme"]
    );
    assert_eq!(
        paths(&guest, "/projects", "path_with_namespace"),
        ["acme/api"]
    );
    assert_eq!(
        paths(&cast.root, "/groups", "full_path"),
        ["acme", "mirror", "open"]
    );
}

#[test]
fn nobody_gives_a_level_above_their_own() {
    let stage = stage();
    let cast = cast(&stage);
    let (maintainer, _) = stage.user("maintainer");
    let tokens = format!("/projects/{}/access_tokens", cast.api);
    let new = |level: i64| json!({ "name": "bot", "scopes": ["api"], "access_level": level });
    let refused = maintainer.post(&tokens, new(50));
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(
        refused.text().contains("greater than the access level"),
        "{}",
        refused.text()
    );
    maintainer.made(&tokens, new(40));
    // Nor takes over what somebody else made for a higher one.
    let owners = cast.root.made(&tokens, new(50));
    assert_eq!(
        maintainer
            .post(&format!("{tokens}/{owners}/rotate"), json!({}))
            .status,
        403
    );
    assert_eq!(maintainer.delete(&format!("{tokens}/{owners}")).status, 403);
    // Nor makes anybody more than they are, or less than what is above them.
    let members = format!("/projects/{}/members", cast.api);
    let (stranger, reporter) = (stage.user_id("stranger"), stage.user_id("reporter"));
    let add = |id: i64, level: i64| json!({ "user_id": id, "access_level": level });
    assert_eq!(maintainer.post(&members, add(stranger, 50)).status, 403);
    maintainer.ok("POST", &members, add(stranger, 40), 201);
    cast.root.ok("POST", &members, add(reporter, 50), 201);
    let of_owner = format!("{members}/{reporter}");
    let lower = maintainer.call("PUT", &of_owner, Some(json!({ "access_level": 10 })));
    assert_eq!(
        (lower.status, maintainer.delete(&of_owner).status),
        (403, 403)
    );
    // A quota is not for those whom it bounds.
    let (owner, _) = stage.user("owner");
    for path in ["/groups/acme", "/projects/acme%2Fapi"] {
        assert_eq!(
            owner.call("PUT", path, Some(json!({ "quota": 0 }))).status,
            403
        );
        let set = cast.root.ok("PUT", path, json!({ "quota": 1000 }), 200);
        assert_eq!(set["quota"], 1000);
    }
    // A bot makes no tokens at all, whatever its level, and an owner's bot is no administrator.
    let bot = cast
        .root
        .ok("POST", "/groups/acme/access_tokens", new(50), 201);
    let bot = stage.caller(bot["token"].as_str().unwrap());
    for path in [
        "/groups/acme/access_tokens",
        "/groups/acme/deploy_tokens",
        "/projects/acme%2Fapi/access_tokens",
        "/user/personal_access_tokens",
    ] {
        let new = json!({ "name": "x", "scopes": ["read_registry"] });
        assert_eq!(bot.post(path, new).status, 403, "{path}");
    }
    assert_eq!(bot.get("/deploy_tokens").status, 403);
    assert_eq!(bot.get("/user").status, 403);
    bot.ok(
        "POST",
        "/groups",
        json!({ "path": "made-by-bot", "parent_id": cast.acme }),
        201,
    );
    // Deploy tokens are for registries, whoever makes them.
    let deploy = json!({ "name": "x", "scopes": ["api"] });
    assert_eq!(
        cast.root.post("/groups/acme/deploy_tokens", deploy).status,
        400
    );
    // Nobody locks themselves out.
    let me = stage.user_id("root");
    assert_eq!(cast.root.delete(&format!("/users/{me}")).status, 403);
    assert_eq!(
        cast.root
            .post(&format!("/users/{me}/block"), json!({}))
            .status,
        403
    );
}

#[test]
fn a_member_may_leave() {
    let stage = stage();
    let cast = cast(&stage);
    let (guest, _) = stage.user("guest");
    let id = stage.user_id("guest");
    guest.ok(
        "DELETE",
        &format!("/groups/{}/members/{id}", cast.acme),
        Value::Null,
        204,
    );
    assert_eq!(guest.get("/groups/acme").status, 404);
}
