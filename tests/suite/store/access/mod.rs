//! `access.sqlite`: users, groups, members, tokens, networks, and the generation.

mod settings;
mod tokens;

use breakwater::error::Kind;
use breakwater::oci::RegistryHost;
use breakwater::store::{
    Ability, AccessDb, GroupChanges, GroupId, Level, Maker, Network, NewToken, NewUpstream,
    OnReadOnlyMiss, ProjectChanges, Store, Token, TokenId, TokenKind, UserId, Visibility,
};
use breakwater::time::Timestamp;

use super::{at, by_box, fresh, keep, repository};

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
        maker: Maker::on_the_box(),
    }
}

/// The user `a` and the private group `g`.
fn user_and_group(access: &AccessDb) -> (UserId, GroupId) {
    let user = access
        .create_user(&by_box(), "a", false, false, None)
        .unwrap();
    let group = access
        .create_group(&by_box(), "g", Visibility::Private)
        .unwrap();
    (user, group)
}

#[test]
fn users_are_made_found_changed_and_removed() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let id = access
        .create_user(&by_box(), "alice", true, false, Some("$argon2id$1"))
        .unwrap();
    let bot = access
        .create_user(&by_box(), "bot", false, true, None)
        .unwrap();

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

    access.set_blocked(&by_box(), id, true).unwrap();
    access.set_password(&by_box(), id, "$argon2id$2").unwrap();
    let changed = access.user(id).unwrap().unwrap();
    assert!(changed.blocked);
    assert_eq!(changed.password_hash.as_deref(), Some("$argon2id$2"));
    assert_eq!(changed.password_version, alice.password_version + 1);

    access.remove_user(&by_box(), id).unwrap();
    assert_eq!(access.user(id).unwrap(), None);
    assert_eq!(access.user_by_name("alice").unwrap(), None);
}

#[test]
fn what_is_wrong_with_a_user_is_said() {
    let (_directory, store) = fresh();
    let access = &store.access;
    access
        .create_user(&by_box(), "alice", false, false, None)
        .unwrap();
    let error = access
        .create_user(&by_box(), "alice", true, false, None)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("`alice`"), "{error}");
    let error = access
        .create_user(&by_box(), "", false, false, None)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NameInvalid);
    let nobody = UserId(99);
    for result in [
        access.set_blocked(&by_box(), nobody, true),
        access.set_password(&by_box(), nobody, "x"),
        access.remove_user(&by_box(), nobody),
    ] {
        assert_eq!(result.unwrap_err().kind(), Kind::NotFound);
    }
}

#[test]
fn ids_are_never_used_again() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let (user, group) = user_and_group(access);
    let token = access
        .create_token(&by_box(), &new_token(1, Some(user), None))
        .unwrap();
    access.remove_user(&by_box(), user).unwrap();
    access.remove_group(&by_box(), group).unwrap();
    let (user_again, group_again) = user_and_group(access);
    let token_again = access
        .create_token(&by_box(), &new_token(1, Some(user_again), None))
        .unwrap();
    assert!(user_again > user && group_again > group && token_again > token);
}

