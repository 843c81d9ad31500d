//! Webhooks whose receivers take nothing.

use std::time::Duration;

use super::{Finding, Severity};
use crate::error::Result;
use crate::store::{Store, Webhook};
use crate::time::Timestamp;

/// A receiver that is restarted is back sooner.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

pub(super) fn find(store: &Store, now: Timestamp) -> Result<Vec<Finding>> {
    let webhooks = store.access.webhooks()?;
    if webhooks.is_empty() {
        return Ok(Vec::new());
    }
    let receivers = store.audit.receivers()?;
    let failing = webhooks.iter().filter_map(|row: &Webhook| {
        let webhook = &row.webhook;
        let receiver = receivers.iter().find(|one| one.uid == webhook.uid)?;
        let since = receiver.failing_since.filter(|_| webhook.enabled)?;
        let why = receiver.last_error.as_deref().unwrap_or("no answer");
        (now.since(since) >= PATIENCE).then(|| {
            let (id, origin, queued) = (row.id.0, webhook.origin(), receiver.queued);
            Finding::new(
                Severity::Warning,
                "webhook_undelivered",
                format!(
                    "webhook {id} has not been delivered since {since}: the receiver at {origin}: {why}; {queued} events wait"
                ),
                format!(
                    "see `breakwater webhook test {id}`, and mend the receiver, or remove the webhook"
                ),
            )
        })
    });
    Ok(failing.collect())
}
