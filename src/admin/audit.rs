//! The audit: who changed what, who was let in and who was refused.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strum::VariantNames;

use super::named::Place;
use super::{Admin, NamedPlace, Operation};
use crate::error::{Error, Kind, Result, excerpt};
use crate::schema::words_in_schema;
use crate::store::{
    EventFilter, EventUser, Page, PlaceFilter, RecordedEvent, TokenId, UserId, Window,
};
use crate::time::Timestamp;

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

/// Events of a group and what is below it, of a project, or all; the newest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListAuditEvents {
    #[serde(flatten)]
    #[schemars(skip)]
    pub place: Option<NamedPlace>,
    /// a date or a time
    pub created_after: Option<Timestamp>,
    /// a date or a time
    pub created_before: Option<Timestamp>,
    /// what this user did, and what concerns it
    pub username: Option<String>,
    /// such as token.created, or token.* for all that begin so
    pub event_name: Option<String>,
    /// what the token with this id did, and what was done to it
    pub token_id: Option<i64>,
    /// what came from this address
    pub ip_address: Option<String>,
    #[serde(default)]
    #[schemars(skip)]
    pub window: Window,
}

/// In GitLab's shape. Ids are those of the time of the event: what has the same name today may be another one.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditEvent")]
#[serde(deny_unknown_fields)]
pub struct AuditEventView {
    pub id: i64,
    pub author_id: Option<UserId>,
    pub entity_id: Option<i64>,
    pub entity_type: EntityType,
    pub event_name: String,
    pub details: AuditDetails,
    pub created_at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditDetails {
    pub author_name: String,
    pub target_id: Option<i64>,
    pub target_type: Option<String>,
    pub target_details: Option<String>,
    pub ip_address: Option<String>,
    pub entity_path: Option<String>,
    pub correlation_id: Option<String>,
    #[schemars(with = "Map<String, Value>")]
    pub changes: Value,
    pub count: u64,
    pub last_time: Timestamp,
}

#[derive(Debug, Serialize, Deserialize, VariantNames)]
pub enum EntityType {
    User,
    Group,
    Project,
    #[serde(rename = "Gitlab::Audit::InstanceScope")]
    #[strum(serialize = "Gitlab::Audit::InstanceScope")]
    Box,
}

words_in_schema!(EntityType);

impl Operation for ListAuditEvents {
    const NAME: &'static str = "audit.list_page";
    type View = Page<AuditEventView>;

    fn perform(self, admin: &Admin<'_>) -> Result<Page<AuditEventView>> {
        // The user of this name, as long as there is one; otherwise all who had it.
        let user = match self.username {
            None => None,
            Some(name) => Some(match admin.store.access.user_by_name(&name)? {
                Some(user) => EventUser::Id(user.id),
                None => EventUser::Name(name),
            }),
        };
        let place = self.place.map(|named| admin.place(&named)).transpose()?;
        let filter = EventFilter {
            since: self.created_after,
            before: self.created_before,
            kind: self.event_name,
            user,
            place: place.map(|place| match place {
                Place::Group(group) => PlaceFilter::Group(group.id),
                Place::Project(project) => PlaceFilter::Project(project.id),
            }),
            token: self.token_id.map(TokenId),
            address: self.ip_address.as_deref().map(parse_address).transpose()?,
            limit: None,
        };
        let found = admin.store.audit.events_page(&filter, self.window)?;
        Ok(found.map(AuditEventView::from))
    }
}

/// # Errors
/// `Usage` for what is no address.
pub fn parse_address(text: &str) -> Result<IpAddr> {
    text.trim().parse().map_err(|_| {
        let what = format!("`{}` is no address", excerpt(text));
        let error = Error::new(Kind::Usage, what).about("ip_address");
        error.remedy("write one such as 10.1.2.3 or fd00::7")
    })
}

impl From<RecordedEvent> for AuditEventView {
    fn from(event: RecordedEvent) -> Self {
        let (entity_type, entity_id) = match (event.group_id, event.project_id, event.about_user_id)
        {
            (_, Some(project), _) => (EntityType::Project, Some(project.0)),
            (Some(group), ..) => (EntityType::Group, Some(group.0)),
            (None, None, _) if event.group_path.is_some() => (EntityType::Group, None),
            (None, None, Some(user)) => (EntityType::User, Some(user.0)),
            (None, None, None) => (EntityType::Box, None),
        };
        Self {
            id: event.id,
            author_id: event.actor_user_id,
            entity_id,
            entity_type,
            event_name: event.kind,
            details: AuditDetails {
                author_name: event.actor,
                target_id: event.subject_id,
                target_type: event.subject_kind,
                target_details: event.subject_name,
                ip_address: event.address,
                entity_path: event.group_path.or(event.about_user),
                correlation_id: event.correlation_id,
                changes: event.details,
                count: event.count,
                last_time: event.last_time,
            },
            created_at: event.time,
        }
    }
}
