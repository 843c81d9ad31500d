//! `access.sqlite`: users, groups, members, tokens, networks, and the epoch.

use breakwater::error::Kind;
use breakwater::oci::RegistryHost;
use breakwater::store::{
    Ability, GroupChanges, GroupId, Level, Network, NewToken, NewUpstream, OnReadOnlyMiss, Store,
    TokenId, TokenKind, UserId, Visibility,
};
use breakwater::time::Timestamp;

use super::{at, fresh, keep, repository};

fn new_token(digest: u8, user: Option<UserId>, group: Option<GroupId>) -> NewToken {
    NewToken {
        kind: TokenKind::Personal,
        name: "laptop".into(),
        digest: [digest; 32],
        scopes: vec!["write_registry".into(), "read_registry".into()],
        user_id: user,
        group_id: group,
        project_id: None,
        username: None,
        access_level: None,
        expires_at: Some(at(2_000_000_000)),
        created_by: "box".into(),
    }
}

#[test]
fn users_are_made_found_changed_and_removed() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let id = access
        .create_user("alice", true, false, Some("$argon2id$1"))
        .unwrap();
    let bot = access.create_user("bot", false, true, None).unwrap();

    let alice = access.user_by_name("alice").unwrap().unwrap();
    assert_eq!(alice.id, id);
    assert!(alice.admin && !alice.service && !alice.blocked);
    assert_eq!(alice.password_hash.as_deref(), Some("$argon2id$1"));
    assert!(Timestamp::now().since(alice.created_at).as_secs() < 60);
    assert_eq!(access.user(id).unwrap(), Some(alice.clone()));
    assert!(access.user(bot).unwrap().unwrap().service);
    let names: Vec<_> = access
        .users()
        .unwrap()
        .into_iter()
        .map(|u| u.name)
        .collect();
    assert_eq!(names, ["alice", "bot"]);

    access.set_blocked(id, true).unwrap();
    access.set_password(id, "$argon2id$2").unwrap();
    let changed = access.user(id).unwrap().unwrap();
    assert!(changed.blocked);
    assert_eq!(changed.password_hash.as_deref(), Some("$argon2id$2"));
    assert_eq!(changed.password_version, alice.password_version + 1);

    access.remove_user(id).unwrap();
    assert_eq!(access.user(id).unwrap(), None);
    assert_eq!(access.user_by_name("alice").unwrap(), None);
}

#[test]
fn what_is_wrong_with_a_user_is_said() {
    let (_directory, store) = fresh();
    let access = &store.access;
    access.create_user("alice", false, false, None).unwrap();
    let error = access.create_user("alice", true, false, None).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("`alice`"), "{error}");
    let error = access.create_user("", false, false, None).unwrap_err();
    assert_eq!(error.kind(), Kind::NameInvalid);
    let nobody = UserId(99);
    for result in [
        access.set_blocked(nobody, true),
        access.set_password(nobody, "x"),
        access.remove_user(nobody),
    ] {
        assert_eq!(result.unwrap_err().kind(), Kind::NotFound);
    }
}

#[test]
fn ids_are_never_used_again() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let user = access.create_user("a", false, false, None).unwrap();
    let group = access.create_group("g", Visibility::Private).unwrap();
    let token = access
        .create_token(&new_token(1, Some(user), None))
        .unwrap();
    access.remove_user(user).unwrap();
    access.remove_group(group).unwrap();
    let user_again = access.create_user("a", false, false, None).unwrap();
    let group_again = access.create_group("g", Visibility::Private).unwrap();
    let token_again = access
        .create_token(&new_token(1, Some(user_again), None))
        .unwrap();
    assert!(user_again > user && group_again > group && token_again > token);
}

