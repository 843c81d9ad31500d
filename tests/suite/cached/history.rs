//! `cache history` and `GET /cache/history`: what was served, by the hour.

use serde_json::{Value, json};

use super::{pull, stage};
use crate::support::appliance::Appliance;
use crate::support::client::{Client, token_path};
use crate::support::fake_upstream::Image;

fn history(appliance: &Appliance, period: &str) -> Value {
    appliance.json(&["cache", "history", "--period", period, "--json"])
}

#[test]
fn what_was_served_is_summed_up_by_the_hour_and_survives_a_restart() {
    let (fake, mut appliance, client) = stage();
    let image = Image::oci(1, &[50_000]);
    fake.put_image("library/alpine", "latest", &image);
    let nothing = history(&appliance, "day");
    assert_eq!(nothing["total"]["served"], 0, "{nothing}");
    assert_eq!(nothing["points"].as_array().unwrap().len(), 24);

    pull(&client, "library/alpine", "latest", &[&image]);
    pull(&client, "library/alpine", "latest", &[&image]);
    let guess = client.basic("x", "bwp_00000000000000000000000000000000");
    assert_eq!(guess.get(&token_path(&[])).status, 401);
    // A challenge is none.
    assert_eq!(client.get("/v2/").status, 401);

    let bytes = image.manifest.len() + image.blobs().map(Vec::len).sum::<usize>();
    let expected = json!({
        "served": 6, "served_from_cache": 3, "served_bytes": 2 * bytes, "served_bytes_from_cache": bytes,
        "fetched_bytes": bytes, "evicted_bytes": 0, "refused": 1,
    });
    let checked = |appliance: &Appliance| {
        for (period, points) in [("day", 24), ("week", 28), ("month", 30), ("year", 12)] {
            let view = history(appliance, period);
            assert_eq!(view["total"], expected, "{period}");
            let all = view["points"].as_array().unwrap();
            assert_eq!((view["period"].as_str(), all.len()), (Some(period), points));
            let sum = all.iter().map(|point| point["served"].as_u64().unwrap());
            assert_eq!(sum.sum::<u64>(), 6, "{period}: {view}");
        }
    };
    checked(&appliance);
    let table = appliance.ok(&["cache", "history"]);
    let last = table.lines().last().unwrap();
    assert!(
        last.starts_with("in all") && last.contains("50 %"),
        "{table}"
    );

    appliance.restart();
    checked(&appliance);
    appliance.stop();
    checked(&appliance);
}

#[test]
fn a_history_is_for_administrators_and_of_a_known_period() {
    let (_fake, appliance, client) = stage();
    let token = |user| appliance.token(user, &["read_api"]);
    let asks = |secret: &str, query: &str| {
        let client: Client = client.with("PRIVATE-TOKEN", secret);
        client.get(&format!("/api/v4/cache/history{query}"))
    };
    appliance.ok(&["user", "add", "bob", "--service"]);
    assert_eq!(asks(&token("bob"), "").status, 403);
    let root = token("root");
    assert_eq!(asks(&root, "").json()["period"], "day");
    assert_eq!(asks(&root, "?period=year").json()["period"], "year");
    assert_eq!(asks(&root, "?period=century").status, 400);
}

#[test]
fn an_upstream_that_is_removed_and_added_again_is_counted_once() {
    let (fake, mut appliance, client) = stage();
    let image = Image::oci(1, &[50_000]);
    fake.put_image("org/x", "1", &image);
    let add = ["upstream", "add", "quay.io", fake.url()];
    appliance.ok(&add);
    pull(&client, "quay.io/org/x", "1", &[]);
    let total = |appliance: &Appliance| history(appliance, "day")["total"].clone();
    let expected = total(&appliance);
    assert_eq!(expected["served"], 1, "{expected}");
    appliance.ok(&["upstream", "remove", "quay.io"]);
    assert_eq!(total(&appliance), expected, "what was done stays done");
    appliance.ok(&add);
    assert_eq!(total(&appliance), expected);
    appliance.restart();
    assert_eq!(total(&appliance), expected);
}

#[test]
fn who_is_told_to_come_later_for_guessing_is_counted_as_refused() {
    let appliance = Appliance::builder().toml("[auth]\nban_after = 3").start();
    appliance.ok(&["user", "add", "alice", "--service"]);
    let guess = Client::of(&appliance).basic("alice", "guess");
    let tries: Vec<_> = (0..6).map(|_| guess.get(&token_path(&[])).status).collect();
    assert_eq!((tries[0], tries[5]), (401, 429));
    assert_eq!(history(&appliance, "day")["total"]["refused"], 6);
}
