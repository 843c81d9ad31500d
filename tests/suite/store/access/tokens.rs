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
        (token.maker.label.as_str(), token.name.as_str()),
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
        .rotate_token(
            &by_box(),
            first,
            [11; 32],
            Some(Timestamp(99)),
            &Maker::on_the_box(),
        )
        .unwrap()
        .unwrap();
    let third = access
        .rotate_token(&by_box(), second, [12; 32], None, &Maker::on_the_box())
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

    assert!(row(first).revoked_at.is_some() && row(third).revoked_at.is_none());

    let again = |digest: u8, maker: &Maker| {
        access.rotate_token(&by_box(), second, [digest; 32], None, maker)
    };
    let error = again(13, &Maker::on_the_box()).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    let place = format!("token {} has taken its place", third.0);
    assert!(error.what().contains(&place), "{error}");
    assert!(!row(third).revoked, "by id nobody shows the secret");
    let itself = Maker {
        token_id: Some(second),
        ..Maker::on_the_box()
    };
    assert_eq!(again(13, &itself).unwrap(), None);
    assert!(
        row(third).revoked,
        "a revoked token that rotates itself ends its family"
    );
    assert!(!row(bystander).revoked);
    assert_eq!(access.token_by_digest(&[13; 32]).unwrap(), None);
    assert_eq!(
        access
            .rotate_token(
                &by_box(),
                TokenId(999),
                [14; 32],
                None,
                &Maker::on_the_box()
            )
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

/// What somebody with this token makes for a user.
fn made_with(digest: u8, maker: &Token, user: UserId) -> NewToken {
    NewToken {
        expires_at: None,
        maker: Maker {
            label: format!("a (token {})", maker.id.0),
            user_id: maker.user_id,
            token_id: Some(maker.id),
        },
        ..new_token(digest, Some(user), None)
    }
}

/// A chain of three personal tokens, each made with the one before: 1 → 2 → 3.
fn chain(store: &Store) -> (UserId, [Token; 3]) {
    let access = &store.access;
    let (user, _) = user_and_group(access);
    let made = |new: &NewToken| {
        let id = access.create_token(&by_box(), new).unwrap();
        access.token(id).unwrap().unwrap()
    };
    let first = made(&new_token(1, Some(user), None));
    let second = made(&made_with(2, &first, user));
    let third = made(&made_with(3, &second, user));
    (user, [first, second, third])
}

#[test]
fn what_a_personal_token_makes_for_its_user_ends_with_it_and_the_rest_stands_alone() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let (user, [first, second, third]) = chain(&store);
    let other = access
        .create_user(&by_box(), "other", false, true, None)
        .unwrap();
    for token in [&second, &third] {
        assert_eq!(token.expires_at, first.expires_at, "asked for never");
        assert!(token.ends_with_maker);
    }
    assert_eq!(second.maker.token_id, Some(first.id));
    let alone = [
        NewToken {
            kind: TokenKind::Deploy,
            user_id: None,
            ..made_with(4, &second, user)
        },
        made_with(5, &second, other),
        new_token(6, Some(user), None),
    ]
    .map(|new| access.create_token(&by_box(), &new).unwrap());
    let job = NewToken {
        kind: TokenKind::Job,
        ..made_with(7, &third, user)
    };
    let job = access.create_token(&by_box(), &job).unwrap();
    let made = access.tokens_made_by(first.id).unwrap();
    let made: Vec<_> = made.iter().map(|token| token.id).collect();
    assert_eq!(made, [second.id, third.id, alone[0], alone[1], job]);
    assert_eq!(access.tokens_made_by(job).unwrap(), []);

    let with_it = access.revoke_token(&by_box(), first.id).unwrap();
    assert_eq!(with_it, [second.id, third.id, job]);
    let is_revoked = |id| access.token(id).unwrap().unwrap().revoked;
    assert!(alone.iter().all(|id| !is_revoked(*id)));
    assert_eq!(access.token(alone[0]).unwrap().unwrap().expires_at, None);
    // One whose revocation it does not know of yet makes no more.
    let late = access.create_token(&by_box(), &made_with(8, &third, user));
    assert_eq!(late.unwrap_err().kind(), Kind::Unauthorized);
    // What is gone with its user is still named.
    access.remove_user(&by_box(), user).unwrap();
    let made = access.tokens_made_by(second.id).unwrap();
    let made: Vec<_> = made.iter().map(|token| token.id).collect();
    assert_eq!(made, alone[..2]);
}

