//! `breakwater upstream set`.

use std::path::Path;

use clap::Args;

use super::{parse_limit, read_ca, warn};
use crate::admin::SetUpstream;
use crate::cli::output::{hint, tell};
use crate::cli::password::read_password;
use crate::cli::workplace::Workplace;
use crate::error::{Error, Kind, Result, excerpt, nearest};

/// What `upstream set` takes.
const KEYS: [&str; 6] = [
    "url",
    "username",
    "auth_realm",
    "ca",
    "allow_private_addresses",
    "max_size",
];

const OTHER_CONTENT: &str = "what was kept of it under another url, login or ca is not served any more, and is fetched again";

#[derive(Debug, Args)]
pub(super) struct Set {
    /// As it was added
    name: String,
    /// What to change
    #[arg(required_unless_present = "password_stdin", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Read its password from the first line of standard input; it is stored encrypted
    #[arg(long)]
    password_stdin: bool,
    /// The group's instead of the box's
    #[arg(long, value_name = "PATH")]
    group: Option<String>,
    /// Do not ask it whether it can be used so
    #[arg(long)]
    no_probe: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Set {
    pub(super) fn run(self, place: &Workplace) -> Result<()> {
        let mut request = parse_settings(&self.settings)?;
        if self.password_stdin {
            request.password = Some(read_password()?);
        }
        request.name = self.name;
        request.group = self.group.map(Into::into);
        request.probe = Some(!self.no_probe);
        let is_other_content = request.url.is_some()
            || request.username.is_some()
            || request.password.is_some()
            || request.ca.is_some();
        let changed = place.perform(request)?;
        let line = format!("changed upstream {}", changed.name);
        tell(&changed, self.json, &line)?;
        if is_other_content {
            hint(OTHER_CONTENT);
        }
        warn(changed.tested.as_ref());
        Ok(())
    }
}

/// What `upstream set` was asked to change.
fn parse_settings(settings: &[String]) -> Result<SetUpstream> {
    let wrong = |what: String, remedy: String| Error::new(Kind::Usage, what).remedy(remedy);
    let mut changes = SetUpstream::default();
    for setting in settings {
        let Some((key, value)) = setting.split_once('=') else {
            let what = format!("`{}` is no setting", excerpt(setting));
            let remedy = "write KEY=VALUE, such as url=https://quay.io";
            return Err(wrong(what, remedy.to_owned()));
        };
        let text = Some(value.to_owned());
        match key {
            "url" => changes.url = text,
            "username" => changes.username = text,
            "auth_realm" => changes.auth_realm = text,
            "ca" if value.is_empty() => changes.ca = text,
            "ca" => changes.ca = Some(read_ca(Path::new(value))?),
            "allow_private_addresses" => {
                changes.allow_private_addresses = Some(value.parse().map_err(|_| {
                    let what = format!("`{}` is no value of `{key}`", excerpt(value));
                    wrong(what, "use true or false".to_owned())
                })?);
            }
            "max_size" if value.is_empty() => changes.max_size = Some(0),
            "max_size" => changes.max_size = Some(parse_limit(value)?),
            "password" => {
                let what = "a password on the command line is seen by every user of this machine";
                let remedy = "give it on standard input, with --password-stdin";
                return Err(wrong(what.to_owned(), remedy.to_owned()));
            }
            unknown => {
                let what = format!("an upstream has no setting `{}`", excerpt(unknown));
                let remedy = format!("did you mean `{}`?", nearest(unknown, KEYS));
                return Err(wrong(what, remedy));
            }
        }
    }
    Ok(changes)
}
