//! The tokens of one kind, page by page: those of a user, of a group or project, or all of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantNames;

use super::shown::own_user;
use super::{AccessTokenView, DeployTokenView, JobTokenView, ShownToken};
use crate::admin::named::Place;
use crate::admin::{Admin, Named, NamedPlace, Operation};
use crate::error::{Error, Kind, Result};
use crate::schema::words_in_schema;
use crate::store::{Level, Page, ProjectId, TokenFilter, TokenKind, UserId, Window};
use crate::time::Timestamp;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StateFilter {
    /// a part of the name
    pub search: Option<String>,
    /// only these
    pub state: Option<Activity>,
    /// only those that are revoked, or not
    pub revoked: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, VariantNames)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Activity {
    Active,
    Inactive,
}

words_in_schema!(Activity);

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListPersonalTokens {
    /// only this user's
    pub user_id: Option<UserId>,
    #[serde(flatten)]
    pub filter: StateFilter,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListAccessTokens {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: NamedPlace,
    #[serde(flatten)]
    pub filter: StateFilter,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListDeployTokens {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: Option<NamedPlace>,
    /// only those that let somebody in
    pub active: Option<bool>,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

/// For maintainers of the project all of them, for others their own.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListJobTokens {
    #[schemars(skip)]
    pub project: Named<ProjectId>,
    /// only those that let somebody in
    pub active: Option<bool>,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

impl StateFilter {
    fn of(self, kind: TokenKind) -> TokenFilter {
        TokenFilter {
            kind: Some(kind),
            search: self.search,
            revoked: self.revoked,
            active: active(self.state.map(|state| state == Activity::Active)),
            ..TokenFilter::default()
        }
    }
}

fn active(active: Option<bool>) -> Option<(bool, Timestamp)> {
    active.map(|active| (active, Timestamp::now()))
}

impl Place {
    fn tokens(&self, filter: TokenFilter) -> TokenFilter {
        let (group, project) = match self {
            Self::Group(group) => (Some(group.id), None),
            Self::Project(project) => (None, Some(project.id)),
        };
        TokenFilter {
            group,
            project,
            ..filter
        }
    }
}

fn page<V: ShownToken>(admin: &Admin<'_>, filter: &TokenFilter, window: Window) -> Result<Page<V>> {
    let now = Timestamp::now();
    let found = admin.store.access.tokens_page(filter, window)?;
    found.try_map(|token| V::of(admin.store, token, now))
}

impl Operation for ListPersonalTokens {
    const NAME: &'static str = "tokens.list_personal";
    type View = Page<AccessTokenView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Self::View> {
        let user = match admin.caller.is_administrator() {
            true => self.user_id,
            false => {
                let own = own_user(admin)?;
                if self.user_id.is_some_and(|asked| asked != own) {
                    return Err(Error::new(Kind::Unauthorized, "401 Unauthorized"));
                }
                Some(own)
            }
        };
        let filter = TokenFilter {
            user,
            ..self.filter.of(TokenKind::Personal)
        };
        page(admin, &filter, self.window)
    }
}

impl Operation for ListAccessTokens {
    const NAME: &'static str = "tokens.list_access";
    type View = Page<AccessTokenView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Self::View> {
        let place = admin.place(&self.place)?;
        let filter = self.filter.of(place.token_kind());
        page(admin, &place.tokens(filter), self.window)
    }
}

impl Operation for ListDeployTokens {
    const NAME: &'static str = "tokens.list_deploy";
    type View = Page<DeployTokenView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Self::View> {
        let filter = TokenFilter {
            kind: Some(TokenKind::Deploy),
            active: active(self.active),
            ..TokenFilter::default()
        };
        let filter = match &self.place {
            Some(place) => admin.place(place)?.tokens(filter),
            None => filter,
        };
        page(admin, &filter, self.window)
    }
}

impl Operation for ListJobTokens {
    const NAME: &'static str = "tokens.list_job";
    type View = Page<JobTokenView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Self::View> {
        let place = Place::Project(admin.project(&self.project)?);
        let is_maintainer = place.authority(admin)?.has(Level::Maintainer);
        let user = match (is_maintainer, admin.caller.user()) {
            (true, _) => None,
            (false, Some(user)) => Some(user.id),
            (false, None) => return Ok(Page::of(Vec::new(), self.window)),
        };
        let filter = place.tokens(TokenFilter {
            kind: Some(TokenKind::Job),
            user,
            active: active(self.active),
            ..TokenFilter::default()
        });
        page(admin, &filter, self.window)
    }
}
