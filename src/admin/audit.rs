//! The audit: who changed what, who was let in and who was refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation};
use crate::error::Result;
use crate::store::{EventFilter, RecordedEvent};

/// Events, the newest last.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListEvents {
    #[schemars(skip)]
    pub filter: EventFilter,
}

impl Operation for ListEvents {
    const NAME: &'static str = "audit.list";
    type View = Vec<RecordedEvent>;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<RecordedEvent>> {
        admin.store.audit.events(&self.filter)
    }
}
