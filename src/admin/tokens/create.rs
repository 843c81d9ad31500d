//! New tokens. A token of a group or project has no user behind it, only the level that such a user would have.

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shown::{own_user, refuse_bots};
use super::{AccessTokenView, DeployTokenView, JobTokenView, NewTokenView, ShownToken, expiry};
use crate::admin::caller::forbidden_because;
use crate::admin::named::Place;
use crate::admin::{Admin, Named, NamedPlace, Operation};
use crate::auth::administration::expiry::parse_ttl;
use crate::auth::administration::{names, tokens};
use crate::error::{Error, Kind, Result};
use crate::store::{Level, NewToken, ProjectId, TokenKind, UserId};
use crate::time::Timestamp;

/// What all kinds of tokens are made from but those of jobs.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Args)]
pub struct NewTokenFields {
    /// What the token is called in lists
    #[arg(long)]
    pub name: String,
    /// read_registry, write_registry, read_virtual_registry, write_virtual_registry, and, but for deploy
    /// tokens, read_api, api; a job token has none
    #[arg(
        long = "scope",
        required_unless_present = "job",
        conflicts_with = "job",
        value_name = "SCOPE"
    )]
    #[schemars(
        description = "read_registry, write_registry, read_virtual_registry, write_virtual_registry, and, but for deploy tokens, read_api, api"
    )]
    pub scopes: Vec<String>,
    /// 30d (from now), 2027-01-31 (the first moment of that day, UTC), or never; of a job token a time from 1s to 30d
    /// [default: 365d, of a job token 1h]
    #[arg(long = "expires", alias = "ttl", value_name = "30d|DATE|never")]
    #[schemars(
        description = "a date (its first moment in UTC), a time, or never; 365 days from now unless given. A personal token that is made for oneself with another one ends with that one at the latest, and is revoked with it"
    )]
    pub expires_at: Option<String>,
}