#[test]
fn groups_nest_by_path() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let error = access
        .create_group(&by_box(), "acme/backend", Visibility::Private)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("`acme`"), "{error}");

    let acme = access
        .create_group(&by_box(), "acme", Visibility::Public)
        .unwrap();
    let backend = access
        .create_group(&by_box(), "acme/backend", Visibility::Private)
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
        let error = access
            .create_group(&by_box(), path, Visibility::Private)
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{path}");
    }

    let change = |id, changes: &GroupChanges| access.set_group(&by_box(), id, changes);
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
    let user = access
        .create_user(&by_box(), "a", false, false, None)
        .unwrap();
    let acme = access
        .create_group(&by_box(), "acme", Visibility::Private)
        .unwrap();
    let deep = access
        .create_group(&by_box(), "acme/x", Visibility::Private)
        .and_then(|_| access.create_group(&by_box(), "acme/x/y", Visibility::Private))
        .unwrap();
    let other = access
        .create_group(&by_box(), "acmeother", Visibility::Private)
        .unwrap();
    for group in [acme, deep, other] {
        access
            .set_member(&by_box(), group, user, Level::Guest)
            .unwrap();
    }
    let lost = access
        .create_token(&by_box(), &new_token(1, None, Some(deep)))
        .unwrap();
    let kept = access
        .create_token(&by_box(), &new_token(2, None, Some(other)))
        .unwrap();
    access
        .add_network(
            &by_box(),
            &Network {
                cidr: "10.0.0.0/8".parse().unwrap(),
                ability: Ability::Read,
                group: Some(deep),
            },
        )
        .unwrap();

    access.remove_group(&by_box(), acme).unwrap();
    assert_eq!(
        access.remove_group(&by_box(), acme).unwrap_err().kind(),
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
    let groups = ["a", "a/b", "a/b/c", "z"].map(|path| {
        access
            .create_group(&by_box(), path, Visibility::Private)
            .unwrap()
    });
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
            .create_user(&by_box(), &format!("user{number}"), false, false, None)
            .unwrap();
        for (group, level) in groups.iter().zip(levels) {
            if let Some(level) = level {
                access.set_member(&by_box(), *group, user, *level).unwrap();
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
    let group = access
        .create_group(&by_box(), "g", Visibility::Private)
        .unwrap();
    let bob = access
        .create_user(&by_box(), "bob", false, false, None)
        .unwrap();
    let amy = access
        .create_user(&by_box(), "amy", false, false, None)
        .unwrap();
    access
        .set_member(&by_box(), group, bob, Level::Guest)
        .unwrap();
    access
        .set_member(&by_box(), group, amy, Level::Owner)
        .unwrap();
    access
        .set_member(&by_box(), group, bob, Level::Developer)
        .unwrap();
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
    assert!(access.remove_member(&by_box(), group, bob).unwrap());
    assert!(!access.remove_member(&by_box(), group, bob).unwrap());
    for (group, user) in [(GroupId(99), amy), (group, UserId(99))] {
        let error = access
            .set_member(&by_box(), group, user, Level::Guest)
            .unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
    access.remove_user(&by_box(), amy).unwrap();
    assert_eq!(access.members(group).unwrap(), []);
}

#[test]
fn the_generation_moves_with_every_change_and_with_nothing_else() {
    let (_directory, store) = fresh();
    let start = store.access.generation();
    assert_eq!(store.access.generation(), start);

    keep(&store, repository(&store, "alpine"), b"layer", at(1));
    store.access.users().unwrap();
    assert_eq!(store.access.generation(), start, "nothing changed here");

    store
        .access
        .create_user(&by_box(), "a", false, false, None)
        .unwrap();
    let own = store.access.generation();
    assert_ne!(own, start);
    assert_eq!(store.access.generation(), own);
}

#[test]
fn projects_lie_in_groups_and_take_their_tokens_with_them() {
    let (_directory, store) = fresh();
    let access = &store.access;
    assert_eq!(
        access
            .create_project(&by_box(), "acme/api", Visibility::Private)
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
    assert_eq!(
        access
            .create_project(&by_box(), "api", Visibility::Private)
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
    let group = access
        .create_group(&by_box(), "acme", Visibility::Private)
        .unwrap();
    access
        .create_group(&by_box(), "acme/backend", Visibility::Private)
        .unwrap();
    let id = access
        .create_project(&by_box(), "acme/api", Visibility::Private)
        .unwrap();
    for taken in ["acme/api", "acme/backend"] {
        let error = access
            .create_project(&by_box(), taken, Visibility::Public)
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{taken}");
    }
    let project = access.project_by_path("acme/api").unwrap().unwrap();
    assert_eq!(
        (project.id, project.group, project.visibility),
        (id, group, Visibility::Private)
    );
    let public = ProjectChanges {
        visibility: Some(Visibility::Public),
        quota: Some(Some(1 << 30)),
        ..ProjectChanges::default()
    };
    // Below a private group nothing is public, and the error says which group that is.
    let error = access.set_project(&by_box(), id, &public).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("`acme` above it is private"));
    let error = access
        .create_project(&by_box(), "acme/web", Visibility::Public)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(access.project(id).unwrap().unwrap().quota, None);
    let open = GroupChanges {
        visibility: Some(Visibility::Public),
        quota: Some(Some(5)),
        ..GroupChanges::default()
    };
    access.set_group(&by_box(), group, &open).unwrap();
    assert_eq!(access.group(group).unwrap().unwrap().quota, Some(5));
    access.set_project(&by_box(), id, &public).unwrap();
    let changed = access.project(id).unwrap().unwrap();
    assert_eq!(
        (changed.visibility, changed.quota),
        (Visibility::Public, Some(1 << 30))
    );
    assert_eq!(access.projects().unwrap().len(), 1);

    let token = NewToken {
        kind: TokenKind::Project,
        project_id: Some(id),
        ..new_token(7, None, None)
    };
    let token = access.create_token(&by_box(), &token).unwrap();
    assert_eq!(access.token(token).unwrap().unwrap().project_id, Some(id));
    access.remove_project(&by_box(), id).unwrap();
    assert_eq!(access.token(token).unwrap(), None);
    assert_eq!(
        access.remove_project(&by_box(), id).unwrap_err().kind(),
        Kind::NotFound
    );
}
