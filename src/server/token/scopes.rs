//! What of the requested scopes is granted.
//!
//! A scope about a cached repository is judged by the flags of its group; a login, which names none, by the
//! box's. A scope about a hosted repository is judged by that repository's policy alone: each action that the
//! caller may do is granted, each other is left out, and what is hidden is left out like what does not exist.
//!
//! A push to a protected path is left out as well: the write itself is then refused with the reason, which every
//! client prints, whereas skopeo and podman print only the status of a refused token request. An external registry
//! cannot give the reason, so for its tokens the push is noted in [`Judged::protected`].

use strum::VariantArray as _;

use super::super::Appliance;
use super::super::authorize::Verdict;
use super::super::router::{self, Place};
use crate::auth::policy::{self, CacheAccess, Hidden, Refusal, Wanted};
use crate::auth::scope::Ability;
use crate::auth::{Identity, Principal};
use crate::error::Result;
use crate::oci::{AccessEntry, RepositoryName, Scope};

/// What a token request comes to.
#[derive(Default)]
pub(super) struct Judged {
    /// The part of the requested scopes that the identity may have: what else is missing is left out.
    pub(super) access: Vec<AccessEntry>,
    /// An ability that the credential lacks; refuses the request where nothing is granted.
    pub(super) missing: Option<Ability>,
    /// A push to what is protected, asked for by that name; refuses a request for an external registry.
    pub(super) protected: Option<Refusal>,
    /// Why a dependency proxy is closed to nobody.
    pub(super) untrusted: Option<Refusal>,
    /// Whether the credential is let in only because enforcement is off.
    pub(super) is_tolerated: bool,
}

impl Judged {
    fn note(&mut self, access: std::result::Result<CacheAccess, Ability>) {
        match access {
            Ok(access) => self.is_tolerated |= access.is_tolerated,
            Err(missing) => self.missing = Some(missing),
        }
    }

    fn grant(&mut self, scope: &Scope, actions: Vec<&str>) {
        if actions.is_empty() {
            return;
        }
        self.access.push(AccessEntry {
            kind: scope.kind.clone(),
            name: scope.name.clone(),
            actions: actions.into_iter().map(str::to_owned).collect(),
        });
    }
}

/// What a scope names.
pub(super) enum Named {
    /// A repository in the cache, by the path of this group.
    Cached(String),
    /// A repository in the cache, by the mirror's path.
    Mirror,
    Hosted(RepositoryName),
    /// The catalog of hosted repositories.
    Catalog,
    /// Nothing of this box.
    Nothing,
}

/// What `scope` names. A name below a group of this box is hosted: a scope has no `ns` to say otherwise.
pub(super) fn named(appliance: &Appliance, scope: &Scope) -> Result<Named> {
    match scope.kind.as_str() {
        "repository" => {}
        "registry" if scope.name == "catalog" => return Ok(Named::Catalog),
        _ => return Ok(Named::Nothing),
    }
    let name: Vec<&str> = scope.name.split('/').collect();
    let Ok(place) = router::place(&name, None) else {
        return Ok(Named::Nothing);
    };
    if let Some(repository) = appliance.hosted_repository(&place)? {
        return Ok(Named::Hosted(repository.clone()));
    }
    Ok(match place {
        Place::Group { group, .. } => Named::Cached(group),
        Place::Mirror { .. } => Named::Mirror,
    })
}

/// Judges every requested scope, and a request without any as a login.
pub(super) fn judge(
    appliance: &Appliance,
    identity: &Identity,
    scopes: &[Scope],
) -> Result<Judged> {
    let mut judged = Judged::default();
    if scopes.is_empty() && !matches!(identity.principal, Principal::Anonymous) {
        judged.note(policy::login(&identity.principal, appliance.box_flags()?));
    }
    for scope in scopes {
        match named(appliance, scope)? {
            Named::Hosted(repository) => {
                hosted(appliance, identity, scope, &repository, &mut judged)?;
            }
            Named::Catalog => catalog(identity, scope, &mut judged),
            Named::Cached(group) => {
                cached(appliance, identity, scope, Some(&group), &mut judged)?;
            }
            Named::Mirror => {
                let group = appliance.mirror_group();
                cached(appliance, identity, scope, group, &mut judged)?;
            }
            Named::Nothing => cached(appliance, identity, scope, None, &mut judged)?,
        }
    }
    Ok(judged)
}

