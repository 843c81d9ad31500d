//! The configuration: what can be set, the defaults, and where a value may come from.
//!
//! Owns the precedence (option, environment, file, default) and every check that needs neither the
//! network nor the store. It opens no file but the configuration file: a password file is read when
//! its upstream is made, a certificate when the listener is.

mod environment;
mod file;
mod keys;
mod settings;
mod value;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;

pub use keys::{KEYS, Key, KeyDefault, UPSTREAM_KEYS};
use settings::{Origin, Raw, Settings};
pub use value::Size;

/// Where the configuration file is looked for when neither option nor environment names one.
pub const DEFAULT_FILE: &str = "/etc/breakwater/breakwater.toml";
/// The data directory where there is no configuration file.
const DATA_WITHOUT_FILE: &str = "./breakwater-data";

/// Everything that can be configured, with its defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// The data directory.
    pub data: PathBuf,
    /// No connection leaves the box.
    pub offline: bool,
    /// `[server]`
    pub server: ServerConfig,
    /// `[tls]`
    pub tls: TlsConfig,
    /// `[auth]`
    pub auth: AuthConfig,
    /// `[cache]`
    pub cache: CacheConfig,
    /// `docker.io` first, then the file's and the environment's in the order of their names.
    pub upstreams: Vec<UpstreamConfig>,
    /// `[mirror]`
    pub mirror: MirrorConfig,
    /// `[log]`
    pub log: LogConfig,
}

/// `[server]`: the public port.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Addresses that speak plain HTTP; port 0 asks the system for a free one. Empty only where
    /// [`TlsConfig::listen`] is not.
    pub listen: Vec<SocketAddr>,
    /// Without a slash at its end. Empty: the listener's scheme and the validated Host.
    pub external_url: String,
    /// Threads that answer requests.
    pub workers: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address.
    pub max_connections_per_address: usize,
    /// For a whole request head.
    pub head_timeout: Duration,
    /// For the next request on a kept connection.
    pub idle_timeout: Duration,
    /// For any progress in a body.
    pub stall_timeout: Duration,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// `[tls]`: certificate and key are both there or both not, and where `listen` has addresses they are.
#[derive(Debug, Clone, Default)]
pub struct TlsConfig {
    /// A PEM file with the chain.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the key.
    pub key: Option<PathBuf>,
    /// Addresses that speak TLS.
    pub listen: Vec<SocketAddr>,
}

/// `[auth]`
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// How long a JWT is valid.
    pub token_ttl: Duration,
    /// The JWTs' `iss`.
    pub issuer: String,
    /// Failed logins within `ban_for`, from one address or for one account, before it is banned; 0: never.
    pub ban_after: u32,
    /// How long it is banned.
    pub ban_for: Duration,
}

/// `[cache]`
#[derive(Debug, Clone)]
pub struct CacheConfig {
    /// How much may be kept; zero: as much as `min_free` leaves. Kept for the eviction to come.
    pub max_size: Size,
    /// How much of the filesystem stays free. Kept for the eviction to come.
    pub min_free: Size,
    /// Days after which an unpulled image may go. Kept for the eviction to come.
    pub unused_days: u32,
    /// How long a tag is believed without asking.
    pub tag_ttl: Duration,
    /// How long a client waits for the question whether a tag has moved.
    pub revalidate_timeout: Duration,
    /// How long "there is no such thing" is believed.
    pub negative_ttl: Duration,
}

/// One table of `[upstreams]`.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// The word in paths and in `ns=`.
    pub name: RegistryHost,
    /// `http` or `https`, host, perhaps a port; no slash at its end.
    pub url: String,
    /// Empty: anonymous.
    pub username: String,
    /// Read when the upstream is made, not before.
    pub password_file: Option<PathBuf>,
    /// A token realm on another host that may get the credentials.
    pub auth_realm: Option<String>,
    /// A PEM file with further roots.
    pub ca: Option<PathBuf>,
}

