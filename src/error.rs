//! The one error of the crate: whose fault it was (`Kind`), what happened and why, and what to do.
//!
//! Errors are sentences for people. A file error carries its path, an SQL error the statement's name,
//! an upstream error the registry. What a stranger may not learn is taken out in one place,
//! `server::error`, not here. Secrets never enter an `Error`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault an error is, and which kind of answer it becomes.
///
/// The mapping to HTTP statuses and OCI error codes lives in `server::error` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind {
    /// The command line was wrong (exit status 2).
    Usage,
    /// The configuration file or environment was wrong.
    Config,
    /// A repository name that the OCI grammar does not allow.
    NameInvalid,
    /// A tag that the OCI grammar does not allow.
    TagInvalid,
    /// A digest that is malformed, or of an algorithm that is not supported.
    DigestInvalid,
    /// A manifest that is not what it says.
    ManifestInvalid,
    /// A manifest that is larger than this box takes.
    ManifestTooLarge,
    /// A body that has not the length that was announced for it.
    SizeInvalid,
    /// An upload that cannot go on as the client wants it.
    BlobUploadInvalid,
    /// An upload that does not exist, or not in this repository.
    BlobUploadUnknown,
    /// A request that is malformed in another way.
    BadRequest,
    /// A Range that cannot be satisfied.
    RangeInvalid,
    /// A method that the route does not have.
    Unsupported,
    /// No or wrong credentials: "who are you".
    Unauthorized,
    /// Known, but not allowed.
    Denied,
    /// A repository that does not exist, or that the caller may not see: the two look the same.
    NameUnknown,
    /// A manifest that does not exist in a repository that the caller may see.
    ManifestUnknown,
    /// A blob that does not exist in a repository that the caller may see.
    BlobUnknown,
    /// A route or an object of the command line that does not exist.
    NotFound,
    /// What is to be made exists already, or another process holds it.
    Conflict,
    /// Too many requests: ours (a ban) or the upstream's.
    TooManyRequests {
        /// When the caller should try again.
        retry_after: Duration,
    },
    /// It cannot be had now: the upstream does not answer and nothing is cached, the box has too much to do, or it holds
    /// as much for the caller as it may.
    Unavailable {
        /// When the caller should try again.
        retry_after: Duration,
    },
    /// An upstream leads back to the box that asks it.
    Circle,
    /// The client hung up before its request was done: nobody is there to be answered.
    Abandoned,
    /// The upstream sent what is not what was asked for: wrong bytes, wrong length, not a manifest.
    UpstreamLied,
    /// What was pushed to this box, and of which the file is gone or damaged.
    Lost,
    /// A file or directory operation failed.
    Io,
    /// A disk, a quota of the filesystem or the database's own limit is full.
    Full,
    /// Another process has kept a database locked for longer than anybody waits.
    Busy,
    /// An SQL statement failed.
    Sql,
    /// A mistake of ours.
    Internal,
}

impl Kind {
    /// `Full` for a disk or a quota that is, `Io` for whatever else a file operation says.
    pub fn of_io(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io,
        }
    }
}

/// Text from outside as it may stand in a sentence: at most 200 characters, control characters escaped.
pub fn excerpt(text: &str) -> String {
    text.chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect()
}

/// The one of `known` that is written most like `unknown`: what somebody may have meant.
pub fn nearest<W: AsRef<str> + Default>(unknown: &str, known: impl IntoIterator<Item = W>) -> W {
    let like = |word: &W| strsim::normalized_damerau_levenshtein(unknown, word.as_ref());
    known
        .into_iter()
        .max_by(|a, b| like(a).total_cmp(&like(b)))
        .unwrap_or_default()
}

/// What happened, why, and what to do.
pub struct Error {
    kind: Kind,
    what: String,
    remedy: Option<String>,
    subject: Option<&'static str>,
    logged: Option<Box<str>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` whose sentence is `what`: what happened, and why.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            remedy: None,
            subject: None,
            logged: None,
            source: None,
        }
    }

    /// A failed file operation: `doing` is a verb phrase ("cannot open"), `path` what it was done to.
    ///
    /// `Full` where the disk or a quota is, `Io` otherwise; the remedy is that of the cause, if it tells one.
    pub fn io(doing: &str, path: &std::path::Path, source: std::io::Error) -> Self {
        let kind = Kind::of_io(&source);
        let remedy = match source.kind() {
            _ if kind == Kind::Full => Some("free space on its filesystem"),
            std::io::ErrorKind::PermissionDenied => {
                Some("give it, and the way to it, to the user who runs this")
            }
            std::io::ErrorKind::ReadOnlyFilesystem => Some("mount its filesystem for writing"),
            _ => None,
        };
        let error = Self::new(kind, format!("{doing} {}", path.display())).because(source);
        match remedy {
            Some(remedy) => error.remedy(remedy),
            None => error,
        }
    }

    /// A mistake of ours, for what cannot happen.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(Kind::Internal, what)
    }

    /// Adds what the reader can do about it, without a full stop, in the imperative.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds the cause; its text becomes the "why".
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Says what it is about in the words of `/api/v4`: the field of the request that is refused, or of a `NotFound`
    /// the noun of what is missing.
    #[must_use]
    pub fn about(mut self, subject: &'static str) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Says what the audit and the log have as the reason, where whoever is told of the error may know less.
    #[must_use]
    pub fn logged(mut self, why: impl Into<String>) -> Self {
        self.logged = Some(why.into().into_boxed_str());
        self
    }

    /// The same once more, for another who waited for it.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            kind: self.kind,
            what: self.what_and_why(),
            remedy: self.remedy.clone(),
            subject: self.subject,
            logged: self.logged.clone(),
            source: None,
        }
    }

    /// Puts what was being done before what went wrong: `context: what`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.what = format!("{context}: {}", self.what);
        self
    }

    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What it is about; see [`Self::about`].
    pub fn subject(&self) -> Option<&'static str> {
        self.subject
    }

    /// What happened, without cause and remedy.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What happened and why, for where the remedy has a place of its own: `what: why`.
    pub fn what_and_why(&self) -> String {
        match &self.source {
            Some(source) => format!("{}: {source}", self.what),
            None => self.what.clone(),
        }
    }

    /// The reason for the audit and the log.
    pub fn logged_why(&self) -> String {
        match &self.logged {
            Some(why) => why.to_string(),
            None => self.what_and_why(),
        }
    }

    /// What to do about it, if anything.
    pub fn remedy_text(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

impl fmt::Display for Error {
    /// `what: why (remedy)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what_and_why())?;
        if let Some(remedy) = &self.remedy {
            write!(f, " ({remedy})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
