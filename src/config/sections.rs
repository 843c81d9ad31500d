//! Every section of the configuration with its keys: the one list of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::findings::finding;
use super::keys::KeyDefault::{Boolean, Integer, List, Text};
use super::keys::{Key, section};
use super::settings::{
    Raw, Settings, boolean, duration, host, list, nonempty, number, optional, path, size, text,
};
use super::value::{self, Size, Wrong};
use crate::error::Result;
use crate::oci::RegistryHost;

/// A table of the file, or what stands outside of all tables.
#[derive(Debug)]
pub struct Section {
    /// The table's name; empty for what stands outside, and [`ANY_UPSTREAM`] for each table of `[upstreams]`.
    pub name: &'static str,
    /// In the order of the documentation.
    pub keys: &'static [Key],
}

/// Stands for every table of `[upstreams]`.
pub const ANY_UPSTREAM: &str = "upstreams.\"HOST\"";

/// Every section, in the order of the documentation.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "",
        keys: TopConfig::KEYS,
    },
    Section {
        name: "server",
        keys: ServerConfig::KEYS,
    },
    Section {
        name: "tls",
        keys: TlsConfig::KEYS,
    },
    Section {
        name: "auth",
        keys: AuthConfig::KEYS,
    },
    Section {
        name: "cache",
        keys: CacheConfig::KEYS,
    },
    Section {
        name: ANY_UPSTREAM,
        keys: UpstreamConfig::KEYS,
    },
    Section {
        name: "mirror",
        keys: MirrorConfig::KEYS,
    },
    Section {
        name: "log",
        keys: LogConfig::KEYS,
    },
    Section {
        name: "audit",
        keys: AuditConfig::KEYS,
    },
    Section {
        name: "import",
        keys: ImportConfig::KEYS,
    },
    Section {
        name: "doctor",
        keys: DoctorConfig::KEYS,
    },
];

/// The dotted names of all keys outside `[upstreams]`.
pub(super) fn dotted_names() -> impl Iterator<Item = String> + Clone {
    let sections = SECTIONS
        .iter()
        .filter(|section| section.name != ANY_UPSTREAM);
    sections.flat_map(|section| {
        section
            .keys
            .iter()
            .map(|key| dotted(section.name, key.name))
    })
}

