//! The offline switch: by command at run time, over a restart, and by the configuration.

use breakwater::oci::Digest;

use crate::support::appliance::Appliance;
use crate::support::fake_upstream::{FakeUpstream, Image};

/// Status, `X-Cache` and body of `GET path`, or of the manifest that it names.
fn get(appliance: &Appliance, path: &str) -> (u16, String, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let mut answer = agent.get(appliance.url(path)).call().unwrap();
    let cache = answer.headers().get("x-cache");
    let cache = cache.map_or("", |word| word.to_str().unwrap()).to_owned();
    let body = answer.body_mut().read_to_string().unwrap_or_default();
    (answer.status().as_u16(), cache, body)
}

const KEPT: &str = "/v2/library/kept/manifests/latest";
const OTHER: &str = "/v2/library/other/manifests/latest";

#[test]
fn switched_by_command_it_asks_nobody_until_it_is_switched_back() {
    let upstream = FakeUpstream::start();
    let kept = Image::oci(1, &[1_000]);
    upstream.put_image("library/kept", "latest", &kept);
    upstream.put_image("library/other", "latest", &Image::oci(2, &[1_000]));
    let mut appliance = Appliance::builder()
        .upstream(upstream.url())
        .toml("[cache]\ntag_ttl = \"0s\"\n")
        .start();
    assert_eq!(get(&appliance, KEPT).0, 200);
    for blob in kept.blobs() {
        let path = format!("/v2/library/kept/blobs/{}", Digest::of(blob));
        let agent = ureq::Agent::new_with_defaults();
        agent
            .get(appliance.url(&path))
            .call()
            .unwrap()
            .body_mut()
            .read_to_vec()
            .unwrap();
    }
    assert_eq!(appliance.ok(&["offline", "status"]).trim(), "online");

    appliance.ok(&["offline", "on"]);
    appliance.ok(&["offline", "on"]);
    upstream.forget_requests();
    for phase in ["switched", "after a restart", "after a crash"] {
        let (status, cache, _) = get(&appliance, KEPT);
        assert_eq!((status, cache.as_str()), (200, "stale"), "{phase}");
        let (status, _, body) = get(&appliance, OTHER);
        assert_eq!(status, 503, "{phase}");
        assert!(body.contains("offline"), "{phase}: {body}");
        let state = appliance.json(&["offline", "status", "--json"]);
        assert_eq!(state["offline"], true, "{phase}");
        assert_eq!(state["by_command"], true, "{phase}");
        assert_eq!(state["by_configuration"], false, "{phase}");
        if phase == "switched" {
            appliance.stop();
        } else {
            appliance.kill();
        }
        appliance.restart();
    }
    assert_eq!(upstream.requests().len(), 0);

    appliance.ok(&["offline", "off"]);
    assert_eq!(appliance.ok(&["offline", "status"]).trim(), "online");
    assert_eq!(get(&appliance, OTHER).0, 200);
    assert_eq!(get(&appliance, KEPT).1, "revalidated");
}

#[test]
fn what_the_configuration_says_cannot_be_switched_by_command() {
    let mut appliance = Appliance::builder()
        .variable("BREAKWATER_OFFLINE", "true")
        .start();
    let refused = |appliance: &Appliance| {
        let output = appliance.run_cli(&["offline", "off"]);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.contains("`offline = true`") && text.contains("restart"),
            "{text}"
        );
    };
    refused(&appliance);
    let state = appliance.json(&["offline", "status", "--json"]);
    assert_eq!(
        (&state["offline"], &state["by_configuration"]),
        (&true.into(), &true.into())
    );
    appliance.stop();
    refused(&appliance);
}

#[test]
fn a_box_that_is_not_running_is_switched_for_its_next_start() {
    let mut appliance = Appliance::builder().start();
    appliance.stop();
    appliance.ok(&["offline", "on"]);
    assert!(appliance.ok(&["offline", "status"]).contains("by command"));
    appliance.restart();
    appliance.wait_for_log("offline: no connection leaves this box");
    appliance.ok(&["offline", "off"]);
    assert_eq!(appliance.ok(&["offline", "status"]).trim(), "online");
}
