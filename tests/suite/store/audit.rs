//! `audit.sqlite`: each change of the access database is one event that names who made it.

use std::fs::File;

use breakwater::error::Kind;
use breakwater::oci::RegistryHost;
use breakwater::store::{
    Ability, Actor, EventFilter, EventUser, GroupChanges, Level, Maker, Network, NewToken,
    NewUpstream, PlaceFilter, ProjectChanges, RecordedEvent, Store, TokenId, TokenKind, UserId,
    Visibility,
};
use serde_json::json;

use super::{at, fresh, mode};

/// Who makes changes here.
fn alice() -> Actor {
    Actor::new("alice (token 7)")
        .user("alice", UserId(42))
        .address("192.0.2.7".parse().unwrap())
        .correlation_id("0123abcd")
}

fn events(store: &Store) -> Vec<RecordedEvent> {
    store.audit.events(&EventFilter::default()).unwrap()
}

/// Kind, subject with its id, user, group, details.
fn line(event: &RecordedEvent) -> String {
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "-".into());
    format!(
        "{} {} {} {} | {} {} | {}",
        event.kind,
        word(&event.subject_kind),
        word(&event.subject_name),
        event.subject_id.map_or("-".into(), |id| id.to_string()),
        word(&event.about_user),
        word(&event.group_path),
        event.details
    )
}

fn token(digest: u8) -> NewToken {
    NewToken {
        kind: TokenKind::Personal,
        name: "laptop".into(),
        digest: [digest; 32],
        scopes: vec!["write_registry".into(), "read_registry".into()],
        user_id: Some(UserId(1)),
        group_id: None,
        project_id: None,
        username: None,
        access_level: None,
        expires_at: Some(at(0)),
        maker: Maker::on_the_box(),
    }
}

/// Every kind of change, in an order in which each changes something.
fn change_everything(store: &Store, by: &Actor) {
    let access = &store.access;
    let user = access
        .create_user(by, "bob", false, false, Some("$argon2id$v=19$secret"))
        .unwrap();
    access.set_blocked(by, user, true).unwrap();
    access.set_blocked(by, user, false).unwrap();
    access
        .set_password(by, user, "$argon2id$v=19$other")
        .unwrap();
    let acme = access
        .create_group(by, "acme", Visibility::Private)
        .unwrap();
    let changes = GroupChanges {
        visibility: Some(Visibility::Public),
        default_upstream: Some(RegistryHost::parse("quay.io").ok()),
        ..GroupChanges::default()
    };
    access.set_group(by, acme, &changes).unwrap();
    access.set_member(by, acme, user, Level::Developer).unwrap();
    assert!(access.remove_member(by, acme, user).unwrap());
    let project = access
        .create_project(by, "acme/api", Visibility::Private)
        .unwrap();
    let changes = ProjectChanges {
        visibility: Some(Visibility::Public),
        ..ProjectChanges::default()
    };
    access.set_project(by, project, &changes).unwrap();
    let first = access.create_token(by, &token(1)).unwrap();
    let second = access
        .rotate_token(by, first, [2; 32], None, &Maker::on_the_box())
        .unwrap();
    access.revoke_token(by, second.unwrap()).unwrap();
    access.revoke_family(by, first).unwrap();
    let deploy = NewToken {
        kind: TokenKind::Deploy,
        user_id: None,
        group_id: Some(acme),
        expires_at: None,
        ..token(4)
    };
    access.create_token(by, &deploy).unwrap();
    access.set_feature(by, "flag", Some(acme), true).unwrap();
    assert!(access.reset_feature(by, "flag", Some(acme)).unwrap());
    access.set_feature(by, "flag", None, false).unwrap();
    let network = Network {
        cidr: "10.0.0.1/8".parse().unwrap(),
        ability: Ability::Fill,
        group: Some(acme),
    };
    access.add_network(by, &network).unwrap();
    assert!(access.remove_network(by, network.cidr, Some(acme)).unwrap());
    let name = RegistryHost::parse("quay.io").unwrap();
    let upstream = NewUpstream {
        name: name.clone(),
        group: None,
        url: "https://quay.io".into(),
        credentials: Some(("robot".into(), b"sealed password".to_vec())),
        auth_realm: None,
        ca: None,
        allow_private_addresses: false,
        max_size: None,
    };
    access.add_upstream(by, &upstream).unwrap();
    assert!(access.remove_upstream(by, &name, None).unwrap());
    access.remove_project(by, project).unwrap();
    access.remove_group(by, acme).unwrap();
    access.remove_user(by, user).unwrap();
}

