//! Lists of tokens, page by page.

use super::{COLUMNS, Token, TokenKind, token};
use crate::error::Result;
use crate::store::page::{Conditions, Listing, Page, Window, page};
use crate::store::{AccessDb, GroupId, ProjectId, UserId};
use crate::time::Timestamp;

/// Which tokens; all conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct TokenFilter {
    /// Those of this kind.
    pub kind: Option<TokenKind>,
    /// Those that speak for this user.
    pub user: Option<UserId>,
    /// Those of this group.
    pub group: Option<GroupId>,
    /// Those of this project.
    pub project: Option<ProjectId>,
    /// Those whose name holds this.
    pub search: Option<String>,
    /// Those that are revoked, or those that are not.
    pub revoked: Option<bool>,
    /// Those that let somebody in at this time, or those that do not.
    pub active: Option<(bool, Timestamp)>,
}

impl AccessDb {
    /// Tokens by id, revoked ones too.
    pub fn tokens_page(&self, filter: &TokenFilter, window: Window) -> Result<Page<Token>> {
        let listing = Listing {
            statement: "list tokens",
            with: "",
            columns: COLUMNS,
            from: "FROM tokens",
            order: "id",
        };
        let kind = filter.kind.map(|kind| kind.as_str().to_owned());
        let mut conditions = Conditions::default();
        conditions.and_if("kind = ?", kind);
        conditions.and_if("user_id = ?", filter.user.map(|id| id.0));
        conditions.and_if("group_id = ?", filter.group.map(|id| id.0));
        conditions.and_if("project_id = ?", filter.project.map(|id| id.0));
        conditions.and_if("instr(name, ?)", filter.search.clone());
        conditions.and_if("revoked = ?", filter.revoked);
        if let Some((active, now)) = filter.active {
            let lets_in = "revoked = 0 AND (expires_at IS NULL OR expires_at > ?)";
            let condition = match active {
                true => lets_in.to_owned(),
                false => format!("NOT ({lets_in})"),
            };
            conditions.and(&condition, now.0);
        }
        self.database
            .scan(|connection| page(connection, &listing, &conditions, window, token))
    }
}