/// `server.listen`, or `data` where there is no table.
pub(super) fn dotted(table: &str, key: &str) -> String {
    match table {
        "" => key.to_owned(),
        table => format!("{table}.{key}"),
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

section! {
    /// Keys outside of all tables.
    pub(super) struct TopConfig {
        /// the data directory; without a configuration file `./breakwater-data`
        data: PathBuf = Text("/var/lib/breakwater"), |raw| nonempty(raw).map(PathBuf::from);
        /// no connection leaves the box
        offline: bool = Boolean(false), boolean;
    }
}

section! {
    /// `[server]`: the public port. `listen` is empty only where that of `[tls]` is not, and port 0 asks the system
    /// for a free one; `external_url` has no slash at its end.
    pub struct ServerConfig {
        /// addresses of the public port
        listen: Vec<SocketAddr> = List(&["127.0.0.1:5000"]), list(value::address);
        /// the URL that clients are sent to for tokens; empty: scheme and Host of the request
        external_url: String = Text(""), text(value::origin_url);
        /// threads that answer requests; what waits for 50 ms because all are held up gets another, up to
        /// `max_connections`
        workers: usize = Integer(256), number(1..=16_384);
        /// connections at once
        max_connections: usize = Integer(4096), number(1..=1_000_000);
        /// connections at once from one address
        max_connections_per_address: usize = Integer(1024), number(1..=1_000_000);
        /// for a whole request head
        head_timeout: Duration = Text("15s"), duration(MILLISECOND);
        /// for the next request on a connection
        idle_timeout: Duration = Text("75s"), duration(MILLISECOND);
        /// for progress in a body: a client that takes less than 64 KiB meanwhile is cut off
        stall_timeout: Duration = Text("60s"), duration(MILLISECOND);
        /// networks whose `X-Forwarded-*` are believed
        trusted_proxies: Vec<IpNet> = List(&[]), list(value::network);
    }
}

section! {
    /// `[tls]`: certificate and key are both there or both not, and where `listen` has addresses they are.
    pub struct TlsConfig {
        /// a PEM file: the server's own certificate first, then those up to its authority
        certificate: Option<PathBuf> = Text(""), path;
        /// a PEM file with its key
        key: Option<PathBuf> = Text(""), path;
        /// addresses that speak TLS
        listen: Vec<SocketAddr> = List(&[]), list(value::address);
    }
}

section! {
    /// `[auth]`
    pub struct AuthConfig {
        /// how long a JWT is good for
        token_ttl: Duration = Text("15m"), duration(SECOND);
        /// `iss` of the JWTs
        issuer: String = Text("breakwater"), nonempty;
        /// failed logins within `auth.ban_for` until a ban; 0: never
        ban_after: u32 = Integer(30), number(0..=1_000_000);
        /// how long it lasts
        ban_for: Duration = Text("10m"), duration(SECOND);
    }
}

section! {
    /// `[cache]`
    pub struct CacheConfig {
        /// how much the cache may take; 0: as much as `cache.min_free` leaves
        max_size: Size = Text("0"), size;
        /// how much of the filesystem of the data stays free: images go for it, and what does not fit is not kept
        min_free: Size = Text("5%"), size;
        /// images that nobody has pulled for so many days go; 0: never
        unused_days: u32 = Integer(90), number(0..=36_500);
        /// how often every kept byte is read again, and mended if it is damaged; `0`: never
        scrub: Duration = Text("30d"), duration(Duration::ZERO);
        /// how long a tag is served without asking
        tag_ttl: Duration = Text("60s"), duration(Duration::ZERO);
        /// how long the upstream may think about a kept tag
        revalidate_timeout: Duration = Text("2s"), duration(MILLISECOND);
        /// how long "not found" is believed
        negative_ttl: Duration = Text("10s"), duration(Duration::ZERO);
    }
}

section! {
    /// One table of `[upstreams]`.
    pub struct UpstreamConfig of name: RegistryHost {
        /// more tables, more registries; HOST is the word in paths and in `ns=`, and `https://HOST` is the default of
        /// all but `docker.io`
        url: String = Text("https://registry-1.docker.io"), text(value::url);
        /// its credentials, with `password_file`
        username: String = Text(""), text(value::any);
        /// a file that holds the password
        password_file: Option<PathBuf> = Text(""), path;
        /// how much of what comes from it may be cached; 0: no limit of its own
        max_size: Size = Text("0"), size;
        /// a token server on another host that may get the credentials
        auth_realm: Option<String> = Text(""), optional(value::url);
        /// a PEM file with further roots
        ca: Option<PathBuf> = Text(""), path;
    }
}

section! {
    /// `[import]`
    pub struct ImportConfig {
        /// a public key of minisign, or a file with one: what is not signed by it is not imported
        verify_key: Option<String> = Text(""), optional(value::any);
    }
}

section! {
    /// `[doctor]`
    pub struct DoctorConfig {
        /// findings of `breakwater doctor` that are known and meant so, by their words, such as `"proxy_suspected"`
        accept: Vec<String> = List(&[]), list(finding);
    }
}

section! {
    /// `[mirror]`
    pub struct MirrorConfig {
        /// whether paths without a group are served, as a mirror
        enabled: bool = Boolean(true), boolean;
        /// the group whose policy the mirror follows
        group: String = Text("mirror"), text(value::top_level_group);
        /// the upstream of a path without a host
        default: RegistryHost = Text("docker.io"), host;
    }
}

section! {
    /// `[log]`
    pub struct LogConfig {
        /// `json`, `text`; `auto` is text on a terminal
        format: LogFormat = Text("auto"), LogFormat::read;
        /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or directives such as `info,breakwater::proxy=debug`
        level: String = Text("info"), text(value::log_level);
    }
}

/// `log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl LogFormat {
    fn read(raw: &Raw) -> Result<Self, Wrong> {
        match nonempty(raw)?.as_str() {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("it is none of auto, json, text".to_owned()),
        }
    }
}

section! {
    /// `[audit]`
    pub struct AuditConfig {
        /// tell of each pull too: who, from where, which image; what is the same within a minute is one event
        pulls: bool = Boolean(false), boolean;
    }
}
