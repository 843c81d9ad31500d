//! Sessions of the operator's page, which each sees and ends for themselves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation};
use crate::error::{Error, Kind, Result};
use crate::store::{Session, SessionId, TokenId, UserId};
use crate::time::Timestamp;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListSessions {}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct EndSession {
    #[schemars(skip)]
    pub session_id: SessionId,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Session")]
#[serde(deny_unknown_fields)]
pub struct SessionView {
    pub id: SessionId,
    pub created_at: Timestamp,
    /// To the minute
    pub last_used_at: Timestamp,
    /// At the latest; earlier when it is not used for an hour
    pub ends_at: Timestamp,
    pub remote_ip: String,
    /// What the browser calls itself
    pub browser: String,
}

impl From<Session> for SessionView {
    fn from(session: Session) -> Self {
        Self {
            id: session.id,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            ends_at: session.ends_at,
            remote_ip: session.remote_ip,
            browser: session.browser,
        }
    }
}

/// The caller's: of the user, or where there is none of the token.
fn own(admin: &Admin<'_>) -> Result<Vec<Session>> {
    let maker = admin.caller.maker();
    let (user, token): (Option<UserId>, Option<TokenId>) = (maker.user_id, maker.token_id);
    admin.store.access.sessions(user, token)
}

impl Operation for ListSessions {
    const NAME: &'static str = "sessions.list";
    type View = Vec<SessionView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<SessionView>> {
        let mut live = Vec::new();
        for session in own(admin)? {
            if admin.caller.is_let_in_by(&session)? {
                live.push(SessionView::from(session));
            }
        }
        Ok(live)
    }
}

impl Operation for EndSession {
    const NAME: &'static str = "sessions.end";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let is_own = own(admin)?
            .iter()
            .any(|session| session.id == self.session_id);
        if is_own
            && admin
                .store
                .access
                .end_session(&admin.actor, self.session_id, true)?
        {
            return Ok(());
        }
        let what = format!("you have no session with the id {}", self.session_id.0);
        Err(Error::new(Kind::NotFound, what).about("Session"))
    }
}
