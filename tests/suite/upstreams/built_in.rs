//! `docker.io`, which the box has without any configuration, and what takes its place.

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};

#[test]
fn docker_io_is_added_by_command_where_no_configuration_names_it() {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[1_000]);
    fake.put_image("library/app", "1", &image);
    let mut appliance = Appliance::builder().prepare();
    std::fs::write(appliance.config(), "").unwrap();
    appliance.restart();
    // Offline until then, so that nobody asks Docker Hub.
    appliance.ok(&["offline", "on"]);
    let listed = || appliance.json(&["upstream", "list", "--json"]);
    assert_eq!(listed()[0]["built_in"], true, "{}", listed());
    appliance.ok(&["upstream", "add", "docker.io", fake.url()]);
    appliance.ok(&["offline", "off"]);
    let got = Client::of(&appliance).get("/v2/library/app/manifests/1");
    assert_eq!((got.status, got.body), (200, image.manifest.clone()));
    let all = listed();
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
    assert_eq!(all[0]["by_command"], true, "{all}");
    let states = appliance.json(&["upstream", "status", "--json"]);
    assert_eq!(states.as_array().unwrap().len(), 1, "{states}");
    assert_eq!(states[0]["url"], fake.url(), "{states}");
    let metrics = Client::of(&appliance).get("/metrics").text();
    let family = "breakwater_upstream_received_bytes_total{upstream=\"docker.io\"}";
    assert_eq!(metrics.matches(family).count(), 1, "{metrics}");

    appliance.ok(&["offline", "on"]);
    appliance.ok(&["upstream", "remove", "docker.io"]);
    assert_eq!(listed()[0]["built_in"], true, "{}", listed());
    // One that the configuration names is read only.
    let configured = Appliance::with_upstream(fake.url());
    let refused = configured.run_cli(&["upstream", "add", "docker.io", fake.url()]);
    assert_eq!(refused.status.code(), Some(1));
}
