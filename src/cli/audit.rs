//! `breakwater audit`: who changed what, who was let in and who was refused.

use clap::Args;
use serde_json::Value;

use super::Outcome;
use super::output::{Table, hint, print_json};
use super::when::parse_past;
use super::workplace::Workplace;
use crate::admin::{AuditEventView, ListEvents, id, parse_address};
use crate::error::Result;
use crate::store::{EventFilter, EventUser, PlaceFilter, RecordedEvent, TokenId};
use crate::time::Timestamp;

/// Show who changed what, who logged in and who was refused; the newest last
///
/// What is the same within a minute is one line with a count. Changes are there at once, logins and refusals
/// about a second later. Names are matched as they were at the time; where a later user, group or project has the name
/// of a former one, the ids in parentheses tell them apart. Events are kept for a year, up to 500,000 changes, as many
/// logins, and as many refusals.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater audit --since 24h
  breakwater audit --user alice --since 2027-01-31
  breakwater audit --event 'token.*' --address 10.1.2.3
  breakwater audit --token 7
  breakwater audit --group acme --limit 20 --json")]
pub(super) struct Audit {
    /// From this time on: 24h, 30d, a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// What this user did, with password or tokens, and what concerns it
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// What concerns this group or project, or one below it
    #[arg(long, value_name = "PATH")]
    group: Option<String>,
    /// Events of this kind, such as token.created, or of all that begin so: 'login.*'
    #[arg(long, value_name = "KIND")]
    event: Option<String>,
    /// What the token with this id did, and what was done to it
    #[arg(long, value_name = "ID", value_parser = id)]
    token: Option<i64>,
    /// What came from this address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// The newest so many
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print JSON, as the REST API answers: the newest first
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        let since = self.since.as_deref();
        let since = since.map(|text| parse_past("--since", text, Timestamp::now()));
        let filter = EventFilter {
            since: since.transpose()?,
            user: self.user.map(EventUser::Name),
            place: self.group.map(PlaceFilter::Path),
            kind: self.event,
            token: self.token.map(TokenId),
            address: self.address.as_deref().map(parse_address).transpose()?,
            // One more, to know whether there is more.
            limit: Some(self.limit.saturating_add(1)),
            ..EventFilter::default()
        };
        let mut events = place.perform(ListEvents { filter })?;
        let left_out = events.len().saturating_sub(self.limit as usize);
        if left_out > 0 {
            events.drain(..left_out);
            hint(&format!(
                "the newest {} are shown; there are older ones: see --since and --limit",
                self.limit
            ));
        }
        if self.json {
            // As the REST API: the newest first.
            let views = events.into_iter().rev().map(AuditEventView::from);
            print_json(&views.collect::<Vec<_>>())?;
        } else {
            table(&events)?;
        }
        Ok(Outcome::Done)
    }
}

fn table(events: &[RecordedEvent]) -> Result<()> {
    let mut table = Table::new(&["TIME", "EVENT", "WHO", "FROM", "WHAT", "DETAILS", "REQUEST"]);
    for event in events {
        let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            event.time.to_string(),
            event.kind.clone(),
            event.actor.clone(),
            word(&event.address),
            subject(event),
            details(event),
            word(&event.correlation_id),
        ]);
    }
    table.print()
}

/// `token laptop (7)`
fn subject(event: &RecordedEvent) -> String {
    let words = [event.subject_kind.as_deref(), event.subject_name.as_deref()];
    let words: Vec<_> = words.into_iter().flatten().collect();
    match (words.as_slice(), event.subject_id) {
        ([], _) => "-".to_owned(),
        (words, None) => words.join(" "),
        (words, Some(id)) => format!("{} ({id})", words.join(" ")),
    }
}

/// `group=acme access_level=30`, and how often where it was more than once.
fn details(event: &RecordedEvent) -> String {
    let mut words = Vec::new();
    if event.count > 1 {
        words.push(format!("{} times until {}", event.count, event.last_time));
    }
    let user = event.about_user_id.map(|id| id.0);
    let place = event.project_id.map(|id| ("project", id.0));
    let place = place.or(event.group_id.map(|id| ("group", id.0)));
    let place_noun = place.map_or("group", |(noun, _)| noun);
    for (key, name, id) in [
        ("user", &event.about_user, user),
        (place_noun, &event.group_path, place.map(|(_, id)| id)),
    ] {
        // Not what the line says anyway.
        if let Some(name) = name
            .as_ref()
            .filter(|&name| Some(name) != event.subject_name.as_ref())
        {
            words.push(match id {
                Some(id) => format!("{key}={name} ({id})"),
                None => format!("{key}={name}"),
            });
        }
    }
    for (key, value) in event.details.as_object().into_iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Array(values) => {
                let texts: Vec<_> = values.iter().filter_map(Value::as_str).collect();
                texts.join(",")
            }
            other => other.to_string(),
        };
        words.push(format!("{key}={value}"));
    }
    words.join(" ")
}
