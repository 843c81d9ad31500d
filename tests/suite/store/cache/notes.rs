//! Pulls and uses of tokens, which are written late and in batches.

use breakwater::store::{GroupId, ImageFilter, Pull, TokenId, Window};

use super::*;
use crate::store::strangers_connection;

#[test]
fn pulls_and_uses_are_written_in_batches() {
    let (directory, store) = fresh();
    let cache = &store.cache;
    let here = repository(&store, "here");
    let (digest, _) = keep_image(&store, here, &[b"layer"], Some("1"), at(1));
    let pull = |manifest: &Digest| Pull {
        group: GroupId(3),
        repository: here,
        manifest: manifest.clone(),
        tag: Some(tag("1")),
    };
    let pulled = || {
        cache
            .images(&ImageFilter::default(), Window::ALL)
            .unwrap()
            .entries[0]
            .last_pulled_at
    };
    cache.note_pull(pull(&digest), at(100));
    cache.note_pull(pull(&digest), at(110));
    cache.note_pull(pull(&Digest::of(b"never kept")), at(110));
    assert_eq!(pulled(), None, "in memory yet");
    cache.write_notes().unwrap();
    assert_eq!(pulled(), Some(at(110)));
    cache.note_pull(pull(&digest), at(105));
    cache.write_notes().unwrap();
    cache.write_notes().unwrap();
    assert_eq!(pulled(), Some(at(110)));
    let rows = strangers_connection(&directory.path().join("data/cache.sqlite"))
        .query_row(
            "SELECT first_at, last_at, count, count(*) OVER () FROM pulls",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .unwrap();
    assert_eq!(rows, (100_i64, 110_i64, 3_i64, 1_i64));

    let token = TokenId(7);
    assert_eq!(cache.token_last_used(token).unwrap(), None);
    cache.note_token_used(token, "10.0.0.1".parse().unwrap(), at(100));
    cache.note_token_used(token, "10.0.0.2".parse().unwrap(), at(120));
    cache.note_token_used(token, "10.0.0.3".parse().unwrap(), at(110));
    let expected = Some((at(120), "10.0.0.2".to_owned()));
    assert_eq!(
        cache.token_last_used(token).unwrap(),
        expected,
        "before it is written"
    );
    cache.write_notes().unwrap();
    assert_eq!(cache.token_last_used(token).unwrap(), expected);
}

#[test]
fn notes_that_cannot_be_written_are_kept() {
    let (directory, store) = fresh();
    let token = TokenId(1);
    store
        .cache
        .note_token_used(token, "10.0.0.1".parse().unwrap(), at(100));
    let stranger = strangers_connection(&directory.path().join("data/cache.sqlite"));
    stranger
        .execute_batch("ALTER TABLE token_uses RENAME TO away")
        .unwrap();
    let error = store.cache.write_notes().unwrap_err();
    assert_eq!(error.kind(), Kind::Sql);
    assert!(error.to_string().contains("write a token's use"), "{error}");
    stranger
        .execute_batch("ALTER TABLE away RENAME TO token_uses")
        .unwrap();
    store.cache.write_notes().unwrap();
    let count: i64 = stranger
        .query_row("SELECT count(*) FROM token_uses", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
}