/// `[mirror]`
#[derive(Debug, Clone)]
pub struct MirrorConfig {
    /// Whether mirror paths are served at all.
    pub enabled: bool,
    /// The group that mirror pulls are accounted to; a top-level path.
    pub group: String,
    /// The upstream of a mirror path without `ns=`; one of `upstreams`.
    pub default: RegistryHost,
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// What a line looks like.
    pub format: LogFormat,
    /// A level, or directives: `info,breakwater::proxy=debug`.
    pub level: String,
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

/// What the command line says about the configuration: it goes before everything else.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--config FILE`
    pub file: Option<PathBuf>,
    /// `--data DIR`
    pub data: Option<PathBuf>,
    /// `--listen ADDR`, each time.
    pub listen: Vec<String>,
}

impl Config {
    /// Reads the configuration of this process: options, its environment, the file, the defaults.
    ///
    /// # Errors
    /// `Config` for an unknown key or a value that cannot be meant, with file and line or variable;
    /// `Io` for a file that was named and cannot be read.
    pub fn load(options: &Options) -> Result<Self> {
        let variables = environment::variables(std::env::vars_os())?;
        Self::from_sources(options, variables, Path::new(DEFAULT_FILE))
    }

    /// As [`Config::load`], with the environment's `BREAKWATER_…` variables and the place of the
    /// default file given, so that a test can play every source.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_sources(
        options: &Options,
        mut variables: Vec<(String, String)>,
        default_file: &Path,
    ) -> Result<Self> {
        let named_file = environment::take(&mut variables, "BREAKWATER_CONFIG");
        let file = match options.file.clone().or(named_file.map(PathBuf::from)) {
            Some(file) => Some(file),
            None => default_file.exists().then(|| default_file.to_owned()),
        };
        let mut settings = match &file {
            Some(file) => file::read(file)?,
            None => Settings::default(),
        };
        environment::apply(variables, &mut settings)?;
        if !options.listen.is_empty() {
            let addresses = Raw::List(options.listen.clone());
            settings.set("server.listen", addresses, Origin::Option("--listen"));
        }
        let mut config = Self::from_settings(file, &settings)?;
        // Taken as it is, not as text: a path need not be UTF-8.
        if let Some(data) = &options.data {
            if data.as_os_str().is_empty() {
                return Err(Error::new(Kind::Usage, "the option --data is empty"));
            }
            config.data.clone_from(data);
        }
        Ok(config)
    }

    fn from_settings(file: Option<PathBuf>, settings: &Settings) -> Result<Self> {
        let data = match &file {
            None if !settings.is_set("data") => DATA_WITHOUT_FILE.to_owned(),
            _ => settings.nonempty("data")?,
        };
        let config = Self {
            file,
            data: PathBuf::from(data),
            offline: settings.boolean("offline")?,
            server: ServerConfig::from_settings(settings)?,
            tls: TlsConfig::from_settings(settings)?,
            auth: AuthConfig {
                token_ttl: settings.duration("auth.token_ttl", Duration::from_secs(1))?,
                issuer: settings.nonempty("auth.issuer")?,
                ban_after: settings.number("auth.ban_after", 0..=1_000_000)?,
                ban_for: settings.duration("auth.ban_for", Duration::from_secs(1))?,
            },
            cache: CacheConfig::from_settings(settings)?,
            upstreams: settings.upstreams()?,
            mirror: MirrorConfig::from_settings(settings)?,
            log: LogConfig::from_settings(settings)?,
        };
        let default = &config.mirror.default;
        if !config
            .upstreams
            .iter()
            .any(|upstream| upstream.name == *default)
        {
            let names: Vec<_> = config
                .upstreams
                .iter()
                .map(|upstream| upstream.name.as_str())
                .collect();
            let why = format!(
                "there is no upstream `{default}`; there are {}",
                names.join(", ")
            );
            return Err(settings.wrong("mirror.default", why).remedy(format!(
                "add [upstreams.\"{default}\"], or name another one"
            )));
        }
        Ok(config)
    }

    /// Refuses what this version reads but does not do yet: ignoring it in silence would let an
    /// operator believe in a size limit that is not there.
    ///
    /// # Errors
    /// `Config`, naming the first such key.
    pub fn refuse_unavailable(&self) -> Result<()> {
        let default = CacheConfig::from_settings(&Settings::default())?;
        let keys = [
            ("cache.max_size", self.cache.max_size != default.max_size),
            ("cache.min_free", self.cache.min_free != default.min_free),
            (
                "cache.unused_days",
                self.cache.unused_days != default.unused_days,
            ),
        ];
        match keys.into_iter().find(|(_, set)| *set) {
            Some((key, _)) => Err(Error::new(
                Kind::Config,
                format!("cannot start with `{key}` set: it is not available in this version"),
            )
            .remedy("remove it, or leave it at its default")),
            None => Ok(()),
        }
    }
}

