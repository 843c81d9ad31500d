//! Users: people with a password, and service accounts without one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::forbidden_because;
use super::{Admin, Named, Operation, refused};
use crate::auth::administration::names::check_user_name;
use crate::auth::password;
use crate::error::{Error, Kind, Result};
use crate::store::{Level, Page, Store, User, UserFilter, UserId, Window};
use crate::time::Timestamp;
use crate::words::words;

/// The administrator of the first start.
pub const ROOT: &str = "root";
/// In the data directory: root's first password, until it is changed.
pub const INITIAL_ROOT_PASSWORD: &str = "initial_root_password";

/// Removes the file with root's first password, which opens nothing any more.
///
/// # Errors
/// `Io` with the path.
pub fn forget_initial_password(store: &Store) -> Result<()> {
    let path = store.directory().join(INITIAL_ROOT_PASSWORD);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("it is done, but cannot remove", &path, error))
        }
        _ => Ok(()),
    }
}

/// The user whom the token speaks for
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetCurrentUser {}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListUsers {
    /// exactly this one
    pub username: Option<String>,
    /// a part of the name
    pub search: Option<String>,
    /// only those who are not blocked
    pub active: Option<bool>,
    /// only those who are
    pub blocked: Option<bool>,
    /// only administrators; for administrators
    pub admins: Option<bool>,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetUser {
    #[schemars(skip)]
    pub id: Named<UserId>,
}

/// A user with tokens and memberships.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShowUser {
    #[schemars(skip)]
    pub id: Named<UserId>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct UserDetails {
    #[serde(flatten)]
    pub user: UserView,
    pub tokens: u64,
    /// Those of them that are neither expired nor revoked.
    pub active_tokens: u64,
    /// Direct ones, by path.
    pub memberships: Vec<MembershipView>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct MembershipView {
    pub path: String,
    pub access_level: Level,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub struct AddUser {
    /// the login name
    pub username: String,
    /// 8 to 256 bytes; none for a service account
    pub password: Option<String>,
    /// whether the user administers the box
    pub admin: Option<bool>,
    /// an account without a password
    pub service: Option<bool>,
    /// as service
    pub force_random_password: Option<bool>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub struct SetPassword {
    #[schemars(skip)]
    pub id: Named<UserId>,
    /// 8 to 256 bytes
    pub password: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemoveUser {
    #[schemars(skip)]
    pub id: Named<UserId>,
}

/// Lets a user in nowhere, or in again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SetBlocked {
    #[schemars(skip)]
    pub id: Named<UserId>,
    #[serde(default)]
    #[schemars(skip)]
    pub blocked: bool,
}

words! {
    "snake_case"
    pub enum UserState {
        Active,
        Blocked,
    }
}

impl UserState {
    pub(super) fn new(blocked: bool) -> Self {
        match blocked {
            true => Self::Blocked,
            false => Self::Active,
        }
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "User")]
#[serde(deny_unknown_fields)]
pub struct UserView {
    pub id: UserId,
    pub username: String,
    /// The same as username
    pub name: String,
    pub state: UserState,
    pub locked: bool,
    /// A service account
    pub bot: bool,
    pub created_at: Timestamp,
    /// For administrators only
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub is_admin: Option<bool>,
}

impl UserView {
    fn new(admin: &Admin<'_>, user: User) -> Self {
        Self {
            id: user.id,
            username: user.name.clone(),
            name: user.name,
            state: UserState::new(user.blocked),
            locked: false,
            bot: user.service,
            created_at: user.created_at,
            is_admin: admin.caller.is_administrator().then_some(user.admin),
        }
    }
}

impl Operation for GetCurrentUser {
    const NAME: &'static str = "users.current";
    type View = UserView;

    fn perform(self, admin: &Admin<'_>) -> Result<UserView> {
        match admin.caller.user() {
            Some(user) => Ok(UserView::new(admin, user.clone())),
            None => Err(forbidden_because("this takes a user's token")),
        }
    }
}

impl Operation for ListUsers {
    const NAME: &'static str = "users.list";
    type View = Page<UserView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<UserView>> {
        let filter = UserFilter {
            name: self.username,
            search: self.search,
            active: self.active == Some(true),
            blocked: self.blocked == Some(true),
            admin: self.admins == Some(true) && admin.caller.is_administrator(),
        };
        let users = admin.store.access.users_page(&filter, self.window)?;
        Ok(users.map(|user| UserView::new(admin, user)))
    }
}

impl Operation for GetUser {
    const NAME: &'static str = "users.get";
    type View = UserView;

    fn perform(self, admin: &Admin<'_>) -> Result<UserView> {
        Ok(UserView::new(admin, admin.user(&self.id)?))
    }
}

impl Operation for ShowUser {
    const NAME: &'static str = "users.show";
    type View = UserDetails;

    fn perform(self, admin: &Admin<'_>) -> Result<UserDetails> {
        let user = admin.user(&self.id)?;
        let (access, now) = (&admin.store.access, Timestamp::now());
        let tokens = access.tokens(Some(user.id))?;
        let active = tokens.iter().filter(|token| token.is_active(now));
        let memberships = access.memberships(user.id)?.into_iter();
        let memberships =
            memberships.map(|(path, access_level)| MembershipView { path, access_level });
        Ok(UserDetails {
            tokens: tokens.len() as u64,
            active_tokens: active.count() as u64,
            memberships: memberships.collect(),
            user: UserView::new(admin, user),
        })
    }
}

impl Operation for AddUser {
    const NAME: &'static str = "users.add";
    type View = UserView;

    fn perform(self, admin: &Admin<'_>) -> Result<UserView> {
        check_user_name(&self.username).map_err(refused("username"))?;
        let is_service = [self.service, self.force_random_password].contains(&Some(true));
        let hash = match &self.password {
            Some(password) if !is_service => {
                Some(password::hash(password).map_err(refused("password"))?)
            }
            None if is_service => None,
            _ => {
                let what = "a user needs a password, a service account has none";
                return Err(Error::new(Kind::Usage, what));
            }
        };
        let id = admin.store.access.create_user(
            &admin.actor,
            &self.username,
            self.admin == Some(true),
            is_service,
            hash.as_deref(),
        )?;
        Ok(UserView::new(admin, admin.user(&Named::Id(id))?))
    }
}

impl Operation for SetPassword {
    const NAME: &'static str = "users.set-password";
    type View = UserView;

    fn perform(self, admin: &Admin<'_>) -> Result<UserView> {
        let user = admin.user(&self.id)?;
        let Some(password) = self.password else {
            return Ok(UserView::new(admin, user));
        };
        if user.service {
            let what = format!(
                "`{}` is a service account, which has no password",
                user.name
            );
            return Err(Error::new(Kind::Conflict, what).remedy("make it a token instead"));
        }
        let hash = password::hash(&password).map_err(refused("password"))?;
        let access = &admin.store.access;
        access.set_password(&admin.actor, user.id, &hash)?;
        if user.name == ROOT {
            forget_initial_password(admin.store)?;
        }
        Ok(UserView::new(admin, admin.user(&Named::Id(user.id))?))
    }
}

impl Operation for RemoveUser {
    const NAME: &'static str = "users.remove";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let user = somebody_else(admin, &self.id)?;
        admin.store.access.remove_user(&admin.actor, user.id)?;
        if user.name == ROOT {
            forget_initial_password(admin.store)?;
        }
        Ok(())
    }
}

impl Operation for SetBlocked {
    const NAME: &'static str = "users.set-blocked";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let user = match self.blocked {
            true => somebody_else(admin, &self.id)?,
            false => admin.user(&self.id)?,
        };
        let access = &admin.store.access;
        access.set_blocked(&admin.actor, user.id, self.blocked)
    }
}

/// The user, who must not be the caller: nobody locks themselves out by REST.
fn somebody_else(admin: &Admin<'_>, named: &Named<UserId>) -> Result<User> {
    let user = admin.user(named)?;
    match admin.caller.user() {
        Some(own) if own.id == user.id => Err(forbidden_because("this is yourself")),
        _ => Ok(user),
    }
}
