//! The upstream stopped, limited, or refusing: what is cached is served, and what is not is refused in
//! words that tell why.

use super::{ALWAYS_ASK, assert_error, blob, manifest, pull, stage};
use crate::support::client::{Client, assert_sound};
use crate::support::fake_upstream::{Answer, Gate, Image};

#[test]
fn a_pulled_image_outlives_the_upstream_a_restart_and_a_crash() {
    let (fake, image, mut appliance, client) = stage(ALWAYS_ASK);
    assert_eq!(
        pull(&client, "library/alpine", "latest", &image),
        ["miss"; 4]
    );
    fake.stop();
    let cached = ["stale", "hit", "hit", "hit"];
    assert_eq!(pull(&client, "library/alpine", "latest", &image), cached);
    appliance.restart();
    let client = Client::of(&appliance);
    assert_eq!(pull(&client, "library/alpine", "latest", &image), cached);
    appliance.kill();
    appliance.restart();
    let client = Client::of(&appliance);
    assert_eq!(pull(&client, "alpine", "latest", &image), cached);
    assert_eq!(client.get("/-/readiness").status, 200);
    assert_sound(&appliance);
}

#[test]
fn a_fill_that_a_crash_interrupted_is_resumed() {
    let (fake, image, mut appliance, client) = stage("");
    let gate = Gate::new();
    fake.on("GET", "/blobs/")
        .next([Answer::good().wait_at(60_000, &gate)]);
    let path = blob("library/alpine", image.layer_digest(0));
    let mut broken = client.open(&path);
    assert!(broken.read_up_to(59_000).len() >= 59_000);
    appliance.kill();
    gate.open();
    assert!(!broken.finish().complete);
    assert_sound(&appliance);
    appliance.restart();
    fake.forget_requests();
    let got = Client::of(&appliance).get(&path);
    assert!(got.complete && got.body == image.layers[0]);
    let asked = fake.requests_for("GET", "/blobs/");
    let range = asked.last().and_then(|request| request.header("range"));
    assert!(
        range.is_some_and(|range| range.starts_with("bytes=")),
        "{asked:?}"
    );
    assert_sound(&appliance);
}

#[test]
fn what_is_not_cached_is_refused_with_the_reason() {
    let (fake, image, appliance, client) = stage(ALWAYS_ASK);
    assert_eq!(client.get(&manifest("alpine", "latest")).status, 200);
    let (unknown, layer) = (Image::oci(8, &[1]).digest(), image.layer_digest(0));
    // The upstream answers: it does not have it, or denies it.
    let missing = client.get(&manifest("library/alpine", "nope"));
    assert_error(
        &missing,
        404,
        "MANIFEST_UNKNOWN",
        "docker.io/library/alpine",
    );
    let missing = client.get(&blob("library/alpine", &unknown));
    assert_error(&missing, 404, "BLOB_UNKNOWN", "docker.io/library/alpine");
    for status in [401, 403] {
        fake.on("*", "/v2/").always(Answer::status(status));
        for reference in ["denied".to_owned(), unknown.to_string()] {
            let denied = client.get(&manifest("library/alpine", reference));
            assert_error(&denied, 404, "MANIFEST_UNKNOWN", "docker.io");
        }
        let denied = client.get(&blob("library/alpine", &unknown));
        assert_error(&denied, 404, "BLOB_UNKNOWN", "docker.io");
        fake.behave();
    }
    // It limits: only what is not cached feels it.
    fake.on("*", "/v2/").always(Answer::too_many(Some("77")));
    for path in [
        manifest("library/alpine", "limited"),
        blob("library/alpine", &layer),
    ] {
        let limited = client.get(&path);
        assert_error(&limited, 429, "TOOMANYREQUESTS", "docker.io");
        let seconds = limited.field("Retry-After").unwrap_or_default();
        let seconds: u64 = seconds.parse().unwrap();
        assert!((1..=77).contains(&seconds), "{}", limited.head);
    }
    assert_eq!(client.get(&manifest("alpine", "latest")).cache(), "stale");
    fake.behave();
    let whole = Image::oci(7, &[10]);
    fake.put_image("library/alpine", "whole", &whole);
    pull(&client, "library/alpine", "whole", &whole);
    // It is away.
    fake.stop();
    for path in [
        manifest("library/alpine", "other"),
        manifest("library/alpine", &unknown),
        blob("library/alpine", &layer),
        manifest("library/never-seen", "latest"),
        "/v2/library/never-seen/tags/list".to_owned(),
        format!("/v2/library/alpine/referrers/{unknown}"),
    ] {
        let away = client.get(&path);
        assert_error(&away, 503, "UNAVAILABLE", "docker.io");
        let seconds = away.field("Retry-After").unwrap_or_default();
        assert!(
            seconds.parse::<u64>().is_ok_and(|s| s >= 1),
            "{path}: {}",
            away.head
        );
        let head = client.head(&path);
        assert_eq!((head.status, head.body.len()), (503, 0), "{path}");
    }
    assert_eq!(client.get(&manifest("alpine", "whole")).cache(), "stale");
    assert_sound(&appliance);
}

#[test]
fn a_silent_upstream_delays_a_cached_tag_no_longer_than_configured() {
    let (fake, image, appliance, client) =
        stage("[cache]\ntag_ttl = \"0s\"\nrevalidate_timeout = \"300ms\"");
    let path = manifest("library/alpine", "latest");
    assert_eq!(client.get(&path).cache(), "miss");
    fake.on("*", "/v2/").always(Answer::silence());
    let begun = std::time::Instant::now();
    let got = client.get(&path);
    assert_eq!((got.cache(), &got.body), ("stale", &image.manifest));
    // The upstream's own timeouts are 30 s and more.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    assert_sound(&appliance);
}

#[test]
fn offline_sends_nothing_and_serves_what_is_cached() {
    let (fake, image, mut appliance, client) = stage(ALWAYS_ASK);
    pull(&client, "alpine", "latest", &image);
    appliance.stop();
    let config = std::fs::read_to_string(appliance.config()).unwrap();
    std::fs::write(appliance.config(), format!("offline = true\n{config}")).unwrap();
    appliance.restart();
    let connections = fake.connections();
    let client = Client::of(&appliance);
    let words = pull(&client, "alpine", "latest", &image);
    assert_eq!(words, ["stale", "hit", "hit", "hit"]);
    let refused = client.get(&manifest("alpine", "other"));
    assert_error(&refused, 503, "UNAVAILABLE", "offline");
    assert_eq!(fake.connections(), connections);
    assert_sound(&appliance);
}

#[test]
fn what_the_upstream_does_not_have_is_not_asked_for_at_every_request() {
    let (fake, image, appliance, client) = stage("[cache]\nnegative_ttl = \"1h\"");
    let path = manifest("library/alpine", "later");
    for _ in 0..3 {
        assert_eq!(client.get(&path).status, 404);
    }
    assert_eq!(fake.count("*", "/manifests/later"), 1);
    // An outage is no such word: once it is over, the image is there.
    fake.put_image("library/alpine", "other", &image);
    fake.on("*", "/manifests/other")
        .next((0..3).map(|_| Answer::status(503)));
    let path = manifest("library/alpine", "other");
    let begun = std::time::Instant::now();
    while client.get(&path).status != 200 {
        assert!(begun.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_sound(&appliance);
}
