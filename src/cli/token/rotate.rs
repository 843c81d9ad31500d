//! `breakwater token rotate`: a new secret for what an old one may do.

use clap::Args;

use super::print_secret;
use crate::auth::administration::expiry::parse_expiry;
use crate::auth::administration::tokens;
use crate::cli::workplace::Workplace;
use crate::error::{Error, Kind, Result};
use crate::store::{Maker, TokenId};
use crate::time::Timestamp;

/// Replace a token by one with another secret and id, and print the new secret alone
///
/// The old one is refused from its next request on. Whoever rotates a token that was revoked already uses a
/// secret that should be gone: then all that came from the same first token are revoked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  TOKEN=$(breakwater token rotate 7)
  breakwater token rotate 7 --expires 30d --json")]
pub(super) struct Rotate {
    /// As `token list` shows it
    id: i64,
    /// 30d (from now), 2027-01-31 (the first moment of that day, UTC), or never
    #[arg(long, value_name = "30d|DATE|never", default_value = "365d")]
    expires: String,
    /// Print JSON: id, kind, name, scopes, expires_at, token, and a deploy token's username
    #[arg(long)]
    json: bool,
}

impl Rotate {
    pub(super) fn run(self, place: &Workplace) -> Result<()> {
        let expires_at = parse_expiry(&self.expires, Timestamp::now())?;
        let store = place.open_store()?;
        let id = TokenId(self.id);
        let maker = Maker::on_the_box();
        let (made, secret) = tokens::rotate_token(&store, &place.actor, id, expires_at, &maker)?
            .ok_or_else(|| revoked_already(self.id))?;
        print_secret(&made, &secret, self.json)
    }
}

fn revoked_already(id: i64) -> Error {
    let what = format!(
        "token {id} was revoked already, and somebody still uses it: all tokens that it was rotated from or into are revoked now"
    );
    Error::new(Kind::Conflict, what).remedy("make a new one with `breakwater token create`")
}
