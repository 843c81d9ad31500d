//! What strangers send: wrong, huge, endless and ambiguous. The whole box answers 4xx or hangs up, lives,
//! stays small, touches nothing outside its data directory, and serves the others meanwhile.

mod input;
mod wire;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};

/// What the box may use, also in a debug build.
const MEMORY: u64 = 64 << 20;
const GOOD: &str = "/v2/library/alpine/manifests/latest";

/// A box with a cached image, and every address of it.
fn stage() -> (FakeUpstream, Image, Appliance, Client) {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[1_000]);
    fake.put_image("library/alpine", "latest", &image);
    let appliance = Appliance::with_upstream(fake.url());
    appliance.ok(&["group", "add", "acme"]);
    let client = Client::of(&appliance);
    assert_eq!(client.get(GOOD).status, 200);
    (fake, image, appliance, client)
}

/// One path of every route.
fn routes(image: &Image) -> Vec<String> {
    let digest = image.layer_digest(0);
    let mut routes = vec![
        "/".to_owned(),
        "/v2/".to_owned(),
        "/v2".to_owned(),
        "/jwt/auth".to_owned(),
        "/-/liveness".to_owned(),
        "/-/readiness".to_owned(),
        "/-/health".to_owned(),
        "/nowhere".to_owned(),
    ];
    for name in [
        "library/alpine",
        "acme/dependency_proxy/containers/alpine",
        "acme/hosted",
    ] {
        for part in [
            "manifests/latest",
            "tags/list",
            "blobs/uploads/",
            "blobs/uploads/1",
        ] {
            routes.push(format!("/v2/{name}/{part}"));
        }
        routes.push(format!("/v2/{name}/blobs/{digest}"));
        routes.push(format!("/v2/{name}/manifests/{}", image.digest()));
        routes.push(format!("/v2/{name}/referrers/{digest}"));
    }
    routes
}

/// The names of all files below a directory.
fn listing(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        names.push(path.display().to_string());
        if path.is_dir() {
            names.extend(listing(&path));
        }
    }
    names.sort();
    names
}

/// All that could have been written beside the data directory.
fn outside(appliance: &Appliance) -> Vec<String> {
    let data = appliance.data();
    let mut names = listing(data.parent().unwrap());
    names.retain(|name| !Path::new(name).starts_with(&data));
    names
}

/// Files below the data directory that no bad request may add to; SQLite's own come and go.
fn inside(appliance: &Appliance) -> Vec<String> {
    let mut names = listing(&appliance.data());
    names.retain(|name| !name.contains(".sqlite"));
    names
}

fn assert_alive(appliance: &mut Appliance, client: &Client, image: &Image) {
    assert!(appliance.is_running());
    assert_eq!(client.get(GOOD).body, image.manifest);
    let log = appliance.log();
    assert!(!log.contains("panicked"), "a handler panicked");
}

/// Does something while another client pulls again and again; each pull must succeed.
fn while_pulling(client: &Client, image: &Image, attack: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pulls = scope.spawn(|| {
            let mut pulls = 0;
            while pulls == 0 || !over.load(Ordering::SeqCst) {
                assert_eq!(client.get(GOOD).body, image.manifest);
                pulls += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        // However the attack ends, the pulls end with it.
        let attacked = std::panic::catch_unwind(AssertUnwindSafe(attack));
        over.store(true, Ordering::SeqCst);
        pulls.join().expect("others are served meanwhile");
        if let Err(panic) = attacked {
            std::panic::resume_unwind(panic);
        }
    });
}

fn assert_small(appliance: &Appliance) {
    let memory = appliance.memory();
    assert!(memory.peak < MEMORY, "{} MB at the peak", memory.peak >> 20);
}
