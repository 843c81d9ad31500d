//! Every key of the configuration, with its default and what it is for: the one list of them.
//!
//! The defaults that hold, the suggestions in errors and the manual's table are read from it. What
//! a value may be is checked where it is used, in `config` and `settings`.

use std::fmt;

use KeyDefault::{Boolean, Integer, List, Text};

/// A key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Dotted, as in `server.listen`; of a table in `[upstreams]` the last part alone.
    pub name: &'static str,
    /// What holds where nothing sets it.
    pub default: KeyDefault,
    /// What it is for, for the manual. Empty: this version reads it and refuses any other value.
    pub about: &'static str,
}

/// A default, in the types that the file has; displayed as TOML.
#[derive(Debug, Clone, Copy)]
pub enum KeyDefault {
    /// Text; empty where the key is not set.
    Text(&'static str),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// A list of texts.
    List(&'static [&'static str]),
}

impl fmt::Display for KeyDefault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Boolean(boolean) => write!(f, "{boolean}"),
            Self::List(items) => write!(f, "{items:?}"),
        }
    }
}

const fn key(name: &'static str, default: KeyDefault, about: &'static str) -> Key {
    Key {
        name,
        default,
        about,
    }
}

/// A key that is read, so that files can have it, and does nothing yet.
const fn not_yet(name: &'static str, default: KeyDefault) -> Key {
    key(name, default, "")
}

/// Every key outside `[upstreams]`, in the order of the documentation.
pub const KEYS: &[Key] = &[
    key(
        "data",
        Text("/var/lib/breakwater"),
        "the data directory; without a configuration file `./breakwater-data`",
    ),
    key("offline", Boolean(false), "no connection leaves the box"),
    key(
        "server.listen",
        List(&["127.0.0.1:5000"]),
        "addresses of the public port",
    ),
    key(
        "server.external_url",
        Text(""),
        "the URL that clients are sent to for tokens; empty: scheme and Host of the request",
    ),
    key(
        "server.workers",
        Integer(256),
        "threads that answer requests; what waits for 50 ms because all are held up gets another, up to `max_connections`",
    ),
    key(
        "server.max_connections",
        Integer(4096),
        "connections at once",
    ),
    key(
        "server.max_connections_per_address",
        Integer(1024),
        "connections at once from one address",
    ),
    key(
        "server.head_timeout",
        Text("15s"),
        "for a whole request head",
    ),
    key(
        "server.idle_timeout",
        Text("75s"),
        "for the next request on a connection",
    ),
    key(
        "server.stall_timeout",
        Text("60s"),
        "for progress in a body: a client that takes less than 64 KiB meanwhile is cut off",
    ),
    key(
        "server.trusted_proxies",
        List(&[]),
        "networks whose `X-Forwarded-*` are believed",
    ),
    key(
        "tls.certificate",
        Text(""),
        "a PEM file: the server's own certificate first, then those up to its authority",
    ),
    key("tls.key", Text(""), "a PEM file with its key"),
    key("tls.listen", List(&[]), "addresses that speak TLS"),
    key("auth.token_ttl", Text("15m"), "how long a JWT is good for"),
    key("auth.issuer", Text("breakwater"), "`iss` of the JWTs"),
    key(
        "auth.ban_after",
        Integer(30),
        "failed logins within `auth.ban_for` until a ban; 0: never",
    ),
    key("auth.ban_for", Text("10m"), "how long it lasts"),
    not_yet("cache.max_size", Text("0")),
    not_yet("cache.min_free", Text("5%")),
    not_yet("cache.unused_days", Integer(90)),
    key(
        "cache.tag_ttl",
        Text("60s"),
        "how long a tag is served without asking",
    ),
    key(
        "cache.revalidate_timeout",
        Text("2s"),
        "how long the upstream may think about a kept tag",
    ),
    key(
        "cache.negative_ttl",
        Text("10s"),
        "how long \"not found\" is believed",
    ),
    key(
        "mirror.enabled",
        Boolean(true),
        "whether paths without a group are served, as a mirror",
    ),
    key(
        "mirror.group",
        Text("mirror"),
        "the group whose policy the mirror follows",
    ),
    key(
        "mirror.default",
        Text("docker.io"),
        "the upstream of a path without a host",
    ),
    key(
        "log.format",
        Text("auto"),
        "`json`, `text`; `auto` is text on a terminal",
    ),
    key(
        "log.level",
        Text("info"),
        "`error`, `warn`, `info`, `debug`, `trace`, `off`, or directives such as `info,breakwater::proxy=debug`",
    ),
];

/// Every key of a table in `[upstreams]`, with its default for `docker.io`.
pub const UPSTREAM_KEYS: &[Key] = &[
    key(
        "url",
        Text("https://registry-1.docker.io"),
        "more tables, more registries; HOST is the word in paths and in `ns=`, and `https://HOST` is the default of all but `docker.io`",
    ),
    key(
        "username",
        Text(""),
        "its credentials, with `password_file`",
    ),
    key("password_file", Text(""), "a file that holds the password"),
    key(
        "auth_realm",
        Text(""),
        "a token server on another host that may get the credentials",
    ),
    key("ca", Text(""), "a PEM file with further roots"),
];

/// The key of that dotted name, outside `[upstreams]`.
pub(super) fn key_named(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}