#[test]
fn every_change_is_one_event_with_its_actor() {
    let (_directory, store) = fresh();
    change_everything(&store, &alice());
    let events = events(&store);
    let lines: Vec<_> = events.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            r#"user.created user bob 1 | bob - | {"admin":false,"service":false}"#,
            r#"user.blocked user bob 1 | bob - | {}"#,
            r#"user.unblocked user bob 1 | bob - | {}"#,
            r#"user.password_changed user bob 1 | bob - | {}"#,
            r#"group.created group acme 1 | - acme | {"visibility":"private"}"#,
            r#"group.changed group acme 1 | - acme | {"default_upstream":"quay.io","visibility":"public"}"#,
            r#"member.set user bob 1 | bob acme | {"access_level":30}"#,
            r#"member.removed user bob 1 | bob acme | {}"#,
            r#"project.created project acme/api 1 | - acme/api | {"visibility":"private"}"#,
            r#"project.changed project acme/api 1 | - acme/api | {"visibility":"public"}"#,
            r#"token.created token laptop 1 | bob - | {"expires_at":"1970-01-01T00:00:00Z","kind":"personal","scopes":["read_registry","write_registry"]}"#,
            r#"token.rotated token laptop 1 | bob - | {"new_id":2}"#,
            r#"token.revoked token laptop 2 | bob - | {}"#,
            r#"token.family_revoked token laptop 1 | bob - | {}"#,
            r#"token.created token laptop 3 | - acme | {"kind":"deploy","scopes":["read_registry","write_registry"]}"#,
            r#"feature.set feature flag - | - acme | {"enabled":true}"#,
            r#"feature.reset feature flag - | - acme | {}"#,
            r#"feature.set feature flag - | - - | {"enabled":false}"#,
            r#"network.added network 10.0.0.0/8 - | - acme | {"ability":"fill"}"#,
            r#"network.removed network 10.0.0.0/8 - | - acme | {}"#,
            r#"upstream.added upstream quay.io 1 | - - | {"allow_private_addresses":false,"has_credentials":true,"url":"https://quay.io"}"#,
            r#"upstream.removed upstream quay.io 1 | - - | {}"#,
            r#"project.removed project acme/api 1 | - acme/api | {}"#,
            r#"group.removed group acme 1 | - acme | {}"#,
            r#"user.removed user bob 1 | bob - | {}"#,
        ]
    );
    for event in &events {
        let who = (
            event.actor.as_str(),
            event.actor_user.as_deref(),
            event.address.as_deref(),
            event.correlation_id.as_deref(),
        );
        let expected = (
            "alice (token 7)",
            Some("alice"),
            Some("192.0.2.7"),
            Some("0123abcd"),
        );
        assert_eq!(who, expected, "{}", event.kind);
    }
}

#[test]
fn no_hash_and_no_sealed_password_is_in_the_file() {
    let (_directory, store) = fresh();
    change_everything(&store, &alice());
    store.shut_down().unwrap();
    let path = store.directory().join("audit.sqlite");
    assert_eq!(mode(&path), 0o600);
    let bytes = std::fs::read(&path).unwrap();
    let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(holds(b"user.password_changed"));
    for secret in [&b"$argon2"[..], b"sealed password", &[1; 32], &[2; 32]] {
        assert!(!holds(secret), "{secret:?}");
    }
}

#[test]
fn what_changes_nothing_is_no_event() {
    let (_directory, store) = fresh();
    let access = &store.access;
    access
        .create_user(&alice(), "bob", false, true, None)
        .unwrap();
    let before = events(&store);
    let taken = access.create_user(&alice(), "bob", false, true, None);
    assert_eq!(taken.unwrap_err().kind(), Kind::Conflict);
    let absent = access.revoke_token(&alice(), TokenId(9));
    assert_eq!(absent.unwrap_err().kind(), Kind::NotFound);
    let absent = access.remove_user(&alice(), UserId(9));
    assert_eq!(absent.unwrap_err().kind(), Kind::NotFound);
    assert!(!access.reset_feature(&alice(), "flag", None).unwrap());
    let quay = RegistryHost::parse("quay.io").unwrap();
    assert!(!access.remove_upstream(&alice(), &quay, None).unwrap());
    assert_eq!(events(&store), before);
}