#[test]
fn groups_nest_by_path() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let error = access
        .create_group("acme/backend", Visibility::Private)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("`acme`"), "{error}");

    let acme = access.create_group("acme", Visibility::Public).unwrap();
    let backend = access
        .create_group("acme/backend", Visibility::Private)
        .unwrap();
    let group = access.group_by_path("acme/backend").unwrap().unwrap();
    assert_eq!((group.id, group.parent), (backend, Some(acme)));
    assert_eq!(group.visibility, Visibility::Private);
    assert!(group.dependency_proxy_enabled);
    assert_eq!(access.group(acme).unwrap().unwrap().parent, None);
    assert_eq!(access.group_by_path("acme/").unwrap(), None);

    for (path, kind) in [
        ("acme", Kind::Conflict),
        ("acme/backend", Kind::Conflict),
        ("", Kind::NameInvalid),
        ("/acme", Kind::NameInvalid),
        ("acme//x", Kind::NameInvalid),
    ] {
        let error = access.create_group(path, Visibility::Private).unwrap_err();
        assert_eq!(error.kind(), kind, "{path}");
    }

    let change = |id, changes: &GroupChanges| access.set_group(id, changes);
    let off = GroupChanges {
        dependency_proxy_enabled: Some(false),
        ..GroupChanges::default()
    };
    change(backend, &off).unwrap();
    let private = GroupChanges {
        visibility: Some(Visibility::Private),
        ..GroupChanges::default()
    };
    change(acme, &private).unwrap();
    let groups = access.groups().unwrap();
    let seen: Vec<_> = groups
        .iter()
        .map(|g| (g.path.as_str(), g.visibility, g.dependency_proxy_enabled))
        .collect();
    assert_eq!(
        seen,
        [
            ("acme", Visibility::Private, true),
            ("acme/backend", Visibility::Private, false)
        ]
    );
    let error = change(GroupId(99), &private).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn a_group_goes_with_everything_below_it() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let user = access.create_user("a", false, false, None).unwrap();
    let acme = access.create_group("acme", Visibility::Private).unwrap();
    let deep = access
        .create_group("acme/x", Visibility::Private)
        .and_then(|_| access.create_group("acme/x/y", Visibility::Private))
        .unwrap();
    let other = access
        .create_group("acmeother", Visibility::Private)
        .unwrap();
    for group in [acme, deep, other] {
        access.set_member(group, user, Level::Guest).unwrap();
    }
    let lost = access
        .create_token(&new_token(1, None, Some(deep)))
        .unwrap();
    let kept = access
        .create_token(&new_token(2, None, Some(other)))
        .unwrap();
    access
        .add_network(&Network {
            cidr: "10.0.0.0/8".parse().unwrap(),
            ability: Ability::Read,
            group: Some(deep),
        })
        .unwrap();

    access.remove_group(acme).unwrap();
    assert_eq!(
        access.remove_group(acme).unwrap_err().kind(),
        Kind::NotFound
    );
    let left: Vec<_> = access.groups().unwrap().into_iter().map(|g| g.id).collect();
    assert_eq!(left, [other]);
    assert_eq!(access.members(deep).unwrap(), []);
    assert_eq!(access.token(lost).unwrap(), None);
    assert!(access.token(kept).unwrap().is_some());
    assert_eq!(access.networks().unwrap(), []);
    assert!(access.user(user).unwrap().is_some());
}

#[test]
fn levels_are_inherited_and_the_highest_wins() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let groups = ["a", "a/b", "a/b/c", "z"]
        .map(|path| access.create_group(path, Visibility::Private).unwrap());
    // (levels on a, a/b, a/b/c) → the level on a/b/c.
    let cases: &[([Option<Level>; 3], Option<Level>)] = &[
        ([None, None, None], None),
        ([Some(Level::Guest), None, None], Some(Level::Guest)),
        ([None, None, Some(Level::Reporter)], Some(Level::Reporter)),
        (
            [Some(Level::Owner), Some(Level::Guest), None],
            Some(Level::Owner),
        ),
        (
            [
                Some(Level::Guest),
                Some(Level::Maintainer),
                Some(Level::Developer),
            ],
            Some(Level::Maintainer),
        ),
    ];
    for (number, (levels, expected)) in cases.iter().enumerate() {
        let user = access
            .create_user(&format!("user{number}"), false, false, None)
            .unwrap();
        for (group, level) in groups.iter().zip(levels) {
            if let Some(level) = level {
                access.set_member(*group, user, *level).unwrap();
            }
        }
        assert_eq!(
            access.level(groups[2], user).unwrap(),
            *expected,
            "{levels:?}"
        );
        // Nothing climbs upwards or sideways.
        assert_eq!(access.level(groups[0], user).unwrap(), levels[0]);
        assert_eq!(access.level(groups[3], user).unwrap(), None);
    }
}

