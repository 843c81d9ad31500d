//! How an upstream is reached: what its configuration, or a command, says of it.

use std::path::PathBuf;
use std::time::Duration;

use crate::oci::RegistryHost;

/// How one upstream is reached.
#[derive(Clone)]
pub struct Settings {
    /// The word in paths and in `ns=`: `docker.io`.
    pub name: RegistryHost,
    /// `https://registry-1.docker.io`; http is allowed where it was configured so.
    pub url: String,
    pub credentials: Option<Credentials>,
    /// A token realm (URL) that may get the credentials although it is on another host.
    pub auth_realm: Option<String>,
    pub ca: Option<Ca>,
    /// Whether it may resolve to loopback, link-local or private addresses.
    pub allow_private_addresses: bool,
    pub timeouts: Timeouts,
}

/// Further roots, to be trusted beside the system's.
#[derive(Debug, Clone)]
pub enum Ca {
    /// A PEM file.
    File(PathBuf),
    /// What stands in one.
    Pem(String),
}

/// A username and a password; `Debug` shows neither.
#[derive(Clone)]
pub struct Credentials {
    /// Without a colon, which Basic cannot carry.
    pub username: String,
    /// A password or a token in its place.
    pub password: String,
}

impl Drop for Credentials {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.password);
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[derive(Debug, Clone)]
pub struct Timeouts {
    /// To connect, TLS handshake included; the same again before it, to resolve the name. Default 5 s.
    pub connect: Duration,
    /// Silence between two reads, and before the head of an answer. Default 30 s. A small answer
    /// (manifest, token, list) has three times as long in all.
    pub silence: Duration,
    /// Tries for what is transient; none is begun after 20 s. Default 3.
    pub tries: u32,
    /// Pause between two tries, with jitter, doubling from the first to the second. Default 0.2 to 2 s.
    pub pause: (Duration, Duration),
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(30),
            tries: 3,
            pause: (Duration::from_millis(200), Duration::from_secs(2)),
        }
    }
}
