//! Several upstreams at run time: groups that bring their own, whose content never mixes, and what
//! commands change under a running server.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use breakwater::oci::Digest;
use serde_json::{Value, json};

use crate::support::appliance::{Appliance, run_with_input};
use crate::support::client::{Client, assert_sound};
use crate::support::fake_upstream::{Answer, Bearer, FakeUpstream, Gate, Image};

/// The name that upstreams have here unless it matters.
const NAME: &str = "private.test";
const FILL: &[&str] = &["read_registry", "write_registry"];
const READ: &[&str] = &["read_registry"];

/// A group's dependency proxy, as one member sees it.
struct Member {
    client: Client,
    repository: String,
}

impl Member {
    fn manifest(&self, reference: impl std::fmt::Display) -> String {
        format!("/v2/{}/manifests/{reference}", self.repository)
    }

    fn blob(&self, bytes: &[u8]) -> String {
        format!("/v2/{}/blobs/{}", self.repository, Digest::of(bytes))
    }

    /// Pulls a manifest and its blobs; where each came from.
    fn pull(&self, reference: &str, image: &Image) -> Vec<String> {
        let answer = self.client.get(&self.manifest(reference));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body, image.manifest);
        let mut words = vec![answer.cache().to_owned()];
        for blob in image.blobs() {
            let answer = self.client.get(&self.blob(blob));
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.complete && answer.body == *blob);
            words.push(answer.cache().to_owned());
        }
        words
    }

    /// Panics unless neither the manifest nor any blob of `image` can be had.
    fn assert_hidden(&self, image: &Image) {
        let mut paths = vec![self.manifest(image.digest())];
        paths.extend(image.blobs().map(|blob| self.blob(blob)));
        for path in paths {
            for method in ["GET", "HEAD"] {
                let answer = self.client.request(method, &path, b"");
                assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
            }
        }
    }
}

/// A group with one member of the same name, whose token has these scopes; it pulls `image`.
fn member(appliance: &Appliance, group: &str, scopes: &[&str], image: &str) -> Member {
    let known = appliance.json(&["group", "list", "--json"]);
    let known = known.as_array().unwrap();
    if !known.iter().any(|one| one["full_path"] == group) {
        appliance.ok(&["group", "add", group]);
    }
    let user = format!("{}-{}", group.replace('/', "-"), scopes.len());
    let secret = appliance.token(&user, scopes);
    appliance.ok(&["member", "add", group, &user, "--level", "guest"]);
    let repository = format!("{group}/dependency_proxy/containers/{image}");
    let scope = format!("repository:{repository}:pull");
    let token = Client::of(appliance).basic(&user, &secret).token(&[&scope]);
    Member {
        client: Client::of(appliance).bearer(&token),
        repository,
    }
}

/// Adds a group's upstream on loopback.
fn add(appliance: &Appliance, group: &str, url: &str, login: Option<(&str, &str)>) {
    let mut arguments = vec!["upstream", "add", NAME, url, "--group", group];
    arguments.push("--allow-private-addresses");
    let password = match login {
        Some((username, password)) => {
            arguments.extend(["--username", username, "--password-stdin"]);
            password
        }
        None => "",
    };
    appliance.ok_with_input(&arguments, &format!("{password}\n"));
}