/// For tests.
#[cfg(test)]
impl Default for Config {
    /// What holds without file, environment and options.
    fn default() -> Self {
        Self::from_settings(None, &Settings::default()).unwrap()
    }
}

impl ServerConfig {
    fn from_settings(settings: &Settings) -> Result<Self> {
        let listen = settings.list("server.listen", value::address)?;
        let also = settings.list("tls.listen", value::address)?;
        if listen.is_empty() && also.is_empty() {
            return Err(
                settings.wrong("server.listen", "a server without an address serves nobody")
            );
        }
        let least = Duration::from_millis(1);
        Ok(Self {
            listen,
            external_url: settings.text("server.external_url", value::origin_url)?,
            workers: settings.number("server.workers", 1..=16_384)?,
            max_connections: settings.number("server.max_connections", 1..=1_000_000)?,
            max_connections_per_address: settings
                .number("server.max_connections_per_address", 1..=1_000_000)?,
            head_timeout: settings.duration("server.head_timeout", least)?,
            idle_timeout: settings.duration("server.idle_timeout", least)?,
            stall_timeout: settings.duration("server.stall_timeout", least)?,
            trusted_proxies: settings.list("server.trusted_proxies", value::network)?,
        })
    }
}

impl TlsConfig {
    fn from_settings(settings: &Settings) -> Result<Self> {
        let tls = Self {
            certificate: settings.path("tls.certificate")?,
            key: settings.path("tls.key")?,
            listen: settings.list("tls.listen", value::address)?,
        };
        let remedy =
            "name a certificate and its key, or make both with `breakwater tls self-signed`";
        let wrong = |key, why: &str| Err(settings.wrong(key, why).remedy(remedy));
        match (&tls.certificate, &tls.key) {
            (Some(_), None) => wrong("tls.certificate", "there is no tls.key beside it"),
            (None, Some(_)) => wrong("tls.key", "there is no tls.certificate beside it"),
            (None, None) if !tls.listen.is_empty() => wrong(
                "tls.listen",
                "there is no tls.certificate to prove a name with",
            ),
            _ => Ok(tls),
        }
    }
}

impl CacheConfig {
    fn from_settings(settings: &Settings) -> Result<Self> {
        Ok(Self {
            max_size: settings.size("cache.max_size")?,
            min_free: settings.size("cache.min_free")?,
            unused_days: settings.number("cache.unused_days", 0..=36_500)?,
            tag_ttl: settings.duration("cache.tag_ttl", Duration::ZERO)?,
            revalidate_timeout: settings
                .duration("cache.revalidate_timeout", Duration::from_millis(1))?,
            negative_ttl: settings.duration("cache.negative_ttl", Duration::ZERO)?,
        })
    }
}

impl MirrorConfig {
    fn from_settings(settings: &Settings) -> Result<Self> {
        let default = settings.nonempty("mirror.default")?;
        Ok(Self {
            enabled: settings.boolean("mirror.enabled")?,
            group: settings.text("mirror.group", value::top_level_group)?,
            default: RegistryHost::parse(&default)
                .map_err(|error| settings.wrong("mirror.default", error.what()))?,
        })
    }
}

impl LogConfig {
    fn from_settings(settings: &Settings) -> Result<Self> {
        let format = match settings.nonempty("log.format")?.as_str() {
            "auto" => LogFormat::Auto,
            "json" => LogFormat::Json,
            "text" => LogFormat::Text,
            _ => return Err(settings.wrong("log.format", "it is none of auto, json, text")),
        };
        let level = settings.text("log.level", value::log_level)?;
        Ok(Self { format, level })
    }
}

#[cfg(test)]
mod tests;
