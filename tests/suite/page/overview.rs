//! The first page, for administrators and for others.

use super::{Browser, password, user};
use crate::cached::pull;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};

#[test]
fn an_administrator_sees_how_the_box_is_and_others_what_is_theirs() {
    let fake = FakeUpstream::start();
    let appliance = Appliance::builder().upstream(fake.url()).start();
    let client = Client::of(&appliance);
    let image = Image::oci(1, &[10_000]);
    fake.put_image("org/kept", "1", &image);
    pull(&client, "org/kept", "1", &[&image]);
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["group", "add", "veiled"]);
    appliance.ok(&["project", "add", "acme/api"]);
    for name in ["alice", "mallory"] {
        user(&appliance, name);
    }
    appliance.ok(&["member", "add", "acme", "alice", "--level", "guest"]);
    let root = Browser::root(&appliance).page("/");
    for said in [
        "layers arriving",
        "docker.io",
        "answers",
        "Cached from upstreams",
        "Last backup",
        "What needs attention",
        "What was served",
    ] {
        assert!(root.contains(said), "{said}: {root}");
    }
    assert!(root.contains("id=\"now\" data-refresh=\"5\""), "{root}");
    for period in ["day", "week", "month", "year", "%3Cscript%3E"] {
        let shown = Browser::root(&appliance).page(&format!("/?period={period}"));
        assert!(shown.contains("<svg"), "{period}: {shown}");
        assert!(shown.contains("From the cache"), "{period}");
        assert!(!shown.contains("<script>"), "{period}");
    }
    let text = |name: &str| Browser::sign_in(&appliance, name, &password(name)).page("/");
    let (alice, mallory) = (text("alice"), text("mallory"));
    assert!(alice.contains("acme/api"), "{alice}");
    for (name, text) in [("alice", &alice), ("mallory", &mallory)] {
        assert!(text.contains("href=\"/start\""), "{name}");
        for hidden in ["veiled", "docker.io", "connections", "org/kept", "backup"] {
            assert!(!text.contains(hidden), "{name} sees {hidden}: {text}");
        }
    }
    assert!(!mallory.contains("acme"), "{mallory}");
}

#[test]
fn which_upstreams_there_are_is_told_to_administrators_alone() {
    let appliance = Appliance::start();
    appliance.ok(&["upstream", "add", "quay.io", "https://quay.io"]);
    user(&appliance, "alice");
    let alice = Browser::sign_in(&appliance, "alice", &password("alice"));
    for client in ["containerd", "podman"] {
        let page = format!("/start?client={client}");
        let (root, alice) = (Browser::root(&appliance).page(&page), alice.page(&page));
        assert!(root.contains("quay.io"), "{root}");
        assert!(!alice.contains("quay.io"), "{alice}");
        assert!(alice.contains("docker.io"), "{alice}");
    }
}

#[test]
fn an_upstream_that_fails_is_told_with_what_went_wrong() {
    let fake = FakeUpstream::start();
    let appliance = Appliance::builder().upstream(fake.url()).start();
    let client = Client::of(&appliance);
    drop(fake);
    for _ in 0..8 {
        client.get("/v2/org/absent/manifests/1");
    }
    let text = Browser::root(&appliance).page("/");
    assert!(text.contains("badge bad"), "{text}");
    assert!(text.contains("away: kept images"), "{text}");
}
