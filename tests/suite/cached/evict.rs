//! `cache evict`: what goes next, and what stays.

use serde_json::{Value, json};

use super::{pull, stage};
use crate::support::appliance::Appliance;
use crate::support::fake_upstream::Image;

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
