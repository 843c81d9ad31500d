//! One request to the REST API, checked in this order: who asks (401), whether the scopes of the token allow it (403),
//! whether the caller may know that the place exists (404), whether its level is high enough (403), and whether the
//! fields are right (400).

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::answer::{Failure, Position};
use super::identify::{identify, suffices};
use super::parameters::Fields;
use super::table::{Captures, Endpoint, Role, Scope, Shape, TEXT_CAPTURES};
use crate::admin::{Admin, Caller, Operation};
use crate::auth::policy::administration::{self, Authority};
use crate::auth::{Identity, PlacedProject};
use crate::error::Result;
use crate::server::Appliance;
use crate::server::call::Call;
use crate::store::{
    Actor, Group, GroupId, Maker, ProjectId, Session, Store, User, Viewer, Visibility,
};

/// A request that its endpoint allows.
pub(super) struct Ask<'a, 'r> {
    pub(super) appliance: &'a Appliance,
    pub(super) call: &'a mut Call<'r>,
    pub(super) identity: Identity,
    pub(super) fields: Fields,
    endpoint: &'static Endpoint,
    captures: Captures,
    place: Place,
    authority: Authority,
}

/// What `:id` names where the endpoint's role is about a group or a project.
#[derive(Debug, Clone)]
pub(super) enum Place {
    None,
    Group(Arc<Group>),
    Project(Arc<PlacedProject>),
}

impl<'a, 'r> Ask<'a, 'r> {
    /// Checks what the endpoint needs, and reads its fields. Without an identity the request's credentials count.
    pub(super) fn check(
        appliance: &'a Appliance,
        call: &'a mut Call<'r>,
        identity: Option<Identity>,
        (endpoint, captures): (&'static Endpoint, Captures),
    ) -> Result<Self, Failure> {
        let identity = match (endpoint.scope, identity) {
            (_, Some(identity)) => {
                suffices(&identity, endpoint.scope)?;
                identity
            }
            (Scope::Open, None) => Identity::anonymous(call.address),
            (_, None) => identify(appliance, call, endpoint)?,
        };
        let mut ask = Self {
            appliance,
            call,
            fields: Fields::default(),
            endpoint,
            captures,
            place: Place::None,
            authority: Authority {
                is_administrator: administration::is_administrator(&identity.principal),
                level: None,
            },
            identity,
        };
        ask.check_role(endpoint.role)?;
        ask.fields = Fields::read(ask.call.request, endpoint.parameters)?;
        Ok(ask)
    }

    fn check_role(&mut self, role: Role) -> Result<(), Failure> {
        let (place, authority, level) = match role {
            Role::Anyone => return Ok(()),
            Role::Administrator if self.authority.is_administrator => return Ok(()),
            Role::Administrator => {
                self.call.note.why = Some("it is for administrators of the box".to_owned());
                return Err(Failure::forbidden());
            }
            Role::Group(level) => {
                let (group, authority) = self.find_group(self.capture("id"))?;
                (Place::Group(group), authority, level)
            }
            Role::Project(level) => {
                let (project, authority) = self.find_project(self.capture("id"))?;
                (Place::Project(project), authority, level)
            }
        };
        if let Some(level) = level.filter(|&level| !authority.has(level)) {
            let why = format!("it takes the level {}", <&str>::from(level));
            self.call.note.why = Some(why);
            return Err(Failure::forbidden());
        }
        (self.place, self.authority) = (place, authority);
        Ok(())
    }

    pub(super) fn store(&self) -> &'a Store {
        &self.appliance.store
    }

    /// Who makes the change, for the audit log.
    pub(super) fn actor(&self) -> Actor {
        self.identity.actor(&self.call.id)
    }

    /// Performs an operation for the caller, whose right to it the endpoint has checked.
    ///
    /// # Errors
    /// Those of the operation.
    pub(super) fn perform<O: Operation>(&self, operation: O) -> Result<O::View> {
        operation.perform(&Admin {
            caller: self,
            ..self.appliance.admin(self.actor())
        })
    }

    /// The request that the fields, the path and the page make: `:id` of a group becomes the request's `group`, and
    /// that of a project its `project`.
    ///
    /// # Errors
    /// 400 for what is no such request.
    pub(super) fn request<O: Operation>(&self) -> Result<O, Failure> {
        let mut request = self.fields.json();
        for (name, _) in &self.captures {
            let (name, value) = match (*name, &self.place) {
                ("id", Place::Group(group)) => ("group", group.id.0.into()),
                ("id", Place::Project(placed)) => ("project", placed.project.id.0.into()),
                (name, _) if TEXT_CAPTURES.contains(&name) => (name, self.capture(name).into()),
                (name, _) => (name, self.number(name)?.into()),
            };
            request.insert(name.to_owned(), value);
        }
        if let Shape::Page(_) = self.endpoint.gives.1 {
            let window = Position::of(self)?.window()?;
            request.insert("window".to_owned(), json!(window));
        }
        read(request)
    }

    /// The fields alone, for what is no operation.
    ///
    /// # Errors
    /// 400 for what does not fit together.
    pub(super) fn fields<F: DeserializeOwned>(&self) -> Result<F, Failure> {
        read(self.fields.json())
    }

