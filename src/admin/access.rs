//! Why somebody may do something with a repository of this box, or may not: judged by `auth::policy`, as a request is.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::needs;
use super::{Admin, Named, Operation};
use crate::auth::address::ClientAddress;
use crate::auth::policy::{
    self, HostedProject, Refusal, RepositoryFacts, TagAction, TagMutability, Wanted,
};
use crate::auth::{Identity, Principal, hosted_project_now, stored_principal};
use crate::error::{Error, Kind, Result};
use crate::oci::{RepositoryName, Tag};
use crate::store::{HostedRepository, Level, TokenId};
use crate::time::Timestamp;
use crate::words::words;

words! {
    "snake_case"
    #[derive(Default)]
    /// What somebody wants to do with a repository.
    pub enum AccessAction {
        #[default]
        Pull,
        Push,
        Delete,
    }
}

/// Of a user, or of a token; of the caller where none is named. A user is judged as with the password, which has every
/// ability. Who administers the box is told to administrators alone: to others, an administrator is judged as a member.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct ExplainAccess {
    /// The user's name; the caller's without user and token
    pub user: Option<String>,
    /// The token's id
    pub token: Option<TokenId>,
    /// The repository's whole path
    pub repository: String,
    /// A tag of it, which rules may be about; for push and delete
    pub tag: Option<String>,
    /// pull, push, delete; pull without it
    #[serde(default)]
    pub action: AccessAction,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Access")]
#[serde(deny_unknown_fields)]
pub struct AccessView {
    pub allowed: bool,
    /// A sentence; where it is refused, the one of the log
    pub why: String,
    /// What to do about it
    pub remedy: Option<String>,
    /// The rule that decides
    pub rule_id: Option<i64>,
    /// Who was judged, as logs name it
    pub who: String,
    pub repository: String,
    pub tag: Option<String>,
    pub action: AccessAction,
}

impl Operation for ExplainAccess {
    const NAME: &'static str = "access.explain";
    type View = AccessView;

    fn perform(self, admin: &Admin<'_>) -> Result<AccessView> {
        let access = &admin.store.access;
        let name = RepositoryName::parse(&self.repository).map_err(about("repository"))?;
        let tag = self.tag.as_deref().map(Tag::parse).transpose();
        let tag = tag.map_err(about("tag"))?;
        let project = match access.project_owning(name.as_str())? {
            Some(id) => hosted_project_now(access, id)?,
            None => None,
        };
        refuse_strangers(admin, &name, project.as_deref())?;
        let (mut principal, invalid) = self.principal(admin, project.as_deref())?;
        if !admin.caller.is_administrator() {
            principal = principal.as_member();
        }
        let who = principal.label();
        let level = match (&project, principal.user()) {
            (Some(project), Some(user)) => {
                access.project_level(project.placed.project.id, user.id)?
            }
            _ => None,
        };
        let identity = Identity {
            principal,
            address: ClientAddress {
                ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                not_trusted: None,
            },
            bound: None,
        };
        let facts = project.as_deref().map(|project| RepositoryFacts {
            project,
            repository: &name,
            level,
        });
        let judged = match invalid {
            Some(why) => Judged::no(why),
            None => judge(admin, &identity, facts, (self.action, tag.as_ref()))?,
        };
        Ok(AccessView {
            allowed: judged.allowed,
            why: judged.why,
            remedy: judged.remedy,
            rule_id: judged.rule_id,
            who,
            repository: self.repository,
            tag: self.tag,
            action: self.action,
        })
    }
}

impl ExplainAccess {
    /// Who is meant, and why what it comes with is not valid, if it is not.
    fn principal(
        &self,
        admin: &Admin<'_>,
        project: Option<&HostedProject>,
    ) -> Result<(Principal, Option<&'static str>)> {
        let caller = admin.caller.user().filter(|_| self.token.is_none());
        let user = match &self.user {
            Some(name) => Some(admin.user(&Named::Text(name.clone()))?),
            None => caller.cloned(),
        };
        let (principal, invalid) = match (user, self.token) {
            (Some(user), None) => (Principal::Password(Arc::new(user)), "the user is blocked"),
            (None, Some(id)) => {
                let token = admin.store.access.token(id)?;
                let own = admin.caller.user().map(|user| user.id);
                let here = project.map(|project| project.placed.project.id);
                let token = token.filter(|token| {
                    let is_own = own.is_some() && token.user_id == own;
                    let is_of_here = here.is_some() && token.project_id == here;
                    admin.caller.is_administrator() || is_own || is_of_here
                });
                let principal = match token {
                    Some(token) => stored_principal(&admin.store.access, Arc::new(token))?,
                    None => None,
                };
                let principal = principal.ok_or_else(|| {
                    Error::new(Kind::NotFound, format!("there is no token {}", id.0))
                        .remedy("see `breakwater token list`")
                        .about("Token")
                })?;
                let invalid = "the token is revoked or expired, or its user is blocked";
                (principal, invalid)
            }
            _ => {
                let what = "name either a user or a token";
                return Err(Error::new(Kind::Usage, what).about("user"));
            }
        };
        let is_valid = principal.is_valid(Timestamp::now());
        Ok((principal, (!is_valid).then_some(invalid)))
    }
}

