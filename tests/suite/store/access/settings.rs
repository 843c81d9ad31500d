//! Networks, upstreams, groups' settings about them, feature flags.

use super::*;

#[test]
fn networks_are_kept_without_host_bits_once_per_group() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let group = access
        .create_group(&by_box(), "g", Visibility::Private)
        .unwrap();
    let network = |cidr: &str, group| Network {
        cidr: cidr.parse().unwrap(),
        ability: Ability::Fill,
        group,
    };
    access
        .add_network(&by_box(), &network("10.1.2.3/8", None))
        .unwrap();
    access
        .add_network(&by_box(), &network("10.0.0.0/8", Some(group)))
        .unwrap();
    access
        .add_network(&by_box(), &network("::1/128", None))
        .unwrap();
    let error = access
        .add_network(&by_box(), &network("10.0.0.0/8", None))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(
        access.networks().unwrap(),
        [
            network("10.0.0.0/8", None),
            network("10.0.0.0/8", Some(group)),
            network("::1/128", None)
        ]
    );
    let cidr = "10.0.0.0/8".parse().unwrap();
    assert!(access.remove_network(&by_box(), cidr, None).unwrap());
    assert!(!access.remove_network(&by_box(), cidr, None).unwrap());
    assert_eq!(access.networks().unwrap().len(), 2);
}

fn with_realm(row: &breakwater::store::UpstreamRow, realm: &str) -> NewUpstream {
    NewUpstream {
        auth_realm: Some(realm.to_owned()),
        ..row.upstream.clone()
    }
}

#[test]
fn upstreams_are_told_apart_by_name_and_group() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let acme = access
        .create_group(&by_box(), "acme", Visibility::Private)
        .unwrap();
    let new = |name: &str, group| NewUpstream {
        name: RegistryHost::parse(name).unwrap(),
        group,
        url: "https://registry.test".into(),
        credentials: Some(("bot".into(), vec![1, 2, 3])),
        auth_realm: Some("https://auth.test/token".into()),
        ca: Some("PEM".into()),
        allow_private_addresses: false,
        max_size: None,
    };
    access
        .add_upstream(&by_box(), &new("quay.io", None))
        .unwrap();
    let generation = access.generation();
    access
        .add_upstream(&by_box(), &new("quay.io", Some(acme)))
        .unwrap();
    assert_ne!(access.generation(), generation);
    let mut anonymous = new("ghcr.io", Some(acme));
    anonymous.credentials = None;
    access.add_upstream(&by_box(), &anonymous).unwrap();
    for (upstream, kind) in [
        (new("quay.io", None), Kind::Conflict),
        (new("quay.io", Some(acme)), Kind::Conflict),
        (new("quay.io", Some(GroupId(99))), Kind::NotFound),
    ] {
        let error = access.add_upstream(&by_box(), &upstream).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let rows = access.upstreams().unwrap();
    assert!(rows[0].upstream == new("quay.io", None));
    assert!(rows[1].upstream == anonymous);
    assert!(rows[2].upstream == new("quay.io", Some(acme)));
    // Who read it before somebody else changed it does not undo that.
    let (first, second) = (
        with_realm(&rows[0], "https://a.test"),
        with_realm(&rows[0], "https://b.test"),
    );
    let set = |upstream: &NewUpstream| access.set_upstream(&by_box(), &rows[0], upstream, &[]);
    assert!(set(&first).unwrap());
    assert!(!set(&second).unwrap());
    assert!(access.upstreams().unwrap()[0].upstream == first);
    let quay = RegistryHost::parse("quay.io").unwrap();
    assert!(access.remove_upstream(&by_box(), &quay, None).unwrap());
    assert!(!access.remove_upstream(&by_box(), &quay, None).unwrap());
    assert_eq!(set(&second).unwrap_err().kind(), Kind::NotFound);
    access.remove_group(&by_box(), acme).unwrap();
    assert!(access.upstreams().unwrap().is_empty());
}

#[test]
fn a_groups_settings_about_upstreams_are_its_own() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let acme = access
        .create_group(&by_box(), "acme", Visibility::Private)
        .unwrap();
    let settings = || {
        let group = access.group(acme).unwrap().unwrap();
        (group.on_read_only_miss, group.default_upstream)
    };
    assert_eq!(settings(), (OnReadOnlyMiss::PassThrough, None));
    let quay = RegistryHost::parse("quay.io").unwrap();
    let unchanged = GroupChanges::default();
    let table = [
        (
            GroupChanges {
                on_read_only_miss: Some(OnReadOnlyMiss::Deny),
                default_upstream: Some(Some(quay.clone())),
                ..unchanged.clone()
            },
            (OnReadOnlyMiss::Deny, Some(quay.clone())),
        ),
        (unchanged.clone(), (OnReadOnlyMiss::Deny, Some(quay))),
        (
            GroupChanges {
                default_upstream: Some(None),
                ..unchanged
            },
            (OnReadOnlyMiss::Deny, None),
        ),
    ];
    for (changes, expected) in table {
        access.set_group(&by_box(), acme, &changes).unwrap();
        assert_eq!(settings(), expected, "{changes:?}");
    }
}

#[test]
fn features_are_set_for_the_box_and_for_groups() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let group = access
        .create_group(&by_box(), "acme", Visibility::Private)
        .unwrap();
    access.set_feature(&by_box(), "split", None, false).unwrap();
    access.set_feature(&by_box(), "split", None, true).unwrap();
    access
        .set_feature(&by_box(), "split", Some(group), false)
        .unwrap();
    let rows = access.features().unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.group, row.enabled)).collect();
    assert_eq!(rows, [(None, true), (Some(group), false)]);
    assert!(
        access
            .reset_feature(&by_box(), "split", Some(group))
            .unwrap()
    );
    assert!(
        !access
            .reset_feature(&by_box(), "split", Some(group))
            .unwrap()
    );
    assert_eq!(
        access
            .set_feature(&by_box(), "split", Some(GroupId(99)), true)
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
    access
        .set_feature(&by_box(), "split", Some(group), true)
        .unwrap();
    access.remove_group(&by_box(), group).unwrap();
    assert_eq!(access.features().unwrap().len(), 1);
}
