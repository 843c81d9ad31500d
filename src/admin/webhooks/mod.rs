//! Webhooks: who is told what happens here. The box's hear of everything, a group's of the group and those below it.
//!
//! A receiver's address is judged as an upstream's of a group is: only an administrator may allow it to be private.

mod rotate;
mod testing;

use clap::builder::PossibleValuesParser;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::forbidden_because;
use super::upstreams::sealing_keys;
use super::{Admin, Named, Operation, refused};
use crate::auth::keys::random_hex;
use crate::auth::seal::Owner;
use crate::error::{Error, Kind, Result, excerpt, nearest};
use crate::store::{
    GroupId, NewWebhook, NoticeKind, Page, Webhook, WebhookChanges, WebhookId, Window,
};
use crate::time::Timestamp;
use crate::upstream::check_url;
use crate::webhooks;
pub use rotate::RotateWebhook;
pub use testing::{TestWebhook, TestedWebhook};

/// Tell a receiver what happens here; its secret is shown once
#[derive(Debug, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(after_help = "\
Examples:
  breakwater webhook add https://hooks.example.com/breakwater
  breakwater webhook add https://hooks.example.com/acme --group acme --event image.pushed --event image.deleted")]
pub struct AddWebhook {
    /// Where events are posted to
    pub url: String,
    /// Only these events; all without it
    #[serde(default)]
    #[arg(long = "event", value_name = "EVENT", value_parser = PossibleValuesParser::new(words_to_choose()))]
    pub events: Vec<String>,
    /// Only what happens in this group and those below it
    #[schemars(skip)]
    #[arg(long, value_name = "PATH")]
    pub group: Option<Named<GroupId>>,
    /// Let it resolve to loopback, link-local and private addresses; for administrators
    #[serde(default)]
    #[arg(long)]
    pub allow_private: bool,
}

/// A webhook by its id; where a path names a group too, only if it is that group's.
#[derive(Debug, Default, Serialize, Deserialize, clap::Args)]
pub struct NamedWebhook {
    /// As the list shows it
    #[arg(value_name = "ID", value_parser = super::id)]
    pub hook_id: i64,
    #[arg(skip)]
    #[serde(default)]
    pub group: Option<Named<GroupId>>,
}