#[test]
fn recording_invalidates_nothing_and_a_restored_backup_takes_no_event_back() {
    let (directory, store) = fresh();
    let access = &store.access;
    let user = access
        .create_user(&alice(), "bob", false, true, None)
        .unwrap();
    let generation = access.generation();
    let backup = directory.path().join("backup.sqlite");
    store.backup(&alice(), &backup).unwrap();
    assert_eq!(access.generation(), generation, "an event was recorded");
    access.remove_user(&alice(), user).unwrap();
    assert_ne!(access.generation(), generation);
    let data = store.directory().to_owned();
    drop(store);
    drop(Store::restore(&alice(), &data, &mut File::open(&backup).unwrap()).unwrap());
    let store = Store::open(&data).unwrap();
    assert!(store.access.user_by_name("bob").unwrap().is_some());
    let kinds: Vec<_> = events(&store).into_iter().map(|event| event.kind).collect();
    let expected = [
        "user.created",
        "database.backed_up",
        "user.removed",
        "database.restored",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn events_are_found_by_time_user_and_group() {
    let (_directory, store) = fresh();
    change_everything(&store, &Actor::on_the_box(None));
    let bob = Actor::new("bob").user("bob", UserId(9));
    for path in ["acme", "acme/backend", "acmeother"] {
        store
            .access
            .create_group(&bob, path, Visibility::Private)
            .unwrap();
    }
    let count = |filter: EventFilter| store.audit.events(&filter).unwrap().len();
    let all = count(EventFilter::default());
    let user = |name: &str| EventFilter {
        user: Some(EventUser::Name(name.into())),
        ..EventFilter::default()
    };
    let group = |path: &str| EventFilter {
        place: Some(PlaceFilter::Path(path.into())),
        ..EventFilter::default()
    };
    let since = |time| EventFilter {
        since: Some(at(time)),
        ..EventFilter::default()
    };
    assert_eq!(count(user("alice")), 0);
    assert_eq!(
        count(user("bob")),
        14,
        "as the one who does it, or whom it concerns"
    );
    assert_eq!(count(group("acme")), 15);
    assert_eq!(count(group("acme/backend")), 1);
    assert_eq!(count(since(0)), all);
    assert_eq!(count(since(i64::MAX)), 0);
    let newest = store
        .audit
        .events(&EventFilter {
            limit: Some(2),
            ..EventFilter::default()
        })
        .unwrap();
    let names: Vec<_> = newest
        .iter()
        .map(|event| event.subject_name.as_deref())
        .collect();
    assert_eq!(names, [Some("acme/backend"), Some("acmeother")]);
    assert_eq!(newest[0].details, json!({"visibility": "private"}));
}

/// Names are used again; ids are not.
#[test]
fn a_later_user_or_group_of_the_same_name_has_none_of_the_formers_events() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let by = Actor::on_the_box(None);
    let tenant = || {
        let user = access.create_user(&by, "bob", false, true, None).unwrap();
        let acme = access
            .create_group(&by, "acme", Visibility::Private)
            .unwrap();
        let inner = access
            .create_group(&by, "acme/inner", Visibility::Private)
            .unwrap();
        let project = access
            .create_project(&by, "acme/inner/api", Visibility::Private)
            .unwrap();
        access.set_member(&by, inner, user, Level::Guest).unwrap();
        (user, acme, inner, project)
    };
    let (user, acme, ..) = tenant();
    access.remove_group(&by, acme).unwrap();
    access.remove_user(&by, user).unwrap();
    let (user, acme, inner, project) = tenant();
    let kinds = |user: Option<EventUser>, place: Option<PlaceFilter>| -> Vec<_> {
        let filter = EventFilter {
            user,
            place,
            ..EventFilter::default()
        };
        let events = store.audit.events(&filter).unwrap();
        events.into_iter().map(|event| event.kind).collect()
    };
    assert_eq!(
        kinds(Some(EventUser::Id(user)), None),
        ["user.created", "member.set"]
    );
    let of_group = |group| kinds(None, Some(PlaceFilter::Group(group)));
    let below = ["group.created", "project.created", "member.set"];
    assert_eq!(of_group(inner), below);
    assert_eq!(of_group(acme)[1..], below);
    let of_project = kinds(None, Some(PlaceFilter::Project(project)));
    assert_eq!(of_project, ["project.created"]);
    let both = kinds(Some(EventUser::Id(user)), Some(PlaceFilter::Group(acme)));
    assert_eq!(both, ["member.set"]);
    // By name all who ever had it, told apart by their ids.
    let named = EventFilter {
        place: Some(PlaceFilter::Path("acme".into())),
        ..EventFilter::default()
    };
    let named = store.audit.events(&named).unwrap();
    assert_eq!(named.len(), 9);
    let mut groups: Vec<_> = named.iter().filter_map(|event| event.group_id).collect();
    groups.dedup();
    assert!(groups.len() >= 4 && groups.contains(&acme), "{groups:?}");
}

/// The audit database takes no event: on a full disk, or while another process has it locked.
#[test]
fn what_the_audit_cannot_tell_of_is_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(&directory.path().join("data")).unwrap();
    let path = store.directory().join("audit.sqlite");
    let stranger = rusqlite::Connection::open(path).unwrap();
    stranger
        .execute_batch("ALTER TABLE events RENAME TO gone")
        .unwrap();
    let add = || {
        store
            .access
            .create_group(&alice(), "acme", Visibility::Private)
    };
    let error = add().unwrap_err().to_string();
    assert!(error.contains("nothing was changed"), "{error}");
    assert!(store.access.group_by_path("acme").unwrap().is_none());
    stranger
        .execute_batch("ALTER TABLE gone RENAME TO events")
        .unwrap();
    add().unwrap();
    assert_eq!(events(&store).len(), 1);
    // And the other way round: what could not be changed is taken back.
    let access = rusqlite::Connection::open(store.directory().join("access.sqlite")).unwrap();
    access
        .execute_batch(
            "CREATE TABLE never (id INTEGER PRIMARY KEY);
             CREATE TABLE late (id INTEGER REFERENCES never (id) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER at_commit AFTER INSERT ON groups BEGIN INSERT INTO late VALUES (1); END",
        )
        .unwrap();
    let failed = store
        .access
        .create_group(&alice(), "other", Visibility::Private);
    assert!(failed.is_err());
    assert!(store.access.group_by_path("other").unwrap().is_none());
    assert_eq!(events(&store).len(), 1);
}
