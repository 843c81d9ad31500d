//! Tokens' rows: found by digest, listed when revoked, rotated in families.

use super::*;

#[test]
fn tokens_are_found_by_digest_and_stay_listed_when_revoked() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let (user, group) = user_and_group(access);
    let personal = access
        .create_token(&by_box(), &new_token(1, Some(user), None))
        .unwrap();
    let deploy = access
        .create_token(
            &by_box(),
            &NewToken {
                kind: TokenKind::Deploy,
                username: Some("gitlab+deploy-token-1".into()),
                access_level: Some(Level::Developer),
                expires_at: None,
                scopes: vec![],
                ..new_token(2, None, Some(group))
            },
        )
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

    access.revoke_token(&by_box(), personal).unwrap();
    access.revoke_token(&by_box(), personal).unwrap();
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
        assert_eq!(
            access.create_token(&by_box(), &token).unwrap_err().kind(),
            kind
        );
    }
    let error = access.revoke_token(&by_box(), TokenId(99)).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    access.remove_user(&by_box(), user).unwrap();
    assert_eq!(access.token(personal).unwrap(), None);
}

#[test]
fn a_rotated_token_is_replaced_and_a_revoked_one_takes_its_family_with_it() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let first = access
        .create_token(&by_box(), &new_token(1, None, None))
        .unwrap();
    let bystander = access
        .create_token(&by_box(), &new_token(2, None, None))
        .unwrap();
    let second = access
        .rotate_token(&by_box(), first, [11; 32], Some(Timestamp(99)))
        .unwrap()
        .unwrap();
    let third = access
        .rotate_token(&by_box(), second, [12; 32], None)
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

    assert_eq!(
        access
            .rotate_token(&by_box(), second, [13; 32], None)
            .unwrap(),
        None
    );
    assert!(
        row(third).revoked,
        "whoever rotates a revoked token ends its family"
    );
    assert!(!row(bystander).revoked);
    assert_eq!(access.token_by_digest(&[13; 32]).unwrap(), None);
    assert_eq!(
        access
            .rotate_token(&by_box(), TokenId(999), [14; 32], None)
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
        let id = store.access.create_token(&by_box(), &token).unwrap();
        (
            id,
            store.access.token(id).unwrap().unwrap().username.unwrap(),
        )
    };
    let (id, username) = deploy(1, None);
    assert_eq!(username, format!("gitlab+deploy-token-{}", id.0));
    assert_eq!(deploy(2, Some("puller")).1, "puller");
}