#[test]
fn members_are_set_listed_and_removed() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let group = access.create_group("g", Visibility::Private).unwrap();
    let bob = access.create_user("bob", false, false, None).unwrap();
    let amy = access.create_user("amy", false, false, None).unwrap();
    access.set_member(group, bob, Level::Guest).unwrap();
    access.set_member(group, amy, Level::Owner).unwrap();
    access.set_member(group, bob, Level::Developer).unwrap();
    let seen: Vec<_> = access
        .members(group)
        .unwrap()
        .into_iter()
        .map(|member| (member.user, member.user_id, member.level))
        .collect();
    assert_eq!(
        seen,
        [
            ("amy".to_owned(), amy, Level::Owner),
            ("bob".to_owned(), bob, Level::Developer)
        ]
    );
    assert!(access.remove_member(group, bob).unwrap());
    assert!(!access.remove_member(group, bob).unwrap());
    for (group, user) in [(GroupId(99), amy), (group, UserId(99))] {
        let error = access.set_member(group, user, Level::Guest).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
    access.remove_user(amy).unwrap();
    assert_eq!(access.members(group).unwrap(), []);
}

#[test]
fn tokens_are_found_by_digest_and_stay_listed_when_revoked() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let user = access.create_user("a", false, false, None).unwrap();
    let group = access.create_group("g", Visibility::Private).unwrap();
    let personal = access
        .create_token(&new_token(1, Some(user), None))
        .unwrap();
    let deploy = access
        .create_token(&NewToken {
            kind: TokenKind::Deploy,
            username: Some("gitlab+deploy-token-1".into()),
            access_level: Some(Level::Developer),
            expires_at: None,
            scopes: vec![],
            ..new_token(2, None, Some(group))
        })
        .unwrap();

    let token = access.token_by_digest(&[1; 32]).unwrap().unwrap();
    assert_eq!((token.id, token.kind), (personal, TokenKind::Personal));
    assert_eq!(token.scopes, ["read_registry", "write_registry"]);
    assert_eq!((token.user_id, token.group_id), (Some(user), None));
    assert_eq!(token.expires_at, Some(at(2_000_000_000)));
    assert_eq!(
        (token.created_by.as_str(), token.name.as_str()),
        ("box", "laptop")
    );
    assert_eq!((token.revoked, token.last_used_at), (false, None));
    let token = access.token(deploy).unwrap().unwrap();
    assert_eq!(
        (token.kind, token.group_id),
        (TokenKind::Deploy, Some(group))
    );
    assert_eq!(token.username.as_deref(), Some("gitlab+deploy-token-1"));
    assert_eq!(token.access_level, Some(Level::Developer));
    assert_eq!((token.expires_at, token.scopes.len()), (None, 0));
    assert_eq!(access.token_by_digest(&[9; 32]).unwrap(), None);

    access.revoke_token(personal).unwrap();
    access.revoke_token(personal).unwrap();
    assert!(access.token_by_digest(&[1; 32]).unwrap().unwrap().revoked);
    let ids = |user| -> Vec<_> {
        access
            .tokens(user)
            .unwrap()
            .iter()
            .map(|token| token.id)
            .collect()
    };
    assert_eq!(ids(None), [personal, deploy]);
    assert_eq!(ids(Some(user)), [personal]);

    for (token, kind) in [
        (new_token(2, Some(user), None), Kind::Conflict),
        (new_token(3, Some(UserId(99)), None), Kind::NotFound),
    ] {
        assert_eq!(access.create_token(&token).unwrap_err().kind(), kind);
    }
    let error = access.revoke_token(TokenId(99)).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    access.remove_user(user).unwrap();
    assert_eq!(access.token(personal).unwrap(), None);
}

