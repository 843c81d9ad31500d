//! Why an upstream brought nothing that can be used, and the error that a client gets for it.

use crate::error::{Error, Kind};
use crate::upstream::{Fault, FaultKind};

/// Why there is nothing to pass on.
#[derive(Clone)]
pub(super) enum Failed {
    /// The upstream did not give it.
    Upstream(Fault),
    /// It gave something else; a sentence that names it.
    Lied(String),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Upstream(fault)
    }
}

impl Failed {
    pub(super) fn why(self) -> String {
        match self {
            Self::Upstream(fault) => fault.message,
            Self::Lied(why) => why,
        }
    }

    /// The error for who asked for the manifest or blob (`unknown`) `what`.
    pub(super) fn into_error(self, unknown: Kind, what: &str) -> Error {
        match self {
            Self::Upstream(fault) => upstream_error(fault, unknown, what),
            Self::Lied(why) => Error::new(Kind::UpstreamLied, why),
        }
    }
}

/// The error for a manifest or blob (`unknown`) that an upstream did not give.
pub(super) fn upstream_error(fault: Fault, unknown: Kind, what: &str) -> Error {
    match fault.kind {
        FaultKind::NotFound => Error::new(unknown, format!("{what}: {}", fault.message)),
        FaultKind::Denied => Error::new(unknown, format!("{what}: {}", fault.message)).remedy(
            "if it is private there, the box's administrator can give the upstream credentials that may see it",
        ),
        _ => Error::from(fault).context(what),
    }
}
