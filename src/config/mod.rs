//! The configuration: what can be set, the defaults, and where a value may come from.
//!
//! Owns the precedence (option, environment, file, default) and every check that needs neither the
//! network nor the store. It opens no file but the configuration file: a password file is read when
//! its upstream is made, a certificate when the listener is.

mod environment;
mod file;
mod findings;
mod keys;
mod sections;
mod settings;
mod shown;
mod value;

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;

pub use findings::{FINDINGS, finding};
pub use keys::{Key, KeyDefault};
use sections::TopConfig;
pub use sections::{
    ANY_UPSTREAM, AuditConfig, AuthConfig, CacheConfig, DoctorConfig, ImportConfig, LogConfig,
    LogFormat, MirrorConfig, SECTIONS, Section, ServerConfig, TlsConfig, UpstreamConfig,
};
use settings::{Origin, Raw, Settings};
pub use shown::{ShownValue, ValueSource};
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
    /// Whether somebody named it: an option, the environment, or the file.
    names_data: bool,
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
    /// Whether `docker.io` is among them only because no source says anything of it.
    has_built_in_upstream: bool,
    /// `[mirror]`; `default` is one of `upstreams`.
    pub mirror: MirrorConfig,
    /// `[log]`
    pub log: LogConfig,
    /// `[audit]`
    pub audit: AuditConfig,
    /// `[import]`
    pub import: ImportConfig,
    /// `[doctor]`
    pub doctor: DoctorConfig,
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
        variables: Vec<(String, String)>,
        default_file: &Path,
    ) -> Result<Self> {
        let (file, settings) = Self::read_sources(options, variables, default_file)?;
        Self::with_options(file, &settings, options)
    }

    /// Each value that holds in this process, and where it comes from.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn show(options: &Options) -> Result<Vec<ShownValue>> {
        let variables = environment::variables(std::env::vars_os())?;
        let (file, settings) = Self::read_sources(options, variables, Path::new(DEFAULT_FILE))?;
        let config = Self::with_options(file, &settings, options)?;
        Ok(shown::values(&settings, &config, options))
    }

    fn read_sources(
        options: &Options,
        mut variables: Vec<(String, String)>,
        default_file: &Path,
    ) -> Result<(Option<PathBuf>, Settings)> {
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
        Ok((file, settings))
    }

    fn with_options(file: Option<PathBuf>, settings: &Settings, options: &Options) -> Result<Self> {
        let mut config = Self::from_settings(file, settings)?;
        // Taken as it is, not as text: a path need not be UTF-8.
        if let Some(data) = &options.data {
            if data.as_os_str().is_empty() {
                return Err(Error::new(Kind::Usage, "the option --data is empty"));
            }
            config.data.clone_from(data);
            config.names_data = true;
        }
        Ok(config)
    }

    /// The data directory of this folder, where the configuration file leads to another one without naming it: who tried the
    /// program here before there was a file may miss what they had.
    pub fn overlooked_data(&self) -> Option<String> {
        let file = self.file.as_ref().filter(|_| !self.names_data)?;
        let here = Path::new(DATA_WITHOUT_FILE);
        here.is_dir().then(|| {
            format!(
                "{} names no `data`, so that {DATA_WITHOUT_FILE} is not used: to use it, name it with --data or there",
                file.display()
            )
        })
    }

    fn from_settings(file: Option<PathBuf>, settings: &Settings) -> Result<Self> {
        let top = TopConfig::read(settings, "")?;
        let data = match &file {
            None if !settings.is_set("data") => PathBuf::from(DATA_WITHOUT_FILE),
            _ => top.data,
        };
        let config = Self {
            names_data: settings.is_set("data"),
            file,
            data,
            offline: top.offline,
            server: ServerConfig::read(settings, "server")?,
            tls: TlsConfig::read(settings, "tls")?,
            auth: AuthConfig::read(settings, "auth")?,
            cache: CacheConfig::read(settings, "cache")?,
            upstreams: settings.upstreams()?,
            has_built_in_upstream: settings.has_built_in_upstream(),
            mirror: MirrorConfig::read(settings, "mirror")?,
            log: LogConfig::read(settings, "log")?,
            audit: AuditConfig::read(settings, "audit")?,
            import: ImportConfig::read(settings, "import")?,
            doctor: DoctorConfig::read(settings, "doctor")?,
        };
        config.check_listeners(settings)?;
        config.check_tls(settings)?;
        config.check_mirror(settings)?;
        Ok(config)
    }

    /// The upstream that stands in no source: one of its name that is added by command takes its place.
    pub fn built_in_upstream(&self) -> Option<&RegistryHost> {
        let first = self.upstreams.first()?;
        self.has_built_in_upstream.then_some(&first.name)
    }

    fn check_listeners(&self, settings: &Settings) -> Result<()> {
        if self.server.listen.is_empty() && self.tls.listen.is_empty() {
            let why = "a server without an address serves nobody";
            return Err(settings.wrong("server.listen", why));
        }
        Ok(())
    }

    fn check_tls(&self, settings: &Settings) -> Result<()> {
        let remedy =
            "name a certificate and its key, or make both with `breakwater tls self-signed`";
        let wrong = |key, why: &str| Err(settings.wrong(key, why).remedy(remedy));
        match (&self.tls.certificate, &self.tls.key) {
            (Some(_), None) => wrong("tls.certificate", "there is no tls.key beside it"),
            (None, Some(_)) => wrong("tls.key", "there is no tls.certificate beside it"),
            (None, None) if !self.tls.listen.is_empty() => wrong(
                "tls.listen",
                "there is no tls.certificate to prove a name with",
            ),
            _ => Ok(()),
        }
    }

    fn check_mirror(&self, settings: &Settings) -> Result<()> {
        let default = &self.mirror.default;
        let mut names = self.upstreams.iter().map(|upstream| upstream.name.as_str());
        if names.clone().any(|name| name == default.as_str()) {
            return Ok(());
        }
        let names: Vec<_> = names.by_ref().collect();
        let why = format!(
            "there is no upstream `{default}`; there are {}",
            names.join(", ")
        );
        Err(settings.wrong("mirror.default", why).remedy(format!(
            "add [upstreams.\"{default}\"], or name another one"
        )))
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

#[cfg(test)]
mod tests;
