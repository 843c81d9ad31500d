//! What `breakwater project set` can set: its words `KEY=VALUE`.

use std::str::FromStr;

use strum::VariantNames;

use crate::admin::{CleanupChanges, ProjectSettings};
use crate::cli::words::{QUOTA_VALUES, nearest, parse_quota};
use crate::error::{Error, Kind, Result};
use crate::store::{Cadence, OlderThan, Visibility};

const KEYS: [&str; 9] = [
    "visibility",
    "quota",
    "cleanup.enabled",
    "cleanup.cadence",
    "cleanup.keep_n",
    "cleanup.older_than",
    "cleanup.name_regex",
    "cleanup.name_regex_delete",
    "cleanup.name_regex_keep",
];

/// What is to be changed; the last word on a setting counts.
pub(super) fn parse(settings: &[String]) -> Result<ProjectSettings> {
    let mut changes = ProjectSettings::default();
    for setting in settings {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(
                Error::new(Kind::Usage, format!("`{setting}` is no setting"))
                    .remedy("write KEY=VALUE, such as visibility=public"),
            );
        };
        match (key, key.strip_prefix("cleanup.")) {
            ("visibility", _) => changes.visibility = Some(word::<Visibility>(key, value)?),
            ("quota", _) => {
                let quota = parse_quota(value).ok_or_else(|| no_value(key, value, QUOTA_VALUES))?;
                changes.quota = Some(quota.unwrap_or_default());
            }
            (_, Some(_)) if KEYS.contains(&key) => cleanup(
                changes
                    .container_expiration_policy_attributes
                    .get_or_insert_default(),
                key,
                value,
            )?,
            _ => {
                let nearest = nearest(key, KEYS);
                let what = format!("a project has no setting `{key}`");
                return Err(
                    Error::new(Kind::Usage, what).remedy(format!("did you mean `{nearest}`?"))
                );
            }
        }
    }
    Ok(changes)
}

fn cleanup(changes: &mut CleanupChanges, key: &str, value: &str) -> Result<()> {
    let given = (!value.is_empty()).then_some(value);
    let text = || Some(given.map(str::to_owned));
    match key {
        "cleanup.enabled" => {
            let enabled = value.parse();
            let enabled = enabled.map_err(|_| no_value(key, value, "true or false"))?;
            changes.enabled = Some(enabled);
        }
        "cleanup.cadence" => changes.cadence = Some(word::<Cadence>(key, value)?),
        "cleanup.keep_n" => {
            let words = "1, 5, 10, 25, 50 or 100, or nothing to keep none";
            let keep_n = given.map(str::parse).transpose();
            changes.keep_n = Some(keep_n.map_err(|_| no_value(key, value, words))?);
        }
        "cleanup.older_than" => {
            let age = given.map(|value| word::<OlderThan>(key, value));
            changes.older_than = Some(age.transpose()?);
        }
        "cleanup.name_regex_keep" => changes.name_regex_keep = text(),
        _ => changes.name_regex_delete = text(),
    }
    Ok(())
}

fn word<T: FromStr + VariantNames>(key: &str, value: &str) -> Result<T> {
    value
        .parse()
        .map_err(|_| no_value(key, value, &T::VARIANTS.join(" or ")))
}

fn no_value(key: &str, value: &str, words: &str) -> Error {
    Error::new(Kind::Usage, format!("`{value}` is no value of `{key}`"))
        .remedy(format!("use {words}"))
}
