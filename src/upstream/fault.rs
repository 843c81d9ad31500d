//! Why an upstream gave no usable answer, in a sentence for people and a kind for the caller.
//!
//! Sentences name the upstream. They never hold a secret or the query of a URL: a CDN's signature is
//! one. What an upstream sent is escaped before it stands in a sentence.

use std::fmt;
use std::io;
use std::time::Duration;

use super::breakers::Outage;
use crate::error::{Error, Kind, excerpt};

/// When to ask again after a failure that may be over soon.
const SOON: Duration = Duration::from_secs(5);
/// When to ask again while the box is offline on purpose, or has a wrong password: a person has to end that.
const LATER: Duration = Duration::from_secs(60);

/// Why an upstream gave no usable answer.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What the caller decides by.
    pub kind: FaultKind,
    /// A sentence that names the upstream: "docker.io did not answer within 2 s".
    pub message: String,
    /// What whoever configures the upstream can do about it, where that is known.
    pub remedy: Option<String>,
    /// Whether there was not even a connection to the upstream's own host.
    no_connection: bool,
}

/// The kinds of [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The box is offline on purpose; nothing was sent.
    Offline,
    /// The breaker is open; nothing was sent.
    BreakerOpen {
        /// When the next request may go through.
        retry_after: Duration,
    },
    /// DNS, connect, TLS, reset, or an answer that broke off.
    Unreachable,
    /// No answer, or silence, for too long.
    TimedOut,
    /// 404.
    NotFound,
    /// 401 after the dance, or 403.
    Denied,
    /// The box's username and password are refused, and not only what was asked for with them. This says nothing about
    /// what the upstream has.
    CredentialsRefused,
    /// 429.
    RateLimited {
        /// What the upstream asked for, or a minute.
        retry_after: Duration,
    },
    /// A 5xx, or a 408.
    ServerError {
        /// The status as it came.
        status: u16,
    },
    /// It leads back to this box (508).
    Circle,
    /// HEAD is not supported here (405): ask with GET.
    MethodNotAllowed,
    /// The box has no room for the answer now; nothing is wrong with the upstream.
    NoRoom,
    /// An answer that is not one: redirect loop, forbidden redirect or address, wrong type, unexpected
    /// status, wrong length, a range that was not asked for.
    Protocol,
}