#[test]
fn groups_with_credentials_of_their_own_never_share() {
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    one.require_basic("anna", "anna's password");
    two.require_basic("bert", "bert's password");
    let secret = Image::oci(1, &[30_000, 40_000]);
    one.put_image("app", "latest", &secret);
    let other = Image::oci(2, &[20_000]);
    two.put_image("app", "latest", &other);

    let appliance = Appliance::start();
    let image = format!("{NAME}/app");
    let [a, b, c] = ["a", "b", "c"].map(|group| member(&appliance, group, FILL, &image));
    add(
        &appliance,
        "a",
        one.url(),
        Some(("anna", "anna's password")),
    );
    add(
        &appliance,
        "b",
        two.url(),
        Some(("bert", "bert's password")),
    );
    // The same place, but with credentials that it does not take.
    add(&appliance, "c", one.url(), Some(("carl", "guessed")));

    // While the first one's fetch is in progress, nobody else gets a byte of it.
    let layer = &secret.layers[0];
    let gate = Gate::new();
    one.on("GET", &format!("/blobs/{}", Digest::of(layer)))
        .next([Answer::good().wait_at(10_000, &gate)]);
    let held = Gate::new();
    one.on("GET", "/manifests/latest")
        .next([Answer::good().wait_at(10, &held)]);
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| a.client.get(&a.manifest("latest")));
        held.await_arrival();
        let others = b.client.get(&b.manifest("latest"));
        assert!(others.status == 200 && others.body == other.manifest);
        assert_eq!(c.client.get(&c.manifest("latest")).status, 404);
        held.open();
        assert_eq!(fetching.join().unwrap().body, secret.manifest);
    });
    let mut arriving = a.client.open(&a.blob(layer));
    assert!(arriving.read_up_to(5_000)[..5_000] == layer[..5_000]);
    for stranger in [&b, &c] {
        stranger.assert_hidden(&secret);
    }
    gate.open();
    assert!(arriving.finish().complete);

    // And when it is kept.
    a.pull("latest", &secret);
    assert_eq!(a.pull("latest", &secret), ["hit", "hit", "hit", "hit"]);
    for stranger in [&b, &c] {
        stranger.assert_hidden(&secret);
    }
    b.pull("latest", &other);
    assert_eq!(c.client.get(&c.manifest("latest")).status, 404);
    a.assert_hidden(&other);

    // Nor while the upstream that would have to confirm it is away.
    two.stop();
    let answer = b.client.get(&b.blob(layer));
    assert_eq!(answer.status, 503, "{answer:?}");
    // Whoever is in one group sees nothing of the other one.
    let path = a.manifest("latest");
    assert_eq!(b.client.get(&path).status, 404);
    assert_sound(&appliance);
}

#[test]
fn the_same_place_with_the_same_credentials_is_shared() {
    let fake = FakeUpstream::start();
    fake.require_basic("bot", "secret");
    let image = Image::oci(1, &[10_000]);
    fake.put_image("app", "1", &image);
    let appliance = Appliance::start();
    let path = format!("{NAME}/app");
    let [a, b] = ["a", "b"].map(|group| member(&appliance, group, FILL, &path));
    for group in ["a", "b"] {
        add(&appliance, group, fake.url(), Some(("bot", "secret")));
    }
    assert_eq!(a.pull("1", &image)[0], "miss");
    fake.stop();
    assert_eq!(b.pull("1", &image), ["hit", "hit", "hit"]);
}

#[test]
fn the_running_server_notices_and_keeps_what_did_not_change() {
    let (fake, late) = (FakeUpstream::start(), FakeUpstream::start());
    fake.require_bearer(Bearer::default());
    for (tag, seed) in [("1", 1), ("2", 2), ("3", 3)] {
        fake.put_image("app", tag, &Image::oci(seed, &[1_000]));
    }
    late.put_image("app", "1", &Image::oci(9, &[1_000]));
    let appliance = Appliance::start();
    let a = member(&appliance, "a", FILL, &format!("{NAME}/app"));
    let sub = member(&appliance, "a/sub", FILL, &format!("{NAME}/app"));
    let status = |member: &Member, tag| {
        let answer = member.client.get(&member.manifest(tag));
        (answer.status, answer.code())
    };
    let unknown = (404, "NAME_UNKNOWN".to_owned());
    let good = (200, String::new());
    assert_eq!(status(&a, "1"), unknown);
    add(&appliance, "a", fake.url(), None);
    assert_eq!(status(&a, "1"), good);
    assert_eq!(status(&sub, "1"), good, "a subgroup has what is above it");
    let (tokens, connections) = (fake.count("GET", "/token"), fake.connections());

    add(&appliance, "a/sub", late.url(), None);
    appliance.ok(&["user", "add", "somebody", "--service"]);
    assert_eq!(status(&a, "2"), good);
    assert_eq!(fake.count("GET", "/token"), tokens, "its token is kept");
    assert_eq!(fake.connections(), connections, "and its connection");
    let nearest = sub.client.get(&sub.manifest("1"));
    assert_eq!(nearest.body, Image::oci(9, &[1_000]).manifest);

    let states = appliance.json(&["upstream", "status", "--json"]);
    let shown = |key: &str| -> Vec<Value> {
        let states = states.as_array().unwrap().iter();
        states.map(|state| state[key].clone()).collect()
    };
    assert_eq!(shown("group"), [json!(null), json!("a"), json!("a/sub")]);
    assert_eq!(
        shown("by_command"),
        [json!(false), json!(true), json!(true)]
    );
    assert_eq!(shown("breaker")[1], "closed");

    appliance.ok(&["upstream", "remove", NAME, "--group", "a/sub"]);
    let above = sub.client.get(&sub.manifest("1"));
    assert_eq!(above.body, Image::oci(1, &[1_000]).manifest);
    appliance.ok(&["upstream", "remove", NAME, "--group", "a"]);
    assert_eq!(status(&a, "1"), unknown);
}