    /// The status of success.
    pub(super) fn status(&self) -> u16 {
        self.endpoint.gives.0
    }

    pub(super) fn capture(&self, name: &str) -> &str {
        let mut captures = self.captures.iter();
        let found = captures.find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// A captured number.
    ///
    /// # Errors
    /// 400 for what is no number.
    pub(super) fn number(&self, name: &str) -> Result<i64, Failure> {
        self.capture(name)
            .parse()
            .map_err(|_| Failure::parameters(&format!("{name} is invalid")))
    }

    /// The place that the path names.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// The group that the path names.
    ///
    /// # Errors
    /// 404 where the endpoint's role is not about a group.
    pub(super) fn group(&self) -> Result<Arc<Group>, Failure> {
        match &self.place {
            Place::Group(group) => Ok(Arc::clone(group)),
            _ => Err(Failure::not_found("Group")),
        }
    }

    /// The project that the path names.
    ///
    /// # Errors
    /// 404 where the endpoint's role is not about a project.
    pub(super) fn project(&self) -> Result<Arc<PlacedProject>, Failure> {
        match &self.place {
            Place::Project(placed) => Ok(Arc::clone(placed)),
            _ => Err(Failure::not_found("Project")),
        }
    }

    /// What the caller is on a group, or `None` where it may not know of it.
    pub(super) fn on_group(&self, group: &Group) -> Result<Option<Authority>> {
        let authenticator = &self.appliance.authenticator;
        let lineage = authenticator.lineage(group.id)?;
        let level = match self.identity.principal.user() {
            Some(user) => authenticator.level(group.id, user.id)?,
            None => None,
        };
        Ok(administration::on_group(
            &self.identity.principal,
            group,
            &lineage,
            level,
            self.appliance.are_public(&lineage)?,
        ))
    }

    /// What the caller is on a project, or `None` where it may not know of it.
    pub(super) fn on_project(&self, placed: &PlacedProject) -> Result<Option<Authority>> {
        let level = match self.identity.principal.user() {
            Some(user) => self
                .appliance
                .authenticator
                .project_level(placed.project.id, user.id)?,
            None => None,
        };
        Ok(administration::on_project(
            &self.identity.principal,
            &placed.project,
            &placed.groups,
            level,
            placed.project.visibility == Visibility::Public
                && self.appliance.are_public(&placed.groups)?,
        ))
    }

    /// The group of this id or path, if the caller may know of it.
    ///
    /// # Errors
    /// 404, the same for a hidden one and one that does not exist.
    pub(super) fn find_group(&self, named: &str) -> Result<(Arc<Group>, Authority), Failure> {
        let authenticator = &self.appliance.authenticator;
        let group = match named.parse() {
            Ok(id) => authenticator.group_by_id(GroupId(id))?,
            Err(_) => authenticator.group(named)?,
        };
        let authority = match &group {
            Some(group) => self.on_group(group)?,
            None => None,
        };
        group
            .zip(authority)
            .ok_or_else(|| Failure::not_found("Group"))
    }

    /// The project of this id or path, if the caller may know of it.
    ///
    /// # Errors
    /// 404, the same for a hidden one and one that does not exist.
    pub(super) fn find_project(
        &self,
        named: &str,
    ) -> Result<(Arc<PlacedProject>, Authority), Failure> {
        let id = match named.parse() {
            Ok(id) => Some(ProjectId(id)),
            Err(_) => self
                .store()
                .access
                .project_by_path(named)?
                .map(|project| project.id),
        };
        let project = match id {
            Some(id) => self.appliance.authenticator.project(id)?,
            None => None,
        };
        let authority = match &project {
            Some(project) => self.on_project(project)?,
            None => None,
        };
        project
            .zip(authority)
            .ok_or_else(|| Failure::not_found("Project"))
    }
}

fn read<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, Failure> {
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| Failure::parameters(&format!("the request is invalid: {error}")))
}

impl Caller for Ask<'_, '_> {
    fn is_administrator(&self) -> bool {
        self.authority.is_administrator
    }

    fn user(&self) -> Option<&User> {
        self.identity.principal.user()
    }

    fn viewer(&self) -> Viewer {
        administration::viewer(&self.identity.principal)
    }

    fn maker(&self) -> Maker {
        self.identity.principal.maker()
    }

    fn on_group(&self, group: &Group) -> Result<Option<Authority>> {
        Ask::on_group(self, group)
    }

    fn on_project(&self, project: ProjectId) -> Result<Option<Authority>> {
        match self.appliance.authenticator.project(project)? {
            Some(placed) => Ask::on_project(self, &placed),
            None => Ok(None),
        }
    }

    fn may_remove(&self, project: ProjectId) -> Result<()> {
        self.appliance.judge_removal(&self.identity, project)
    }

    fn is_let_in_by(&self, session: &Session) -> Result<bool> {
        let authenticator = &self.appliance.authenticator;
        let identity = authenticator.by_session(session, self.call.address, self.call.now)?;
        Ok(identity.is_some())
    }
}
