//! `cache evict`: what goes next, and what stays.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{pull, stage};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{Answer, Image};

/// Lets some days pass for what is cached.
fn age(appliance: &mut Appliance, name: &str, days: i64) {
    appliance.stop();
    let connection = rusqlite::Connection::open(appliance.data().join("cache.sqlite")).unwrap();
    for text in [
        "UPDATE manifests SET fetched_at = fetched_at - ?2 WHERE repository_id IN (
             SELECT id FROM repositories WHERE name = ?1)",
        "UPDATE pulls SET last_at = last_at - ?2 WHERE manifest_id IN (
             SELECT manifests.id FROM manifests JOIN repositories ON repositories.id = repository_id
             WHERE name = ?1)",
    ] {
        let seconds = days * 24 * 60 * 60;
        connection.execute(text, (name, seconds)).unwrap();
    }
    drop(connection);
    appliance.restart();
}

/// What is recalled is worked out on a thread of its own, which must know of upstreams what an eviction knows.
#[test]
fn what_would_go_is_the_same_from_memory_where_an_upstream_is_away() {
    let (fake, mut appliance, client) = stage();
    let image = Image::oci(1, &[100_000]);
    fake.put_image("org/old", "1", &image);
    pull(&client, "org/old", "1", &[&image]);
    age(&mut appliance, "org/old", 10);
    let root = [
        "token", "create", "--name", "x", "--user", "root", "--scope", "api",
    ];
    let root = appliance.ok(&root);
    let client = Client::of(&appliance);
    let rest = client.with("PRIVATE-TOKEN", root.trim());
    let look = |recall: &str| {
        let fields = [("to", "0"), ("dry_run", "true"), ("recall", recall)];
        let began = Instant::now();
        loop {
            let answer = rest.post_form("/api/v4/cache/evict", &fields);
            if answer.status != 503 || began.elapsed() > Duration::from_secs(20) {
                assert_eq!(answer.status, 200, "{}", answer.text());
                let Value::Object(mut view) = answer.json() else {
                    panic!("{}", answer.text());
                };
                view.remove("as_of");
                return view;
            }
            sleep(Duration::from_millis(50));
        }
    };
    assert_eq!(look("true")["images"], 1);
    fake.on("*", "").always(Answer::status(500));
    for name in ["org/a", "org/b", "org/c"] {
        client.get(&format!("/v2/{name}/manifests/1"));
    }
    let now = look("false");
    assert_eq!(now["stays"][0]["why"], "away", "{now:?}");
    // What was worked out before may be given for a while, but not after something that forgets it.
    appliance.ok(&["cache", "pin", "org/none"]);
    assert_eq!(look("true"), now);
}

#[test]
fn what_is_worth_least_goes_first_and_it_is_said_what_stays_and_why() {
    let (fake, mut appliance, client) = stage();
    for (seed, name) in [
        (1, "org/old"),
        (2, "org/older"),
        (3, "org/pinned"),
        (4, "org/busy"),
    ] {
        let image = Image::oci(seed, &[100_000]);
        fake.put_image(name, "1", &image);
        pull(&client, name, "1", &[&image]);
    }
    age(&mut appliance, "org/old", 10);
    age(&mut appliance, "org/older", 20);
    age(&mut appliance, "org/pinned", 30);
    appliance.ok(&["cache", "pin", "org/pinned"]);

    let look = appliance.json(&["cache", "evict", "--to", "0", "--dry-run", "--json"]);
    let victims = look["victims"].as_array().unwrap().iter();
    let names: Vec<_> = victims
        .map(|victim| victim["names"][0].as_str().unwrap())
        .collect();
    assert_eq!(names, ["docker.io/org/older:1", "docker.io/org/old:1"]);
    let stays = look["stays"].as_array().unwrap().iter();
    let stays: Vec<_> = stays
        .map(|stay| json!([stay["why"], stay["images"]]))
        .collect();
    assert_eq!(stays, [json!(["pinned", 1]), json!(["busy", 1])]);
    assert_eq!(look["is_enough"], json!(false));
    let text = appliance.ok(&["cache", "evict", "--to", "0", "--dry-run"]);
    assert!(text.contains("2 images would go"), "{text}");

    let used = |appliance: &Appliance| -> Value {
        appliance.json(&["cache", "stats", "--json"])["bytes"].clone()
    };
    let before = used(&appliance).as_u64().unwrap();
    let to = format!("{}B", before - 1);
    let evicted = appliance.json(&["cache", "evict", "--to", &to, "--json"]);
    assert_eq!(
        (&evicted["images"], &evicted["is_enough"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(
        used(&appliance),
        before - evicted["bytes"].as_u64().unwrap()
    );
    let left = appliance.json(&["cache", "list", "--json"]).to_string();
    assert!(
        left.contains("org/old\"") && !left.contains("org/older"),
        "{left}"
    );

    let look = appliance.json(&["cache", "evict", "--dry-run", "--json"]);
    assert_eq!(
        (&look["images"], &look["is_enough"]),
        (&json!(0), &json!(true))
    );
    let wrong = appliance.run_cli(&["cache", "evict", "--to", "5%"]);
    assert_eq!(wrong.status.code(), Some(2));
}
