//! `breakwater group`: groups, which nest by path.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Outcome;
use super::output::{Table, print, print_json, yes};
use super::removal::tell_images;
use super::words::{QUOTA_VALUES, Visibility, nearest, parse_quota, visibility_word};
use super::workplace::{Workplace, find_group};
use crate::auth::administration::{names, places};
use crate::error::{Error, Kind, Result};
use crate::oci::RegistryHost;
use crate::store::{self, GroupChanges, Store};

/// What `group set` can set.
const KEYS: [&str; 5] = [
    "visibility",
    "dependency_proxy_enabled",
    "on_read_only_miss",
    "default_upstream",
    "quota",
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
        #[arg(long, value_enum, default_value = "private")]
        visibility: Visibility,
    },
    /// List all groups
    #[command(after_help = "Example:\n  breakwater group list --json")]
    List {
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
    },
    /// Remove a group with everything below it
    #[command(after_help = "\
Examples:
  breakwater group remove acme/backend --dry-run
  breakwater group remove acme/backend")]
    Remove {
        /// The group
        path: String,
        /// Remove nothing, only show what would go
        #[arg(long)]
        dry_run: bool,
    },
}

impl Group {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        let mirror = place.mirror();
        match self.action {
            Action::Add { path, visibility } => {
                names::check_group_path(&path, mirror.group)?;
                let store = place.open_store()?;
                places::check_new_group(&store, mirror, &path)?;
                store
                    .access
                    .create_group(&place.actor, &path, visibility.into())?;
                print(&format!("added group {path}"))?;
            }
            Action::List { json } => list(&place.open_store()?, json)?,
            Action::Set { path, settings } => {
                let changes = parse_changes(&settings)?;
                let store = place.open_store()?;
                let group = find_group(&store, &path)?;
                if let Some(Some(host)) = &changes.default_upstream {
                    let configured = place.config.upstreams.iter().any(|one| one.name == *host);
                    places::check_default_upstream(&store, configured, &group, host)?;
                }
                store.access.set_group(&place.actor, group.id, &changes)?;
                print(&format!("changed group {path}"))?;
            }
            Action::Remove { path, dry_run } => {
                places::check_group_removal(mirror, &path)?;
                let store = place.open_store()?;
                let group = find_group(&store, &path)?;
                let mut projects = store.access.projects()?;
                projects.retain(|project| {
                    let below = project.path.strip_prefix(&path);
                    below.is_some_and(|rest| rest.starts_with('/'))
                });
                tell_images(&store, &projects)?;
                if dry_run {
                    print(&format!("would remove group {path}, with what is below it"))?;
                    return Ok(Outcome::Done);
                }
                store.access.remove_group(&place.actor, group.id)?;
                print(&format!("removed group {path}, with what was below it"))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn list(store: &Store, json: bool) -> Result<()> {
    let groups = store.access.groups()?;
    if json {
        return print_json(&groups.iter().map(shape).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["ID", "PATH", "VISIBILITY", "DEPENDENCY PROXY", "CREATED"]);
    for group in groups {
        table.row([
            group.id.0.to_string(),
            group.path,
            visibility_word(group.visibility).to_owned(),
            yes(group.dependency_proxy_enabled),
            group.created_at.to_string(),
        ]);
    }
    table.print()
}

/// The field names of `/api/v4/groups`.
fn shape(group: &store::Group) -> Value {
    let last = group.path.rsplit('/').next().unwrap_or_default();
    json!({
        "id": group.id,
        "name": last,
        "path": last,
        "full_path": group.path,
        "parent_id": group.parent,
        "visibility": visibility_word(group.visibility),
        "dependency_proxy_enabled": group.dependency_proxy_enabled,
        "on_read_only_miss": group.on_read_only_miss,
        "default_upstream": group.default_upstream,
        "quota": group.quota,
        "created_at": group.created_at.to_string(),
    })
}

/// What `group set` was asked to change.
fn parse_changes(settings: &[String]) -> Result<GroupChanges> {
    let wrong = |what: String, remedy: String| Error::new(Kind::Usage, what).remedy(remedy);
    let mut changes = GroupChanges::default();
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
                changes.visibility = Some(match value {
                    "private" => store::Visibility::Private,
                    "public" => store::Visibility::Public,
                    _ => return Err(bad_value("private or public")),
                });
            }
            "dependency_proxy_enabled" => {
                changes.dependency_proxy_enabled = Some(match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err(bad_value("true or false")),
                });
            }
            "on_read_only_miss" => {
                changes.on_read_only_miss = Some(match value {
                    "pass_through" => store::OnReadOnlyMiss::PassThrough,
                    "deny" => store::OnReadOnlyMiss::Deny,
                    _ => return Err(bad_value("pass_through or deny")),
                });
            }
            "default_upstream" => {
                let host = (!value.is_empty()).then(|| RegistryHost::parse(value));
                let host = host
                    .transpose()
                    .map_err(|_| bad_value("the name of an upstream, such as quay.io"))?;
                changes.default_upstream = Some(host);
            }
            "quota" => {
                changes.quota = Some(parse_quota(value).ok_or_else(|| bad_value(QUOTA_VALUES))?);
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

    #[test]
    fn settings_are_keys_and_values() {
        let parse = |settings: &[&str]| {
            let settings: Vec<_> = settings.iter().map(|&s| s.to_owned()).collect();
            parse_changes(&settings)
        };
        assert_eq!(
            parse(&["visibility=public", "dependency_proxy_enabled=false"]).unwrap(),
            GroupChanges {
                visibility: Some(store::Visibility::Public),
                dependency_proxy_enabled: Some(false),
                ..GroupChanges::default()
            }
        );
        let quay = RegistryHost::parse("quay.io").unwrap();
        for (setting, default_upstream) in [
            ("default_upstream=quay.io", Some(Some(quay))),
            ("default_upstream=", Some(None)),
        ] {
            let expected = GroupChanges {
                on_read_only_miss: Some(store::OnReadOnlyMiss::Deny),
                default_upstream,
                ..GroupChanges::default()
            };
            let got = parse(&["on_read_only_miss=deny", setting]).unwrap();
            assert_eq!(got, expected, "{setting}");
        }
        for (setting, quota) in [("quota=2KiB", Some(2048)), ("quota=", None)] {
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
