//! The environment: `BREAKWATER_SECTION_KEY`, and `BREAKWATER_UPSTREAMS_NAME_KEY` for upstreams.
//!
//! An upstream's name loses its dots, dashes and colon in a variable: `DOCKER_IO` is `docker.io`.
//! Names that the defaults or the file know are recognised by that. For one that nothing else names,
//! `_` stands for a dot and `__` for a dash: `BREAKWATER_UPSTREAMS_MY__HUB_EXAMPLE_COM_URL` is
//! `[upstreams."my-hub.example.com"] url`. An upstream whose name has a port needs the file.

use std::ffi::OsString;

use super::sections::{UpstreamConfig, dotted_names};
use super::settings::{Origin, Raw, Settings, nearest};
use crate::error::{Error, Kind, Result, excerpt};

const PREFIX: &str = "BREAKWATER_";

/// The `BREAKWATER_…` variables among `all`.
///
/// `BREAKWATER_SERVICE_…` and `BREAKWATER_PORT…` are left out: Kubernetes and docker's links set
/// them in every container beside a service of our name, and they are none of our keys.
pub(super) fn variables(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for (name, value) in all {
        let Some(name) = name.to_str() else {
            continue;
        };
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let foreign = |stem: &str| rest.starts_with(stem);
        if foreign("SERVICE_") || foreign("PORT_") || name == "BREAKWATER_PORT" {
            continue;
        }
        let value = value.into_string().map_err(|_| {
            Error::new(
                Kind::Config,
                format!("the environment variable {name} is not UTF-8"),
            )
        })?;
        variables.push((name.to_owned(), value));
    }
    variables.sort();
    Ok(variables)
}

/// Takes one variable out of the list; an empty one counts as not set.
pub(super) fn take(variables: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let position = variables.iter().position(|(known, _)| known == name)?;
    Some(variables.swap_remove(position).1).filter(|value| !value.is_empty())
}

/// Puts the variables into `settings`, over what the file said.
pub(super) fn apply(variables: Vec<(String, String)>, settings: &mut Settings) -> Result<()> {
    for (variable, value) in variables {
        let origin = Origin::Environment(variable.clone());
        let word = variable.strip_prefix(PREFIX).unwrap_or(&variable);
        if let Some(key) = dotted_names().find(|key| in_environment(key) == word) {
            settings.set(&key, Raw::Variable(value), origin);
        } else if let Some(word) = word.strip_prefix("UPSTREAMS_") {
            let (upstream, key) = split_upstream(word, settings, &origin)?;
            settings.add_upstream(&upstream, &origin)?;
            settings.set_upstream(&upstream, key, Raw::Variable(value), origin)?;
        } else {
            let known = dotted_names().map(|key| format!("{PREFIX}{}", in_environment(&key)));
            let known = known.chain([format!("{PREFIX}CONFIG")]);
            return Err(
                unknown(&variable).remedy(format!("did you mean {}?", nearest(&variable, known)))
            );
        }
    }
    Ok(())
}

/// The upstream's name and the key in `DOCKER_IO_URL`.
fn split_upstream(
    word: &str,
    settings: &Settings,
    origin: &Origin,
) -> Result<(String, &'static str)> {
    // `AUTH_REALM` and `PASSWORD_FILE` hold an underscore themselves, so keys are tried, not split off.
    let split = UpstreamConfig::KEYS.iter().find_map(|key| {
        let name = word
            .strip_suffix(&in_environment(key.name))?
            .strip_suffix('_')?;
        (!name.is_empty()).then_some((name, key.name))
    });
    let Some((name, key)) = split else {
        let known: Vec<_> = UpstreamConfig::KEYS
            .iter()
            .map(|key| in_environment(key.name))
            .collect();
        let known = known.join(", ");
        return Err(
            unknown(&format!("{PREFIX}UPSTREAMS_{word}")).remedy(format!(
                "write {PREFIX}UPSTREAMS_NAME_KEY, where KEY is one of {known}"
            )),
        );
    };
    let matching: Vec<_> = settings
        .upstream_names()
        .filter(|known| in_environment(known) == name)
        .collect();
    match matching[..] {
        [one] => Ok((one.to_owned(), key)),
        [] => Ok((
            name.to_ascii_lowercase()
                .replace("__", "-")
                .replace('_', "."),
            key,
        )),
        _ => Err(Error::new(
            Kind::Config,
            format!(
                "{origin}: it could mean any of the upstreams {}",
                matching.join(", ")
            ),
        )
        .remedy("write it into the configuration file")),
    }
}

fn unknown(variable: &str) -> Error {
    let what = format!(
        "there is no setting for the environment variable {}",
        excerpt(variable)
    );
    Error::new(Kind::Config, what)
}

/// `server.head_timeout` → `SERVER_HEAD_TIMEOUT`, `docker.io` → `DOCKER_IO`.
fn in_environment(key: &str) -> String {
    key.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect()
}
