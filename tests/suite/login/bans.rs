//! Guessing: who is banned, from what, and what a flood of logins cannot take from pulls.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{BOTH, IMAGE, SCOPE};
use crate::support::appliance::Appliance;
use crate::support::client::{Answer, Client, assert_sound, token_path};
use crate::support::fake_upstream::{FakeUpstream, Image};

#[test]
fn an_account_is_banned_wherever_its_password_is_guessed_from() {
    let toml = "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n[auth]\nban_after = 3";
    let appliance = Appliance::builder().toml(toml).start();
    let client = Client::of(&appliance);
    let add = &["user", "add", "carol", "--password-stdin"];
    appliance.ok_with_input(add, "right Passw0rd\n");
    let secret = appliance.token("carol", BOTH);
    let from = |number: usize| client.with("X-Forwarded-For", &format!("192.0.2.{number}"));
    let login = |number: usize, user: &str, password: &str| {
        from(number).basic(user, password).get(&token_path(&[]))
    };
    let jwt = from(1).basic("carol", "right Passw0rd").token(&[]);
    for number in 1..=3 {
        assert_eq!(login(number, "carol", "wrong Passw0rd").status, 401);
    }
    // From an address that has done nothing, with the right password even.
    let banned = login(9, "carol", "right Passw0rd");
    assert_eq!(banned.verdict(), (429, "TOOMANYREQUESTS".to_owned()));
    let retry: u64 = banned.field("Retry-After").unwrap().parse().unwrap();
    assert!((1..=600).contains(&retry), "{retry}");
    // Her tokens and JWTs, and others from those addresses, are no guesses.
    assert_eq!(login(1, "carol", &secret).status, 200);
    assert_eq!(from(1).bearer(&jwt).get("/v2/").status, 200);
    let root = appliance.root_password();
    assert_eq!(login(1, "root", &root).status, 200);
    // A name that is nobody's is counted as one that is somebody's.
    for number in 11..=13 {
        assert_eq!(login(number, "nobody", "wrong Passw0rd").status, 401);
    }
    let unknown = login(14, "nobody", "wrong Passw0rd");
    let sentence = |answer: &Answer| answer.message().split(" (").next().unwrap().to_owned();
    assert_eq!(
        (unknown.status, sentence(&unknown)),
        (429, sentence(&banned))
    );
    // An address of IPv6 is its whole /64.
    for end in ["1", "2", "3"] {
        let client = client.with("X-Forwarded-For", &format!("2001:db8::{end}"));
        let guess = client.basic("x", "bwp_00000000000000000000000000000000");
        assert_eq!(guess.get(&token_path(&[])).status, 401);
    }
    for (address, status) in [("2001:db8::4", 429), ("2001:db8:0:1::4", 200)] {
        let client = client.with("X-Forwarded-For", address);
        let answer = client.basic("x", &secret).get(&token_path(&[]));
        assert_eq!(answer.status, status, "{address}");
    }
}

/// Whoever has one token cannot buy guesses at others with it: by a login, nor by the REST API.
#[test]
fn a_valid_credential_clears_no_address() {
    let appliance = Appliance::start();
    let client = Client::of(&appliance);
    let secret = appliance.token("mallory", &["read_registry", "read_api"]);
    let guess = |number: usize| {
        let user = format!("user-{number}");
        let guessing = client.basic(&user, "wrong Passw0rd");
        guessing.get(&token_path(&[])).status
    };
    let login = || {
        client
            .basic("mallory", &secret)
            .get(&token_path(&[]))
            .status
    };
    let rest = || {
        client
            .with("PRIVATE-TOKEN", &secret)
            .get("/api/v4/user")
            .status
    };
    for number in 1..=29 {
        assert_eq!(guess(number), 401, "{number}");
    }
    assert_eq!((login(), rest()), (200, 200));
    assert_eq!(guess(30), 401);
    assert_eq!((guess(31), login(), rest()), (429, 429, 429));
}

