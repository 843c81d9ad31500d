//! Logs: the ordinary log on standard error, the log of requests in it, and `DATA/log/auth_json.log`.
//!
//! Whatever comes from outside (paths, names, an upstream's words) may end up in a field, so every
//! format escapes control characters: nobody can forge a line or drive the reader's terminal.
//! The callers see to it that no secret gets here.

mod auth_log;
mod line;

use std::io::IsTerminal;
use std::net::IpAddr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};
use crate::error::{Error, Kind, Result};

pub use auth_log::AuthLog;
use line::{Format, LineLayer};
pub(crate) use line::{escape_json, escape_text};

/// Starts the ordinary log for this process, and sends panics to it.
///
/// # Errors
/// `Config` for a level that cannot be read; `Internal` if a log was started before.
pub fn start(config: &LogConfig) -> Result<()> {
    let terminal = std::io::stderr().is_terminal();
    let format = match config.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
        LogFormat::Auto if terminal => Format::Text,
        LogFormat::Auto => Format::Json,
    };
    start_with(format, &config.level)
}

/// Starts the log of a command that is no server: warnings and errors, as text.
///
/// # Errors
/// `Internal` if a log was started before.
pub fn start_quiet() -> Result<()> {
    start_with(Format::Text, "warn")
}

fn start_with(format: Format, level: &str) -> Result<()> {
    let filter: EnvFilter = level
        .parse()
        .map_err(|error| Error::new(Kind::Config, "`log.level` cannot be used").because(error))?;
    tracing_subscriber::registry()
        .with(filter)
        .with(LineLayer::new(format, std::io::stderr))
        .try_init()
        .map_err(|error| Error::internal("the log was started twice").because(error))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Logs panics as one line of the configured format, because they are mistakes of ours.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("(no message)");
    let place = panic
        .location()
        .map_or_else(String::new, ToString::to_string);
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("(unnamed)");
    tracing::error!(
        panic = message,
        place,
        thread,
        "a mistake in breakwater: please report it"
    );
}

/// One answered request, as it stands in the log.
#[derive(Debug, Clone)]
pub struct RequestRecord<'a> {
    /// `X-Request-Id`.
    pub request_id: &'a str,
    /// The client's address, past trusted proxies.
    pub remote_ip: IpAddr,
    /// Who it was, for example `user:alice`, `token:7`, `anonymous`; nobody was found out: `None`.
    pub principal: Option<&'a str>,
    pub method: &'a str,
    /// As sent, without the query.
    pub path: &'a str,
    pub status: u16,
    /// Body bytes that were sent.
    pub bytes: u64,
    /// From the whole head to the last byte.
    pub seconds: f64,
    /// As `X-Cache`.
    pub cache: Option<&'a str>,
    pub upstream: Option<&'a str>,
    /// Why it was refused, or failed.
    pub why: Option<&'a str>,
}

impl RequestRecord<'_> {
    /// Writes the record at level `info`: with `time` and `level`, exactly the fields of this type.
    pub fn log(&self) {
        tracing::info!(
            target: "breakwater::request",
            request_id = self.request_id,
            remote_ip = %self.remote_ip,
            principal = self.principal,
            method = self.method,
            path = self.path,
            status = self.status,
            bytes = self.bytes,
            seconds = self.seconds,
            cache = self.cache,
            upstream = self.upstream,
            why = self.why,
        );
    }
}
