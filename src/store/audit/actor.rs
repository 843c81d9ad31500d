//! Who does something: a name, and where the request came from. Every change of `access.sqlite` names one.

use std::net::IpAddr;

/// Who made a change, or was let in or refused.
#[derive(Debug, Clone)]
pub struct Actor {
    pub(super) name: String,
    pub(super) user: Option<String>,
    pub(super) address: Option<IpAddr>,
    pub(super) correlation_id: Option<String>,
}

impl Actor {
    /// Somebody called `name` in lists: a user's name, or a token's label such as `alice (token 7)`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            user: None,
            address: None,
            correlation_id: None,
        }
    }

    /// The command line, which needs no login; `account` is the system's name of who runs it, if known.
    pub fn on_the_box(account: Option<&str>) -> Self {
        match account {
            Some(account) => Self::new(format!("box ({account})")),
            None => Self::new("box"),
        }
    }

    /// The server itself.
    pub fn server() -> Self {
        Self::new("server")
    }

    /// It is this user, or a token that speaks for it.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.user = Some(name.into());
        self
    }

    /// The client's address.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// The request's id, as in `X-Request-Id` and in the log.
    #[must_use]
    pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }
}
