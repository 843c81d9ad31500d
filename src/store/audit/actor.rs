//! Who does something: a name, and where the request came from. Every change of `access.sqlite` names one.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::store::ids::UserId;

/// Who made a change, or was let in or refused.
#[derive(Debug, Clone)]
pub struct Actor {
    pub(super) name: String,
    pub(super) user: Option<(String, UserId)>,
    /// Whether it has said who it is.
    pub(super) is_known: bool,
    /// A single address, or of several the network.
    pub(super) from: Option<IpNet>,
    pub(super) correlation_id: Option<String>,
}

impl Actor {
    /// Somebody called `name` in lists: a user's name, or a token's label such as `alice (token 7)`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            user: None,
            is_known: true,
            from: None,
            correlation_id: None,
        }
    }

    /// Somebody who has not said who it is, or not truly: `unknown`, `anonymous`.
    pub fn nobody(name: &'static str) -> Self {
        Self {
            is_known: false,
            ..Self::new(name)
        }
    }

    /// The command line, which needs no login; `account` is the system's name of who runs it, if known.
    pub fn on_the_box(account: Option<&str>) -> Self {
        match account {
            Some(account) => Self::new(format!("box ({account})")),
            None => Self::new("box"),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn server() -> Self {
        Self::new("server")
    }

    /// It is this user, or a token that speaks for it.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, id: UserId) -> Self {
        self.user = Some((name.into(), id));
        self
    }

    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.from = Some(address.into());
        self
    }

    /// The address, or the network, as text.
    pub(super) fn shown_from(&self) -> Option<String> {
        self.from
            .map(|from| match from.prefix_len() == from.max_prefix_len() {
                true => from.addr().to_string(),
                false => from.to_string(),
            })
    }

    /// The request's id, as in `X-Request-Id` and in the log.
    #[must_use]
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }
}
