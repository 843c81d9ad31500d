//! Who asks for an operation, where more depends on it than the adapter has judged: what they are at other places than
//! the one that is named, and what of a list they see.

use crate::auth::policy::administration::Authority;
use crate::error::{Error, Kind, Result};
use crate::store::{Group, Level, Maker, ProjectId, Session, User, Viewer};

pub trait Caller {
    fn is_administrator(&self) -> bool;
    /// The user behind the token; nobody on the box, and for tokens of groups and projects.
    fn user(&self) -> Option<&User>;
    /// What lists show.
    fn viewer(&self) -> Viewer;
    /// What tokens say of who made them.
    fn maker(&self) -> Maker;
    /// What the caller is on a group; `None` where it may not know of it.
    fn on_group(&self, group: &Group) -> Result<Option<Authority>>;
    /// What the caller is on a project; `None` where it may not know of it.
    fn on_project(&self, project: ProjectId) -> Result<Option<Authority>>;
    /// Refuses to remove a project where a rule keeps one of its images from the caller.
    ///
    /// # Errors
    /// `Denied`, with the rule and the repository.
    fn may_remove(&self, project: ProjectId) -> Result<()>;
    /// Whether a session of the page still lets its owner in.
    fn is_let_in_by(&self, session: &Session) -> Result<bool>;
}

/// The box's own command line, which may do everything.
#[derive(Debug)]
pub struct OnTheBox;

const EVERYTHING: Authority = Authority {
    is_administrator: true,
    level: None,
};

impl Caller for OnTheBox {
    fn is_administrator(&self) -> bool {
        true
    }

    fn user(&self) -> Option<&User> {
        None
    }

    fn viewer(&self) -> Viewer {
        Viewer {
            all: true,
            ..Viewer::default()
        }
    }

    fn maker(&self) -> Maker {
        Maker::on_the_box()
    }

    fn on_group(&self, _: &Group) -> Result<Option<Authority>> {
        Ok(Some(EVERYTHING))
    }

    fn on_project(&self, _: ProjectId) -> Result<Option<Authority>> {
        Ok(Some(EVERYTHING))
    }

    fn may_remove(&self, _: ProjectId) -> Result<()> {
        Ok(())
    }

    /// Nobody on the box has one.
    fn is_let_in_by(&self, _: &Session) -> Result<bool> {
        Ok(false)
    }
}

/// Refuses who has not `level`.
///
/// # Errors
/// `Denied`.
pub(super) fn needs(authority: Authority, level: Level) -> Result<()> {
    match authority.has(level) {
        true => Ok(()),
        false => Err(forbidden()),
    }
}

/// The caller may know of the thing, but not do this.
pub(super) fn forbidden() -> Error {
    Error::new(Kind::Denied, "403 Forbidden")
}

/// The same with the reason.
pub(super) fn forbidden_because(why: &str) -> Error {
    Error::new(Kind::Denied, format!("403 Forbidden - {why}"))
}
