//! What groups share, and what never: credentials, places, addresses.

use breakwater::oci::Digest;

use super::{FILL, NAME, add, member};
use crate::support::appliance::Appliance;
use crate::support::client::assert_sound;
use crate::support::fake_upstream::{Answer, FakeUpstream, Gate, Image};

#[test]
fn groups_with_credentials_of_their_own_never_share() {
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    one.require_basic("anna", "anna's password");
    two.require_basic("bert", "bert's password");
    let secret = Image::oci(1, &[30_000, 40_000]);
    one.put_image("app", "latest", &secret);
    let other = Image::oci(2, &[20_000]);
    two.put_image("app", "latest", &other);

    let appliance = Appliance::start();
    let image = format!("{NAME}/app");
    let [a, b, c] = ["a", "b", "c"].map(|group| member(&appliance, group, FILL, &image));
    add(
        &appliance,
        "a",
        one.url(),
        Some(("anna", "anna's password")),
    );
    add(
        &appliance,
        "b",
        two.url(),
        Some(("bert", "bert's password")),
    );
    // The same place, but with credentials that it does not take.
    add(&appliance, "c", one.url(), Some(("carl", "guessed")));

    // While the first one's fetch is in progress, nobody else gets a byte of it.
    let layer = &secret.layers[0];
    let gate = Gate::new();
    one.on("GET", &format!("/blobs/{}", Digest::of(layer)))
        .next([Answer::good().wait_at(10_000, &gate)]);
    let held = Gate::new();
    one.on("GET", "/manifests/latest")
        .next([Answer::good().wait_at(10, &held)]);
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| a.client.get(&a.manifest("latest")));
        held.await_arrival();
        let others = b.client.get(&b.manifest("latest"));
        assert!(others.status == 200 && others.body == other.manifest);
        assert_eq!(c.client.get(&c.manifest("latest")).status, 503);
        held.open();
        assert_eq!(fetching.join().unwrap().body, secret.manifest);
    });
    let mut arriving = a.client.open(&a.blob(layer));
    assert!(arriving.read_up_to(5_000)[..5_000] == layer[..5_000]);
    for stranger in [&b, &c] {
        stranger.assert_hidden(&secret);
    }
    gate.open();
    assert!(arriving.finish().complete);

    // And when it is kept.
    a.pull("latest", &secret);
    assert_eq!(a.pull("latest", &secret), ["hit", "hit", "hit", "hit"]);
    for stranger in [&b, &c] {
        stranger.assert_hidden(&secret);
    }
    b.pull("latest", &other);
    assert_eq!(c.client.get(&c.manifest("latest")).status, 503);
    a.assert_hidden(&other);

    // Nor while the upstream that would have to confirm it is away.
    two.stop();
    let answer = b.client.get(&b.blob(layer));
    assert_eq!(answer.status, 503, "{answer:?}");
    // Whoever is in one group sees nothing of the other one.
    let path = a.manifest("latest");
    assert_eq!(b.client.get(&path).status, 404);
    assert_sound(&appliance);
}

#[test]
fn the_same_place_with_the_same_credentials_is_shared() {
    let fake = FakeUpstream::start();
    fake.require_basic("bot", "secret");
    let image = Image::oci(1, &[10_000]);
    fake.put_image("app", "1", &image);
    let appliance = Appliance::start();
    let path = format!("{NAME}/app");
    let [a, b] = ["a", "b"].map(|group| member(&appliance, group, FILL, &path));
    for group in ["a", "b"] {
        add(&appliance, group, fake.url(), Some(("bot", "secret")));
    }
    assert_eq!(a.pull("1", &image)[0], "miss");
    fake.stop();
    assert_eq!(b.pull("1", &image), ["hit", "hit", "hit"]);
}

#[test]
fn a_groups_upstream_reaches_private_addresses_only_where_it_was_allowed() {
    let fake = FakeUpstream::start();
    fake.put_image("app", "1", &Image::oci(1, &[1_000]));
    let appliance = Appliance::start();
    let a = member(&appliance, "a", FILL, &format!("{NAME}/app"));
    appliance.ok(&["upstream", "add", NAME, fake.url(), "--group", "a"]);
    let answer = a.client.get(&a.manifest("1"));
    assert_ne!(answer.status, 200, "{answer:?}");
    assert!(answer.message().contains(NAME), "{}", answer.message());
    assert_eq!(fake.requests().len(), 0);
    appliance.ok(&["upstream", "remove", NAME, "--group", "a"]);
    add(&appliance, "a", fake.url(), None);
    assert_eq!(a.client.get(&a.manifest("1")).status, 200);
}