#[test]
fn the_box_has_upstreams_by_command_too_and_groups_have_defaults() {
    let (hub, quay) = (FakeUpstream::start(), FakeUpstream::start());
    let (of_hub, of_quay) = (Image::oci(1, &[1_000]), Image::oci(2, &[1_000]));
    hub.put_image("library/app", "1", &of_hub);
    quay.put_image("app", "1", &of_quay);
    let appliance = Appliance::with_upstream(hub.url());
    appliance.ok(&["upstream", "add", "quay.io", quay.url()]);
    let mirror = Client::of(&appliance);
    for path in [
        "/v2/quay.io/app/manifests/1",
        "/v2/app/manifests/1?ns=quay.io",
    ] {
        assert_eq!(mirror.get(path).body, of_quay.manifest, "{path}");
    }
    let a = member(&appliance, "a", FILL, "app");
    let sub = member(&appliance, "a/sub", FILL, "app");
    sub.pull("1", &of_hub);
    appliance.ok(&["group", "set", "a", "default_upstream=quay.io"]);
    a.pull("1", &of_quay);
    sub.pull("1", &of_quay);
    assert_eq!(mirror.get("/v2/app/manifests/1").body, of_hub.manifest);
    appliance.ok(&["group", "set", "a", "default_upstream="]);
    a.pull("1", &of_hub);
    let refused = appliance.run_cli(&["group", "set", "a", "default_upstream=ghcr.io"]);
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn a_groups_upstream_reaches_private_addresses_only_where_it_was_allowed() {
    let fake = FakeUpstream::start();
    fake.put_image("app", "1", &Image::oci(1, &[1_000]));
    let appliance = Appliance::start();
    let a = member(&appliance, "a", FILL, &format!("{NAME}/app"));
    appliance.ok(&["upstream", "add", NAME, fake.url(), "--group", "a"]);
    let answer = a.client.get(&a.manifest("1"));
    assert_ne!(answer.status, 200, "{answer:?}");
    assert!(answer.message().contains(NAME), "{}", answer.message());
    assert_eq!(fake.requests().len(), 0);
    appliance.ok(&["upstream", "remove", NAME, "--group", "a"]);
    add(&appliance, "a", fake.url(), None);
    assert_eq!(a.client.get(&a.manifest("1")).status, 200);
}

#[test]
fn a_lost_key_takes_down_one_upstream_and_coming_back_it_heals() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[1_000]);
    fake.put_image("app", "1", &image);
    fake.put_image("library/app", "1", &image);
    let mut appliance = Appliance::with_upstream(fake.url());
    let path = format!("{NAME}/app");
    let a = member(&appliance, "a", FILL, &path);
    let box_wide = member(&appliance, "b", FILL, "app");
    add(
        &appliance,
        "a",
        fake.url(),
        Some(("bot", "a long password")),
    );
    let key = appliance.data().join("secret.key");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for file in std::fs::read_dir(appliance.data()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        let found = bytes.windows(15).any(|part| part == b"a long password");
        assert!(!found, "the password stands in the data directory");
    }

    appliance.stop();
    let away = appliance.data().join("elsewhere");
    std::fs::rename(&key, &away).unwrap();
    appliance.restart();
    let answer = a.client.get(&a.manifest("1"));
    assert_eq!(answer.verdict(), (503, "UNAVAILABLE".to_owned()));
    assert!(answer.message().contains(NAME), "{}", answer.message());
    assert!(!answer.text().contains("secret.key"));
    appliance.wait_for_log("secret.key");
    box_wide.pull("1", &image);
    // Sealing under a new key would hide that the old one is gone.
    let refused = run_with_input(
        &mut appliance.command(&[
            "upstream",
            "add",
            "x.test",
            "https://x.test",
            "--username",
            "u",
            "--password-stdin",
        ]),
        "p\n",
    );
    assert_eq!(refused.status.code(), Some(1));
    assert!(!key.exists());

    std::fs::rename(&away, &key).unwrap();
    let begun = Instant::now();
    while a.client.get(&a.manifest("1")).status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never healed");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn commands_say_what_is_wrong_and_leave_the_file_alone() {
    let appliance = Appliance::builder().prepare();
    let list = ["upstream", "list", "--json"];
    let listed = appliance.json(&list);
    assert_eq!(listed[0]["name"], "docker.io", "without a store too");
    appliance.ok(&["init"]);
    appliance.ok(&["group", "add", "a"]);
    let certificate = FakeUpstream::ca_file();
    let copied = appliance.data().join("ca.pem");
    std::fs::copy(certificate, &copied).unwrap();
    let no_pem = appliance.config();
    let (copied, no_pem) = (copied.to_str().unwrap(), no_pem.to_str().unwrap());
    let url = "https://quay.io";
    appliance.ok(&["upstream", "add", "quay.io", url, "--ca", copied]);
    std::fs::remove_file(copied).unwrap();
    appliance.ok(&["upstream", "add", "docker.io", url, "--group", "a"]);
    let login = ["--username", "u:v", "--password-stdin"];
    let table: &[(&[&str], i32, &str)] = &[
        (&["add", "docker.io", url], 1, "configuration"),
        (&["remove", "docker.io"], 1, "configuration"),
        (&["add", "quay.io", url], 1, "already"),
        (&["add", "docker.io", url, "--group", "a"], 1, "already"),
        (&["add", "quay", url], 2, "host name"),
        (&["add", "x.test", "quay.io"], 1, "url"),
        (&["add", "x.test", "https://u:p@x.test"], 1, "url"),
        (&["add", "x.test", url, "--group", "b"], 1, "no group"),
        (&["add", "x.test", url, "--ca", no_pem], 1, "CA"),
        (
            &["add", "x.test", url, "--auth-realm", "http://y"],
            1,
            "realm",
        ),
        (
            &["add", "x.test", url, "--username", "u"],
            2,
            "--password-stdin",
        ),
        (
            &["add", "x.test", url, login[0], login[1], login[2]],
            1,
            "colon",
        ),
        (&["remove", "x.test"], 1, "no upstream"),
        (&["remove", "quay.io", "--group", "a"], 1, "no upstream"),
    ];
    for (arguments, status, part) in table {
        let arguments = [&["upstream"], *arguments].concat();
        let output = run_with_input(&mut appliance.command(&arguments), "password\n");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(*status),
            "{arguments:?}: {error}"
        );
        assert!(error.contains(part), "{arguments:?}: {error}");
        assert!(!error.contains("password\n"), "{arguments:?}: {error}");
    }
    let listed = appliance.json(&list);
    let seen: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            json!([
                one["name"],
                one["group"],
                one["read_only"],
                one["has_ca"],
                one["allow_private_addresses"]
            ])
        })
        .collect();
    assert_eq!(
        seen,
        [
            json!(["docker.io", null, true, false, true]),
            json!(["quay.io", null, false, true, true]),
            json!(["docker.io", "a", false, false, false]),
        ]
    );
    appliance.ok(&["upstream", "remove", "docker.io", "--group", "a"]);
    appliance.ok(&["upstream", "remove", "quay.io"]);
    assert_eq!(appliance.json(&list).as_array().unwrap().len(), 1);
}

