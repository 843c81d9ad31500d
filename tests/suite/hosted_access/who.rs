//! Levels, tokens, visibility: what the token endpoint grants.

use super::{ALL, Stage, access, stage};
use crate::support::client::token_path;

#[test]
fn members_are_granted_what_their_level_is_worth() {
    let stage = stage();
    for (user, expected) in [
        ("stranger", "nothing"),
        ("guest", "nothing"),
        ("reporter", "pull"),
        ("developer", "pull,push"),
        ("maintainer", "pull,push,delete"),
        ("owner", "pull,push,delete"),
        ("admin", "pull,push,delete"),
    ] {
        let secret = stage.api(user);
        assert_eq!(stage.granted(user, &secret, ALL), expected, "{user}");
        // A token's scopes limit what its user's level is worth.
        let reads = stage.appliance.token(user, &["read_registry"]);
        let expected = if expected == "nothing" {
            expected
        } else {
            "pull"
        };
        assert_eq!(stage.granted(user, &reads, ALL), expected, "{user} reads");
    }
    // A member of the project itself is as good, and the highest level wins.
    let secret = stage.api("guest");
    stage
        .appliance
        .ok(&["member", "add", "acme/api", "guest", "--level", "developer"]);
    assert_eq!(stage.granted("guest", &secret, ALL), "pull,push");
    stage
        .appliance
        .ok(&["member", "remove", "acme/api", "guest"]);
    assert_eq!(stage.granted("guest", &secret, ALL), "nothing");
    // What is asked for is an upper bound; `*` is all that one may, and unknown words are nothing.
    let secret = stage.api("developer");
    for (actions, expected) in [
        ("pull", "pull"),
        ("push", "push"),
        ("*", "pull,push"),
        ("delete", "nothing"),
        ("sudo", "nothing"),
        ("", "nothing"),
    ] {
        let scope = format!("repository:acme/api/app:{actions}");
        assert_eq!(stage.granted("developer", &secret, &scope), expected);
    }
}

#[test]
fn what_is_public_may_be_pulled_by_every_user_while_all_above_it_is_public() {
    let stage = stage();
    let stranger = stage.api("stranger");
    let project = |value: &str| {
        let setting = format!("visibility={value}");
        stage
            .appliance
            .ok(&["project", "set", "acme/api", &setting]);
    };
    let group = |value: &str| {
        let setting = format!("visibility={value}");
        stage.appliance.ok(&["group", "set", "acme", &setting]);
    };
    let granted = || stage.granted("stranger", &stranger, ALL);
    assert_eq!(granted(), "nothing");
    group("public");
    assert_eq!(granted(), "nothing", "the project is still private");
    project("public");
    assert_eq!(granted(), "pull");
    assert_eq!(stage.granted("guest", &stage.api("guest"), ALL), "pull");
    // Nobody without a login, though the network may read the mirror.
    assert_eq!(stage.client.get(&token_path(&[ALL])).status, 401);
    group("private");
    assert_eq!(granted(), "nothing", "the group above is private");
}

#[test]
fn example_8_a_project_s_deploy_token_is_for_its_project_s_images() {
    let stage = stage();
    stage.appliance.ok(&["project", "add", "acme/web"]);
    let cached = "repository:acme/dependency_proxy/containers/alpine:pull";
    for (scope, expected) in [
        ("read_registry,write_registry", "pull,push"),
        ("read_registry", "pull"),
        ("write_registry", "push"),
    ] {
        let secret = stage.create(&[
            "--deploy",
            "acme/api",
            "--username",
            "puller",
            "--scope",
            scope,
        ]);
        let login = |user: &str| stage.ask(user, &secret, &[]).status;
        // Its images are no business of the flags, which are about the dependency proxy.
        for flag in ["enable", "disable"] {
            let split = "dependency_proxy_split_abilities";
            stage.appliance.ok(&["feature", flag, split]);
            assert_eq!(login("puller"), 200, "{scope}, split {flag}d");
            assert_eq!(stage.granted("puller", &secret, ALL), expected, "{scope}");
        }
        stage
            .appliance
            .ok(&["feature", "enable", "dependency_proxy_split_abilities"]);
        assert_eq!(login("somebody"), 401);
        let other = "repository:acme/web:pull,push,delete";
        assert_eq!(stage.granted("puller", &secret, other), "nothing");
        assert_eq!(stage.granted("puller", &secret, cached), "nothing");
        let jwt = stage.client.basic("puller", &secret).token(&[cached]);
        let path = "/v2/acme/dependency_proxy/containers/alpine/manifests/latest";
        let pulled = stage.client.bearer(&jwt).get(path);
        assert_eq!(pulled.verdict(), (404, "NAME_UNKNOWN".to_owned()));
    }
}

