//! Raw values by dotted key, each with where it came from; the later source replaces the earlier.
//!
//! A key that nothing set has its default of the list of keys.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::keys::{KEYS, KeyDefault, UPSTREAM_KEYS, key_named};
use super::value::{self, Size, Wrong, shown};
use super::{RegistryHost, UpstreamConfig};
use crate::error::{Error, Kind, Result};

/// The upstream that is there without being configured.
const DOCKER_IO: &str = "docker.io";

/// A value as its source wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<String>),
    /// From the environment: what it is depends on what the key wants.
    Variable(String),
}

impl From<KeyDefault> for Raw {
    fn from(default: KeyDefault) -> Self {
        match default {
            KeyDefault::Text(text) => Self::Text(text.to_owned()),
            KeyDefault::Integer(integer) => Self::Integer(integer),
            KeyDefault::Boolean(boolean) => Self::Boolean(boolean),
            KeyDefault::List(items) => {
                Self::List(items.iter().map(|&item| item.to_owned()).collect())
            }
        }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    File { path: PathBuf, line: usize },
    Environment(String),
    Option(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Environment(variable) => write!(f, "the environment variable {variable}"),
            Self::Option(option) => write!(f, "the option {option}"),
        }
    }
}

/// All values that were set.
#[derive(Debug)]
pub(super) struct Settings {
    values: BTreeMap<String, (Raw, Origin)>,
    upstreams: BTreeMap<String, BTreeMap<&'static str, (Raw, Origin)>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            values: BTreeMap::new(),
            upstreams: BTreeMap::from([(DOCKER_IO.to_owned(), BTreeMap::new())]),
        }
    }
}

/// Refuses a dotted key that does not exist, naming the nearest one that does.
pub(super) fn check_key(key: &str, origin: &Origin) -> Result<()> {
    let section = |known: &str| known.starts_with(key) && key.ends_with('.');
    let mut known = KEYS.iter().map(|key| key.name);
    if known.clone().any(|known| known == key || section(known)) {
        return Ok(());
    }
    Err(unknown_key(key.trim_end_matches('.'), origin, &mut known))
}

fn unknown_key(key: &str, origin: &Origin, known: &mut dyn Iterator<Item = &str>) -> Error {
    let nearest = nearest(key, known.map(str::to_owned));
    Error::new(
        Kind::Config,
        format!("{origin}: there is no key `{}`", shown(key)),
    )
    .remedy(format!("did you mean `{nearest}`?"))
}

/// The word among `known` that is most like `word`.
pub(super) fn nearest(word: &str, known: impl Iterator<Item = String>) -> String {
    // Whoever forgets the section or puts a key into the wrong one has its last part right.
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |known: &str| {
        strsim::normalized_damerau_levenshtein(word, known)
            + strsim::normalized_damerau_levenshtein(&last(word), &last(known))
    };
    known
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .unwrap_or_default()
}

impl Settings {
    /// Sets a key that exists.
    pub(super) fn set(&mut self, key: &str, raw: Raw, origin: Origin) {
        self.values.insert(key.to_owned(), (raw, origin));
    }

    /// Makes the upstream known, also if none of its keys is set.
    pub(super) fn add_upstream(&mut self, name: &str, origin: &Origin) -> Result<()> {
        RegistryHost::parse(name).map_err(|error| {
            Error::new(Kind::Config, format!("{origin}: {}", error.what()))
                .remedy("name it as it stands in images, for example [upstreams.\"quay.io\"]")
        })?;
        self.upstreams.entry(name.to_owned()).or_default();
        Ok(())
    }

    /// Sets a key of an upstream.
    pub(super) fn set_upstream(
        &mut self,
        name: &str,
        key: &str,
        raw: Raw,
        origin: Origin,
    ) -> Result<()> {
        let mut known = UPSTREAM_KEYS.iter().map(|key| key.name);
        let Some(key) = known.clone().find(|known| *known == key) else {
            return Err(unknown_key(key, &origin, &mut known));
        };
        let upstream = self.upstreams.entry(name.to_owned()).or_default();
        upstream.insert(key, (raw, origin));
        Ok(())
    }

    pub(super) fn upstream_names(&self) -> impl Iterator<Item = &str> {
        self.upstreams.keys().map(String::as_str)
    }

    /// The error for a value of `key` that parsed but cannot be meant.
    pub(super) fn wrong(&self, key: &str, why: impl fmt::Display) -> Error {
        match self.values.get(key) {
            Some((_, origin)) => Error::new(
                Kind::Config,
                format!("{origin}: `{key}` cannot be used: {why}"),
            ),
            None => Error::new(Kind::Config, format!("`{key}` cannot be used: {why}")),
        }
    }

