//! Levels that nobody can give beyond their own, and leaving.

use super::*;

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
    let new = json!({ "name": "x", "scopes": ["read_registry"] });
    let deploy = cast.root.ok("POST", "/groups/acme/deploy_tokens", new, 201);
    let rotate = format!("/groups/acme/deploy_tokens/{}/rotate", deploy["id"]);
    assert_eq!(bot.post(&rotate, json!({})).status, 403);
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
