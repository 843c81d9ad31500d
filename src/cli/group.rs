//! `breakwater group`: groups, which nest by path.

use clap::{Args, Subcommand};

use super::Outcome;
use super::contents::{WithContents, contents, pushed, repositories, shown_use};
use super::output::{Table, hint, print, print_json, tell, yes};
use super::removal::How;
use super::words::{LIMIT_VALUES, QUOTA_VALUES, nearest, parse_quota};
use super::workplace::Workplace;
use crate::admin::{
    AddGroup, GetGroup, GroupSettings, GroupView, ListGroups, Named, NamedPlace, PlaceContents,
    RemoveGroup, SetGroup, one_of,
};
use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::store::{GroupId, Visibility};

/// What `group set` can set.
const KEYS: [&str; 6] = [
    "visibility",
    "dependency_proxy_enabled",
    "on_read_only_miss",
    "default_upstream",
    "quota",
    "max_size",
];

/// Make, list, change and remove groups
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater group add acme
  breakwater group add acme/backend --visibility public")]
pub(super) struct Group {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a group; the one above it must exist
    #[command(after_help = "Example:\n  breakwater group add acme --visibility private")]
    Add {
        /// Such as acme or acme/backend
        path: String,
        /// Who may know that it exists: members, or everybody who is logged in
        #[arg(long, value_parser = one_of::<Visibility>(), default_value = "private")]
        visibility: Visibility,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List all groups
    #[command(after_help = "Example:\n  breakwater group list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a group with its settings, what is in it and below, and how much it takes
    #[command(after_help = "Example:\n  breakwater group show acme --json")]
    Show {
        /// The group
        path: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a group's settings
    ///
    /// visibility=private|public
    /// dependency_proxy_enabled=true|false
    /// on_read_only_miss=pass_through|deny: what who may not fill gets of an image that is not kept
    /// default_upstream=HOST: of paths that name none; nothing behind the = takes it away
    /// quota=SIZE: of what is pushed to its projects and those below; nothing behind the = takes it away
    #[command(
        verbatim_doc_comment,
        after_help = "\
Examples:
  breakwater group set acme visibility=public dependency_proxy_enabled=true
  breakwater group set acme on_read_only_miss=deny default_upstream=quay.io
  breakwater group set acme quota=50GiB"
    )]
    Set {
        /// The group
        path: String,
        /// What to change
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a group with everything below it
    #[command(after_help = "\
Examples:
  breakwater group remove acme/backend --dry-run
  breakwater group remove acme/backend --yes")]
    Remove {
        /// The group
        path: String,
        #[command(flatten)]
        how: How,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Group {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Add {
                path,
                visibility,
                json,
            } => {
                let (parent, last) = match path.rsplit_once('/') {
                    Some((parent, last)) => (Some(parent.to_owned().into()), last.to_owned()),
                    None => (None, path.clone()),
                };
                let added = place.perform(AddGroup {
                    path: last,
                    parent_id: parent,
                    visibility: Some(visibility),
                    dependency_proxy_enabled: None,
                    on_read_only_miss: None,
                })?;
                tell(&added, json, &format!("added group {path}"))?;
                if let Some(warning) = added.warning {
                    hint(&format!("breakwater: warning: {warning}"));
                }
            }
            Action::List { json } => list(place, json)?,
            Action::Show { path, json } => {
                let group: Named<GroupId> = path.into();
                let contents = contents(place, NamedPlace::Group(group.clone()))?;
                let view = place.perform(GetGroup { group })?;
                match json {
                    true => print_json(&WithContents { view, contents })?,
                    false => show(&view, &contents)?,
                }
            }
            Action::Set {
                path,
                settings,
                json,
            } => {
                let changed = place.perform(SetGroup {
                    group: path.clone().into(),
                    path: None,
                    settings: parse_settings(&settings)?,
                })?;
                tell(&changed, json, &format!("changed group {path}"))?;
            }
            Action::Remove { path, how, json } => {
                let group: Named<GroupId> = path.clone().into();
                let named = NamedPlace::Group(group.clone());
                let remove = || place.perform(RemoveGroup { group }).map(drop);
                return how.remove(
                    place,
                    (named, &path),
                    ("group", "all below it"),
                    json,
                    remove,
                );
            }
        }
        Ok(Outcome::Done)
    }
}

fn show(group: &GroupView, contents: &PlaceContents) -> Result<()> {
    let upstream = group.default_upstream.clone();
    let cached = contents.cached_bytes.unwrap_or_default();
    let lines = [
        ("path", group.full_path.clone()),
        ("id", group.id.0.to_string()),
        ("visibility", group.visibility.as_str().to_owned()),
        ("dependency proxy", yes(group.dependency_proxy_enabled)),
        (
            "  what may not be filled",
            group.on_read_only_miss.as_str().to_owned(),
        ),
        (
            "  default upstream",
            upstream.unwrap_or_else(|| "as above it".to_owned()),
        ),
        ("  cached", shown_use(cached, group.max_size)),
        ("groups below", contents.groups.to_string()),
        ("projects", contents.projects.to_string()),
        ("upstreams", contents.upstreams.to_string()),
        ("created", group.created_at.to_string()),
    ];
    for (name, value) in lines.into_iter().chain(pushed(contents, group.quota)) {
        print(&format!("{:<25} {value}", format!("{name}:")))?;
    }
    repositories(contents)
}

fn list(place: &Workplace, json: bool) -> Result<()> {
    let groups = place.perform(ListGroups::default())?.entries;
    if json {
        return print_json(&groups);
    }
    let mut table = Table::new(&["ID", "PATH", "VISIBILITY", "DEPENDENCY PROXY", "CREATED"]);
    for group in groups {
        table.row([
            group.id.0.to_string(),
            group.full_path,
            group.visibility.as_str().to_owned(),
            yes(group.dependency_proxy_enabled),
            group.created_at.to_string(),
        ]);
    }
    table.print()
}

/// What `group set` was asked to change.
fn parse_settings(settings: &[String]) -> Result<GroupSettings> {
    let wrong = |what: String, remedy: String| Error::new(Kind::Usage, what).remedy(remedy);
    let mut changes = GroupSettings::default();
    for setting in settings {
        let Some((key, value)) = setting.split_once('=') else {
            let what = format!("`{setting}` is no setting");
            return Err(wrong(
                what,
                "write KEY=VALUE, such as visibility=public".to_owned(),
            ));
        };
        let bad_value = |words: &str| {
            wrong(
                format!("`{value}` is no value of `{key}`"),
                format!("use {words}"),
            )
        };
        match key {
            "visibility" => {
                let visibility = value.parse();
                changes.visibility = Some(visibility.map_err(|_| bad_value("private or public"))?);
            }
            "dependency_proxy_enabled" => {
                changes.dependency_proxy_enabled = Some(match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err(bad_value("true or false")),
                });
            }
            "on_read_only_miss" => {
                let miss = value.parse();
                changes.on_read_only_miss =
                    Some(miss.map_err(|_| bad_value("pass_through or deny"))?);
            }
            "default_upstream" => {
                if !value.is_empty() && RegistryHost::parse(value).is_err() {
                    return Err(bad_value("the name of an upstream, such as quay.io"));
                }
                changes.default_upstream = Some(value.to_owned());
            }
            "quota" => {
                let quota = parse_quota(value).ok_or_else(|| bad_value(QUOTA_VALUES))?;
                changes.quota = Some(quota.unwrap_or_default());
            }
            "max_size" => {
                let size = parse_quota(value).ok_or_else(|| bad_value(LIMIT_VALUES))?;
                changes.max_size = Some(size.unwrap_or_default());
            }
            unknown => {
                let nearest = nearest(unknown, KEYS);
                let what = format!("a group has no setting `{unknown}`");
                return Err(wrong(what, format!("did you mean `{nearest}`?")));
            }
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OnReadOnlyMiss;

    #[test]
    fn settings_are_keys_and_values() {
        let parse = |settings: &[&str]| {
            let settings: Vec<_> = settings.iter().map(|&s| s.to_owned()).collect();
            parse_settings(&settings)
        };
        assert_eq!(
            parse(&["visibility=public", "dependency_proxy_enabled=false"]).unwrap(),
            GroupSettings {
                visibility: Some(Visibility::Public),
                dependency_proxy_enabled: Some(false),
                ..GroupSettings::default()
            }
        );
        for (setting, default_upstream) in [
            ("default_upstream=quay.io", "quay.io"),
            ("default_upstream=", ""),
        ] {
            let expected = GroupSettings {
                on_read_only_miss: Some(OnReadOnlyMiss::Deny),
                default_upstream: Some(default_upstream.to_owned()),
                ..GroupSettings::default()
            };
            let got = parse(&["on_read_only_miss=deny", setting]).unwrap();
            assert_eq!(got, expected, "{setting}");
        }
        for (setting, quota) in [("quota=2KiB", 2048), ("quota=", 0)] {
            assert_eq!(parse(&[setting]).unwrap().quota, Some(quota), "{setting}");
        }
        for (setting, part) in [
            ("visibility", "KEY=VALUE"),
            ("visibility=secret", "private or public"),
            ("dependency_proxy_enabled=yes", "true or false"),
            ("visiblity=public", "did you mean `visibility`?"),
            ("on_read_only_miss=no", "pass_through or deny"),
            ("default_upstream=quay", "the name of an upstream"),
            ("quota=5%", "a size such as 50GiB"),
            ("quota=0", "a size such as 50GiB"),
        ] {
            let error = parse(&[setting]).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(error.to_string().contains(part), "{setting}: {error}");
        }
    }
}
