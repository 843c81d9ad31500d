//! Each value that holds, and where it comes from. No key has a secret for its value: passwords are named by their files.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::keys::{Key, KeyDefault};
use super::sections::{ANY_UPSTREAM, SECTIONS, dotted};
use super::settings::{Origin, Raw, Settings, upstream_table};
use super::{Config, Options};

/// A key of the configuration as it holds.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ShownValue {
    /// As in `server.listen`.
    pub key: String,
    pub value: Value,
    pub source: ValueSource,
}

/// Who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ValueSource {
    Option { name: String },
    Environment { variable: String },
    File { path: PathBuf, line: usize },
    Default,
}

impl ValueSource {
    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Self::Option { name } => format!("option {name}"),
            Self::Environment { variable } => format!("environment {variable}"),
            Self::File { path, line } => format!("{}, line {line}", path.display()),
            Self::Default => "default".to_owned(),
        }
    }
}

/// All of them, in the order of the documentation.
pub(super) fn values(settings: &Settings, config: &Config, options: &Options) -> Vec<ShownValue> {
    let mut values = Vec::new();
    for section in SECTIONS {
        let tables = match section.name {
            ANY_UPSTREAM => config
                .upstreams
                .iter()
                .map(|upstream| upstream_table(upstream.name.as_str()))
                .collect(),
            name => vec![name.to_owned()],
        };
        for table in tables {
            let keys = section.keys.iter();
            values.extend(keys.map(|key| value(settings, &table, key)));
        }
    }
    for value in &mut values {
        correct(value, config, options);
    }
    values
}

fn value(settings: &Settings, table: &str, key: &Key) -> ShownValue {
    let dotted = dotted(table, key.name);
    let (value, source) = match settings.get(&dotted) {
        Some((raw, origin)) => (json(raw, key.default), ValueSource::from(origin)),
        None => (json(&key.default.into(), key.default), ValueSource::Default),
    };
    ShownValue {
        key: dotted,
        value,
        source,
    }
}

/// What depends on more than its own key.
fn correct(value: &mut ShownValue, config: &Config, options: &Options) {
    if value.key == "data" {
        value.value = config.data.to_string_lossy().into();
        if options.data.is_some() {
            let name = "--data".to_owned();
            value.source = ValueSource::Option { name };
        }
    }
    if let (Some(table), ValueSource::Default) = (value.key.strip_suffix(".url"), &value.source) {
        let mut upstreams = config.upstreams.iter();
        let upstream = upstreams.find(|one| upstream_table(one.name.as_str()) == table);
        if let Some(upstream) = upstream {
            value.value = upstream.url.as_str().into();
        }
    }
}

/// In the type that the key has in the file.
fn json(raw: &Raw, default: KeyDefault) -> Value {
    match (raw, default) {
        (Raw::Text(text), _) => text.as_str().into(),
        (Raw::Integer(integer), _) => (*integer).into(),
        (Raw::Boolean(boolean), _) => (*boolean).into(),
        (Raw::List(items), _) => items.as_slice().into(),
        (Raw::Variable(text), KeyDefault::Text(_)) => text.as_str().into(),
        (Raw::Variable(text), KeyDefault::Integer(_)) => {
            let number = text.trim().parse::<i64>();
            number.map_or_else(|_| text.as_str().into(), Value::from)
        }
        (Raw::Variable(text), KeyDefault::Boolean(_)) => (text == "true" || text == "1").into(),
        (Raw::Variable(text), KeyDefault::List(_)) => {
            let items = text.split(',').map(str::trim);
            items.filter(|item| !item.is_empty()).collect()
        }
    }
}

impl From<&Origin> for ValueSource {
    fn from(origin: &Origin) -> Self {
        match origin {
            Origin::File { path, line } => Self::File {
                path: path.clone(),
                line: *line,
            },
            Origin::Environment(variable) => Self::Environment {
                variable: variable.clone(),
            },
            Origin::Option(name) => Self::Option {
                name: (*name).to_owned(),
            },
        }
    }
}
