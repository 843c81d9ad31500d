//! Which upstream a name means, what outlives a change of the rows, and what a broken row takes down.

use super::*;
use crate::store::Actor;
use crate::store::{GroupChanges, Visibility};
use crate::upstream::BreakerState;

struct Box {
    _directory: tempfile::TempDir,
    store: Arc<Store>,
    upstreams: Upstreams,
}

fn host(name: &str) -> RegistryHost {
    RegistryHost::parse(name).unwrap()
}

/// A box whose file has docker.io, which is the default.
fn a_box() -> Box {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::create(&directory.path().join("data")).unwrap());
    let offline = Arc::new(AtomicBool::new(true));
    let of_file = Upstream::new(
        settings(&new("docker.io", None, "https://file.test"), None),
        Arc::clone(&offline),
    );
    let upstreams = Upstreams::new(
        Arc::clone(&store),
        [of_file.unwrap()],
        host("docker.io"),
        offline,
    );
    Box {
        _directory: directory,
        store,
        upstreams,
    }
}

fn new(name: &str, group: Option<GroupId>, url: &str) -> NewUpstream {
    NewUpstream {
        name: host(name),
        group,
        url: url.to_owned(),
        credentials: None,
        auth_realm: None,
        ca: None,
        allow_private_addresses: group.is_none(),
        max_size: None,
    }
}

impl Box {
    fn group(&self, path: &str) -> GroupId {
        self.store
            .access
            .create_group(&Actor::on_the_box(None), path, Visibility::Private)
            .unwrap()
    }

    fn add(&self, upstream: &NewUpstream) {
        self.store
            .access
            .add_upstream(&Actor::on_the_box(None), upstream)
            .unwrap();
    }

    /// The URL that a name means in a group, or the error's kind.
    fn url(&self, group: GroupId, name: Option<&str>) -> String {
        match self.upstreams.resolve(group, name.map(host).as_ref()) {
            Ok(upstream) => upstream.status().url,
            Err(error) => format!("{:?}", error.kind()),
        }
    }

    fn set_default(&self, group: GroupId, name: Option<&str>) {
        let changes = GroupChanges {
            default_upstream: Some(name.map(host)),
            ..GroupChanges::default()
        };
        self.store
            .access
            .set_group(&Actor::on_the_box(None), group, &changes)
            .unwrap();
    }
}

#[test]
fn the_nearest_upstream_of_a_name_wins() {
    let here = a_box();
    let (acme, sub) = (here.group("acme"), here.group("acme/sub"));
    let (deep, other) = (here.group("acme/sub/deep"), here.group("other"));
    here.add(&new("quay.io", None, "https://box.test"));
    here.add(&new("quay.io", Some(acme), "https://acme.test"));
    here.add(&new("docker.io", Some(sub), "https://sub.test"));
    here.add(&new("ghcr.io", Some(other), "https://other.test"));
    // What the file has counts, whoever added one of that name by another way.
    here.add(&new("docker.io", None, "https://hidden.test"));
    let table = [
        (other, Some("quay.io"), "https://box.test"),
        (acme, Some("quay.io"), "https://acme.test"),
        (deep, Some("quay.io"), "https://acme.test"),
        (acme, None, "https://file.test"),
        (deep, None, "https://sub.test"),
        (other, Some("docker.io"), "https://file.test"),
        (other, Some("ghcr.io"), "https://other.test"),
        (acme, Some("ghcr.io"), "NameUnknown"),
        (GroupId(99), Some("quay.io"), "https://box.test"),
    ];
    for (group, name, expected) in table {
        assert_eq!(here.url(group, name), expected, "{group:?} {name:?}");
    }
    here.set_default(acme, Some("quay.io"));
    for (group, expected) in [
        (acme, "https://acme.test"),
        (deep, "https://acme.test"),
        (other, "https://file.test"),
    ] {
        assert_eq!(here.url(group, None), expected, "{group:?}");
    }
    here.set_default(sub, Some("docker.io"));
    assert_eq!(here.url(deep, None), "https://sub.test");
    here.set_default(acme, None);
    assert_eq!(here.url(acme, None), "https://file.test");
}

