//! The configuration file: TOML, flattened to dotted keys that remember their line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::{Origin, Raw, Settings, check_key};
use crate::error::{Error, Kind, Result, excerpt};

/// Larger files are not configuration.
const MAX_LENGTH: u64 = 1 << 20;

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<Settings> {
    let cannot = |error| {
        Error::io("cannot read the configuration file", path, error)
            .remedy("check the path and its permissions, or name another file with --config")
    };
    let length = std::fs::metadata(path).map_err(cannot)?.len();
    if length > MAX_LENGTH {
        let what = format!(
            "the configuration file {} is larger than 1 MiB",
            path.display()
        );
        return Err(Error::new(Kind::Config, what));
    }
    let text = std::fs::read_to_string(path).map_err(cannot)?;
    parse(path, &text)
}

/// Flattens the text of a file; `path` is for messages alone.
pub(super) fn parse(path: &Path, text: &str) -> Result<Settings> {
    let reader = Reader { path, text };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let why = error.message().lines().collect::<Vec<_>>().join(", ");
        Error::new(Kind::Config, format!("{}: {why}", reader.origin(at))).remedy("write it as TOML")
    })?;
    let mut settings = Settings::default();
    for (name, value) in table.get_ref() {
        reader.flatten(name.get_ref(), name, value, &mut settings)?;
    }
    Ok(settings)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.bytes().take(offset);
        let line = before
            .filter(|&byte| byte == b'\n')
            .count()
            .saturating_add(1);
        Origin::File {
            path: self.path.to_owned(),
            line,
        }
    }

    fn wrong(&self, offset: usize, what: impl std::fmt::Display) -> Error {
        Error::new(Kind::Config, format!("{}: {what}", self.origin(offset)))
    }

    /// Puts what stands under `key` into `settings`; `name` is the key's last part, for its line.
    fn flatten<N>(
        &self,
        key: &str,
        name: &Spanned<N>,
        value: &Spanned<DeValue<'_>>,
        settings: &mut Settings,
    ) -> Result<()> {
        let at = name.span().start;
        if key == "upstreams" {
            return self.flatten_upstreams(at, value, settings);
        }
        if let DeValue::Table(table) = value.get_ref()
            && !key.contains('.')
        {
            for (name, value) in table {
                let key = format!("{key}.{}", name.get_ref());
                self.flatten(&key, name, value, settings)?;
            }
            // An empty section that is misspelt shall be told like one with keys.
            return match table.is_empty() {
                true => check_key(&format!("{key}."), &self.origin(at)),
                false => Ok(()),
            };
        }
        check_key(key, &self.origin(at))?;
        settings.set(key, self.raw(key, at, value.get_ref())?, self.origin(at));
        Ok(())
    }

    fn flatten_upstreams(
        &self,
        at: usize,
        value: &Spanned<DeValue<'_>>,
        settings: &mut Settings,
    ) -> Result<()> {
        let remedy = "write [upstreams.\"quay.io\"] and its keys below";
        let DeValue::Table(upstreams) = value.get_ref() else {
            return Err(self
                .wrong(at, "`upstreams` is no table of upstreams")
                .remedy(remedy));
        };
        for (name, value) in upstreams {
            let (upstream, at) = (name.get_ref(), name.span().start);
            let DeValue::Table(table) = value.get_ref() else {
                let what = format!("`upstreams.{}` is no table", excerpt(upstream));
                return Err(self.wrong(at, what).remedy(remedy));
            };
            settings.add_upstream(upstream, &self.origin(at))?;
            for (name, value) in table {
                let (key, at) = (name.get_ref(), name.span().start);
                let raw = self.raw(key, at, value.get_ref())?;
                settings.set_upstream(upstream, key, raw, self.origin(at))?;
            }
        }
        Ok(())
    }

    fn raw(&self, key: &str, at: usize, value: &DeValue<'_>) -> Result<Raw> {
        let unusable = || {
            let what = format!(
                "`{}` is neither text, number, true, false nor a list",
                excerpt(key)
            );
            self.wrong(at, what)
        };
        match value {
            DeValue::String(text) => Ok(Raw::Text(text.to_string())),
            DeValue::Boolean(boolean) => Ok(Raw::Boolean(*boolean)),
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .map(Raw::Integer)
                .map_err(|_| self.wrong(at, format!("`{}` is too large", excerpt(key)))),
            DeValue::Array(array) => array
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Ok(text.to_string()),
                    _ => Err(self.wrong(at, format!("`{}` holds what is no text", excerpt(key)))),
                })
                .collect::<Result<_>>()
                .map(Raw::List),
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => Err(unusable()),
        }
    }
}