/// Judges every requested scope for an external registry: it has what its paths name, and nothing is cached
/// there. Its catalog tells of every repository, so it is for administrators, and not for their jobs.
pub(super) fn judge_external(
    appliance: &Appliance,
    identity: &Identity,
    scopes: &[Scope],
) -> Result<Judged> {
    let mut judged = Judged::default();
    let is_administrator = policy::administration::is_administrator(&identity.principal);
    for scope in scopes {
        match named(appliance, scope)? {
            Named::Hosted(repository) => {
                hosted(appliance, identity, scope, &repository, &mut judged)?;
            }
            Named::Catalog if is_administrator => catalog(identity, scope, &mut judged),
            _ => {}
        }
    }
    Ok(judged)
}

/// A scope about the catalog.
fn catalog(identity: &Identity, scope: &Scope, judged: &mut Judged) {
    let abilities = identity.principal.abilities();
    let all = scope.actions.iter().any(|action| action == "*");
    if all && abilities.has(Ability::ReadContainerImage) {
        judged.grant(scope, vec!["*"]);
    }
}

pub(super) fn pulls(scope: &Scope) -> bool {
    let mut actions = scope.actions.iter();
    actions.any(|action| action == "pull" || action == "*")
}

/// A scope about a cached repository. One about a group that the caller may not see is judged by the box's
/// flags, as a login is: the answer never tells that the group exists.
fn cached(
    appliance: &Appliance,
    identity: &Identity,
    scope: &Scope,
    group: Option<&str>,
    judged: &mut Judged,
) -> Result<()> {
    let principal = &identity.principal;
    let is_anonymous = matches!(principal, Principal::Anonymous);
    let group = group.filter(|_| pulls(scope));
    let verdict = match group {
        Some(group) => appliance.authorize_group(identity, group)?,
        None => Verdict::Refused(Refusal::Unknown(Hidden::Nothing)),
    };
    match (verdict, group) {
        (Verdict::Granted(_), Some(group)) => {
            if !is_anonymous {
                judged.note(policy::cache_access(
                    principal,
                    appliance.group_flags(group)?,
                ));
            }
            judged.grant(scope, vec!["pull"]);
        }
        (Verdict::Refused(Refusal::Denied(missing)), _) => judged.missing = Some(missing),
        (Verdict::Refused(refusal @ Refusal::Untrusted), _) => judged.untrusted = Some(refusal),
        (Verdict::Refused(Refusal::Unknown(_)), _) | (Verdict::Granted(_), None)
            if !is_anonymous =>
        {
            judged.note(policy::login(principal, appliance.box_flags()?));
        }
        _ => {}
    }
    Ok(())
}

/// A scope about a hosted repository. `*` means whatever may be done: skopeo asks for it to delete, and is not
/// refused where only pushing is protected.
fn hosted(
    appliance: &Appliance,
    identity: &Identity,
    scope: &Scope,
    repository: &RepositoryName,
    judged: &mut Judged,
) -> Result<()> {
    let asks = |word: &str| scope.actions.iter().any(|action| action == word);
    let mut granted = Vec::new();
    for &wanted in Wanted::VARIANTS {
        let by_name = asks(wanted.action());
        if !by_name && !asks("*") {
            continue;
        }
        match appliance.authorize_repository(identity, repository, wanted)? {
            Verdict::Granted(_) => granted.push(wanted.action()),
            Verdict::Refused(refusal @ Refusal::PushProtected(_)) if by_name => {
                judged.protected = Some(refusal);
            }
            Verdict::Refused(_) => {}
        }
    }
    judged.grant(scope, granted);
    Ok(())
}
