//! Another secret for a webhook, while its receiver still believes the one before.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NamedWebhook, WebhookView, find, view};
use crate::admin::upstreams::sealing_keys;
use crate::admin::{Admin, Operation};
use crate::auth::seal::Owner;
use crate::error::{Error, Kind, Result, excerpt};
use crate::time::Timestamp;
use crate::webhooks;

const GRACE: Duration = Duration::from_secs(24 * 60 * 60);
const LONGEST_GRACE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Give a webhook another secret, which is shown once; for a time events are signed with both
#[derive(Debug, Serialize, Deserialize, JsonSchema, clap::Args)]
#[command(after_help = "\
Examples:
  breakwater webhook rotate 3
  breakwater webhook rotate 3 --grace 7d
  breakwater webhook rotate 3 --grace 0s")]
pub struct RotateWebhook {
    #[command(flatten)]
    #[serde(flatten)]
    #[schemars(skip)]
    pub webhook: NamedWebhook,
    /// How long events are signed with the old secret too: 24h if not given, up to 30d; 0s where it has leaked
    #[arg(long, value_name = "TIME")]
    pub grace: Option<String>,
}

impl Operation for RotateWebhook {
    const NAME: &'static str = "webhooks.rotate";
    type View = WebhookView;

    fn perform(self, admin: &Admin<'_>) -> Result<WebhookView> {
        let row = find(admin, &self.webhook)?;
        let grace = self.grace.as_deref().map_or(Ok(GRACE), grace)?;
        // A secret that cannot be opened signs nothing: another one mends it. The one before it does not matter.
        let signs_on = !grace.is_zero() && webhooks::open(admin.store, &row.webhook).is_ok();
        let old_until = signs_on.then(|| Timestamp::now().plus(grace));
        let secret = webhooks::new_secret()?;
        let owner = Owner::webhook(&row.webhook.uid);
        let sealed = sealing_keys(admin.store)?.seal(&owner, &secret)?;
        let access = &admin.store.access;
        let rotated = access.rotate_webhook(&admin.actor, row.id, &sealed, old_until)?;
        Ok(WebhookView {
            secret: Some(secret),
            ..view(admin, rotated)?
        })
    }
}

/// An empty one is how forms leave a field out.
fn grace(text: &str) -> Result<Duration> {
    if text.is_empty() {
        return Ok(GRACE);
    }
    let time = humantime::parse_duration(text).ok();
    time.filter(|time| *time <= LONGEST_GRACE).ok_or_else(|| {
        let what = format!("`{}` is no time of grace", excerpt(text));
        let wrong = Error::new(Kind::Usage, what).about("grace");
        wrong.remedy("write a time such as 24h or 7d, up to 30d; or 0s, and the old secret is out of use at once")
    })
}