/// For the caller, unless a user is named.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreatePersonalToken {
    #[serde(rename = "user_id")]
    #[schemars(skip)]
    pub user: Option<Named<UserId>>,
    #[serde(flatten)]
    pub new: NewTokenFields,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreateAccessToken {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: NamedPlace,
    #[serde(flatten)]
    pub new: NewTokenFields,
    /// 40 unless given, at most the maker's own
    pub access_level: Option<Level>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreateDeployToken {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: NamedPlace,
    #[serde(flatten)]
    pub new: NewTokenFields,
    /// gitlab+deploy-token-ID unless given
    pub username: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreateJobToken {
    #[schemars(skip)]
    pub project: Named<ProjectId>,
    /// what it is called in lists; job unless given
    pub name: Option<String>,
    /// how long it lives: 1s to 30d, 1h unless given; no longer than one's own token that makes it for oneself
    pub ttl: Option<String>,
    /// whom it speaks for, for administrators; oneself unless given
    #[serde(rename = "user_id")]
    #[schemars(with = "Option<UserId>")]
    pub user: Option<Named<UserId>>,
}

impl Operation for CreatePersonalToken {
    const NAME: &'static str = "tokens.create_personal";
    type View = NewTokenView<AccessTokenView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Self::View> {
        let mut token = self.new.draft(admin, TokenKind::Personal)?;
        token.user_id = Some(match &self.user {
            Some(named) => admin.user(named)?.id,
            None => own_user(admin)?,
        });
        self.new.make(admin, token)
    }
}

impl Operation for CreateAccessToken {
    const NAME: &'static str = "tokens.create_access";
    type View = NewTokenView<AccessTokenView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Self::View> {
        refuse_bots(admin)?;
        let mut token = self.new.draft(admin, TokenKind::Group)?;
        let place = admin.place(&self.place)?;
        let level = self.access_level.unwrap_or(Level::Maintainer);
        if !place.authority(admin)?.has(level) {
            return Err(Error::new(
                Kind::BadRequest,
                "Access level of the token can't be greater than the access level of the user who created the token",
            ));
        }
        place.own(&mut token);
        token.kind = place.token_kind();
        token.access_level = Some(level);
        self.new.make(admin, token)
    }
}

impl Operation for CreateDeployToken {
    const NAME: &'static str = "tokens.create_deploy";
    type View = NewTokenView<DeployTokenView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Self::View> {
        refuse_bots(admin)?;
        let mut token = self.new.draft(admin, TokenKind::Deploy)?;
        token.username = self.username.filter(|name| !name.is_empty());
        if let Some(username) = &token.username {
            names::check_deploy_username(username).map_err(|error| error.about("username"))?;
        }
        admin.place(&self.place)?.own(&mut token);
        self.new.make(admin, token)
    }
}

impl Operation for CreateJobToken {
    const NAME: &'static str = "tokens.create_job";
    type View = NewTokenView<JobTokenView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Self::View> {
        let mut token = blank(admin, TokenKind::Job, self.name.as_deref().unwrap_or("job"))?;
        let ttl = parse_ttl(self.ttl.as_deref().unwrap_or("1h"));
        let ttl = ttl.map_err(|error| error.about("ttl"))?;
        token.expires_at = Some(Timestamp::now().plus(ttl));
        token.project_id = Some(admin.project(&self.project)?.id);
        token.user_id = Some(self.user(admin)?);
        create(admin, token)
    }
}

impl CreateJobToken {
    /// Whom it speaks for.
    fn user(&self, admin: &Admin<'_>) -> Result<UserId> {
        let is_administrator = admin.caller.is_administrator();
        match &self.user {
            None => own_user(admin),
            Some(named) if is_administrator => Ok(admin.user(named)?.id),
            Some(named) => {
                let own = own_user(admin)?;
                let other = "only administrators make job tokens for somebody else";
                let is_own = matches!(named, Named::Id(id) if *id == own);
                is_own
                    .then_some(own)
                    .ok_or_else(|| forbidden_because(other))
            }
        }
    }
}

impl NewTokenFields {
    /// The token, which belongs to nobody yet and has no end.
    fn draft(&self, admin: &Admin<'_>, kind: TokenKind) -> Result<NewToken> {
        let mut token = blank(admin, kind, &self.name)?;
        let words = self.scopes.iter().map(String::as_str);
        token.scopes = tokens::scope_words(kind, words).map_err(|error| error.about("scopes"))?;
        Ok(token)
    }

    fn make<V: ShownToken>(
        &self,
        admin: &Admin<'_>,
        mut token: NewToken,
    ) -> Result<NewTokenView<V>> {
        let now = Timestamp::now();
        let asked = expiry::parse(self.expires_at.as_deref(), now)?;
        token.expires_at = expiry::of_new(admin, asked, &token, now)?;
        create(admin, token)
    }
}

impl Place {
    fn own(&self, token: &mut NewToken) {
        match self {
            Self::Group(group) => token.group_id = Some(group.id),
            Self::Project(project) => token.project_id = Some(project.id),
        }
    }
}

/// A token that belongs to nobody yet.
fn blank(admin: &Admin<'_>, kind: TokenKind, name: &str) -> Result<NewToken> {
    names::check_token_name(name).map_err(|error| error.about("name"))?;
    Ok(NewToken {
        kind,
        name: name.to_owned(),
        digest: [0; 32],
        scopes: Vec::new(),
        user_id: None,
        group_id: None,
        project_id: None,
        username: None,
        access_level: None,
        expires_at: None,
        maker: admin.caller.maker(),
    })
}

fn create<V: ShownToken>(admin: &Admin<'_>, token: NewToken) -> Result<NewTokenView<V>> {
    let (made, secret) = tokens::create_token(admin.store, &admin.actor, token)?;
    Ok(NewTokenView {
        view: V::of(admin.store, made, Timestamp::now())?,
        token: secret,
    })
}