#[test]
fn where_a_group_denies_it_nothing_is_fetched_for_who_may_not_fill() {
    let fake = FakeUpstream::start();
    let old = Image::oci(1, &[50_000, 60_000]);
    fake.put_image("library/app", "1", &old);
    let appliance = Appliance::builder()
        .upstream(fake.url())
        .toml("[cache]\ntag_ttl = \"0s\"\n")
        .start();
    let filler = member(&appliance, "a", FILL, "app");
    let reader = member(&appliance, "a", READ, "app");
    let below = member(&appliance, "a/sub", READ, "app");
    appliance.ok(&["group", "set", "a", "on_read_only_miss=deny"]);

    let manifest = reader.client.get(&reader.manifest("1"));
    assert_eq!(manifest.verdict(), (404, "MANIFEST_UNKNOWN".to_owned()));
    let message = manifest.message();
    assert!(
        message.contains("not cached") && message.contains("may not fill"),
        "{message}"
    );
    let by_digest = reader.client.get(&reader.manifest(old.digest()));
    assert_eq!(by_digest.verdict(), (404, "MANIFEST_UNKNOWN".to_owned()));
    let blob = reader.client.get(&reader.blob(&old.config));
    assert_eq!(blob.verdict(), (404, "BLOB_UNKNOWN".to_owned()));
    assert_eq!(reader.client.head(&reader.blob(&old.config)).status, 404);
    assert_eq!(fake.requests().len(), 0, "nobody was asked for it");
    // The setting is the group's own.
    assert_eq!(below.pull("1", &old), ["bypass"; 4]);

    // What somebody else fetches at this moment is served from that fetch, also what that one has not
    // come to yet.
    fake.forget_requests();
    let [first, second] = [0, 1].map(|n| &old.layers[n]);
    let gate = Gate::new();
    fake.on("GET", &format!("/blobs/{}", Digest::of(first)))
        .next([Answer::good().wait_at(10_000, &gate)]);
    let held = Gate::new();
    fake.on("GET", "/manifests/1")
        .next([Answer::good().wait_at(10, &held)]);
    std::thread::scope(|scope| {
        let filling = scope.spawn(|| filler.client.get(&filler.manifest("1")));
        held.await_arrival();
        let joining = scope.spawn(|| reader.client.get(&reader.manifest("1")));
        std::thread::sleep(Duration::from_millis(200));
        assert!(!joining.is_finished(), "it waits for the manifest");
        held.open();
        assert_eq!(filling.join().unwrap().status, 200);
        let joined = joining.join().unwrap();
        assert_eq!((joined.status, joined.cache()), (200, "miss"));
    });
    let mut fill = filler.client.open(&filler.blob(first));
    fill.read_up_to(5_000);
    let known = reader.client.get(&reader.manifest(old.digest()));
    assert_eq!((known.status, known.cache()), (200, "hit"));
    let head = reader.client.head(&reader.blob(first));
    assert_eq!(head.status, 200);
    let mut joined = reader.client.open(&reader.blob(first));
    assert_eq!(joined.answer.cache(), "miss");
    assert!(joined.read_up_to(5_000)[..5_000] == first[..5_000]);
    std::thread::scope(|scope| {
        let early = scope.spawn(|| reader.client.get(&reader.blob(second)));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!early.is_finished(), "it waits while the image is fetched");
        gate.open();
        assert!(fill.finish().complete && joined.finish().complete);
        filler.pull("1", &old);
        let early = early.join().unwrap();
        assert_eq!((early.status, early.complete), (200, true));
    });
    for blob in old.blobs() {
        assert_eq!(fake.count("GET", Digest::of(blob).as_str()), 1);
    }
    assert_eq!(reader.pull("1", &old)[1..], ["hit", "hit", "hit"]);

    // A tag that has moved: the kept one, until somebody fills the new one.
    let new = Image::oci(2, &[1_000]);
    fake.put_image("library/app", "1", &new);
    let stale = reader.client.get(&reader.manifest("1"));
    assert_eq!((stale.status, stale.cache()), (200, "stale"));
    assert_eq!(stale.body, old.manifest);
    filler.pull("1", &new);
    assert_eq!(reader.pull("1", &new), ["revalidated", "hit", "hit"]);
}
