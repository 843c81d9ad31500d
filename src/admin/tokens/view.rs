//! How tokens are shown. GitLab shows a personal token, a group's or project's, a deploy token and a job's each in its
//! own way.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::secret::Secret;
use crate::error::Result;
use crate::store::{GroupId, Level, ProjectId, Store, Token, TokenId, TokenKind, UserId};
use crate::time::Timestamp;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TokenView {
    Access(AccessTokenView),
    Deploy(DeployTokenView),
    Job(JobTokenView),
}

/// A personal token, or one of a group or project.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AccessToken")]
#[serde(deny_unknown_fields)]
pub struct AccessTokenView {
    pub id: TokenId,
    pub name: String,
    pub scopes: Vec<String>,
    pub revoked: bool,
    pub active: bool,
    pub created_at: Timestamp,
    /// The day of it, as in GitLab
    #[schemars(extend("format" = "date"))]
    pub expires_at: Option<String>,
    pub last_used_at: Option<Timestamp>,
    /// From where it was last used: one address, or none
    pub last_used_ips: Vec<String>,
    /// Null for a token of a group or project: there is no user behind it
    pub user_id: Option<UserId>,
    /// Of a token of a group or project
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_level: Option<i64>,
    /// Who made it: a user, a token such as alice (token 7), or box
    pub created_by: String,
    /// The id of the token that made it
    pub made_by: Option<TokenId>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DeployToken")]
#[serde(deny_unknown_fields)]
pub struct DeployTokenView {
    pub id: TokenId,
    pub name: String,
    pub username: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub scopes: Vec<String>,
    pub revoked: bool,
    pub expired: bool,
    pub last_used_at: Option<Timestamp>,
    /// From where it was last used: one address, or none
    pub last_used_ips: Vec<String>,
    /// The group that it is of, if it is of one
    pub group_id: Option<GroupId>,
    /// The project that it is of, if it is of one
    pub project_id: Option<ProjectId>,
    /// Who made it: a user, a token such as alice (token 7), or box
    pub created_by: String,
    /// The id of the token that made it
    pub made_by: Option<TokenId>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "JobToken")]
#[serde(deny_unknown_fields)]
pub struct JobTokenView {
    pub id: TokenId,
    pub name: String,
    pub user_id: Option<UserId>,
    pub project_id: Option<ProjectId>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked: bool,
    pub active: bool,
    /// Who made it: a user, a token such as alice (token 7), or box
    pub created_by: String,
    /// The id of the token that made it
    pub made_by: Option<TokenId>,
}

/// A token that was just made, with its secret, which is shown for the only time.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "New{V}", extend("additionalProperties" = false))]
pub struct NewTokenView<V = TokenView> {
    #[serde(flatten)]
    pub view: V,
    /// The secret, shown only here
    #[schemars(with = "String")]
    pub token: Secret,
}

impl TokenView {
    pub fn new(store: &Store, token: Token, now: Timestamp) -> Result<Self> {
        Ok(match token.kind {
            TokenKind::Personal | TokenKind::Group | TokenKind::Project => {
                Self::Access(AccessTokenView::new(store, token, now)?)
            }
            TokenKind::Deploy => Self::Deploy(DeployTokenView::new(store, token, now)?),
            TokenKind::Job => Self::Job(JobTokenView::new(token, now)),
        })
    }
}

impl AccessTokenView {
    pub fn new(store: &Store, token: Token, now: Timestamp) -> Result<Self> {
        let (last_used_at, last_used_ips) = last_use(store, token.id)?;
        Ok(Self {
            id: token.id,
            active: token.is_active(now),
            name: token.name,
            scopes: token.scopes,
            revoked: token.revoked,
            created_at: token.created_at,
            expires_at: token.expires_at.map(day),
            last_used_at,
            last_used_ips,
            user_id: token.user_id,
            access_level: token.access_level.map(Level::number),
            created_by: token.maker.label,
            made_by: token.maker.token_id,
        })
    }
}

impl DeployTokenView {
    pub fn new(store: &Store, token: Token, now: Timestamp) -> Result<Self> {
        let (last_used_at, last_used_ips) = last_use(store, token.id)?;
        Ok(Self {
            id: token.id,
            expired: token.is_expired(now),
            last_used_at,
            last_used_ips,
            group_id: token.group_id,
            project_id: token.project_id,
            name: token.name,
            username: token.username,
            expires_at: token.expires_at,
            scopes: token.scopes,
            revoked: token.revoked,
            created_by: token.maker.label,
            made_by: token.maker.token_id,
        })
    }
}

impl JobTokenView {
    pub fn new(token: Token, now: Timestamp) -> Self {
        Self {
            id: token.id,
            active: token.is_active(now),
            name: token.name,
            user_id: token.user_id,
            project_id: token.project_id,
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked: token.revoked,
            created_by: token.maker.label,
            made_by: token.maker.token_id,
        }
    }
}

/// When and from where a token was last used: uses are written to the cache's database, in batches.
fn last_use(store: &Store, id: TokenId) -> Result<(Option<Timestamp>, Vec<String>)> {
    Ok(match store.cache.token_last_used(id)? {
        Some((at, address)) => (Some(at), vec![address]),
        None => (None, Vec::new()),
    })
}

/// `2027-01-31`
fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}
