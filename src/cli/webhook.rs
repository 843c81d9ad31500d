//! `breakwater webhook`: receivers that are told what happens here.

use clap::{Args, Subcommand};

use super::Outcome;
use super::output::{Table, hint, print_json, shown_time, tell, tell_done};
use super::shown::Shown;
use super::workplace::Workplace;
use crate::admin::{
    AddWebhook, ListWebhooks, RemoveWebhook, RotateWebhook, SetWebhook, TestWebhook, WebhookView,
};
use crate::error::Result;

/// Tell receivers what happens here: fills, pushes, refusals, an upstream that is away
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  breakwater webhook add https://hooks.example.com/breakwater")]
pub(super) struct Webhook {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Add(Shown<AddWebhook>),
    /// List all webhooks, with how their receivers are
    #[command(after_help = "Example:\n  breakwater webhook list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Set(Shown<SetWebhook>),
    Rotate(Shown<RotateWebhook>),
    Remove(Shown<RemoveWebhook>),
    Test(Shown<TestWebhook>),
}

impl Webhook {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.action {
            Action::Add(Shown { request, json }) => {
                let added = place.perform(request)?;
                let secret = added.secret.as_deref().unwrap_or_default();
                tell(&added, json, secret)?;
                hint(&format!(
                    "added webhook {}; this is its secret, which is not shown again",
                    added.id.0
                ));
            }
            Action::List { json } => list(place, json)?,
            Action::Set(Shown { request, json }) => {
                let changed = place.perform(request)?;
                let line = format!("changed webhook {}", changed.id.0);
                tell(&changed, json, &line)?;
            }
            Action::Rotate(Shown { request, json }) => {
                let rotated = place.perform(request)?;
                let secret = rotated.secret.as_deref().unwrap_or_default();
                tell(&rotated, json, secret)?;
                hint(&match rotated.old_secret_until {
                    Some(until) => format!(
                        "this is the new secret, which is not shown again; until {until} events are signed with the old one too"
                    ),
                    None => "this is the new secret, which is not shown again; the old one is out of use".to_owned(),
                });
            }
            Action::Remove(Shown { request, json }) => {
                let id = request.webhook.hook_id;
                place.perform(request)?;
                let line = format!("removed webhook {id}");
                tell_done("removed", id, json, &line)?;
            }
            Action::Test(Shown { request, json }) => {
                let tested = place.perform(request)?;
                let line = format!("{} (in {} ms)", tested.message, tested.milliseconds);
                tell(&tested, json, &line)?;
                if !tested.ok {
                    return Ok(Outcome::Bad);
                }
            }
        }
        Ok(Outcome::Done)
    }
}

fn list(place: &Workplace, json: bool) -> Result<()> {
    let webhooks = place.perform(ListWebhooks::default())?.entries;
    if json {
        return print_json(&webhooks);
    }
    let mut table = Table::new(&["ID", "URL", "FOR", "EVENTS", "QUEUED", "DELIVERED", "STATE"]);
    for webhook in webhooks {
        let state = state(&webhook);
        let events: Vec<&str> = webhook.events.iter().map(Into::into).collect();
        table.row([
            webhook.id.0.to_string(),
            webhook.url,
            webhook.group_path.unwrap_or_else(|| "(the box)".to_owned()),
            match events.is_empty() {
                true => "all".to_owned(),
                false => events.join(" "),
            },
            webhook.queued.to_string(),
            shown_time(webhook.last_delivered_at, "never"),
            state,
        ]);
    }
    table.print()
}

fn state(webhook: &WebhookView) -> String {
    match (webhook.enabled, &webhook.last_error) {
        (false, None) => "off".to_owned(),
        (false, Some(why)) => format!("off: {why}"),
        (true, Some(why)) => format!("failing: {why}"),
        (true, None) => "on".to_owned(),
    }
}