#[test]
fn rotating_keeps_what_a_token_made_within_the_successors_life() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let (user, [first, second, third]) = chain(&store);
    let row = |id| access.token(id).unwrap().unwrap();
    let itself = |token: &Token| Maker {
        label: "itself".into(),
        user_id: token.user_id,
        token_id: Some(token.id),
    };
    let rotate = |token: &Token, digest: u8, end: Option<i64>, maker: &Maker| {
        let end = end.map(Timestamp);
        let next = access.rotate_token(&by_box(), token.id, [digest; 32], end, maker);
        row(next.unwrap().unwrap())
    };
    let ends = |tokens: &[&Token]| -> Vec<_> {
        let ends = tokens.iter().map(|token| row(token.id).expires_at);
        ends.map(|end| end.map_or(0, |end| end.0)).collect()
    };
    // Shorter, and longer again: what was asked for at first counts.
    let next = rotate(&first, 11, Some(1_000), &itself(&first));
    assert_eq!(ends(&[&second, &third]), [1_000, 1_000]);
    let next = rotate(&next, 12, Some(3_000), &itself(&next));
    assert_eq!(ends(&[&second, &third]), [3_000, 3_000]);
    // One in the middle of the chain stays in it, whatever it asks for.
    let middle = rotate(&second, 13, None, &itself(&second));
    assert_eq!(ends(&[&middle, &third]), [3_000, 3_000]);
    assert_eq!((middle.maker, middle.family), (second.maker, second.id));
    // By another token of the same user it ends with that one; by hand it stands alone.
    let sibling = access
        .create_token(&by_box(), &new_token(20, Some(user), None))
        .unwrap();
    let taken = rotate(&row(sibling), 21, None, &itself(&third));
    assert_eq!(ends(&[&taken]), [3_000]);
    assert!(taken.ends_with_maker);
    let freed = rotate(&taken, 22, None, &Maker::on_the_box());
    assert_eq!((freed.expires_at, freed.ends_with_maker), (None, false));

    let with_it = access.revoke_token(&by_box(), next.id).unwrap();
    assert_eq!(with_it, [third.id, middle.id]);
    assert!(!row(freed.id).revoked);
}

/// A leaked one could otherwise put itself in its maker's place.
#[test]
fn one_that_rotates_its_maker_still_ends_with_it_and_it_with_them() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let (_, [first, second, third]) = chain(&store);
    let row = |id| access.token(id).unwrap().unwrap();
    let by_second = Maker {
        label: "second".into(),
        user_id: second.user_id,
        token_id: Some(second.id),
    };
    let next = access.rotate_token(&by_box(), first.id, [11; 32], None, &by_second);
    let next = next.unwrap().unwrap();
    assert_eq!(row(next).expires_at, first.expires_at);
    assert_eq!(row(second.id).expires_at, first.expires_at);
    let mut with_it = access.revoke_token(&by_box(), second.id).unwrap();
    with_it.sort();
    assert_eq!(with_it, [third.id, next]);
}

#[test]
fn a_rotated_token_that_is_rotated_again_takes_what_it_made_with_it() {
    let (_directory, store) = fresh();
    let access = &store.access;
    let (_, [first, second, third]) = chain(&store);
    let rotate = |digest| {
        let maker = Maker {
            label: "itself".into(),
            user_id: first.user_id,
            token_id: Some(first.id),
        };
        access.rotate_token(&by_box(), first.id, [digest; 32], None, &maker)
    };
    let next = rotate(11).unwrap().unwrap();
    assert_eq!(access.revoke_token(&by_box(), first.id).unwrap(), []);
    assert!(!access.token(second.id).unwrap().unwrap().revoked);
    assert_eq!(rotate(12).unwrap(), None);
    for id in [second.id, third.id, next] {
        assert!(access.token(id).unwrap().unwrap().revoked, "{id:?}");
    }
}
