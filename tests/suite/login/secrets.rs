//! A run with many secrets, and a search for each of them, in every form that it was sent in, in all that the
//! box has written and answered.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::{IMAGE, SCOPE, Stage, stage, walk};
use crate::support::client::{Answer, token_path};

/// What must be found nowhere, and what was answered.
#[derive(Default)]
struct Search {
    secrets: Vec<String>,
    /// Signatures of JWTs, which are in no file and no log.
    signatures: Vec<String>,
    answers: Vec<(String, String)>,
}

impl Search {
    /// A secret, as it is, as base64 has it at any of its three offsets, and percent-encoded.
    fn hide(&mut self, secret: &str) {
        assert!(secret.len() >= 12, "{secret} could be there by chance");
        self.secrets.push(secret.to_owned());
        let encoded = form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
        self.secrets.push(encoded);
        for offset in 0..3 {
            let padded = format!("{}{secret}", &"xxx"[..offset]);
            for engine in [STANDARD, URL_SAFE] {
                let text = engine.encode(&padded);
                // The first and the last characters depend on what stands beside it.
                let end = text.trim_end_matches('=').len() - 2;
                self.secrets
                    .push(text[if offset == 0 { 0 } else { 4 }..end].to_owned());
            }
        }
    }

    fn keep(&mut self, what: &str, answer: &Answer) {
        self.answers.push((
            what.to_owned(),
            format!("{}\n{}", answer.head, answer.text()),
        ));
    }

    /// Panics where one of them stands.
    fn check(&self, name: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        for secret in self.secrets.iter().chain(&self.signatures) {
            assert!(!text.contains(secret), "{secret} stands in {name}");
        }
    }

    fn check_answers(&self) {
        for (what, text) in &self.answers {
            for secret in &self.secrets {
                assert!(!text.contains(secret), "{secret} stands in {what}: {text}");
            }
        }
    }
}

/// Sends it in all the ways in which credentials come, right and wrong.
fn use_everywhere(stage: &Stage, search: &mut Search, user: &str, secret: &str) {
    let basic = stage.client.basic(user, secret);
    let path = format!("/v2/{IMAGE}/manifests/latest");
    let form = |fields: &[(&str, &str)]| {
        let common = [("service", "dependency_proxy"), ("scope", SCOPE)];
        stage
            .client
            .post_form("/jwt/auth", &[&common[..], fields].concat())
    };
    let login = basic.get(&token_path(&[SCOPE]));
    search.keep("a login's answer", &login);
    if let Some(jwt) = login.json()["token"].as_str() {
        let signature = jwt.split('.').nth(2).unwrap();
        search.signatures.push(signature.to_owned());
        let client = stage.client.bearer(jwt);
        for answer in [
            client.get(&path),
            client.get("/v2/"),
            client.get("/v2/none/x/tags/list"),
        ] {
            search.keep("an answer to a JWT", &answer);
        }
    }
    for answer in [
        basic.get("/v2/"),
        basic.get(&path),
        basic.get("/nowhere"),
        stage.client.bearer(secret).get(&path),
        stage.client.bearer(secret).get(&token_path(&[])),
        stage
            .client
            .basic(secret, "swapped-by-mistake")
            .get(&token_path(&[])),
        stage.client.with("PRIVATE-TOKEN", secret).get("/v2/"),
        stage
            .client
            .with("Authorization", &format!("Token {secret}"))
            .get(&path),
        stage.client.get(&format!(
            "/jwt/auth?service=dependency_proxy&password={}",
            encoded(secret)
        )),
        stage
            .client
            .get(&format!("/v2/?private_token={}", encoded(secret))),
        form(&[
            ("grant_type", "password"),
            ("username", "nobody"),
            ("password", secret),
        ]),
        form(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", &secret[1..]),
        ]),
    ] {
        search.keep("an answer", &answer);
    }
}

fn encoded(secret: &str) -> String {
    form_urlencoded::byte_serialize(secret.as_bytes()).collect()
}

