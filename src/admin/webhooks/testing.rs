//! Tests of webhooks: one post, now, with the answer told.

use std::time::Instant;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NamedWebhook, find};
use crate::admin::{Admin, Operation};
use crate::error::{Error, Kind, Result};
use crate::store::{GroupId, Notice, Told, Webhook};
use crate::time::Timestamp;
use crate::upstream::{PATIENCE, Poster};
use crate::webhooks;

/// Post the event `ping` now, and tell what came back; exit status 1 if it was not taken
#[derive(Debug, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(after_help = "Example:\n  breakwater webhook test 3")]
pub struct TestWebhook {
    #[command(flatten)]
    #[serde(flatten)]
    #[schemars(skip)]
    pub webhook: NamedWebhook,
}

/// What came of a test.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestedWebhook {
    /// Whether the receiver took it
    pub ok: bool,
    /// What it answered, or why it did not
    pub message: String,
    pub milliseconds: u64,
}

impl Operation for TestWebhook {
    const NAME: &'static str = "webhooks.test";
    type View = TestedWebhook;

    fn perform(self, admin: &Admin<'_>) -> Result<TestedWebhook> {
        let webhook = find(admin, &self.webhook)?;
        admin.refuse_offline("nothing is posted")?;
        let _testing = Testing::begin(owner(admin, &webhook)?)?;
        let key = webhooks::open(admin.store, &webhook.webhook)?;
        let ping = Told {
            notice: Notice::Ping {
                webhook_id: webhook.id.0,
            },
            group: None,
            at: Timestamp::now(),
        };
        let (body, message) = (webhooks::body(&ping, None), webhooks::new_message()?);
        let begun = Instant::now();
        let poster = Poster::new()?;
        let answer = webhooks::send(&poster, &webhook.webhook, &key, &message, &body);
        let (ok, message) = match answer {
            Ok(status @ 200..=299) => (true, format!("the receiver answered {status}")),
            Ok(status) => (false, format!("the receiver answered {status}")),
            Err(why) => {
                let receiver = webhook.webhook.origin();
                tracing::info!(
                    webhook = webhook.id.0,
                    "a test was not delivered: the receiver at {receiver}: {}",
                    why.logged_why()
                );
                let why = webhooks::said(&webhook.webhook, &why);
                (false, format!("the receiver at {receiver}: {why}"))
            }
        };
        if ok {
            admin.store.audit.notices.note_ready(&webhook.webhook.uid);
        }
        Ok(TestedWebhook {
            ok,
            message,
            milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// Whose tests are on their way: each may hold a worker for as long as its receiver likes to be silent.
static TESTING: Mutex<Vec<Option<GroupId>>> = Mutex::new(Vec::new());
/// Of one top-level group, or the box: only four of them together take the tests of all others, for as long as their
/// receivers are waited for.
const MOST_TESTING: usize = 4;
const MOST_TESTING_IN_ALL: usize = 16;

struct Testing(Option<GroupId>);

impl Testing {
    fn begin(owner: Option<GroupId>) -> Result<Self> {
        let mut testing = TESTING.lock();
        let own = testing.iter().filter(|one| **one == owner).count();
        if own < MOST_TESTING && testing.len() < MOST_TESTING_IN_ALL {
            testing.push(owner);
            return Ok(Self(owner));
        }
        let count = match own < MOST_TESTING {
            true => MOST_TESTING_IN_ALL,
            false => MOST_TESTING,
        };
        let what = format!("{count} webhooks are being tested at this moment");
        let retry_after = PATIENCE;
        Err(Error::new(Kind::Unavailable { retry_after }, what).remedy("try again"))
    }
}

impl Drop for Testing {
    fn drop(&mut self) {
        let mut testing = TESTING.lock();
        if let Some(at) = testing.iter().position(|one| *one == self.0) {
            testing.swap_remove(at);
        }
    }
}

/// The top-level group whose webhook it is; `None`: the box's.
fn owner(admin: &Admin<'_>, row: &Webhook) -> Result<Option<GroupId>> {
    let group = row.webhook.group;
    let lineage = group.map(|group| admin.store.access.lineage(group));
    Ok(lineage.transpose()?.unwrap_or_default().last().copied())
}