/// Change a webhook
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(after_help = "\
Examples:
  breakwater webhook set 3 --url https://hooks.example.com/other
  breakwater webhook set 3 --enabled true
  breakwater webhook set 3 --event scrub.damaged --event disk.short")]
pub struct SetWebhook {
    #[command(flatten)]
    #[serde(flatten)]
    #[schemars(skip)]
    pub webhook: NamedWebhook,
    /// Where events are posted to
    #[arg(long)]
    pub url: Option<String>,
    /// Only these events; one that is empty: all
    #[arg(long = "event", value_name = "EVENT")]
    pub events: Option<Vec<String>>,
    /// Whether it is told anything
    #[arg(long)]
    pub enabled: Option<bool>,
    /// Whether it may resolve to loopback, link-local and private addresses; for administrators
    #[arg(long)]
    pub allow_private: Option<bool>,
}

/// Remove a webhook, with what waits to be delivered to it
#[derive(Debug, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(after_help = "Example:\n  breakwater webhook remove 3")]
pub struct RemoveWebhook {
    #[command(flatten)]
    #[serde(flatten)]
    #[schemars(skip)]
    pub webhook: NamedWebhook,
}

/// One webhook
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetWebhook {
    #[serde(flatten)]
    #[schemars(skip)]
    pub webhook: NamedWebhook,
}

/// List webhooks: a group's, or all
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ListWebhooks {
    #[serde(default)]
    #[schemars(skip)]
    pub group: Option<Named<GroupId>>,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

/// A webhook as it is shown.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Webhook")]
#[serde(deny_unknown_fields)]
pub struct WebhookView {
    pub id: WebhookId,
    pub url: String,
    /// Null for the box's
    pub group_id: Option<GroupId>,
    pub group_path: Option<String>,
    /// Empty: all
    pub events: Vec<NoticeKind>,
    pub enabled: bool,
    pub allow_private: bool,
    pub created_at: Timestamp,
    /// Events that wait to be delivered
    pub queued: u64,
    /// Events that were dropped since the last delivery
    pub dropped: u64,
    pub last_delivered_at: Option<Timestamp>,
    /// Since when no try has succeeded; null where the last one did
    pub failing_since: Option<Timestamp>,
    pub last_error: Option<String>,
    /// Until when events are signed with the secret before this one, too; null where there is none
    pub old_secret_until: Option<Timestamp>,
    /// What its events are signed with; only where it was just made
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub secret: Option<String>,
}

impl Operation for AddWebhook {
    const NAME: &'static str = "webhooks.add";
    type View = WebhookView;

    fn perform(self, admin: &Admin<'_>) -> Result<WebhookView> {
        let group = self.group.map(|group| admin.group(&group)).transpose()?;
        may_allow(admin, self.allow_private)?;
        check_url(&self.url, self.allow_private).map_err(refused("url"))?;
        let uid = random_hex::<16>()?;
        let secret = webhooks::new_secret()?;
        let new = NewWebhook {
            group: group.map(|group| group.id),
            url: self.url,
            events: kinds(&self.events)?,
            enabled: true,
            allow_private: self.allow_private,
            secret: sealing_keys(admin.store)?.seal(&Owner::webhook(&uid), &secret)?,
            old_secret: None,
            uid,
        };
        let webhook = admin.store.access.add_webhook(&admin.actor, &new)?;
        admin.store.audit.notices.want(true);
        Ok(WebhookView {
            secret: Some(secret),
            ..view(admin, webhook)?
        })
    }
}

impl Operation for SetWebhook {
    const NAME: &'static str = "webhooks.set";
    type View = WebhookView;

    fn perform(self, admin: &Admin<'_>) -> Result<WebhookView> {
        let before = find(admin, &self.webhook)?;
        may_allow(admin, self.allow_private == Some(true))?;
        // What an administrator has allowed is the url that was there, not any other.
        let is_other = self
            .url
            .as_ref()
            .is_some_and(|url| *url != before.webhook.url);
        let allow_private = match self.allow_private {
            None if is_other && !admin.caller.is_administrator() => Some(false),
            allow => allow,
        };
        let allows = allow_private.unwrap_or(before.webhook.allow_private);
        let url = self.url.as_deref().unwrap_or(&before.webhook.url);
        check_url(url, allows).map_err(refused("url"))?;
        let changes = WebhookChanges {
            expected: Some((before.webhook.url.clone(), before.webhook.allow_private)),
            events: self.events.as_deref().map(kinds).transpose()?,
            url: self.url,
            enabled: self.enabled,
            allow_private,
            why: None,
        };
        let access = &admin.store.access;
        let webhook = access.set_webhook(&admin.actor, before.id, &changes)?;
        if webhook.webhook.enabled {
            admin.store.audit.notices.want(true);
        }
        view(admin, webhook)
    }
}

impl Operation for RemoveWebhook {
    const NAME: &'static str = "webhooks.remove";
    type View = ();

    fn perform(self, admin: &Admin<'_>) -> Result<()> {
        let webhook = find(admin, &self.webhook)?;
        let access = &admin.store.access;
        access.remove_webhook(&admin.actor, webhook.id)
    }
}

impl Operation for GetWebhook {
    const NAME: &'static str = "webhooks.get";
    type View = WebhookView;

    fn perform(self, admin: &Admin<'_>) -> Result<WebhookView> {
        let webhook = find(admin, &self.webhook)?;
        view(admin, webhook)
    }
}

impl Operation for ListWebhooks {
    const NAME: &'static str = "webhooks.list";
    type View = Page<WebhookView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<WebhookView>> {
        let group = self.group.map(|group| admin.group(&group)).transpose()?;
        let webhooks = match group {
            Some(group) => admin.store.access.webhooks_of(group.id)?,
            None => admin.store.access.webhooks()?,
        };
        Page::of(webhooks, self.window).try_map(|row| view(admin, row))
    }
}

fn find(admin: &Admin<'_>, named: &NamedWebhook) -> Result<Webhook> {
    let group = named.group.as_ref().map(|group| admin.group(group));
    let (id, group) = (named.hook_id, group.transpose()?);
    let found = admin.store.access.webhook(WebhookId(id))?;
    let is_there = |row: &Webhook| {
        let mut group = group.iter();
        group.all(|group| row.webhook.group == Some(group.id))
    };
    found.filter(is_there).ok_or_else(|| {
        let missing = Error::new(Kind::NotFound, format!("there is no webhook {id}"));
        missing
            .about("Hook")
            .remedy("see `breakwater webhook list`")
    })
}

fn may_allow(admin: &Admin<'_>, allows: bool) -> Result<()> {
    match !allows || admin.caller.is_administrator() {
        true => Ok(()),
        false => Err(forbidden_because(
            "only an administrator may allow private addresses",
        )),
    }
}

/// The events of these words. An empty one is how forms leave a field out.
fn kinds(words: &[String]) -> Result<Vec<NoticeKind>> {
    let mut kinds = Vec::new();
    for word in words.iter().filter(|word| !word.is_empty()) {
        let kind = word
            .parse()
            .ok()
            .filter(|kind: &NoticeKind| kind.is_to_be_chosen());
        let kind = kind.ok_or_else(|| {
            let nearest = nearest(word, words_to_choose());
            let what = format!("`{}` is no event", excerpt(word));
            let wrong = Error::new(Kind::Usage, what).about("events");
            wrong.remedy(format!("did you mean `{nearest}`?"))
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

fn view(admin: &Admin<'_>, row: Webhook) -> Result<WebhookView> {
    let webhook = row.webhook;
    let group = webhook.group.map(|id| admin.store.access.group(id));
    let receiver = admin.store.audit.receiver(&webhook.uid)?;
    let receiver = receiver.as_ref();
    let old_until = webhook.old_secret.map(|(_, until)| until);
    Ok(WebhookView {
        id: row.id,
        url: webhook.url,
        group_id: webhook.group,
        group_path: group.transpose()?.flatten().map(|group| group.path),
        events: webhook.events,
        enabled: webhook.enabled,
        allow_private: webhook.allow_private,
        created_at: row.created_at,
        queued: receiver.map_or(0, |receiver| receiver.queued),
        dropped: receiver.map_or(0, |receiver| receiver.dropped),
        last_delivered_at: receiver.and_then(|receiver| receiver.delivered_at),
        failing_since: receiver.and_then(|receiver| receiver.failing_since),
        last_error: receiver.and_then(|receiver| receiver.last_error.clone()),
        old_secret_until: old_until.filter(|until| Timestamp::now() < *until),
        secret: None,
    })
}

fn words_to_choose() -> impl Iterator<Item = &'static str> {
    let words = <NoticeKind as strum::VariantNames>::VARIANTS;
    let is_to_be_chosen = |word: &&str| word.parse().is_ok_and(NoticeKind::is_to_be_chosen);
    words.iter().copied().filter(is_to_be_chosen)
}
