//! Backups of real files, put back: older ones, ones that somebody has changed, ones that another has open.

use super::*;
use crate::store::migrations::migrate;
use crate::store::{Level, NewToken, TokenKind, Visibility};

/// A store with a user, a group, a project and a token, and its directory.
fn filled() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(&directory.path().join("data")).unwrap();
    let user = store
        .access
        .create_user(&Actor::on_the_box(None), "alice", false, true, None)
        .unwrap();
    let group = store
        .access
        .create_group(&Actor::on_the_box(None), "acme", Visibility::Private)
        .unwrap();
    store
        .access
        .set_member(&Actor::on_the_box(None), group, user, Level::Guest)
        .unwrap();
    store
        .access
        .create_project(&Actor::on_the_box(None), "acme/api", Visibility::Private)
        .unwrap();
    let token = NewToken {
        kind: TokenKind::Personal,
        name: "t".into(),
        digest: [7; 32],
        scopes: vec!["api".into()],
        user_id: Some(user),
        group_id: None,
        project_id: None,
        username: None,
        access_level: None,
        expires_at: None,
        maker: crate::store::Maker::on_the_box(),
    };
    store
        .access
        .create_token(&Actor::on_the_box(None), &token)
        .unwrap();
    (directory, store)
}

fn restore(data: &Path, from: &Path) -> Result<Replaced> {
    Store::restore(
        &Actor::on_the_box(None),
        data,
        &mut File::open(from).unwrap(),
    )
    .map(|(replaced, _lock)| replaced)
}

#[test]
fn an_older_backup_is_brought_up_and_tables_that_it_lacked_reuse_no_id() {
    let (directory, store) = filled();
    let old = directory.path().join("old.sqlite");
    let mut connection = Connection::open(&old).unwrap();
    migrate(&mut connection, &old, &MIGRATIONS[..2]).unwrap();
    let insert = "INSERT INTO groups (path, visibility, created_at) VALUES ('acme', 'private', 0)";
    connection.execute(insert, []).unwrap();
    connection.close().unwrap();
    let data = store.directory().to_owned();
    let project = store.access.project_by_path("acme/api").unwrap().unwrap();
    drop(store);
    assert_eq!(restore(&data, &old).unwrap(), Replaced::Readable);
    let store = Store::open(&data).unwrap();
    assert!(store.access.users().unwrap().is_empty());
    let next =
        store
            .access
            .create_project(&Actor::on_the_box(None), "acme/api", Visibility::Private);
    assert!(next.unwrap() > project.id);
    let user = store
        .access
        .create_user(&Actor::on_the_box(None), "bob", false, true, None)
        .unwrap();
    assert!(user.0 > 1, "{user:?}");
}

#[test]
fn what_acts_by_itself_or_dangles_is_refused() {
    let (directory, store) = filled();
    for (name, change, part) in [
        (
            "trigger",
            "CREATE TRIGGER t AFTER INSERT ON users BEGIN UPDATE users SET admin = 1; END",
            "trigger t",
        ),
        ("lacking", "DROP TABLE networks", "networks"),
        (
            "dangling",
            "PRAGMA foreign_keys = OFF; UPDATE tokens SET user_id = 99",
            "rows of tokens",
        ),
    ] {
        let path = directory.path().join(name);
        store.backup(&Actor::on_the_box(None), &path).unwrap();
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(change).unwrap();
        connection.close().unwrap();
        let error = restore(store.directory(), &path).unwrap_err();
        assert_eq!(error.kind(), Kind::BadRequest, "{name}: {error}");
        assert!(error.to_string().contains(part), "{name}: {error}");
    }
    assert!(store.access.user_by_name("alice").unwrap().is_some());
}

#[test]
fn a_database_that_a_command_has_open_and_a_locked_directory_are_left_alone() {
    let (directory, store) = filled();
    let path = directory.path().join("backup.sqlite");
    store.backup(&Actor::on_the_box(None), &path).unwrap();
    assert_eq!(
        store
            .backup(&Actor::on_the_box(None), &path)
            .unwrap_err()
            .kind(),
        Kind::Conflict
    );
    let error = restore(store.directory(), &path).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert!(error.to_string().contains("another command"), "{error}");
    let lock = store.lock().unwrap();
    let error = restore(store.directory(), &path).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    drop(lock);
    // Still in one piece, and writable.
    store
        .access
        .create_user(&Actor::on_the_box(None), "bob", false, true, None)
        .unwrap();
    let data = store.directory().to_owned();
    drop(store);
    assert_eq!(restore(&data, &path).unwrap(), Replaced::Readable);
    let store = Store::open(&data).unwrap();
    assert!(store.access.user_by_name("bob").unwrap().is_none());
}
