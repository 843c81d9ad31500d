//! Who may what: roles against routes.

mod hidden;
mod levels;

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
            "GET",
            "/groups/acme/upstreams",
            &none,
            [404, 403, 403, 403, 403, 200, 200],
        ),
        (
            "GET",
            "/groups/acme/hooks",
            &none,
            [404, 403, 403, 403, 403, 200, 200],
        ),
        (
            "POST",
            "/groups/acme/hooks",
            &json!({}),
            [404, 403, 403, 403, 403, 400, 400],
        ),
        (
            "GET",
            "/groups/acme/hooks/999",
            &none,
            [404, 403, 403, 403, 403, 404, 404],
        ),
        (
            "PUT",
            "/groups/acme/hooks/999",
            &json!({}),
            [404, 403, 403, 403, 403, 404, 404],
        ),
        (
            "POST",
            "/groups/acme/hooks/999/test",
            &none,
            [404, 403, 403, 403, 403, 404, 404],
        ),
        (
            "DELETE",
            "/groups/acme/hooks/999",
            &none,
            [404, 403, 403, 403, 403, 404, 404],
        ),
        ("GET", "/hooks", &none, [403, 403, 403, 403, 403, 403, 200]),
        (
            "POST",
            "/hooks",
            &json!({}),
            [403, 403, 403, 403, 403, 403, 400],
        ),
        (
            "POST",
            "/groups/acme/deploy_tokens/999/rotate",
            &json!({}),
            [404, 403, 403, 403, 403, 404, 404],
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
            "/projects/acme%2Fapi/deploy_tokens/999/rotate",
            &json!({}),
            [404, 403, 403, 403, 404, 404, 404],
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