#[test]
fn tokens_of_groups_and_projects_reach_as_far_as_they_say() {
    let stage = stage();
    stage.appliance.ok(&["group", "add", "acme/backend"]);
    stage.appliance.ok(&["group", "add", "other"]);
    stage.appliance.ok(&["project", "add", "acme/backend/db"]);
    let below = "repository:acme/backend/db:pull,push,delete";
    let of = |stage: &Stage, words: &[&str]| stage.create(words);
    let table: &[(&[&str], &str, &str)] = &[
        // token → acme/api/app, acme/backend/db
        (
            &["--group", "acme", "--level", "maintainer", "--scope", "api"],
            "pull,push,delete",
            "pull,push,delete",
        ),
        (
            &["--group", "acme", "--level", "developer", "--scope", "api"],
            "pull,push",
            "pull,push",
        ),
        (
            &["--group", "acme", "--level", "guest", "--scope", "api"],
            "nothing",
            "nothing",
        ),
        (
            &["--group", "acme/backend", "--scope", "api"],
            "nothing",
            "pull,push,delete",
        ),
        (
            &["--group", "other", "--scope", "api"],
            "nothing",
            "nothing",
        ),
        (
            &["--project", "acme/api", "--scope", "api"],
            "pull,push,delete",
            "nothing",
        ),
        (
            &[
                "--project",
                "acme/api",
                "--level",
                "reporter",
                "--scope",
                "api",
            ],
            "pull",
            "nothing",
        ),
        (
            &[
                "--deploy",
                "acme",
                "--username",
                "d1",
                "--scope",
                "read_registry",
            ],
            "pull",
            "pull",
        ),
        (
            &[
                "--deploy",
                "other",
                "--username",
                "d2",
                "--scope",
                "read_registry",
            ],
            "nothing",
            "nothing",
        ),
    ];
    for (words, api, db) in table {
        let secret = of(&stage, words);
        let at = words.iter().position(|word| *word == "--username");
        let user = at.map_or("bot", |at| words[at + 1]);
        assert_eq!(stage.granted(user, &secret, ALL), *api, "{words:?}");
        assert_eq!(stage.granted(user, &secret, below), *db, "{words:?}");
    }
}

#[test]
fn a_job_reads_as_its_user_and_pushes_only_to_its_own_project() {
    let stage = stage();
    stage.appliance.ok(&["project", "add", "acme/web"]);
    let job = |user: &str| {
        let words = ["--job", "acme/api", "--user", user, "--ttl", "1h"];
        stage.create(&words)
    };
    let other = "repository:acme/web:pull,push,delete";
    for (user, own, elsewhere) in [
        ("maintainer", "pull,push,delete", "pull"),
        ("developer", "pull,push", "pull"),
        ("reporter", "pull", "pull"),
        ("guest", "nothing", "nothing"),
        ("stranger", "nothing", "nothing"),
        ("admin", "pull,push,delete", "pull"),
    ] {
        let secret = job(user);
        let granted = |scope| stage.granted("gitlab-ci-token", &secret, scope);
        assert_eq!(
            (granted(ALL), granted(other)),
            (own.into(), elsewhere.into()),
            "{user}"
        );
        assert_eq!(stage.ask(user, &secret, &[ALL]).status, 401);
    }
}

