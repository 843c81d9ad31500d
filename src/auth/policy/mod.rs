//! The rules: pure functions from an identity, what it asks for, and the stored facts, to a [`Grant`]
//! or a refusal. No IO, no clock. A grant is the only way into `proxy`, a [`RepositoryGrant`] the only way
//! into hosted repositories.
//!
//! - `abilities`: what a credential may do in the dependency proxy, under the two feature flags.
//! - `administration`: who may see and change groups and projects by the REST API.
//! - `observation`: who may see how the box is.
//! - here: what a principal may do with a group's dependency proxy.
//! - `hosted`: what it may do with a hosted repository, which the flags do not concern.
//! - `protection`: the rules that ask for more than that. `membership`: who meets them.
//!
//! Every decision goes in one order:
//! 1. *Who are you?* Nobody whom no network rule lets in: [`Refusal::Untrusted`].
//! 2. *May you know that it exists?* A group that is not there and one that may not be seen are the
//!    same [`Refusal::Unknown`].
//! 3. *Are you allowed?* The credential lacks the ability to read: [`Refusal::Denied`].
//! 4. *May you fill?* Without the ability to write, the grant reads and keeps nothing; what is not kept
//!    is passed through, or refused, as the group says.

mod abilities;
pub mod administration;
mod hosted;
mod membership;
mod observation;
pub mod protection;
#[cfg(test)]
mod tests;

use super::features::Flags;
use super::identity::{Identity, Principal};
use super::scope::Ability;
use crate::error::{Error, Kind};
use crate::oci::{RegistryHost, RepositoryName};
use membership::Membership;
use protection::RuleInTheWay;

pub use abilities::{CacheAccess, cache_access, hosted_login, login};
pub use hosted::{
    HostedProject, Quota, RepositoryFacts, RepositoryGrant, TagAction, TagMutability, Wanted,
    listed_projects, lists_project, repository,
};
pub use observation::observation;

use crate::store::{self, Group, GroupId, Level, Network, OnReadOnlyMiss, ProtectionRule};

/// Proof that a request was authorized. Only this module can make one.
#[derive(Debug, Clone)]
pub struct Grant {
    group: GroupId,
    fill: bool,
    /// Whether the group passes through what is not kept to those who may not fill.
    passes_through: bool,
    membership: Membership,
    /// The rule that took the right to fill away.
    kept_from_filling_by: Option<Box<RuleInTheWay>>,
}

impl Grant {
    /// The group in whose name it happens.
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// Whether what is fetched may be kept.
    pub fn may_fill(&self) -> bool {
        self.fill
    }

    /// Whether what is not kept is fetched for the caller: always for one who may fill, and for others
    /// unless the group says `on_read_only_miss=deny`.
    pub fn passes_through(&self) -> bool {
        self.fill || self.passes_through
    }

    /// The same for one image: without the right to fill where `rules`, those of the group and the groups above
    /// it, ask for more than its bearer is.
    #[must_use]
    pub fn under(
        self,
        rules: &[ProtectionRule],
        host: &RegistryHost,
        repository: &RepositoryName,
    ) -> Self {
        if !self.fill || rules.is_empty() {
            return self;
        }
        let minimum = protection::of_cached(rules, host, repository).push;
        if minimum.is_none_or(|minimum| self.membership.meets(minimum)) {
            return self;
        }
        let rule = RuleInTheWay::against_filling(rules, host, repository);
        let is_shown = self.membership.is_at_least(Level::Owner);
        Self {
            fill: false,
            kept_from_filling_by: rule.map(|rule| Box::new(rule.shown(is_shown))),
            ..self
        }
    }

    pub fn kept_from_filling_by(&self) -> Option<&RuleInTheWay> {
        self.kept_from_filling_by.as_deref()
    }

    /// Whether its bearer may purge one image of the group's from the cache: `rules` as for [`Self::under`].
    pub fn may_purge(
        &self,
        rules: &[ProtectionRule],
        host: &RegistryHost,
        repository: &RepositoryName,
    ) -> bool {
        let minimum = protection::of_cached(rules, host, repository).delete;
        minimum.is_none_or(|minimum| self.membership.meets(minimum))
    }

    /// For the box itself, which fetches again what it found damaged: it fills, and speaks for no group and no client.
    pub fn of_the_box() -> Self {
        Self {
            group: GroupId(0),
            fill: true,
            passes_through: true,
            membership: Membership::Administrator,
            kept_from_filling_by: None,
        }
    }

    /// For an administrator who fills the cache ahead of pulls, in the name of a group whose clients will pull, or of none.
    /// Nothing for anybody else.
    pub fn of_administrator(is_administrator: bool, group: Option<&Group>) -> Option<Self> {
        let of_group = Self {
            group: group.map_or(GroupId(0), |group| group.id),
            ..Self::of_the_box()
        };
        is_administrator.then_some(of_group)
    }