#[test]
fn jwts_and_anonymous_pulls_are_never_counted_as_guesses() {
    let fake = FakeUpstream::start();
    fake.put_image("library/alpine", "latest", &Image::oci(1, &[100]));
    let toml = "[auth]\nban_after = 3\ntoken_ttl = \"1s\"";
    let appliance = Appliance::builder().upstream(fake.url()).toml(toml).start();
    let client = Client::of(&appliance);
    let secret = appliance.token("alice", BOTH);
    let old = client.basic("alice", &secret).token(&[SCOPE]);
    let path = format!("/v2/{IMAGE}/manifests/latest");
    let begun = std::time::Instant::now();
    let is_expired = || client.bearer(&old).get(&path).message().contains("expired");
    while !is_expired() {
        assert!(begun.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    for _ in 0..20 {
        assert_eq!(client.bearer(&old).get(&path).status, 401);
        assert_eq!(client.bearer("for.ged.x").get(&path).status, 401);
        assert_eq!(client.get(&path).status, 401);
        let mirror = client.get("/v2/library/alpine/manifests/latest");
        assert_eq!(mirror.status, 200);
        let anonymous = client.get(&token_path(&["repository:library/alpine:pull"]));
        assert_eq!(anonymous.status, 200);
    }
    assert_eq!(
        client.basic("alice", &secret).get(&token_path(&[])).status,
        200
    );
}

/// Clients send an empty user name with an empty password where their configuration has a login of nobody, and scripts
/// an empty field where their variable is not set: neither is a guess.
#[test]
fn empty_credentials_are_nobody_and_no_failed_login() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[100]);
    fake.put_image("library/alpine", "latest", &image);
    let toml = "[auth]\nban_after = 3";
    let appliance = Appliance::builder().upstream(fake.url()).toml(toml).start();
    let client = Client::of(&appliance);
    let secret = appliance.token("alice", BOTH);
    let mirror = token_path(&["repository:library/alpine:pull"]);
    let empty = client.with("Authorization", "Basic Og==");
    for _ in 0..10 {
        let pulled = empty.get("/v2/library/alpine/manifests/latest");
        assert_eq!(pulled.body, image.manifest, "{}", pulled.text());
        assert_eq!(empty.get(&mirror).status, 200);
        let form = client.post_form(
            "/jwt/auth",
            &[
                ("grant_type", "password"),
                ("username", ""),
                ("password", ""),
                ("scope", "repository:library/alpine:pull"),
            ],
        );
        assert_eq!(form.status, 200, "{}", form.text());
        assert_eq!(empty.get("/metrics").status, 200);
        // It opens nothing either.
        assert_eq!(empty.get("/v2/").status, 401);
        assert_eq!(empty.get(&token_path(&[SCOPE])).status, 401);
        let api = |name: &str, value: &str| client.with(name, value).get("/api/v4/groups").status;
        assert_eq!(api("PRIVATE-TOKEN", ""), 401);
        assert_eq!(api("JOB-TOKEN", ""), 401);
        assert_eq!(api("Authorization", "Bearer "), 401);
        assert_eq!(api("Authorization", "Basic Og=="), 401);
    }
    assert_eq!(
        client.basic("alice", &secret).get(&token_path(&[])).status,
        200
    );
    // Half a credential is one, and a wrong one.
    assert_eq!(client.basic("alice", "").get(&mirror).status, 401);
    let is_told = |event: &serde_json::Value| {
        let kind = event["event"].as_str().unwrap_or_default();
        kind.starts_with("login.failed") || kind.starts_with("login.banned")
    };
    let begun = std::time::Instant::now();
    let told = loop {
        let events = appliance.audit(&[]);
        let events = events.as_array().unwrap().iter();
        let told: Vec<_> = events.filter(|event| is_told(event)).cloned().collect();
        if !told.is_empty() || begun.elapsed().as_secs() > 30 {
            break told;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert_eq!(told.len(), 1, "{told:#?}");
}

/// 48 guess at once and without a pause, each from another address for another name, so that no ban stops
/// them: three times as many as may wait for a hash, and twelve times as many as there are workers.
#[test]
fn a_flood_of_logins_holds_up_no_pull() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[1_000]);
    fake.put_image("library/alpine", "latest", &image);
    let toml =
        "[server]\nworkers = 4\ntrusted_proxies = [\"127.0.0.1/32\"]\n[cache]\ntag_ttl = \"1h\"";
    let appliance = Appliance::builder().upstream(fake.url()).toml(toml).start();
    let client = Client::of(&appliance);
    let pulling = client.bearer(&{
        appliance.ok(&["group", "add", "acme"]);
        let secret = appliance.token("alice", BOTH);
        appliance.ok(&["member", "add", "acme", "alice", "--level", "guest"]);
        client.basic("alice", &secret).token(&[SCOPE])
    });
    let path = format!("/v2/{IMAGE}/manifests/latest");
    assert_eq!(pulling.get(&path).body, image.manifest);
    let (stop, refused, busy) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    std::thread::scope(|scope| {
        for guesser in 0..48 {
            let (client, stop, refused, busy) = (&client, &stop, &refused, &busy);
            scope.spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let address = format!("2001:db8:{guesser:x}:{number:x}::1");
                    let client = client.with("X-Forwarded-For", &address);
                    let name = format!("user-{guesser}-{number}");
                    let answer = client.basic(&name, "wrong Passw0rd").get(&token_path(&[]));
                    match answer.status {
                        401 => refused.fetch_add(1, Ordering::Relaxed),
                        429 => {
                            assert!(answer.field("Retry-After").is_some());
                            busy.fetch_add(1, Ordering::Relaxed)
                        }
                        _ => panic!("{}", answer.text()),
                    };
                }
            });
        }
        let mut pulls = 0;
        while pulls < 100 || busy.load(Ordering::Relaxed) < 200 {
            let answer = pulling.get(&path);
            assert_eq!((answer.status, answer.cache()), (200, "hit"));
            pulls += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    // Hashes are computed one at a time: most of the flood never got one.
    let (refused, busy) = (refused.into_inner(), busy.into_inner());
    assert!(
        busy > refused,
        "{refused} guesses were checked, {busy} turned away"
    );
    // Nothing of it lasts.
    let root = appliance.root_password();
    assert_eq!(
        client.basic("root", &root).get(&token_path(&[])).status,
        200
    );
    assert_sound(&appliance);
}
