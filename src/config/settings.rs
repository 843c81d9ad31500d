//! Raw values by dotted key, each with where it came from; the later source replaces the earlier.
//!
//! A key that nothing set has its default of the list of keys.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::keys::KeyDefault;
use super::sections::{UpstreamConfig, dotted, dotted_names};
use super::value::{self, Size, Wrong};
use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::RegistryHost;

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

/// All values that were set, by dotted key, and the upstreams that were named.
#[derive(Debug, Default)]
pub(super) struct Settings {
    values: BTreeMap<String, (Raw, Origin)>,
    upstreams: BTreeSet<String>,
}

/// Refuses a dotted key that does not exist, naming the nearest one that does.
pub(super) fn check_key(key: &str, origin: &Origin) -> Result<()> {
    let section = |known: &str| known.starts_with(key) && key.ends_with('.');
    let mut known = dotted_names();
    if known.clone().any(|known| known == key || section(&known)) {
        return Ok(());
    }
    Err(unknown_key(key.trim_end_matches('.'), origin, &mut known))
}

fn unknown_key(key: &str, origin: &Origin, known: &mut dyn Iterator<Item = String>) -> Error {
    let nearest = nearest(key, known);
    Error::new(
        Kind::Config,
        format!("{origin}: there is no key `{}`", excerpt(key)),
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
        self.upstreams.insert(name.to_owned());
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
        let mut known = UpstreamConfig::KEYS.iter().map(|key| key.name.to_owned());
        if !known.clone().any(|known| known == key) {
            return Err(unknown_key(key, &origin, &mut known));
        }
        self.set(&dotted(&upstream_table(name), key), raw, origin);
        Ok(())
    }

    /// Those that there are: `docker.io` also where nobody named it.
    pub(super) fn upstream_names(&self) -> impl Iterator<Item = &str> {
        let named = self.upstreams.iter().map(String::as_str);
        let built_in = !self.upstreams.contains(DOCKER_IO);
        built_in.then_some(DOCKER_IO).into_iter().chain(named)
    }

    /// Whether no source says anything of `docker.io`: a table without keys is none.
    pub(super) fn has_built_in_upstream(&self) -> bool {
        let table = dotted(&upstream_table(DOCKER_IO), "");
        !self.values.keys().any(|key| key.starts_with(&table))
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

    /// What a source says of the key, and which.
    pub(super) fn get(&self, key: &str) -> Option<&(Raw, Origin)> {
        self.values.get(key)
    }

    /// Whether a source named the key.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// The table of that name; empty for the keys outside of all tables.
    pub(super) fn table<'a>(&'a self, name: &'a str) -> Table<'a> {
        Table {
            settings: self,
            name,
        }
    }

    /// The upstreams, `docker.io` first.
    pub(super) fn upstreams(&self) -> Result<Vec<UpstreamConfig>> {
        let mut upstreams = self
            .upstream_names()
            .map(|name| self.upstream(name))
            .collect::<Result<Vec<_>>>()?;
        upstreams.sort_by_key(|upstream| upstream.name.as_str() != DOCKER_IO);
        Ok(upstreams)
    }

    fn upstream(&self, name: &str) -> Result<UpstreamConfig> {
        let table = upstream_table(name);
        let mut upstream = UpstreamConfig::read(self, &table, RegistryHost::parse(name)?)?;
        if upstream.username.is_empty() != upstream.password_file.is_none() {
            let what = format!("upstream {name} has only one of `username` and `password_file`");
            let remedy = "set both, or neither for anonymous access";
            return Err(Error::new(Kind::Config, what).remedy(remedy));
        }
        if name != DOCKER_IO && !self.is_set(&dotted(&table, "url")) {
            upstream.url = format!("https://{name}");
        }
        Ok(upstream)
    }
}

pub(super) fn upstream_table(name: &str) -> String {
    format!("upstreams.\"{name}\"")
}

/// A table of the file, from which keys are read.
pub(super) struct Table<'a> {
    settings: &'a Settings,
    name: &'a str,
}

impl Table<'_> {
    pub(super) fn get<T>(
        &self,
        key: &str,
        default: KeyDefault,
        read: impl FnOnce(&Raw) -> Result<T, Wrong>,
    ) -> Result<T> {
        let key = dotted(self.name, key);
        let read = match self.settings.values.get(&key) {
            Some((raw, _)) => read(raw),
            None => read(&default.into()),
        };
        read.map_err(|why| self.settings.wrong(&key, why))
    }
}

pub(super) fn boolean(raw: &Raw) -> Result<bool, Wrong> {
    match raw {
        Raw::Boolean(boolean) => Ok(*boolean),
        Raw::Variable(text) if text == "true" || text == "1" => Ok(true),
        Raw::Variable(text) if text == "false" || text == "0" => Ok(false),
        _ => Err("it is neither true nor false".to_owned()),
    }
}

/// A whole number within `range`.
pub(super) fn number<T>(range: RangeInclusive<T>) -> impl Fn(&Raw) -> Result<T, Wrong>
where
    T: TryFrom<i64> + FromStr + PartialOrd + fmt::Display,
{
    move |raw| {
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
    }
}

pub(super) fn text(
    read: impl Fn(&str) -> Result<String, Wrong>,
) -> impl Fn(&Raw) -> Result<String, Wrong> {
    move |raw| read(as_text(raw)?)
}

/// Empty text is nothing.
pub(super) fn optional<T>(
    read: impl Fn(&str) -> Result<T, Wrong>,
) -> impl Fn(&Raw) -> Result<Option<T>, Wrong> {
    move |raw| match as_text(raw)? {
        "" => Ok(None),
        text => read(text).map(Some),
    }
}

pub(super) fn nonempty(raw: &Raw) -> Result<String, Wrong> {
    match as_text(raw)? {
        "" => Err("it is empty".to_owned()),
        text => Ok(text.to_owned()),
    }
}

pub(super) fn path(raw: &Raw) -> Result<Option<PathBuf>, Wrong> {
    optional(|text| Ok(PathBuf::from(text)))(raw)
}

pub(super) fn host(raw: &Raw) -> Result<RegistryHost, Wrong> {
    RegistryHost::parse(&nonempty(raw)?).map_err(|error| error.what().to_owned())
}

pub(super) fn duration(least: Duration) -> impl Fn(&Raw) -> Result<Duration, Wrong> {
    move |raw| {
        let duration = value::duration(as_text(raw)?)?;
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
    }
}

pub(super) fn size(raw: &Raw) -> Result<Size, Wrong> {
    match raw {
        Raw::Integer(0) => Ok(Size::Bytes(0)),
        raw => value::size(as_text(raw)?),
    }
}

/// A list; in the environment its items are separated by commas.
pub(super) fn list<T>(
    item: impl Fn(&str) -> Result<T, Wrong>,
) -> impl Fn(&Raw) -> Result<Vec<T>, Wrong> {
    move |raw| match raw {
        Raw::List(items) => items.iter().map(|text| item(text)).collect(),
        Raw::Variable(text) if text.trim().is_empty() => Ok(Vec::new()),
        Raw::Variable(text) => text.split(',').map(&item).collect(),
        _ => Err("it is no list such as [\"…\"]".to_owned()),
    }
}

fn as_text(raw: &Raw) -> Result<&str, Wrong> {
    match raw {
        Raw::Text(text) | Raw::Variable(text) => Ok(text),
        Raw::Integer(_) | Raw::Boolean(_) | Raw::List(_) => {
            Err("it is no text in quotes".to_owned())
        }
    }
}