    fn new(group: &Group, fill: bool, membership: Membership) -> Self {
        Self {
            group: group.id,
            fill,
            passes_through: group.on_read_only_miss == OnReadOnlyMiss::PassThrough,
            membership,
            kept_from_filling_by: None,
        }
    }
}

/// Why there is no grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// 401: log in.
    Unauthenticated,
    /// The same of a dependency proxy that no network rule opens to the address.
    Untrusted,
    /// 401: the JWT was issued for less; another one can be had.
    NotInToken(Wanted),
    /// 404: there is nothing here that you may see. Why, is for the log alone.
    Unknown(Hidden),
    /// 403: the credential lacks this ability, or a whole pair where the older rule holds.
    Denied(Ability),
    /// 403: the level on the project is too low.
    LevelTooLow(Wanted),
    /// 403: a job pushes to, or deletes from, another project than its own.
    NotItsOwnProject,
    /// 403: a protection rule asks for more, to push.
    PushProtected(Option<Box<RuleInTheWay>>),
    /// 403: a protection rule asks for more, to delete.
    DeleteProtected(Option<Box<RuleInTheWay>>),
    /// 403: a rule about tags asks for more.
    TagProtected(TagAction, Option<Box<RuleInTheWay>>),
    /// 403: the tag is immutable, and would move or go.
    TagImmutable(Option<Box<RuleInTheWay>>),
}

/// Why something is answered as what does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    NoGroup,
    /// The group's dependency proxy is switched off.
    SwitchedOff,
    NotOfGroup,
    NoProject,
    NotOfProject,
    /// A scope that names nothing of this box.
    Nothing,
}

impl Hidden {
    fn why(self) -> &'static str {
        match self {
            Self::NoGroup => "there is no such group",
            Self::SwitchedOff => "the group's dependency proxy is switched off",
            Self::NotOfGroup => "the group is private, and the caller is no member",
            Self::NoProject => "no project owns the path",
            Self::NotOfProject => "the project is private, and the caller is no member",
            Self::Nothing => "it names nothing of this box",
        }
    }
}

impl Refusal {
    /// A rule about repositories keeps from pushing or deleting.
    fn protected(wanted: Wanted, rule: Option<Box<RuleInTheWay>>) -> Self {
        match wanted {
            Wanted::Delete => Self::DeleteProtected(rule),
            Wanted::Push | Wanted::Pull => Self::PushProtected(rule),
        }
    }

    /// The rule that is in the way, if one is.
    pub fn rule(&self) -> Option<&RuleInTheWay> {
        match self {
            Self::PushProtected(rule)
            | Self::DeleteProtected(rule)
            | Self::TagProtected(_, rule)
            | Self::TagImmutable(rule) => rule.as_deref(),
            _ => None,
        }
    }

    /// The error for a request about repository `name`.
    pub fn error(self, name: &str) -> Error {
        let denied = |what: &str| Error::new(Kind::Denied, what);
        match self {
            Self::Unauthenticated => Error::new(Kind::Unauthorized, "authentication is required")
                .remedy("log in with `docker login`"),
            Self::Untrusted => Self::Unauthenticated
                .error(name)
                .logged("nobody logged in, and the address is in no network that is trusted here"),
            Self::NotInToken(wanted) => Error::new(
                Kind::Unauthorized,
                format!("the token does not allow to {} {name}", wanted.action()),
            )
            .remedy("ask the token endpoint for one that does"),
            Self::Unknown(hidden) => unknown(name).logged(hidden.why()),
            Self::Denied(ability) => denied(&format!(
                "access forbidden: the token lacks the ability {}",
                ability.as_str()
            ))
            .remedy(format!(
                "use a token with a scope that has it, such as {}",
                scopes_with(ability)
            )),
            Self::LevelTooLow(wanted) => {
                let (least, what) = match wanted {
                    Wanted::Pull => ("reporter", "pull from"),
                    Wanted::Push => ("developer", "push to"),
                    Wanted::Delete => ("maintainer", "delete from"),
                };
                denied(&format!("access forbidden: you may not {what} {name}")).remedy(format!(
                    "ask for the level {least} on its project, which `breakwater member add` gives"
                ))
            }
            Self::NotItsOwnProject => {
                denied("access forbidden: a job token pushes and deletes only in its own project")
                    .remedy("use a token of the other project")
            }
            // These two texts are GitLab's, to the letter: people search for them.
            Self::PushProtected(rule) => by_rule(
                "container protected; you are not allowed to push new package",
                rule,
            ),
            Self::DeleteProtected(rule) => by_rule(
                "container protected; you are not allowed to delete this package",
                rule,
            ),
            Self::TagProtected(TagAction::Push, rule) => {
                by_rule("tag protected; you are not allowed to push this tag", rule)
            }
            Self::TagProtected(TagAction::Delete, rule) => by_rule(
                "tag protected; you are not allowed to delete this tag",
                rule,
            ),
            Self::TagImmutable(rule) => {
                let is_shown = rule.as_ref().is_some_and(|rule| rule.is_shown());
                let error = by_rule("tag immutable; it can neither be moved nor deleted", rule);
                match is_shown {
                    true => error,
                    false => error.remedy("push another tag"),
                }
            }
        }
    }
}

