//! `DATA/control.sock` (0600): how the command line speaks with the running server. The only place
//! that knows tiny_http.
//!
//! Who can open the socket may read and write the data directory anyway, so nobody is asked for a
//! password, and tiny_http's trust in announced lengths does no harm here. What the server does is
//! behind the trait [`Controlled`]: this room knows neither routes of the public port nor the proxy.
//!
//! JSON over HTTP, one request a connection:
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | [`Status`] |
//! | `POST /operations/NAME`, the body [`Asked`] | what the operation gives |
//! | `POST /watched/NAME`, the body [`Asked`] | lines: any number of `{"progress":{"done","total"}}`, then `{"report":…}`, which is what the operation gives, or `{"error":…}`; it ends where nobody reads them |
//! | `POST /verify`, `POST /repair` | lines: any number of `{"progress":{"done","total"}}`, then `{"report":…}` or `{"error":"…"}` |
//!
//! Other answers than 200 are [`Refused`].

mod client;
mod listener;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, Kind, Result};
use crate::time::Timestamp;

pub use client::Client;
pub use listener::ControlListener;

/// The socket's name in the data directory.
pub const SOCKET: &str = "control.sock";

/// Where operations are asked for: their name follows.
const OPERATIONS: &str = "/operations/";
/// The same for whoever wants to hear how far it is.
const WATCHED: &str = "/watched/";

/// What the running server says about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub data: PathBuf,
    /// Base URLs of the public port: `http://127.0.0.1:5000`.
    pub listening: Vec<String>,
    /// When it was started.
    pub started_at: Timestamp,
    /// Whether it asks no upstream.
    pub offline: bool,
}

/// An operation to be performed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// What the system calls the account that runs the command, for the audit. It is believed: who can open the socket
    /// can write the audit's file as well.
    pub account: Option<String>,
    /// The request, as the operation has it.
    pub request: Value,
}

/// An error as it goes over the socket, so that it is told like one of the command itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Whose fault it is.
    pub kind: Kind,
    /// What happened and why.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// The field of the request that is wrong.
    pub subject: Option<String>,
}

/// The fields that the command line has an argument for.
const SUBJECTS: [&str; 7] = [
    "expires_at",
    "ttl",
    "to",
    "ip_address",
    "scopes",
    "cidr",
    "image",
];

impl From<&Error> for Refused {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            what: error.what_and_why(),
            remedy: error.remedy_text().map(str::to_owned),
            subject: error.subject().map(str::to_owned),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let mut error = Self::new(refused.kind, refused.what);
        let subject = refused.subject.as_deref();
        if let Some(known) = SUBJECTS.into_iter().find(|known| Some(*known) == subject) {
            error = error.about(known);
        }
        match refused.remedy {
            Some(remedy) => error.remedy(remedy),
            None => error,
        }
    }
}

/// How far a long task has come: `done` of `total` bytes; `total` may grow.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// The same, and says whether anybody hears it.
pub type Watch<'a> = &'a (dyn Fn(u64, u64) -> bool + Sync);

/// What the running server lets the command line do.
pub trait Controlled: Send + Sync + 'static {
    /// `POST /operations/NAME`
    ///
    /// # Errors
    /// Those of the operation; `NotFound` for one that this version does not have.
    fn perform(&self, name: &str, asked: Asked) -> Result<Box<RawValue>>;
    /// `POST /watched/NAME`: the same, and `watch` hears how far it is.
    ///
    /// # Errors
    /// As [`Controlled::perform`].
    fn perform_watched(&self, name: &str, asked: Asked, watch: Watch<'_>) -> Result<Box<RawValue>>;
    /// `GET /status`
    fn status(&self) -> Status;
    /// `POST /verify`: the report of [`crate::upkeep::verify()`], and `clean` beside its fields. `POST /repair`: the same,
    /// and what is damaged is mended.
    ///
    /// # Errors
    /// `Io` or `Sql` for what kept it from being finished; damage is in the report.
    fn verify(&self, repair: bool, progress: Progress<'_>) -> Result<Box<RawValue>>;
    /// A long answer was sent, and what it was made of is free again.
    fn has_answered_long(&self);
}

/// A path that fits into a socket's address (107 bytes), whatever the directory's is: for a long
/// one the way through `/proc/self/fd`, which lasts as long as the file that comes with it.
fn reachable(data: &Path) -> std::io::Result<(PathBuf, Option<std::fs::File>)> {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;

    let path = data.join(SOCKET);
    if path.as_os_str().as_bytes().len() <= 100 {
        return Ok((path, None));
    }
    let directory = std::fs::File::open(data)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()));
    Ok((path, Some(directory)))
}

#[cfg(test)]
mod tests;
