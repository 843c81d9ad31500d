//! What a token's scopes are worth at a pull: who fills, who only reads, and what they share.

use super::{BOTH, IMAGE, SCOPE, stage};
use crate::support::client::{Client, assert_sound, token_path};
use crate::support::fake_upstream::{Answer, Gate, Image};

#[test]
fn example_1_a_token_with_both_scopes_fills_and_outlives_the_upstream() {
    let stage = stage();
    let secret = stage.appliance.token("alice", BOTH);
    let client = stage.login("alice", &secret);
    assert_eq!(stage.pull(&client), ["miss"; 3]);
    stage.fake.stop();
    assert_eq!(stage.pull(&client), ["hit"; 3]);
    assert_sound(&stage.appliance);
}

#[test]
fn examples_4_and_5_a_reader_gets_what_is_cached_and_leaves_nothing_behind() {
    let stage = stage();
    let reader = stage.appliance.token("alice", &["read_registry"]);
    let client = stage.login("whoever", &reader);
    let before = stage.kept();
    for round in 1..3 {
        assert_eq!(stage.pull(&client), ["bypass"; 3]);
        assert_eq!(stage.fake.count("GET", "/manifests/"), round);
        assert_eq!(stage.fake.count("GET", "/blobs/"), 2 * round);
        assert_eq!(stage.kept(), before);
    }
    // While the upstream is away a miss says so; what another one filled is served.
    stage.fake.stop();
    let missed = stage.manifest(&client);
    assert_eq!(missed.verdict(), (503, "UNAVAILABLE".to_owned()));
    assert!(missed.message().contains("docker.io"), "{}", missed.text());
    stage.fake.restart();
    let filler = stage.appliance.token("alice", &["write_virtual_registry"]);
    let filler = stage.login("alice", &filler);
    let begun = std::time::Instant::now();
    while stage.manifest(&filler).status != 200 {
        assert!(begun.elapsed().as_secs() < 60, "the breaker never closes");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    stage.pull(&filler);
    stage.fake.stop();
    assert_eq!(stage.pull(&client), ["hit"; 3]);
    let missed = client.get(&format!("/v2/{IMAGE}/manifests/other"));
    assert_eq!(missed.verdict(), (503, "UNAVAILABLE".to_owned()));
    assert!(missed.field("Retry-After").is_some());
    assert_sound(&stage.appliance);
}

#[test]
fn example_6_scopes_are_worth_what_the_table_says() {
    // scopes → status of the login, word of a miss
    let table: &[(&[&str], u16, &str)] = &[
        (&["write_virtual_registry"], 200, "miss"),
        (&["write_dependency_proxy"], 200, "miss"),
        (&["api"], 200, "miss"),
        (BOTH, 200, "miss"),
        (&["read_virtual_registry", "write_registry"], 200, "miss"),
        (&["write_registry"], 200, "miss"),
        (&["read_registry"], 200, "bypass"),
        (&["read_virtual_registry"], 200, "bypass"),
        (&["read_dependency_proxy"], 200, "bypass"),
        (&["read_registry", "read_api"], 200, "bypass"),
        (&["read_api"], 403, ""),
    ];
    let stage = stage();
    for (n, (scopes, status, word)) in table.iter().enumerate() {
        let tag = format!("t{n}");
        stage
            .fake
            .put_image("library/alpine", &tag, &Image::oci(n as u64 + 50, &[1]));
        let secret = stage.appliance.token("alice", scopes);
        let basic = stage.client.basic("alice", &secret);
        let login = basic.get(&token_path(&[SCOPE]));
        assert_eq!(login.status, *status, "{scopes:?}: {}", login.text());
        if *status == 200 {
            let client = stage.login("alice", &secret);
            let got = client.get(&format!("/v2/{IMAGE}/manifests/{tag}"));
            assert_eq!((got.status, got.cache()), (200, *word), "{scopes:?}");
        }
    }
    assert_sound(&stage.appliance);
}

#[test]
fn a_reader_follows_a_moved_tag_and_moves_nothing() {
    let mut stage = stage();
    let toml = std::fs::read_to_string(stage.appliance.config()).unwrap();
    let toml = toml.replace("tag_ttl = \"1h\"", "tag_ttl = \"0s\"");
    std::fs::write(stage.appliance.config(), toml).unwrap();
    stage.appliance.restart();
    stage.client = Client::of(&stage.appliance);
    let reader = stage.appliance.token("alice", &["read_registry"]);
    let filler = stage.appliance.token("alice", BOTH);
    let (reader, filler) = (stage.login("a", &reader), stage.login("a", &filler));
    stage.pull(&filler);
    assert_eq!(stage.pull(&reader), ["revalidated", "hit", "hit"]);
    let before = stage.kept().0;
    let new = Image::oci(2, &[10]);
    stage.fake.put_image("library/alpine", "latest", &new);
    let moved = stage.manifest(&reader);
    assert_eq!((moved.cache(), &moved.body), ("bypass", &new.manifest));
    assert_eq!(stage.kept().0, before);
    stage.fake.stop();
    for client in [&reader, &filler] {
        let kept = stage.manifest(client);
        assert_eq!((kept.cache(), &kept.body), ("stale", &stage.image.manifest));
    }
    assert_sound(&stage.appliance);
}

#[test]
fn a_filler_who_joins_a_readers_fetch_makes_it_a_fill() {
    let stage = stage();
    let reader = stage.appliance.token("alice", &["read_registry"]);
    let filler = stage.appliance.token("alice", BOTH);
    let (reader, filler) = (stage.login("a", &reader), stage.login("a", &filler));
    let gate = Gate::new();
    stage
        .fake
        .on("GET", "/blobs/")
        .next([Answer::good().wait_at(10_000, &gate)]);
    let path = format!("/v2/{IMAGE}/blobs/{}", stage.image.layer_digest(0));
    let mut first = reader.open(&path);
    assert!(first.read_up_to(5_000).len() >= 5_000);
    gate.await_arrival();
    assert!(
        !stage
            .kept()
            .0
            .iter()
            .any(|name| name.contains(stage.image.layer_digest(0).hex()))
    );
    let mut second = filler.open(&path);
    assert!(second.read_up_to(5_000).len() >= 5_000);
    let third = reader.open(&path);
    gate.open();
    let answers = [first.finish(), second.finish(), third.finish()];
    for (answer, word) in answers.iter().zip(["bypass", "miss", "miss"]) {
        assert!(answer.complete && answer.body == stage.image.layers[0]);
        assert_eq!(answer.cache(), word, "as it looked when the head left");
    }
    assert_eq!(stage.fake.count("GET", "/blobs/"), 1);
    // The last byte leaves after the blob is kept.
    stage.fake.stop();
    let kept = reader.get(&path);
    assert_eq!(kept.cache(), "hit", "{}", kept.head);
    assert_sound(&stage.appliance);
}