#[test]
fn what_is_hidden_is_answered_like_what_does_not_exist() {
    let stage = stage();
    let stranger = stage.api("stranger");
    let answers = ["acme/api/app", "acme/nothing/app", "acme/api", "acme"].map(|name| {
        let scope = format!("repository:{name}:pull,push");
        let answer = stage.ask("stranger", &stranger, &[&scope]);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert!(access(&answer).is_empty(), "{name}");
        let jwt = answer.json()["token"].as_str().unwrap().to_owned();
        let pulled = stage
            .client
            .bearer(&jwt)
            .get(&format!("/v2/{name}/manifests/latest"));
        assert_eq!(pulled.verdict(), (404, "NAME_UNKNOWN".to_owned()), "{name}");
        pulled.text().replace(name, "NAME")
    });
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "{answers:?}"
    );
}

#[test]
fn a_mount_asks_for_two_repositories_and_the_catalog_for_none() {
    let stage = stage();
    stage.appliance.ok(&["project", "add", "acme/web"]);
    let developer = stage.api("developer");
    let mount = stage.ask(
        "developer",
        &developer,
        &[
            "repository:acme/api/app:pull,push",
            "repository:acme/web:pull",
        ],
    );
    let granted: Vec<String> = access(&mount)
        .iter()
        .map(|entry| format!("{} {}", entry["name"], entry["actions"]))
        .collect();
    assert_eq!(
        granted,
        [
            r#""acme/api/app" ["pull","push"]"#,
            r#""acme/web" ["pull"]"#
        ]
    );
    assert_eq!(
        stage.granted("developer", &developer, "registry:catalog:*"),
        "*"
    );
    let writes = stage.appliance.token("developer", &["write_registry"]);
    assert_eq!(
        stage.granted("developer", &writes, "registry:catalog:*"),
        "nothing"
    );
}

/// Clients send the mount, are challenged, and get a token for what the challenge names.
#[test]
fn the_challenge_to_a_mount_names_its_source_too_so_that_it_works_at_the_first_try() {
    let stage = stage();
    stage.appliance.ok(&["project", "add", "acme/web"]);
    stage.appliance.ok(&["group", "add", "secret"]);
    stage.appliance.ok(&["project", "add", "secret/tools"]);
    let developer = stage.api("developer");
    let challenge = |query: &str| {
        let path = format!("/v2/acme/web/blobs/uploads/{query}");
        let answer = stage.client.request("POST", &path, b"");
        assert_eq!(answer.status, 401, "{}", answer.text());
        let challenge = answer.field("WWW-Authenticate").unwrap().to_owned();
        let (_, scope) = challenge.split_once("scope=\"").unwrap();
        scope.trim_end_matches('"').to_owned()
    };
    let blob = breakwater::oci::Digest::of(b"{}");
    let own = "repository:acme/web:pull,push";
    for (from, source) in [
        ("acme/api/app", Some("acme/api/app")),
        // Hidden, and not there at all: named alike.
        ("secret/tools", Some("secret/tools")),
        ("secret/nothing", Some("secret/nothing")),
        ("nowhere/at/all", Some("nowhere/at/all")),
        ("acme%2Fapi", Some("acme/api")),
        // Named already, or no name.
        ("acme/web", None),
        ("", None),
        ("Acme/Api", None),
        ("acme/api%22,error=%22x", None),
        ("acme/api:push%20repository:acme/other", None),
        ("..%2F..%2Facme", None),
    ] {
        let expected = match source {
            Some(source) => format!("{own} repository:{source}:pull"),
            None => own.to_owned(),
        };
        let scope = challenge(&format!("?mount={blob}&from={from}"));
        assert_eq!(scope, expected, "from={from}");
    }
    assert_eq!(challenge(&format!("?mount={blob}")), own);
    assert_eq!(challenge("?from=acme/api/app"), own, "this is no mount");

    let app = stage.client.basic("developer", &developer);
    let app = app.token(&["repository:acme/api/app:pull,push"]);
    let path = format!("/v2/acme/api/app/blobs/uploads/?digest={blob}");
    let pushed = stage.client.bearer(&app).request("POST", &path, b"{}");
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    let mount = format!("?mount={blob}&from=acme/api/app");
    let scope = challenge(&mount);
    let scopes: Vec<&str> = scope.split(' ').collect();
    let jwt = stage.client.basic("developer", &developer).token(&scopes);
    let path = format!("/v2/acme/web/blobs/uploads/{mount}");
    let mounted = stage.client.bearer(&jwt).request("POST", &path, b"");
    assert_eq!(mounted.status, 201, "{}", mounted.text());
}