#[test]
fn rows_that_did_not_change_keep_their_clients() {
    let here = a_box();
    let acme = here.group("acme");
    here.add(&new("quay.io", Some(acme), "https://acme.test"));
    let client = || {
        let name = host("quay.io");
        here.upstreams.resolve(acme, Some(&name)).unwrap()
    };
    let table = || here.upstreams.table().unwrap();
    let (first, before) = (client(), table());
    here.store
        .access
        .create_user(&Actor::on_the_box(None), "alice", false, false, None)
        .unwrap();
    assert!(
        Arc::ptr_eq(&table(), &before),
        "another table has changed, nothing here"
    );
    here.add(&new("ghcr.io", None, "https://box.test"));
    assert!(!Arc::ptr_eq(&table(), &before));
    assert!(Arc::ptr_eq(&client(), &first));
    let removed =
        here.store
            .access
            .remove_upstream(&Actor::on_the_box(None), &host("quay.io"), Some(acme));
    assert!(removed.unwrap());
    assert_eq!(here.url(acme, Some("quay.io")), "NameUnknown");
    here.add(&new("quay.io", Some(acme), "https://acme.test"));
    assert!(!Arc::ptr_eq(&client(), &first), "it is another row");
    assert_eq!(client().fingerprint(), first.fingerprint());
    here.store
        .access
        .remove_group(&Actor::on_the_box(None), acme)
        .unwrap();
    assert_eq!(here.upstreams.states().unwrap().len(), 2);
}

#[test]
fn a_row_that_cannot_be_used_takes_down_itself_alone() {
    let here = a_box();
    let acme = here.group("acme");
    let data = here.store.directory();
    let keys = SealingKeys::find_or_make(data).unwrap();
    let mut sealed = new("sealed.test", Some(acme), "https://sealed.test");
    let owner = Owner::upstream(&sealed.name, sealed.group);
    sealed.credentials = Some(("u".to_owned(), keys.seal(&owner, "p").unwrap()));
    here.add(&sealed);
    let mut moved = new("moved.test", Some(acme), "https://moved.test");
    moved.credentials = sealed.credentials.clone();
    here.add(&moved);
    let mut no_ca = new("ca.test", Some(acme), "https://ca.test");
    no_ca.ca = Some("no PEM".to_owned());
    here.add(&no_ca);
    here.add(&new("good.test", Some(acme), "https://good.test"));
    for (name, usable) in [
        ("sealed.test", true),
        ("moved.test", false),
        ("ca.test", false),
        ("good.test", true),
    ] {
        match here.upstreams.resolve(acme, Some(&host(name))) {
            Ok(_) => assert!(usable, "{name}"),
            Err(error) => {
                assert!(!usable, "{name}: {error}");
                assert!(matches!(error.kind(), Kind::Unavailable { .. }), "{error}");
                let text = error.to_string();
                assert!(text.contains(name) && text.contains("acme"), "{text}");
            }
        }
    }
    let states = here.upstreams.states().unwrap();
    let state = |name: &str| states.iter().find(|one| one.status.name == name).unwrap();
    assert_eq!(state("ca.test").status.breaker, BreakerState::Unusable);
    assert_eq!(state("ca.test").group.as_deref(), Some("acme"));
    assert_eq!(state("good.test").status.breaker, BreakerState::Offline);
    assert!(!state("docker.io").by_command);

    // Without its key a box that starts again cannot use it, and says so.
    std::fs::remove_file(data.join("secret.key")).unwrap();
    let again = Upstreams::new(
        Arc::clone(&here.store),
        [],
        host("docker.io"),
        Arc::new(AtomicBool::new(true)),
    );
    let states = again.states().unwrap();
    let state = states
        .iter()
        .find(|one| one.status.name == "sealed.test")
        .unwrap();
    let why = state.status.last_failure.as_deref().unwrap();
    assert!(why.contains("secret.key"), "{why}");
}