#[test]
fn networks_are_kept_without_host_bits_once_per_group() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let group = access.create_group("g", Visibility::Private).unwrap();
    let network = |cidr: &str, group| Network {
        cidr: cidr.parse().unwrap(),
        ability: Ability::Fill,
        group,
    };
    access.add_network(&network("10.1.2.3/8", None)).unwrap();
    access
        .add_network(&network("10.0.0.0/8", Some(group)))
        .unwrap();
    access.add_network(&network("::1/128", None)).unwrap();
    let error = access
        .add_network(&network("10.0.0.0/8", None))
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
    assert!(access.remove_network(cidr, None).unwrap());
    assert!(!access.remove_network(cidr, None).unwrap());
    assert_eq!(access.networks().unwrap().len(), 2);
}

#[test]
fn the_epoch_moves_with_every_change_and_with_nothing_else() {
    let (directory, store) = fresh();
    let start = store.access.epoch().unwrap();
    assert_eq!(store.access.epoch().unwrap(), start);

    keep(&store, repository(&store, "alpine"), b"layer", at(1));
    store.access.users().unwrap();
    assert_eq!(store.access.epoch().unwrap(), start, "nothing changed here");

    store.access.create_user("a", false, false, None).unwrap();
    let own = store.access.epoch().unwrap();
    assert_ne!(own, start);
    assert_eq!(store.access.epoch().unwrap(), own);

    let other = Store::open(&directory.path().join("data")).unwrap();
    assert_eq!(
        store.access.epoch().unwrap(),
        own,
        "opening changes nothing"
    );
    other.access.create_user("b", false, false, None).unwrap();
    assert_ne!(
        store.access.epoch().unwrap(),
        own,
        "another connection wrote"
    );
}

#[test]
fn upstreams_are_told_apart_by_name_and_group() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let acme = access.create_group("acme", Visibility::Private).unwrap();
    let new = |name: &str, group| NewUpstream {
        name: RegistryHost::parse(name).unwrap(),
        group,
        url: "https://registry.test".into(),
        credentials: Some(("bot".into(), vec![1, 2, 3])),
        auth_realm: Some("https://auth.test/token".into()),
        ca: Some("PEM".into()),
        allow_private_addresses: false,
    };
    access.add_upstream(&new("quay.io", None)).unwrap();
    let epoch = access.epoch().unwrap();
    access.add_upstream(&new("quay.io", Some(acme))).unwrap();
    assert_ne!(access.epoch().unwrap(), epoch);
    let mut anonymous = new("ghcr.io", Some(acme));
    anonymous.credentials = None;
    access.add_upstream(&anonymous).unwrap();
    for (upstream, kind) in [
        (new("quay.io", None), Kind::Conflict),
        (new("quay.io", Some(acme)), Kind::Conflict),
        (new("quay.io", Some(GroupId(99))), Kind::NotFound),
    ] {
        let error = access.add_upstream(&upstream).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let rows = access.upstreams().unwrap();
    assert!(rows[0].upstream == new("quay.io", None));
    assert!(rows[1].upstream == anonymous);
    assert!(rows[2].upstream == new("quay.io", Some(acme)));
    let quay = RegistryHost::parse("quay.io").unwrap();
    assert!(access.remove_upstream(&quay, None).unwrap());
    assert!(!access.remove_upstream(&quay, None).unwrap());
    access.remove_group(acme).unwrap();
    assert!(access.upstreams().unwrap().is_empty());
}

#[test]
fn a_groups_settings_about_upstreams_are_its_own() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let acme = access.create_group("acme", Visibility::Private).unwrap();
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
        access.set_group(acme, &changes).unwrap();
        assert_eq!(settings(), expected, "{changes:?}");
    }
}

