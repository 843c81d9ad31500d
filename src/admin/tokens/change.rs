//! One token: shown, replaced or ended.

use std::marker::PhantomData;

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shown::{Wish, find, is_of};
use super::{AccessTokenView, NewTokenView, ShownToken, TokenView, expiry};
use crate::admin::{Admin, NamedPlace, Operation};
use crate::auth::administration::tokens;
use crate::error::{Error, Kind, Result};
use crate::store::{Token, TokenId};
use crate::time::Timestamp;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetToken<V> {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: Option<NamedPlace>,
    #[serde(alias = "token_id")]
    #[schemars(skip)]
    pub id: i64,
    #[serde(skip)]
    #[schemars(skip)]
    pub shown: PhantomData<V>,
}

/// Replace a token by one with another secret and id, and print the new secret alone
///
/// The old one is refused from its next request on. One that was rotated already is not rotated again: what has taken its
/// place is named. Only a revoked token that rotates itself, over the REST API, is a secret that should be gone: then all that
/// came from the same first token are revoked.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
#[command(after_help = "\
Examples:
  TOKEN=$(breakwater token rotate 7)
  breakwater token rotate 7 --expires 30d --json")]
pub struct RotateToken<V = TokenView> {
    #[serde(flatten)]
    #[schemars(skip)]
    #[arg(skip)]
    pub place: Option<NamedPlace>,
    /// As `token list` shows it
    #[serde(alias = "token_id")]
    #[schemars(skip)]
    #[arg(value_parser = crate::admin::id)]
    pub id: i64,
    /// 30d (from now), 2027-01-31 (the first moment of that day, UTC), or never
    #[arg(
        long = "expires",
        alias = "ttl",
        value_name = "30d|DATE|never",
        default_value = "365d"
    )]
    #[schemars(
        description = "as at creation, but at most a year away or as before; a week from now unless given, or as long as before; whoever rotates another token of one's own makes one, which ends with the token that is used"
    )]
    pub expires_at: Option<String>,
    #[serde(skip)]
    #[schemars(skip)]
    #[arg(skip)]
    pub shown: PhantomData<V>,
}

/// End a token; it is refused from its next request on
///
/// Personal tokens that its user made with it end too, and those that they made; what else it made stands alone:
/// see `token list --made-by`.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
#[command(after_help = "Example:\n  breakwater token revoke 7")]
pub struct RevokeToken<V = TokenView> {
    #[serde(flatten)]
    #[schemars(skip)]
    #[arg(skip)]
    pub place: Option<NamedPlace>,
    /// As `token list` shows it
    #[serde(alias = "token_id")]
    #[schemars(skip)]
    #[arg(value_parser = crate::admin::id)]
    pub id: i64,
    #[serde(skip)]
    #[schemars(skip)]
    #[arg(skip)]
    pub shown: PhantomData<V>,
}

/// The token that the caller uses, of whatever kind.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetOwnToken {}

/// Replaces the token that the caller uses: a personal one, or one of the place.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RotateOwnToken {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: Option<NamedPlace>,
    /// as at creation, but no further off than the replaced token's own lifetime; a week from now unless given
    pub expires_at: Option<String>,
}

/// Ends the token that the caller uses, of whatever kind.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RevokeOwnToken {}

impl<V: ShownToken + JsonSchema> Operation for GetToken<V> {
    const NAME: &'static str = "tokens.get";
    type View = V;

    fn perform(self, admin: &Admin<'_>) -> Result<V> {
        let id = TokenId(self.id);
        let token = find::<V>(admin, self.place.as_ref(), id, Wish::Show)?;
        V::of(admin.store, token, Timestamp::now())
    }
}

impl<V: ShownToken + JsonSchema> Operation for RotateToken<V> {
    const NAME: &'static str = "tokens.rotate";
    type View = NewTokenView<V>;

    fn perform(self, admin: &Admin<'_>) -> Result<NewTokenView<V>> {
        let (id, now) = (TokenId(self.id), Timestamp::now());
        let asked = expiry::parse(self.expires_at.as_deref(), now)?;
        let old = find::<V>(admin, self.place.as_ref(), id, Wish::Rotate)?;
        rotate(admin, &old, asked, now)
    }
}

impl<V: ShownToken + JsonSchema> Operation for RevokeToken<V> {
    const NAME: &'static str = "tokens.revoke";
    /// The others that were revoked with it.
    type View = Vec<TokenId>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<TokenId>> {
        let id = TokenId(self.id);
        find::<V>(admin, self.place.as_ref(), id, Wish::Revoke)?;
        admin.store.access.revoke_token(&admin.actor, id)
    }
}

impl Operation for GetOwnToken {
    const NAME: &'static str = "tokens.get_own";
    type View = AccessTokenView;

    fn perform(self, admin: &Admin<'_>) -> Result<AccessTokenView> {
        AccessTokenView::new(admin.store, own(admin)?, Timestamp::now())
    }
}

impl Operation for RotateOwnToken {
    const NAME: &'static str = "tokens.rotate_own";
    type View = NewTokenView<AccessTokenView>;

    fn perform(self, admin: &Admin<'_>) -> Result<NewTokenView<AccessTokenView>> {
        let place = self.place.map(|named| admin.place(&named)).transpose()?;
        let own = own(admin)?;
        if !is_of::<AccessTokenView>(&own, place.as_ref()) {
            return Err(Error::new(Kind::Unsupported, "405 Method Not Allowed"));
        }
        let now = Timestamp::now();
        let asked = expiry::parse(self.expires_at.as_deref(), now)?;
        rotate(admin, &own, asked, now)
    }
}

impl Operation for RevokeOwnToken {
    const NAME: &'static str = "tokens.revoke_own";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let access = &admin.store.access;
        access.revoke_token(&admin.actor, own(admin)?.id)?;
        Ok(())
    }
}

fn own(admin: &Admin<'_>) -> Result<Token> {
    let own = admin.caller.maker().token_id;
    let own = own.map(|id| admin.store.access.token(id)).transpose()?;
    own.flatten()
        .ok_or_else(|| Error::new(Kind::Unauthorized, "401 Unauthorized"))
}

fn rotate<V: ShownToken>(
    admin: &Admin<'_>,
    old: &Token,
    asked: Option<Option<Timestamp>>,
    now: Timestamp,
) -> Result<NewTokenView<V>> {
    let store = admin.store;
    let maker = admin.caller.maker();
    if maker.token_id.is_some() && !old.revoked && old.is_expired(now) {
        return Err(Error::new(Kind::BadRequest, "token is expired"));
    }
    let expires_at = expiry::of_successor(admin, asked, old, now)?;
    let (made, secret) = tokens::rotate_token(store, &admin.actor, old.id, expires_at, &maker)?
        .ok_or_else(|| used_after_its_end(old.id))?;
    Ok(NewTokenView {
        view: V::of(store, made, now)?,
        token: secret,
    })
}

fn used_after_its_end(id: TokenId) -> Error {
    let what = format!(
        "token {} was revoked already, and somebody still uses it: all tokens that it was rotated from or into are revoked now",
        id.0
    );
    Error::new(Kind::Conflict, what).remedy("make a new one with `breakwater token create`")
}