/// Administrators may ask about everything, maintainers about their projects.
fn refuse_strangers(
    admin: &Admin<'_>,
    name: &RepositoryName,
    project: Option<&HostedProject>,
) -> Result<()> {
    if admin.caller.is_administrator() {
        return Ok(());
    }
    let project = project.map(|project| project.placed.project.id);
    let authority = match project {
        Some(project) => admin.caller.on_project(project)?,
        None => None,
    };
    match authority {
        Some(authority) => needs(authority, Level::Maintainer),
        None => Err(Error::new(Kind::NotFound, unknown(name)).about("Project")),
    }
}

struct Judged {
    allowed: bool,
    why: String,
    remedy: Option<String>,
    rule_id: Option<i64>,
}

impl Judged {
    fn yes(why: String) -> Self {
        Self {
            allowed: true,
            why,
            remedy: None,
            rule_id: None,
        }
    }

    fn no(why: &str) -> Self {
        Self {
            allowed: false,
            ..Self::yes(why.to_owned())
        }
    }

    fn by(refusal: Refusal, name: &str) -> Self {
        let rule = refusal.rule().map(|rule| (rule.id(), rule.remedy()));
        let (rule_id, of_rule) = rule.unzip();
        let error = refusal.error(name);
        Self {
            remedy: of_rule.or_else(|| error.remedy_text().map(str::to_owned)),
            rule_id: rule_id.map(|id| id.0),
            ..Self::no(&error.logged_why())
        }
    }
}

fn judge(
    admin: &Admin<'_>,
    identity: &Identity,
    facts: Option<RepositoryFacts<'_>>,
    (action, tag): (AccessAction, Option<&Tag>),
) -> Result<Judged> {
    let name = facts.map_or("", |facts| facts.repository.as_str());
    let (wanted, of_tag) = match action {
        AccessAction::Pull => (Wanted::Pull, None),
        AccessAction::Push => (Wanted::Push, Some(TagAction::Push)),
        AccessAction::Delete => (Wanted::Delete, Some(TagAction::Delete)),
    };
    let grant = match policy::repository(identity, facts, wanted) {
        Ok(grant) => grant,
        Err(refusal) => return Ok(Judged::by(refusal, name)),
    };
    let label = identity.principal.label();
    let bearer = grant.bearer();
    let may = format!("{label} is {bearer}, and no rule is in the way");
    let (tag, of_tag) = match (tag, of_tag) {
        (Some(tag), Some(of_tag)) => (tag, of_tag),
        (None, Some(_)) if grant.has_tag_rules() => {
            let why = format!(
                "{label} is {bearer}, and no rule about the repository as a whole is in the way; rules about its tags may be"
            );
            return Ok(Judged {
                remedy: Some("name a tag to hear what they say of it".to_owned()),
                ..Judged::yes(why)
            });
        }
        _ => return Ok(Judged::yes(may)),
    };
    let rule = match grant.judge_tag(tag, of_tag) {
        Ok(TagMutability::Mutable) => return Ok(Judged::yes(may)),
        Ok(TagMutability::Immutable(rule)) => rule,
        Err(refusal) => return Ok(Judged::by(refusal, name)),
    };
    let registry = &admin.store.registry;
    let row = registry.row_at(HostedRepository {
        project: grant.project(),
        path: grant.repository().as_str(),
    })?;
    let there = match row {
        Some(row) => registry.tag(row.id, tag)?,
        None => None,
    };
    if there.is_some() {
        return Ok(Judged::by(Refusal::TagImmutable(Some(rule)), name));
    }
    let once = format!("{may}, once: from then on {}", rule.sentence());
    Ok(Judged {
        rule_id: Some(rule.id().0),
        ..Judged::yes(once)
    })
}

/// The same for a hidden project and for none.
fn unknown(name: &RepositoryName) -> String {
    format!("no project that you may see owns {name}")
}

fn about(field: &'static str) -> impl Fn(Error) -> Error {
    move |error| error.about(field)
}
