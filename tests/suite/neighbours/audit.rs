//! The audit cannot be blinded: neither by refusals before a theft, nor can a tenant read in it what a former one did.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Neighbours;
use crate::support::client::{Client, token_path};

/// The events of a kind that begins with `kind`, once `until` holds for them.
fn events(neighbours: &Neighbours, kind: &str, until: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let events = neighbours.appliance.audit(&["--limit", "100000"]);
        let mut events = events.as_array().unwrap().clone();
        events.retain(|event| event["event"].as_str().unwrap().starts_with(kind));
        if until(&events) {
            return events;
        }
        assert!(begun.elapsed().as_secs() < 60, "{events:#?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_login_with_a_stolen_token_is_told_after_any_number_of_refusals() {
    let neighbours = Neighbours::start();
    let stolen = neighbours.appliance.token("gus", &["read_registry"]);
    let tokens = neighbours.appliance.json(&["token", "list", "--json"]);
    let id = tokens.as_array().unwrap().last().unwrap()["id"].clone();
    let client = Client::of(&neighbours.appliance);
    let nobody = client.bearer("forged");
    neighbours.unharmed_by("1,005 refusals before a theft", || {
        for number in 0..1_005 {
            let path = format!("/v2/good/app/manifests/v{number}");
            assert_eq!(nobody.get(&path).status, 401);
        }
        let thief = client.basic("x", &stolen);
        for _ in 0..2 {
            assert_eq!(thief.get(&token_path(&[])).status, 200);
        }
    });
    let by_stolen = |event: &Value| event["subject_kind"] == "token" && event["subject_id"] == id;
    let logins = events(&neighbours, "login.succeeded", |events| {
        let counts = events.iter().filter(|event| by_stolen(event));
        counts
            .filter_map(|event| event["count"].as_u64())
            .sum::<u64>()
            == 2
    });
    let login = logins.iter().find(|event| by_stolen(event)).unwrap();
    assert_eq!(login["actor"], format!("gus (token {id})"));
    assert_eq!(login["address"], "127.0.0.1");
    assert!(logins.iter().all(|event| event["actor"] != "(others)"));
    // The flood is counted, not kept.
    let refused = events(&neighbours, "access.unauthorized", |events| {
        let counts = events.iter().filter_map(|event| event["count"].as_u64());
        counts.sum::<u64>() == 1_005
    });
    assert!(refused.len() <= 2 * 51, "{} rows", refused.len());
}

#[test]
fn the_owner_of_a_new_group_reads_nothing_of_a_former_one_of_that_name() {
    let neighbours = Neighbours::start();
    let appliance = &neighbours.appliance;
    let tenant = |user: &str| {
        for arguments in [
            &["group", "add", "team"][..],
            &["project", "add", "team/app"],
            &["member", "add", "team", user, "--level", "owner"],
        ] {
            appliance.ok(arguments);
        }
    };
    tenant("gus");
    let secret = appliance.token("gus", &["api"]);
    let gus = Client::of(appliance).with("PRIVATE-TOKEN", &secret);
    let bot = br#"{"name":"bot of gus","scopes":["read_registry"]}"#;
    let gus = gus.with("Content-Type", "application/json");
    for place in ["groups/team", "projects/team%2Fapp"] {
        let made = gus.request("POST", &format!("/api/v4/{place}/access_tokens"), bot);
        assert_eq!(made.status, 201, "{}", made.text());
    }
    // Refusals are noted for the place, too.
    let hidden = neighbours.attacker(&["team/app"]);
    assert_eq!(hidden.get("/v2/team/app/tags/list").status, 404);
    let is_noted = |events: &[Value]| events.iter().any(|event| event["group"] == "team/app");
    events(&neighbours, "access.hidden", is_noted);
    appliance.ok(&["group", "remove", "team", "--yes"]);
    tenant("eve");
    let eve = neighbours.attacker_rest();
    for place in ["groups/team", "projects/team%2Fapp"] {
        let listed = eve.get(&format!("/api/v4/{place}/audit_events?per_page=100"));
        assert_eq!(listed.status, 200, "{}", listed.text());
        let text = listed.text();
        assert!(text.contains(".created"), "{place}: {text}");
        for foreign in ["gus", "access.hidden", "group.removed"] {
            assert!(!text.contains(foreign), "{place}: {foreign}: {text}");
        }
    }
    // Whoever administers the box sees both, told apart by their ids.
    let both = appliance.audit(&["--group", "team"]);
    let both = both.as_array().unwrap().iter();
    let made: Vec<_> = both
        .filter(|event| event["event"] == "group.created")
        .map(|event| event["entity_id"].as_i64().unwrap())
        .collect();
    assert!(made.len() == 2 && made[0] < made[1], "{made:?}");
}
