//! Webhooks: rows of `webhooks`. Secrets come here sealed, and stay so. What waits to be delivered is in
//! `audit.sqlite`.

use rusqlite::{Connection, Row, params};

use super::groups::group_place;
use super::{AccessDb, GroupId, WebhookId, no_such};
use crate::error::{Error, Kind, Result};
use crate::store::audit::{Actor, Detail, Event, EventKind};
use crate::store::notices::NoticeKind;
use crate::store::statement::{decoded, find, get, list, run, unknown_word};
use crate::time::Timestamp;

/// So many the box may have, and each top-level group with all groups below it: owners make as many of those as they like.
const MOST: i64 = 20;

/// A webhook. `Debug` is missing, as it holds what may be tried for a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    pub id: WebhookId,
    pub created_at: Timestamp,
    pub webhook: NewWebhook,
}

/// A webhook to be added.
#[derive(Clone, PartialEq, Eq)]
pub struct NewWebhook {
    /// What its queue is called; random.
    pub uid: String,
    /// Whose events it hears, with those of the groups below; `None`: of the whole box.
    pub group: Option<GroupId>,
    pub url: String,
    /// Empty: all.
    pub events: Vec<NoticeKind>,
    pub enabled: bool,
    /// Whether it may resolve to loopback, link-local or private addresses.
    pub allow_private: bool,
    /// Sealed by `auth::seal`.
    pub secret: Vec<u8>,
    /// The one before it, sealed too, and until when events are signed with both.
    pub old_secret: Option<(Vec<u8>, Timestamp)>,
}

/// What to change of a webhook; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct WebhookChanges {
    pub url: Option<String>,
    pub events: Option<Vec<NoticeKind>>,
    pub enabled: Option<bool>,
    pub allow_private: Option<bool>,
    /// The url, and whether it may be private, that this was decided for.
    pub expected: Option<(String, bool)>,
    /// Why it was switched off, where nobody asked for it.
    pub why: Option<&'static str>,
}

impl AccessDb {
    /// `Conflict` where the top-level group, or the box, has as many as it may; `NotFound` if the group is gone.
    pub fn add_webhook(&self, actor: &Actor, new: &NewWebhook) -> Result<Webhook> {
        let created_at = Timestamp::now();
        self.database.change(actor, |connection| {
            refuse_more(connection, new.group)?;
            let id = get(
                connection,
                "add webhook",
                "INSERT INTO webhooks (uid, group_id, url, events, enabled, allow_private, secret_sealed, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id",
                params![
                    new.uid,
                    new.group,
                    new.url,
                    stored(&new.events),
                    new.enabled,
                    new.allow_private,
                    new.secret,
                    created_at,
                ],
                |row| row.get(0),
            )?;
            let webhook = Webhook {
                id,
                created_at,
                webhook: new.clone(),
            };
            let event = event(connection, EventKind::WebhookAdded, &webhook)?;
            Ok((webhook, Some(event)))
        })
    }

    /// Changes it, and gives what it is then.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it leads elsewhere by now than `expected`.
    pub fn set_webhook(
        &self,
        actor: &Actor,
        id: WebhookId,
        changes: &WebhookChanges,
    ) -> Result<Webhook> {
        self.database.change(actor, |connection| {
            let before = find_by_id(connection, id)?.ok_or_else(|| no_such("webhook", id.0))?;
            let is_expected = |(url, allow_private): &(String, bool)| {
                *url == before.webhook.url && *allow_private == before.webhook.allow_private
            };
            if !changes.expected.as_ref().is_none_or(is_expected) {
                let what = "somebody else has changed the url of the webhook meanwhile";
                return Err(Error::new(Kind::Conflict, what).remedy("look at it, and try again"));
            }
            let mut after = before.clone();
            let webhook = &mut after.webhook;
            if let Some(url) = &changes.url {
                webhook.url = url.clone();
            }
            if let Some(events) = &changes.events {
                webhook.events = events.clone();
            }
            webhook.enabled = changes.enabled.unwrap_or(webhook.enabled);
            webhook.allow_private = changes.allow_private.unwrap_or(webhook.allow_private);
            if after == before {
                return Ok((after, None));
            }
            run(
                connection,
                "change webhook",
                "UPDATE webhooks SET url = ?2, events = ?3, enabled = ?4, allow_private = ?5 WHERE id = ?1",
                params![
                    id,
                    after.webhook.url,
                    stored(&after.webhook.events),
                    after.webhook.enabled,
                    after.webhook.allow_private,
                ],
            )?;
            let event = event(connection, EventKind::WebhookChanged, &after)?;
            let event = event.detail_if("why", changes.why);
            Ok((after, Some(event)))
        })
    }