impl Fault {
    /// A fault with its sentence.
    pub(crate) fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            remedy: None,
            no_connection: false,
        }
    }

    /// `who` refuses the username and password. The remedy names no upstream: that of a group may be called as one of the
    /// box, which is not to be changed.
    pub(super) fn bad_credentials(who: impl fmt::Display) -> Self {
        let message = format!("{who} refuses the username and password that this box has for it");
        Self::new(FaultKind::CredentialsRefused, message).with_remedy(
            "give it others as `username` and `password`, over REST or in the configuration (on the command line `breakwater upstream set NAME username=USER --password-stdin`, with `--group` for a group's)",
        )
    }

    pub(super) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same, where there was not even a connection to the upstream's own host.
    pub(super) fn without_connection(mut self) -> Self {
        self.no_connection = true;
        self
    }

    /// Whether there was not even a connection to the upstream's own host.
    pub(super) fn is_unconnected(&self) -> bool {
        self.no_connection
    }

    /// An answer that is not one: `NAME: why`.
    pub(super) fn protocol(who: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::new(FaultKind::Protocol, format!("{who} {why}"))
    }

    /// Whether another try may help within the same request. `RateLimited` is judged by its
    /// `retry_after` elsewhere.
    pub(super) fn is_transient(&self) -> bool {
        match self.kind {
            FaultKind::Unreachable | FaultKind::TimedOut => true,
            FaultKind::ServerError { status } => matches!(status, 408 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// What it is to the breakers: the upstream, or the way to it, is broken.
    pub(super) fn outage(&self) -> Option<Outage> {
        match self.kind {
            FaultKind::Unreachable | FaultKind::TimedOut if self.no_connection => {
                Some(Outage::NoConnection)
            }
            FaultKind::Unreachable | FaultKind::TimedOut => Some(Outage::NoAnswer),
            FaultKind::ServerError { .. } => Some(Outage::BadAnswer),
            _ => None,
        }
    }

    /// Whether it proves that the upstream is alive, although it did not give what was asked for.
    pub(super) fn is_answer(&self) -> bool {
        matches!(
            self.kind,
            FaultKind::NotFound
                | FaultKind::Denied
                | FaultKind::CredentialsRefused
                | FaultKind::RateLimited { .. }
                | FaultKind::MethodNotAllowed
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Error {
    /// The kind of error for a caller that has nothing cached. A 404 is `NotFound` here: only the
    /// caller knows whether a manifest, a blob or a name is unknown. So is `Denied`: what the box's
    /// own credentials may not see does not exist for its clients.
    fn from(fault: Fault) -> Self {
        let kind = match fault.kind {
            FaultKind::NotFound | FaultKind::Denied => Kind::NotFound,
            FaultKind::RateLimited { retry_after } => Kind::TooManyRequests { retry_after },
            FaultKind::BreakerOpen { retry_after } => Kind::Unavailable { retry_after },
            FaultKind::Circle => Kind::Circle,
            FaultKind::Offline | FaultKind::CredentialsRefused => {
                Kind::Unavailable { retry_after: LATER }
            }
            FaultKind::Unreachable
            | FaultKind::TimedOut
            | FaultKind::ServerError { .. }
            | FaultKind::MethodNotAllowed
            | FaultKind::NoRoom
            | FaultKind::Protocol => Kind::Unavailable { retry_after: SOON },
        };
        let error = Self::new(kind, fault.message);
        match fault.remedy {
            Some(remedy) => error.remedy(remedy),
            None => error,
        }
    }
}

/// A short reason for a failed connection; the operating system's words where there are no better ones.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "the connection was reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "the connection was closed too early".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no route to it".to_owned()
        }
        _ => excerpt(&error.to_string()),
    }
}

/// A duration as it stands in sentences: `2 s`, `250 ms`.
pub(super) fn in_words(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{} s", duration.as_secs_f64().round())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_becomes_the_kind_that_its_caller_answers_with() {
        let second = Duration::from_secs(1);
        let cases = [
            (FaultKind::Offline, Kind::Unavailable { retry_after: LATER }),
            (
                FaultKind::BreakerOpen {
                    retry_after: second,
                },
                Kind::Unavailable {
                    retry_after: second,
                },
            ),
            (
                FaultKind::Unreachable,
                Kind::Unavailable { retry_after: SOON },
            ),
            (FaultKind::TimedOut, Kind::Unavailable { retry_after: SOON }),
            (FaultKind::NotFound, Kind::NotFound),
            (FaultKind::Denied, Kind::NotFound),
            (
                FaultKind::CredentialsRefused,
                Kind::Unavailable { retry_after: LATER },
            ),
            (
                FaultKind::RateLimited {
                    retry_after: second,
                },
                Kind::TooManyRequests {
                    retry_after: second,
                },
            ),
            (
                FaultKind::ServerError { status: 500 },
                Kind::Unavailable { retry_after: SOON },
            ),
            (FaultKind::Protocol, Kind::Unavailable { retry_after: SOON }),
            (FaultKind::NoRoom, Kind::Unavailable { retry_after: SOON }),
        ];
        for (fault, kind) in cases {
            let error = Error::from(Fault::new(fault, "docker.io is ill"));
            assert_eq!(error.kind(), kind, "{fault:?}");
            assert_eq!(error.what(), "docker.io is ill");
        }
    }

    #[test]
    fn only_some_faults_are_worth_another_try() {
        for (kind, transient) in [
            (FaultKind::Unreachable, true),
            (FaultKind::TimedOut, true),
            (FaultKind::ServerError { status: 503 }, true),
            (FaultKind::ServerError { status: 501 }, false),
            (FaultKind::NotFound, false),
            (FaultKind::Denied, false),
            (FaultKind::CredentialsRefused, false),
            (FaultKind::Protocol, false),
            (FaultKind::NoRoom, false),
            (FaultKind::Offline, false),
        ] {
            assert_eq!(Fault::new(kind, "").is_transient(), transient, "{kind:?}");
        }
    }
}