#[test]
fn a_search_of_files_logs_and_answers_finds_no_secret() {
    let mut stage = stage();
    let mut search = Search::default();
    let mut credentials: Vec<(String, String)> = Vec::new();
    // Passwords, the first of which is changed.
    for (user, password) in [
        ("carol", "f1rst Passw0rd of carol"),
        ("dave", "dave's +Passw0rd/ =?"),
    ] {
        let add = &["user", "add", user, "--password-stdin"];
        stage.appliance.ok_with_input(add, &format!("{password}\n"));
        credentials.push((user.to_owned(), password.to_owned()));
    }
    let changed = "sec0nd Passw0rd of carol";
    let passwd = &["user", "passwd", "carol", "--password-stdin"];
    // Tokens of each kind; each is rotated, where it can be, and one of its family revoked.
    stage.appliance.ok(&["project", "add", "acme/api"]);
    let scopes = ["--scope", "read_registry,write_registry"];
    for (user, of, is_scoped) in [
        ("alice", &["--user", "alice"][..], true),
        ("bot", &["--group", "acme", "--level", "developer"], true),
        (
            "bot",
            &["--project", "acme/api", "--level", "developer"],
            true,
        ),
        (
            "puller",
            &["--deploy", "acme", "--username", "puller"],
            true,
        ),
        ("api", &["--deploy", "acme/api", "--username", "api"], true),
        (
            "gitlab-ci-token",
            &["--job", "acme/api", "--user", "alice"],
            false,
        ),
    ] {
        let mut command = vec!["token", "create", "--name", "t", "--json"];
        command.extend(of);
        if is_scoped {
            command.extend(scopes);
        }
        let made = stage.appliance.json(&command);
        let secret = |made: &serde_json::Value| made["token"].as_str().unwrap().to_owned();
        credentials.push((user.to_owned(), secret(&made)));
        if is_scoped {
            let id = made["id"].to_string();
            let rotated = stage.appliance.json(&["token", "rotate", &id, "--json"]);
            credentials.push((user.to_owned(), secret(&rotated)));
        }
    }
    // Wrong ones: of everybody, mistyped, and a password of something else.
    let mistyped = format!("{}!", &credentials[2].1[..35]);
    credentials.push(("carol".to_owned(), "wr0ng Passw0rd of carol".to_owned()));
    credentials.push(("alice".to_owned(), mistyped));
    credentials.push(("hub-user".to_owned(), "dckr_pat_Secret123456".to_owned()));
    // One that has to be given back, which is sealed.
    let upstream = "upstream's Passw0rd";
    let add = &[
        "upstream",
        "add",
        "quay.io",
        "https://quay.io",
        "--username",
        "robot",
        "--password-stdin",
    ];
    stage.appliance.ok_with_input(add, &format!("{upstream}\n"));
    search.hide(upstream);
    for (user, secret) in &credentials {
        search.hide(secret);
        use_everywhere(&stage, &mut search, user, secret);
    }
    stage
        .appliance
        .ok_with_input(passwd, &format!("{changed}\n"));
    search.hide(changed);
    use_everywhere(&stage, &mut search, "carol", changed);
    // What commands show.
    let outside = tempfile::tempdir().unwrap();
    let backup = outside.path().join("backup.sqlite");
    stage.appliance.ok(&["backup", backup.to_str().unwrap()]);
    for command in [
        &["token", "list", "--json"][..],
        &["user", "list", "--json"],
        &["upstream", "list", "--json"],
        &["audit", "--json"],
        &["doctor"],
    ] {
        let output = stage.appliance.run_cli(command);
        search.check(&command.join(" "), &[output.stdout, output.stderr].concat());
    }
    // Once while it runs, with its write-ahead logs, and once after it has written everything.
    for _ in 0..2 {
        let mut seen = Vec::new();
        walk(&stage.appliance.data(), &mut |path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // A socket cannot be read; root's first password is there to be found.
            if name == "initial_root_password" {
                return;
            }
            if let Ok(bytes) = std::fs::read(path) {
                search.check(&path.display().to_string(), &bytes);
                seen.push(name);
            }
        });
        for file in [
            "access.sqlite",
            "audit.sqlite",
            "cache.sqlite",
            "auth_json.log",
            "secret.key",
        ] {
            assert!(seen.iter().any(|name| name == file), "{file}: {seen:?}");
        }
        let log = stage.appliance.log();
        assert!(log.contains("/jwt/auth"), "{log}");
        search.check("the log", log.as_bytes());
        if stage.appliance.is_running() {
            stage.appliance.stop();
        }
    }
    search.check("the backup", &std::fs::read(&backup).unwrap());
    assert!(search.answers.len() > 12 * 15, "{}", search.answers.len());
    search.check_answers();
    // The search finds what is there.
    let planted = format!(
        "Basic {}",
        STANDARD.encode(format!("dave:{}", credentials[1].1))
    );
    let found = std::panic::catch_unwind(|| search.check("a planted one", planted.as_bytes()));
    assert!(
        found.is_err(),
        "a search that finds nothing is worth nothing"
    );
}