    /// Gives it this sealed secret; events are signed with the one that it had, too, until `old_until`.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn rotate_webhook(
        &self,
        actor: &Actor,
        id: WebhookId,
        secret: &[u8],
        old_until: Option<Timestamp>,
    ) -> Result<Webhook> {
        self.database.change(actor, |connection| {
            let mut webhook = find_by_id(connection, id)?.ok_or_else(|| no_such("webhook", id.0))?;
            let old = std::mem::replace(&mut webhook.webhook.secret, secret.to_vec());
            webhook.webhook.old_secret = old_until.map(|until| (old, until));
            let old = webhook.webhook.old_secret.as_ref();
            run(
                connection,
                "rotate the secret of a webhook",
                "UPDATE webhooks SET secret_sealed = ?2, old_secret_sealed = ?3, old_until = ?4 WHERE id = ?1",
                params![id, secret, old.map(|(sealed, _)| sealed), old_until],
            )?;
            let event = event(connection, EventKind::WebhookRotated, &webhook)?;
            let event = event.detail_if("old_until", old_until);
            Ok((webhook, Some(event)))
        })
    }

    /// # Errors
    /// `NotFound`.
    pub fn remove_webhook(&self, actor: &Actor, id: WebhookId) -> Result<()> {
        self.database.change(actor, |connection| {
            let webhook = find_by_id(connection, id)?.ok_or_else(|| no_such("webhook", id.0))?;
            let text = "DELETE FROM webhooks WHERE id = ?1";
            run(connection, "remove webhook", text, [id])?;
            let event = event(connection, EventKind::WebhookRemoved, &webhook)?;
            Ok(((), Some(event)))
        })
    }

    /// All, by id.
    pub fn webhooks(&self) -> Result<Vec<Webhook>> {
        self.database.scan(|connection| {
            let text = select("ORDER BY id");
            list(connection, "list webhooks", &text, [], webhook)
        })
    }

    /// A group's own, by id.
    pub fn webhooks_of(&self, group: GroupId) -> Result<Vec<Webhook>> {
        self.database.read(|connection| {
            let text = select("WHERE group_id = ?1 ORDER BY id");
            list(
                connection,
                "list webhooks of a group",
                &text,
                [group],
                webhook,
            )
        })
    }

    pub fn webhook(&self, id: WebhookId) -> Result<Option<Webhook>> {
        self.database.read(|connection| find_by_id(connection, id))
    }
}

fn refuse_more(connection: &Connection, group: Option<GroupId>) -> Result<()> {
    let (text, whose) = match group {
        None => (
            "SELECT count(*) FROM webhooks WHERE group_id IS ?1",
            "the box",
        ),
        Some(_) => (
            "SELECT count(*) FROM group_ancestors JOIN webhooks USING (group_id)
             WHERE ancestor_id = (SELECT ancestor_id FROM group_ancestors
                 WHERE group_id = ?1 ORDER BY distance DESC LIMIT 1)",
            "the top-level group, with those below it,",
        ),
    };
    let has: i64 = get(connection, "count webhooks", text, [group], |row| {
        row.get(0)
    })?;
    if has < MOST {
        return Ok(());
    }
    let what = format!("{whose} has {MOST} webhooks already, and no more may be");
    Err(Error::new(Kind::Conflict, what).remedy("remove one first"))
}

fn find_by_id(connection: &Connection, id: WebhookId) -> Result<Option<Webhook>> {
    let text = select("WHERE id = ?1");
    find(connection, "find webhook", &text, [id], webhook)
}

/// The audit is told where it sends to, without the path, which is a secret with some receivers.
fn event(connection: &Connection, kind: EventKind, webhook: &Webhook) -> Result<Event> {
    let Webhook { id, webhook, .. } = webhook;
    let events: Vec<_> = webhook
        .events
        .iter()
        .map(|kind| <&str>::from(kind).to_owned())
        .collect();
    Ok(Event::new(kind)
        .subject("webhook", webhook.origin(), Some(id.0))
        .place(group_place(connection, webhook.group)?)
        .detail("events", Detail::names(&events))
        .detail("enabled", webhook.enabled)
        .detail("allow_private_addresses", webhook.allow_private))
}

impl NewWebhook {
    /// `https://HOST:PORT`: what may stand in logs and the audit.
    pub fn origin(&self) -> &str {
        let host = self.url.find("://").map_or(0, |at| at.saturating_add(3));
        let rest = self.url.get(host..).unwrap_or_default();
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        self.url.get(..host.saturating_add(end)).unwrap_or_default()
    }
}

fn stored(events: &[NoticeKind]) -> String {
    let words: Vec<&str> = events.iter().map(Into::into).collect();
    words.join(" ")
}

fn select(which: &str) -> String {
    format!(
        "SELECT id, uid, group_id, url, events, enabled, allow_private, secret_sealed, created_at,
             old_secret_sealed, old_until
         FROM webhooks {which}"
    )
}

fn webhook(row: &Row<'_>) -> rusqlite::Result<Webhook> {
    let events = decoded(row, 4, |text| {
        let words = text.split_ascii_whitespace();
        let kind = |word: &str| word.parse().map_err(|_| unknown_word("events", word));
        words.map(kind).collect::<Result<Vec<NoticeKind>>>()
    })?;
    let (old, until): (Option<Vec<u8>>, Option<Timestamp>) = (row.get(9)?, row.get(10)?);
    Ok(Webhook {
        id: row.get(0)?,
        created_at: row.get(8)?,
        webhook: NewWebhook {
            uid: row.get(1)?,
            group: row.get(2)?,
            url: row.get(3)?,
            events,
            enabled: row.get(5)?,
            allow_private: row.get(6)?,
            secret: row.get(7)?,
            old_secret: old.zip(until),
        },
    })
}
