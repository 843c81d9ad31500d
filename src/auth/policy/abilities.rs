//! The abilities check: what a credential may do in the dependency proxy, under the two feature flags.

use crate::auth::features::Flags;
use crate::auth::identity::Principal;
use crate::auth::scope::Ability;

/// What a credential that is let in may do with the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheAccess {
    /// Whether it fills, and does not only read.
    pub fills: bool,
    /// Whether it lacks abilities and is let in only because enforcement is off: that is reported.
    pub is_tolerated: bool,
}

/// What `principal` may do under `flags`.
///
/// With the split on, reading and filling are judged apart, and filling includes reading. With it off the
/// older rule holds: a whole pair for both, or nothing. With enforcement off nobody but a deploy token is
/// refused; but what is tolerated fills only under the older rule, where whoever gets in fills.
///
/// # Errors
/// The ability that is missing.
pub fn cache_access(principal: &Principal, flags: Flags) -> Result<CacheAccess, Ability> {
    let has = |ability| principal.abilities().has(ability);
    let (read, write) = (
        Ability::ReadDependencyProxyContainer,
        Ability::WriteDependencyProxyContainer,
    );
    let (reads, fills) = if flags.split {
        (has(read) || has(write), has(write))
    } else {
        let pair = principal.has_older_pair();
        (pair, pair)
    };
    if reads {
        return Ok(CacheAccess {
            fills,
            is_tolerated: false,
        });
    }
    if !flags.enforce && !principal.is_deploy_token() {
        return Ok(CacheAccess {
            fills: !flags.split,
            is_tolerated: true,
        });
    }
    Err(missing(principal, flags))
}

/// What a login, which names no group, may do under the box's `flags`.
///
/// A project's deploy token is not for the dependency proxy, which the flags are about: it is let in with any
/// ability for hosted images.
///
/// # Errors
/// The ability that is missing.
pub fn login(principal: &Principal, flags: Flags) -> Result<CacheAccess, Ability> {
    let is_for_hosted =
        matches!(principal, Principal::ProjectDeployToken(..)) && hosted_login(principal).is_ok();
    match cache_access(principal, flags) {
        Err(_) if is_for_hosted => Ok(CacheAccess {
            fills: false,
            is_tolerated: false,
        }),
        access => access,
    }
}

/// Whether a credential is for hosted images at all.
///
/// # Errors
/// The ability to name as missing.
pub fn hosted_login(principal: &Principal) -> Result<(), Ability> {
    let any = [Ability::ReadContainerImage, Ability::CreateContainerImage];
    let abilities = principal.abilities();
    if any.into_iter().any(|ability| abilities.has(ability)) {
        return Ok(());
    }
    Err(Ability::ReadContainerImage)
}

/// The ability to name in a refusal: under the older rule the half of the pair that is not there.
fn missing(principal: &Principal, flags: Flags) -> Ability {
    if flags.split {
        return Ability::ReadDependencyProxyContainer;
    }
    if principal.abilities().has(Ability::ReadContainerImage) {
        Ability::CreateContainerImage
    } else {
        Ability::ReadContainerImage
    }
}
