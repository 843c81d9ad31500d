//! What a running server remembers for whoever looks at it: how much is cached, and what the doctor finds.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{pull, stage};
use crate::support::client::Client;
use crate::support::fake_upstream::Image;

/// Asks as somebody, who gets this status.
fn ask(client: &Client, secret: &str, path: &str, status: u16) -> Value {
    let client = client.with("PRIVATE-TOKEN", secret);
    let answer = client.get(&format!("/api/v4{path}"));
    assert_eq!(answer.status, status, "{path}: {}", answer.text());
    answer.json()
}

/// Asks until this field has a value.
fn found_out(client: &Client, secret: &str, path: &str, field: &str) -> Value {
    let begun = Instant::now();
    loop {
        let view = ask(client, secret, path, 200);
        if !view[field].is_null() {
            return view;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{view}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_small_box_counts_for_everybody_who_asks_and_says_when() {
    let (fake, appliance, client) = stage();
    let root = appliance.token("root", &["read_api"]);
    for number in 1..=3 {
        let (name, image) = (format!("org/x{number}"), Image::oci(number, &[10_000]));
        fake.put_image(&name, "1", &image);
        pull(&client, &name, "1", &[&image]);
        // The first to ask may get totals alone.
        let mut remembered = found_out(&client, &root, "/cache/statistics", "upstreams");
        assert_eq!(remembered["tags"], number, "{remembered}");
        assert_eq!(remembered["upstreams"][0]["images"], number);
        let mut counted = appliance.json(&["cache", "stats", "--json"]);
        for view in [&mut remembered, &mut counted] {
            assert!(view["as_of"].is_string(), "{view}");
            view["as_of"] = json!(null);
            view["disk_free_bytes"] = json!(null);
        }
        assert_eq!(remembered, counted);
    }
}

#[test]
fn the_running_server_says_what_the_doctor_says_and_only_to_administrators() {
    let (_fake, appliance, client) = stage();
    appliance.ok(&["user", "add", "bob", "--service"]);
    let bob = appliance.token("bob", &["read_api"]);
    ask(&client, &bob, "/doctor", 403);
    let root = appliance.token("root", &["read_api"]);
    let first = ask(&client, &root, "/doctor", 200);
    let is_looked_at = first["as_of"].is_string();
    for count in ["errors", "warnings"] {
        assert_eq!(first[count].is_u64(), is_looked_at, "{first}");
    }
    let remembered = found_out(&client, &root, "/doctor", "as_of");
    let output = appliance.run_cli(&["doctor", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    // What only root sees of other processes is left out.
    let findings = |view: &Value| -> Vec<String> {
        let findings = view["findings"].as_array().unwrap().iter();
        let told = findings.filter(|finding| finding["check"] != "proxy_suspected");
        told.map(Value::to_string).collect()
    };
    assert_eq!(findings(&remembered), findings(&said));
    let password = "initial_password";
    let found = findings(&remembered);
    assert!(
        found.iter().any(|finding| finding.contains(password)),
        "{found:?}"
    );
    // It is not looked again at once.
    appliance.ok(&["network", "add", "0.0.0.0/0", "--ability", "fill"]);
    let again = ask(&client, &root, "/doctor", 200);
    assert_eq!(again, remembered);
}

#[test]
fn a_page_of_images_is_in_the_order_that_it_is_asked_for() {
    let (fake, appliance, client) = stage();
    let root = appliance.token("root", &["read_api"]);
    for (number, size) in [(1, 10_000), (2, 30_000), (3, 20_000)] {
        let (name, image) = (format!("org/x{number}"), Image::oci(number, &[size]));
        fake.put_image(&name, "1", &image);
        pull(&client, &name, "1", &[&image]);
    }
    let names = |query: &str| {
        let page = ask(&client, &root, &format!("/cache/images?{query}"), 200);
        let images = page.as_array().unwrap().iter();
        let names = images.map(|image| image["repository"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    // The first to ask measures all, and the others may be told by what is remembered.
    for _ in 0..2 {
        assert_eq!(names("sort=size"), "org/x2 org/x3 org/x1");
        assert_eq!(names("sort=size&per_page=1&page=2"), "org/x3");
    }
    assert_eq!(names(""), "org/x1 org/x2 org/x3");
    assert_eq!(names("search=x3:1"), "org/x3");
    assert_eq!(names("search=x*1&per_page=2"), "org/x1 org/x2");
}
