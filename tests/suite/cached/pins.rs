//! `cache pin`, `cache unpin`, `cache pins`.

use serde_json::{Value, json};

use super::{pull, stage};
use crate::support::fake_upstream::Image;

#[test]
fn a_pin_says_what_it_keeps_now_and_is_made_once() {
    let (fake, appliance, client) = stage();
    let shared = Image::oci(1, &[100_000, 2_000]);
    for (name, tag) in [
        ("library/alpine", "3.20"),
        ("library/alpine", "latest"),
        ("org/x", "1"),
    ] {
        fake.put_image(name, tag, &shared);
        pull(&client, name, tag, &[&shared]);
    }
    let size = shared.blobs().map(Vec::len).sum::<usize>() + shared.manifest.len();
    let pins = || appliance.json(&["cache", "pins", "--json"]);
    assert_eq!(pins(), json!([]));

    let said = appliance.ok(&["cache", "pin", "alpine", "quay.io/org/*"]);
    let lines: Vec<_> = said.lines().collect();
    let expected = "docker.io/library/alpine is pinned: it keeps 1 image, ";
    assert!(lines[0].starts_with(expected), "{said}");
    assert_eq!(
        lines[1], "quay.io/org/* is pinned: it keeps no image yet",
        "{said}"
    );
    let again = appliance.ok(&["cache", "pin", "docker.io/library/alpine:*"]);
    assert!(
        again.starts_with("docker.io/library/alpine was pinned already, by box"),
        "{again}"
    );

    let digest = shared.digest().to_string();
    appliance.ok(&["cache", "pin", &digest]);
    let listed = pins();
    let pick = |pin: &Value| json!([pin["pattern"], pin["images"], pin["bytes"]]);
    let picked: Vec<_> = listed.as_array().unwrap().iter().map(pick).collect();
    let expected = [
        json!(["docker.io/library/alpine", 1, size]),
        json!(["quay.io/org/*", 0, 0]),
        json!([digest, 2, size]),
    ];
    assert_eq!(picked, expected);

    let said = appliance.ok(&["cache", "unpin", "alpine", "busybox"]);
    let expected = "docker.io/library/alpine is pinned no more\n\
        docker.io/library/busybox was not pinned; see `breakwater cache pins`\n";
    assert_eq!(said, expected);
    assert_eq!(pins().as_array().unwrap().len(), 2);

    let events = appliance.audit(&[]);
    let events = events.as_array().unwrap().iter();
    let kinds = events.map(|event| event.to_string());
    let kinds: Vec<_> = kinds.filter(|event| event.contains("\"pin.")).collect();
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    assert!(
        kinds[3].contains("pin.removed") && kinds[3].contains("docker.io/library/alpine"),
        "{kinds:?}"
    );
}

#[test]
fn what_can_be_no_image_and_what_was_pushed_is_not_pinned() {
    let (_fake, appliance, _client) = stage();
    for (pattern, said) in [
        ("Alpine", "`Alpine` is not a repository name"),
        ("sha256:e3b0", "`sha256:e3b0` is not a digest"),
        ("a b*", "is not a pattern of images"),
        ("hosted:acme/app:1", "needs no pin"),
    ] {
        let output = appliance.run_cli(&["cache", "pin", pattern]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{pattern}: {error}");
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(appliance.json(&["cache", "pins", "--json"]), json!([]));
}
