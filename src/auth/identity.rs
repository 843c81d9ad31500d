//! Who a request comes from: the principal *with its token*, so that policies judge the token itself.

use std::sync::Arc;

use super::address::ClientAddress;
use super::scope::{Abilities, abilities_of};
use crate::oci::AccessEntry;
use crate::store::{Token, User};
use crate::time::Timestamp;

/// Who somebody is. Group, project, deploy and job tokens join here with their kinds.
#[derive(Debug, Clone)]
pub enum Principal {
    /// Nobody: judged by the network that the request comes from.
    Anonymous,
    /// A user who logged in with the password.
    Password(Arc<User>),
    /// A personal access token, with the user that it belongs to.
    PersonalToken(Arc<User>, Arc<Token>),
}

impl Principal {
    /// The user behind it, if any.
    pub fn user(&self) -> Option<&User> {
        match self {
            Self::Anonymous => None,
            Self::Password(user) | Self::PersonalToken(user, _) => Some(user),
        }
    }

    /// The token behind it, if any.
    pub fn token(&self) -> Option<&Token> {
        match self {
            Self::Anonymous | Self::Password(_) => None,
            Self::PersonalToken(_, token) => Some(token),
        }
    }

    /// What the credential is worth, whatever it is applied to.
    pub fn abilities(&self) -> Abilities {
        match self {
            Self::Anonymous => Abilities::NONE,
            Self::Password(_) => Abilities::ALL,
            Self::PersonalToken(_, token) => abilities_of(&token.scopes),
        }
    }

    /// Whether it still counts at `now`: not blocked, revoked or expired.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        let user = self.user().is_none_or(|user| !user.blocked);
        let token = self.token().is_none_or(|token| {
            !token.revoked && token.expires_at.is_none_or(|expires_at| now < expires_at)
        });
        user && token
    }

    /// The name in logs: `alice`, `alice (token 7)`, `anonymous`.
    pub fn label(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Password(user) => user.name.clone(),
            Self::PersonalToken(user, token) => format!("{} (token {})", user.name, token.id.0),
        }
    }
}

/// A principal, where it comes from, and what its JWT is limited to.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Who.
    pub principal: Principal,
    /// From where.
    pub address: ClientAddress,
    /// What a JWT's `access` claim grants at most; `None` without a JWT.
    pub bound: Option<Vec<AccessEntry>>,
}

impl Identity {
    /// Nobody, from `address`, without a JWT.
    pub fn anonymous(address: ClientAddress) -> Self {
        Self {
            principal: Principal::Anonymous,
            address,
            bound: None,
        }
    }

    /// Whether the JWT, if there is one, lets `action` be done to repository `name`.
    pub fn is_bound_to(&self, name: &str, action: &str) -> bool {
        self.bound.as_ref().is_none_or(|access| {
            access.iter().any(|entry| {
                entry.kind == "repository"
                    && entry.name == name
                    && entry.actions.iter().any(|a| a == action)
            })
        })
    }
}
