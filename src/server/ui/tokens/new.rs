//! The forms that make tokens.

use std::time::Duration;

use maud::{Markup, html};

use crate::server::ui::parts::{self, Field};
use crate::server::ui::places::LEVELS;
use crate::server::ui::visit::Visit;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Personal,
    Deploy,
    Access,
    Job,
}

/// What each scope lets a client do; the last two are not for deploy tokens.
const SCOPES: [(&str, &str); 6] = [
    (
        "read_registry",
        "Pulls images of projects, and reads the dependency proxy: what is cached, and what is not cached is passed through or refused, as the group says.",
    ),
    (
        "write_registry",
        "Pushes images to projects, and fills the dependency proxy: what it pulls is kept for everybody. Includes reading the dependency proxy.",
    ),
    (
        "read_virtual_registry",
        "Reads the dependency proxy alone. No images of projects.",
    ),
    (
        "write_virtual_registry",
        "Reads and fills the dependency proxy alone. No images of projects.",
    ),
    (
        "read_api",
        "Reads the REST API and this page, and pulls images of projects. Alone it is not enough for docker login.",
    ),
    (
        "api",
        "Everything that whom it speaks for may do: all of the above, deleting images, and changing settings over REST and on this page.",
    ),
];

const FOR_REGISTRIES: usize = 4;

impl Kind {
    /// In the page's query.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Deploy => "deploy",
            Self::Access => "access",
            Self::Job => "job",
        }
    }

    /// Below the path of a group or project.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Personal => "/personal_access_tokens",
            Self::Deploy => "/deploy_tokens",
            Self::Access => "/access_tokens",
            Self::Job => "/job_tokens",
        }
    }

    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Personal => "personal token",
            Self::Deploy => "deploy token",
            Self::Access => "access token",
            Self::Job => "job token",
        }
    }

    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Personal => "Personal tokens",
            Self::Deploy => "Deploy tokens",
            Self::Access => "Access tokens",
            Self::Job => "Job tokens",
        }
    }

    /// What one of a group or project (`noun`) is for.
    pub(super) fn meaning(self, noun: &str) -> String {
        match (self, noun) {
            (Self::Deploy, "group") => "a deploy token is for machines that pull or push: it belongs to the group, not to a person, logs in with a user name of its own, and reaches the dependency proxy and the projects of this group and those below it.".to_owned(),
            (Self::Deploy, _) => "a deploy token is for machines that pull or push: it belongs to the project, not to a person, logs in with a user name of its own, and reaches the images of this project. It reaches no dependency proxy: a deploy token of the group does.".to_owned(),
            (Self::Job, _) => "a job token is for one job of a CI system: it logs in as gitlab-ci-token, does what the user it speaks for may do, pushes in this project alone, and ends by itself.".to_owned(),
            (Self::Access | Self::Personal, noun) => format!("an access token is like a member of the {noun} without a person behind it: it has a level, logs in with any user name, and can use the REST API if its scopes allow it."),
        }
    }

    fn scopes(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Deploy => SCOPES.get(..FOR_REGISTRIES).unwrap_or_default(),
            _ => &SCOPES,
        }
    }
}

/// The day that is a year from now.
pub(super) fn in_a_year(visit: &Visit<'_, '_>) -> String {
    let at = visit.call.now.plus(Duration::from_secs(365 * 86_400));
    at.to_string().chars().take(10).collect()
}

/// When a token ends: a day, or never.
pub(super) fn expiry(visit: &Visit<'_, '_>, form: &str) -> Markup {
    let day = in_a_year(visit);
    let ends = Field::of(form, "expires_at", "Ends on")
        .help("From the first moment of that day on, in UTC, it is refused.")
        .value(&day);
    let is_never = visit.ticked(form, "expires_at", "never") == Some(true);
    let filled = visit.filled(form, "expires_at");
    let typed = filled.filter(|day| *day != "never").unwrap_or(&day);
    html! {
        (ends.input_of("date", typed))
        label.tick {
            input type="checkbox" name="expires_at" value="never" checked[is_never];
            " It never ends"
            small { "Whoever finds its secret can use it until somebody revokes it." }
        }
    }
}

pub(super) fn form(visit: &Visit<'_, '_>, kind: Kind, path: &str, title: &str) -> Markup {
    const FORM: &str = "new-token";
    let name = Field::of(FORM, "name", "Name")
        .help("What it is called in this list, such as the machine or job that uses it.")
        .required();
    let scopes = Field::of(FORM, "scopes", "What it may do").help("A build farm takes read_registry and write_registry. A machine that only pulls takes read_registry.").value("read_registry").required();
    let fields = html! {
        (name.input(visit, "text"))
        @match kind {
            Kind::Job => {
                (Field::of(FORM, "ttl", "Ends after").help("1s to 30d, such as 90m.").value("1h").input(visit, "text"))
            }
            _ => {
                @if kind == Kind::Deploy {
                    (Field::of(FORM, "username", "User name to log in with").help("Leave it empty for gitlab+deploy-token- and its number.").input(visit, "text"))
                }
                (scopes.ticks(visit, kind.scopes()))
                @if kind == Kind::Access {
                    (Field::of(FORM, "access_level", "Level").help("As for a member, and at most your own.").value("30").select(visit, &LEVELS))
                }
                (expiry(visit, FORM))
            }
        }
        button type="submit" { "Make the token" }
    };
    html! {
        h2 { (title) }
        (parts::form(visit, FORM, ("POST", path), "The token was made.", &fields))
    }
}
