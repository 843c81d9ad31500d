//! What one may not see and what does not exist: the same status, the same header fields, the same bytes.

use base64::Engine as _;
use serde_json::Value;

use super::{BOTH, IMAGE, Stage, stage};
use crate::support::client::{Answer, Client, token_path};

/// A way to log in: (who, user name, secret).
fn strangers(stage: &Stage) -> Vec<(&'static str, &'static str, String)> {
    let box_ = &stage.appliance;
    for command in [
        &["group", "add", "other"][..],
        &["project", "add", "other/api"],
        &["project", "add", "acme/api"],
        &["user", "add", "mallory", "--service"],
    ] {
        box_.ok(command);
    }
    let token = |of: &[&str]| {
        let command = [&["token", "create", "--name", "t"], of].concat();
        box_.ok(&command).trim_end().to_owned()
    };
    let scopes = ["--scope", "read_registry,write_registry"];
    let with_scopes = |of: &[&str]| token(&[of, &scopes[..]].concat());
    vec![
        ("a user's token", "mallory", box_.token("mallory", BOTH)),
        (
            "a token for everything",
            "mallory",
            box_.token("mallory", &["api"]),
        ),
        (
            "a sibling's group token",
            "x",
            with_scopes(&["--group", "other", "--level", "owner"]),
        ),
        (
            "a project's token elsewhere",
            "x",
            with_scopes(&["--project", "other/api", "--level", "owner"]),
        ),
        (
            "a sibling's deploy token",
            "d",
            with_scopes(&["--deploy", "other", "--username", "d"]),
        ),
        (
            "a project's deploy token, in the group",
            "p",
            with_scopes(&["--deploy", "acme/api", "--username", "p"]),
        ),
        (
            "a stranger's job",
            "gitlab-ci-token",
            token(&["--job", "other/api", "--user", "mallory"]),
        ),
    ]
}

/// All that could tell, with the group's name taken out.
fn trace(answer: &Answer, group: &str) -> (u16, Vec<String>, String) {
    let clean = |text: &str| text.replace(group, "GROUP");
    let fields = answer.lasting_fields();
    let fields = fields.iter().map(|field| clean(field)).collect();
    (answer.status, fields, clean(&answer.text()))
}

/// What the token endpoint grants for a repository: the JWT without what is another in each.
fn granted(client: &Client, name: &str, group: &str) -> (u16, String) {
    let answer = client.get(&token_path(&[&format!(
        "repository:{name}:pull,push,delete"
    )]));
    let json = answer.json();
    let Some(jwt) = json["token"].as_str() else {
        return (answer.status, answer.text().replace(group, "GROUP"));
    };
    let part = jwt.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(part)
        .unwrap();
    let mut claims: Value = serde_json::from_slice(&bytes).unwrap();
    // The last is who asks, whose own path may have the name in it.
    for passing in ["jti", "iat", "nbf", "exp", "sub"] {
        claims.as_object_mut().unwrap().remove(passing);
    }
    (answer.status, claims.to_string().replace(group, "GROUP"))
}

#[test]
fn a_group_that_one_may_not_see_is_answered_as_one_that_does_not_exist() {
    let stage = stage();
    // Something is in it, which could be found.
    let root = stage.appliance.root_password();
    assert_eq!(stage.pull(&stage.login("root", &root)), ["miss"; 3]);
    let digest = stage.image.digest();
    let layer = stage.image.layer_digest(0);
    stage.fake.forget_requests();
    let paths = [
        "manifests/latest".to_owned(),
        "manifests/absent".to_owned(),
        format!("manifests/{digest}"),
        format!("blobs/{layer}"),
        "tags/list".to_owned(),
        "tags/list?n=1".to_owned(),
        format!("referrers/{digest}"),
    ];
    for (who, user, secret) in strangers(&stage) {
        let basic = stage.client.basic(user, &secret);
        // Of the same length, so that even `Content-Length` has to be the same.
        let answers = ["acme", "none"].map(|group| {
            let name = IMAGE.replace("acme", group);
            let grants = granted(&basic, &name, group);
            assert_eq!(grants.0, 200, "{who}: a login names no group: {}", grants.1);
            let jwt = basic.token(&[&format!("repository:{name}:pull")]);
            let client = stage.client.bearer(&jwt);
            let traces = paths.each_ref().map(|path| {
                let path = format!("/v2/{name}/{path}");
                let got = client.get(&path);
                assert_eq!(
                    got.verdict(),
                    (404, "NAME_UNKNOWN".to_owned()),
                    "{who}: {path}"
                );
                let head = client.head(&path);
                assert_eq!(head.status, 404);
                let with_tag = client
                    .with("If-None-Match", &format!("\"{digest}\""))
                    .get(&path);
                let part = client.with("Range", "bytes=0-0").get(&path);
                [got, head, with_tag, part].map(|answer| trace(&answer, group))
            });
            (grants, traces)
        });
        assert_eq!(answers[0], answers[1], "{who}");
    }
    // Nobody at all is told to log in, and no more.
    let answers = ["acme", "none"].map(|group| {
        let name = IMAGE.replace("acme", group);
        let traces = paths.each_ref().map(|path| {
            let got = stage.client.get(&format!("/v2/{name}/{path}"));
            assert_eq!(got.status, 401, "{path}");
            trace(&got, group)
        });
        (granted(&stage.client, &name, group), traces)
    });
    assert_eq!(answers[0], answers[1], "nobody");
    assert!(
        stage.fake.requests().is_empty(),
        "nobody asks an upstream for them"
    );
}

#[test]
fn a_public_group_below_a_private_one_is_as_hidden_as_that() {
    let stage = stage();
    for command in [
        &["group", "add", "acme/below", "--visibility", "public"][..],
        &["user", "add", "mallory", "--service"],
    ] {
        stage.appliance.ok(command);
    }
    let secret = stage.appliance.token("mallory", BOTH);
    let status = |group: &str| {
        let name = IMAGE.replace("acme", group);
        let basic = stage.client.basic("mallory", &secret);
        let jwt = basic.token(&[&format!("repository:{name}:pull")]);
        let path = format!("/v2/{name}/manifests/latest");
        trace(&stage.client.bearer(&jwt).get(&path), group)
    };
    assert_eq!(status("acme/below"), status("acme/never"));
    assert_eq!(status("acme/below").0, 404);
    // With what is above it it is public.
    stage
        .appliance
        .ok(&["group", "set", "acme", "visibility=public"]);
    assert_eq!(status("acme/below").0, 200);
}