/// The rule is named in the log, and to whoever may see it.
fn by_rule(sentence: &str, rule: Option<Box<RuleInTheWay>>) -> Error {
    let Some(rule) = rule else {
        return Error::new(Kind::Denied, sentence);
    };
    let whole = format!("{sentence}: {}", rule.sentence());
    match rule.is_shown() {
        true => Error::new(Kind::Denied, whole).remedy(rule.remedy()),
        false => Error::new(Kind::Denied, sentence).logged(whole),
    }
}

/// The scopes to name to whom an ability is missing.
fn scopes_with(ability: Ability) -> &'static str {
    match ability {
        Ability::DestroyContainerImage | Ability::WriteApi => "api",
        Ability::ReadApi => "read_api",
        _ => "read_registry and write_registry",
    }
}

/// The one text for what does not exist and for what may not be seen.
pub fn unknown(name: &str) -> Error {
    Error::new(
        Kind::NameUnknown,
        format!("repository {name} is not known here, or you may not see it"),
    )
}

/// What is stored about a group, as far as a decision needs it.
#[derive(Debug, Clone, Copy)]
pub struct GroupFacts<'a> {
    pub group: &'a Group,
    /// The group and its ancestors, nearest first.
    pub lineage: &'a [GroupId],
    /// The highest level of the identity's user on it or an ancestor.
    pub level: Option<Level>,
    /// Whether it and every group above it are public: below a private group nothing is shown to strangers.
    pub is_public: bool,
    /// Whether it is the mirror's group, to which network rules without a group apply.
    pub is_mirror: bool,
    pub networks: &'a [Network],
    /// The feature flags as they hold for the group.
    pub flags: Flags,
}

/// Whether `identity` may use the dependency proxy of a group (`None`: there is no such group).
///
/// # Errors
/// The refusal, in the order that the module's documentation gives.
pub fn dependency_proxy(
    identity: &Identity,
    facts: Option<GroupFacts<'_>>,
) -> Result<Grant, Refusal> {
    let facts = match facts {
        None => Err(Hidden::NoGroup),
        Some(facts) if !facts.group.dependency_proxy_enabled => Err(Hidden::SwitchedOff),
        Some(facts) => Ok(facts),
    };
    let membership = |facts: GroupFacts<'_>| {
        Membership::on_group(&identity.principal, facts.lineage, facts.level)
    };
    if matches!(identity.principal, Principal::Anonymous) {
        let facts = facts.map_err(|_| Refusal::Unauthenticated)?;
        let ability = network_ability(identity, facts).ok_or(Refusal::Untrusted)?;
        let fill = ability == store::Ability::Fill;
        return Ok(Grant::new(facts.group, fill, membership(facts)));
    }
    let facts = facts.map_err(Refusal::Unknown)?;
    let sees = sees(&identity.principal, facts);
    // A login takes nothing away that the network gives to whoever comes without one, but adds nothing to
    // it either: the credential is judged as everywhere, and fills only where both may.
    let by_network = network_ability(identity, facts).filter(|_| facts.is_mirror);
    if !sees && by_network.is_none() {
        return Err(Refusal::Unknown(Hidden::NotOfGroup));
    }
    let access = cache_access(&identity.principal, facts.flags).map_err(Refusal::Denied)?;
    let fill = access.fills && (sees || by_network == Some(store::Ability::Fill));
    Ok(Grant::new(facts.group, fill, membership(facts)))
}

/// Whether a principal may know that a group exists and read its dependency proxy, its abilities apart.
pub fn sees(principal: &Principal, facts: GroupFacts<'_>) -> bool {
    let is_guest = facts.level >= Some(Level::Guest);
    match principal {
        Principal::Anonymous | Principal::ProjectDeployToken(..) => false,
        Principal::Password(user) | Principal::PersonalToken(user, _) => {
            user.admin || is_guest || facts.is_public
        }
        Principal::JobToken(user, ..) => user.admin || is_guest,
        Principal::GroupToken(group, _) | Principal::GroupDeployToken(group, _) => {
            facts.lineage.contains(&group.id)
        }
        Principal::ProjectToken(placed, _) => placed.groups.contains(&facts.group.id),
    }
}

/// The most that a network rule gives the identity's address on the group.
fn network_ability(identity: &Identity, facts: GroupFacts<'_>) -> Option<store::Ability> {
    if identity.address.not_trusted.is_some() {
        return None;
    }
    let applies = |network: &&Network| match network.group {
        Some(group) => group == facts.group.id,
        None => facts.is_mirror,
    };
    let here = facts.networks.iter().filter(applies);
    here.filter(|network| network.cidr.contains(&identity.address.ip))
        .map(|network| network.ability)
        .max()
}