    /// Whether a source named the key.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    fn get<T>(&self, key: &str, read: impl FnOnce(&Raw) -> Result<T, Wrong>) -> Result<T> {
        let default;
        let raw = match (self.values.get(key), key_named(key)) {
            (Some((raw, _)), _) => raw,
            (None, Some(key)) => {
                default = Raw::from(key.default);
                &default
            }
            (None, None) => {
                let what = format!("the key {key} is missing in the list of keys");
                return Err(Error::new(Kind::Internal, what));
            }
        };
        read(raw).map_err(|why| self.wrong(key, why))
    }

    pub(super) fn boolean(&self, key: &str) -> Result<bool> {
        let read = |raw: &Raw| match raw {
            Raw::Boolean(boolean) => Ok(*boolean),
            Raw::Variable(text) if text == "true" || text == "1" => Ok(true),
            Raw::Variable(text) if text == "false" || text == "0" => Ok(false),
            _ => Err("it is neither true nor false".to_owned()),
        };
        self.get(key, read)
    }

    /// A whole number within `range`.
    pub(super) fn number<T>(&self, key: &str, range: RangeInclusive<T>) -> Result<T>
    where
        T: TryFrom<i64> + FromStr + PartialOrd + fmt::Display,
    {
        let read = |raw: &Raw| {
            let number = match raw {
                Raw::Integer(integer) => T::try_from(*integer).ok(),
                Raw::Variable(text) => text.trim().parse().ok(),
                _ => None,
            };
            number
                .filter(|number| range.contains(number))
                .ok_or_else(|| {
                    format!(
                        "it is no whole number from {} to {}",
                        range.start(),
                        range.end()
                    )
                })
        };
        self.get(key, read)
    }

    pub(super) fn text(
        &self,
        key: &str,
        read: impl FnOnce(&str) -> Result<String, Wrong>,
    ) -> Result<String> {
        self.get(key, |raw| read(text(raw)?))
    }

    pub(super) fn nonempty(&self, key: &str) -> Result<String> {
        self.text(key, |text| match text {
            "" => Err("it is empty".to_owned()),
            text => Ok(text.to_owned()),
        })
    }

    /// A path; an empty one counts as not set.
    pub(super) fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        self.get(key, |raw| match text(raw)? {
            "" => Ok(None),
            text => Ok(Some(PathBuf::from(text))),
        })
    }

    pub(super) fn duration(&self, key: &str, least: Duration) -> Result<Duration> {
        let read = |raw: &Raw| {
            let duration = value::duration(text(raw)?)?;
            if duration < least {
                return Err(format!(
                    "it is shorter than {}",
                    humantime::format_duration(least)
                ));
            }
            // Deadlines are sums of times; an absurd one would overflow them.
            if duration > Duration::from_secs(100 * 365 * 86_400) {
                return Err("it is longer than a century".to_owned());
            }
            Ok(duration)
        };
        self.get(key, read)
    }

    pub(super) fn size(&self, key: &str) -> Result<Size> {
        let read = |raw: &Raw| match raw {
            Raw::Integer(0) => Ok(Size::Bytes(0)),
            raw => value::size(text(raw)?),
        };
        self.get(key, read)
    }

    /// A list; in the environment its items are separated by commas.
    pub(super) fn list<T>(
        &self,
        key: &str,
        item: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Result<Vec<T>> {
        self.get(key, |raw| match raw {
            Raw::List(items) => items.iter().map(|text| item(text)).collect(),
            Raw::Variable(text) if text.trim().is_empty() => Ok(Vec::new()),
            Raw::Variable(text) => text.split(',').map(&item).collect(),
            _ => Err("it is no list such as [\"…\"]".to_owned()),
        })
    }

    /// The upstreams, `docker.io` first.
    pub(super) fn upstreams(&self) -> Result<Vec<UpstreamConfig>> {
        let mut upstreams = self
            .upstreams
            .iter()
            .map(|(name, values)| upstream(name, values))
            .collect::<Result<Vec<_>>>()?;
        upstreams.sort_by_key(|upstream| upstream.name.as_str() != DOCKER_IO);
        Ok(upstreams)
    }
}

fn text(raw: &Raw) -> Result<&str, Wrong> {
    match raw {
        Raw::Text(text) | Raw::Variable(text) => Ok(text),
        Raw::Integer(_) | Raw::Boolean(_) | Raw::List(_) => {
            Err("it is no text in quotes".to_owned())
        }
    }
}

fn upstream(name: &str, values: &BTreeMap<&'static str, (Raw, Origin)>) -> Result<UpstreamConfig> {
    let key = |key: &str| format!("upstreams.\"{name}\".{key}");
    let get = |wanted: &str, read: &dyn Fn(&str) -> Result<String, Wrong>| match values.get(wanted)
    {
        None => Ok(None),
        Some((raw, origin)) => match text(raw) {
            Ok("") => Ok(None),
            other => other.and_then(read).map(Some).map_err(|why| {
                let what = format!("{origin}: `{}` cannot be used: {why}", key(wanted));
                Error::new(Kind::Config, what)
            }),
        },
    };
    let whole = |text: &str| Ok(text.to_owned());
    let default_url = match &UPSTREAM_KEYS[0].default {
        KeyDefault::Text(url) if name == DOCKER_IO => (*url).to_owned(),
        _ => format!("https://{name}"),
    };
    let username = get("username", &whole)?.unwrap_or_default();
    let password_file = get("password_file", &whole)?.map(PathBuf::from);
    if username.is_empty() != password_file.is_none() {
        let what = format!("upstream {name} has only one of `username` and `password_file`");
        return Err(
            Error::new(Kind::Config, what).remedy("set both, or neither for anonymous access")
        );
    }
    Ok(UpstreamConfig {
        name: RegistryHost::parse(name)?,
        url: get("url", &value::url)?.unwrap_or(default_url),
        username,
        password_file,
        auth_realm: get("auth_realm", &value::url)?,
        ca: get("ca", &whole)?.map(PathBuf::from),
    })
}