#[test]
fn projects_lie_in_groups_and_take_their_tokens_with_them() {
    let (_directory, store) = fresh();
    let access = &store.access;
    assert_eq!(
        access
            .create_project("acme/api", Visibility::Private)
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
    assert_eq!(
        access
            .create_project("api", Visibility::Private)
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
    let group = access.create_group("acme", Visibility::Private).unwrap();
    access
        .create_group("acme/backend", Visibility::Private)
        .unwrap();
    let id = access
        .create_project("acme/api", Visibility::Private)
        .unwrap();
    for taken in ["acme/api", "acme/backend"] {
        let error = access
            .create_project(taken, Visibility::Public)
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{taken}");
    }
    let project = access.project_by_path("acme/api").unwrap().unwrap();
    assert_eq!(
        (project.id, project.group, project.visibility),
        (id, group, Visibility::Private)
    );
    access.set_project(id, Visibility::Public).unwrap();
    assert_eq!(
        access.project(id).unwrap().unwrap().visibility,
        Visibility::Public
    );
    assert_eq!(access.projects().unwrap().len(), 1);

    let token = NewToken {
        kind: TokenKind::Project,
        project_id: Some(id),
        ..new_token(7, None, None)
    };
    let token = access.create_token(&token).unwrap();
    assert_eq!(access.token(token).unwrap().unwrap().project_id, Some(id));
    access.remove_project(id).unwrap();
    assert_eq!(access.token(token).unwrap(), None);
    assert_eq!(
        access.remove_project(id).unwrap_err().kind(),
        Kind::NotFound
    );
}

#[test]
fn a_rotated_token_is_replaced_and_a_revoked_one_takes_its_family_with_it() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let first = access.create_token(&new_token(1, None, None)).unwrap();
    let bystander = access.create_token(&new_token(2, None, None)).unwrap();
    let second = access
        .rotate_token(first, [11; 32], Some(Timestamp(99)))
        .unwrap()
        .unwrap();
    let third = access
        .rotate_token(second, [12; 32], None)
        .unwrap()
        .unwrap();
    let row = |id| access.token(id).unwrap().unwrap();
    assert!(row(first).revoked && row(second).revoked && !row(third).revoked);
    assert_eq!(row(second).expires_at, Some(Timestamp(99)));
    assert_eq!(
        (row(first).family, row(second).family, row(third).family),
        (first, first, first)
    );
    assert_eq!(
        (row(third).name, row(third).scopes),
        (row(first).name, row(first).scopes)
    );

    assert_eq!(access.rotate_token(second, [13; 32], None).unwrap(), None);
    assert!(
        row(third).revoked,
        "whoever rotates a revoked token ends its family"
    );
    assert!(!row(bystander).revoked);
    assert_eq!(access.token_by_digest(&[13; 32]).unwrap(), None);
    assert_eq!(
        access
            .rotate_token(TokenId(999), [14; 32], None)
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
}

#[test]
fn a_deploy_token_without_a_username_is_named_after_its_id() {
    let (_directory, store) = fresh();
    let deploy = |digest, username: Option<&str>| {
        let token = NewToken {
            kind: TokenKind::Deploy,
            username: username.map(str::to_owned),
            ..new_token(digest, None, None)
        };
        let id = store.access.create_token(&token).unwrap();
        (
            id,
            store.access.token(id).unwrap().unwrap().username.unwrap(),
        )
    };
    let (id, username) = deploy(1, None);
    assert_eq!(username, format!("gitlab+deploy-token-{}", id.0));
    assert_eq!(deploy(2, Some("puller")).1, "puller");
}

#[test]
fn features_are_set_for_the_box_and_for_groups() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let group = access.create_group("acme", Visibility::Private).unwrap();
    access.set_feature("split", None, false).unwrap();
    access.set_feature("split", None, true).unwrap();
    access.set_feature("split", Some(group), false).unwrap();
    let rows = access.features().unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.group, row.enabled)).collect();
    assert_eq!(rows, [(None, true), (Some(group), false)]);
    assert!(access.reset_feature("split", Some(group)).unwrap());
    assert!(!access.reset_feature("split", Some(group)).unwrap());
    assert_eq!(
        access
            .set_feature("split", Some(GroupId(99)), true)
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
    access.set_feature("split", Some(group), true).unwrap();
    access.remove_group(group).unwrap();
    assert_eq!(access.features().unwrap().len(), 1);
}
