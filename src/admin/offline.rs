//! Whether any connection may leave the box.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation};
use crate::error::{Error, Kind, Result};
use crate::store::{Event, EventKind};

/// Cuts the box off from its upstreams, or connects it again: from the next request on, and after a restart.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SwitchOffline {
    pub offline: bool,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Switched {
    /// Whether the audit tells of it: a full disk is no reason to leave the box connected.
    pub is_recorded: bool,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShowOffline {}

/// Whether it is offline, and by whose word.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfflineView {
    pub offline: bool,
    pub by_command: bool,
    /// As a server was started with it: a file that was changed since counts at its next start.
    pub by_configuration: bool,
}

impl Admin<'_> {
    /// Whether no connection may leave the box now.
    pub(super) fn is_offline(&self) -> Result<bool> {
        Ok(match self.server {
            Some(server) => server.is_offline(),
            None => self.config.offline || self.store.is_offline()?,
        })
    }

    /// Refuses what would have to connect to somebody; `so` says what does not happen.
    pub(super) fn refuse_offline(&self, so: &str) -> Result<()> {
        if !self.is_offline()? {
            return Ok(());
        }
        let what = format!("this box is offline on purpose: {so}");
        let retry_after = Duration::from_secs(60);
        Err(Error::new(Kind::Unavailable { retry_after }, what)
            .remedy("`breakwater offline off` ends that"))
    }
}

impl Operation for SwitchOffline {
    const NAME: &'static str = "offline.switch";
    type View = Switched;

    fn perform(self, admin: &Admin<'_>) -> Result<Switched> {
        if !self.offline && admin.config.offline {
            let what = "the configuration says `offline = true`";
            return Err(Error::new(Kind::Conflict, what)
                .remedy("set it to false there, and restart the server"));
        }
        admin.store.set_offline(self.offline)?;
        if let Some(server) = admin.server {
            server.set_offline(self.offline);
            server.forget_previews();
        }
        let kind = match self.offline {
            true => EventKind::OfflineOn,
            false => EventKind::OfflineOff,
        };
        let is_recorded = admin.store.audit.record(&admin.actor, &Event::new(kind));
        Ok(Switched { is_recorded })
    }
}

impl Operation for ShowOffline {
    const NAME: &'static str = "offline.show";
    type View = OfflineView;

    fn perform(self, admin: &Admin<'_>) -> Result<OfflineView> {
        let by_command = admin.store.is_offline()?;
        let by_configuration = admin.config.offline;
        let offline = match admin.server {
            Some(server) => server.is_offline(),
            None => by_command || by_configuration,
        };
        Ok(OfflineView {
            offline,
            by_command,
            by_configuration,
        })
    }
}
