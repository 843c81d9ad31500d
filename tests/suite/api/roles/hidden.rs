//! What is hidden is answered as what is not there.

use super::*;

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
