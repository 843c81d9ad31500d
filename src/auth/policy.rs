//! The rules: pure functions from an identity, what it asks for, and the stored facts, to a [`Grant`]
//! or a refusal. No IO, no clock. A grant is the only way into `proxy`.
//!
//! Every decision goes in one order:
//! 1. *Who are you?* Nobody whom no network rule lets in: [`Refusal::Unauthenticated`].
//! 2. *May you know that it exists?* A group that is not there and one that may not be seen are the
//!    same [`Refusal::Unknown`].
//! 3. *Are you allowed?* The credential lacks the ability to read: [`Refusal::Denied`].
//! 4. *May you fill?* Without the ability to write, the grant reads and keeps nothing; what is not kept
//!    is passed through, or refused, as the group says.

use super::identity::{Identity, Principal};
use super::scope::Ability;
use crate::error::{Error, Kind};
use crate::store::{self, Group, GroupId, Level, Network, OnReadOnlyMiss, Visibility};

/// Proof that a request was authorized. Only this module can make one.
#[derive(Debug, Clone)]
pub struct Grant {
    group: GroupId,
    fill: bool,
    passes_through: bool,
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
        self.passes_through
    }

    fn new(group: &Group, fill: bool) -> Self {
        Self {
            group: group.id,
            fill,
            passes_through: fill || group.on_read_only_miss == OnReadOnlyMiss::PassThrough,
        }
    }
}

/// Why there is no grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 401: log in.
    Unauthenticated,
    /// 404: there is nothing here that you may see.
    Unknown,
    /// 403: the credential lacks this ability.
    Denied(Ability),
}

impl Refusal {
    /// The error for a request about repository `name`.
    pub fn error(self, name: &str) -> Error {
        match self {
            Self::Unauthenticated => Error::new(Kind::Unauthorized, "authentication is required")
                .remedy("log in with `docker login`"),
            Self::Unknown => unknown(name),
            Self::Denied(ability) => Error::new(
                Kind::Denied,
                format!(
                    "access forbidden: the token lacks the ability {}",
                    ability.as_str()
                ),
            )
            .remedy(
                "use a token with a scope that has it, such as read_registry and write_registry",
            ),
        }
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
    /// The group.
    pub group: &'a Group,
    /// The highest level of the identity's user on it or an ancestor.
    pub level: Option<Level>,
    /// Whether it is the mirror's group, to which network rules without a group apply.
    pub is_mirror: bool,
    /// All network rules.
    pub networks: &'a [Network],
}

/// Whether `identity` may use the dependency proxy of a group (`None`: there is no such group).
///
/// # Errors
/// The refusal, in the order that the module's documentation gives.
pub fn dependency_proxy(
    identity: &Identity,
    facts: Option<GroupFacts<'_>>,
) -> Result<Grant, Refusal> {
    let Some(user) = identity.principal.user() else {
        let by_network = facts.and_then(|facts| {
            Some((facts, network_ability(identity, facts)?))
                .filter(|_| facts.group.dependency_proxy_enabled)
        });
        let (facts, ability) = by_network.ok_or(Refusal::Unauthenticated)?;
        return Ok(Grant::new(facts.group, ability == store::Ability::Fill));
    };
    let facts = facts
        .filter(|facts| facts.group.dependency_proxy_enabled)
        .ok_or(Refusal::Unknown)?;
    let sees = user.admin
        || facts.level >= Some(Level::Guest)
        || facts.group.visibility == Visibility::Public;
    // A login takes nothing away that the network gives to whoever comes without one, but adds nothing to
    // it either: the credential is judged as everywhere, and fills only where both may.
    let by_network = network_ability(identity, facts).filter(|_| facts.is_mirror);
    if !sees && by_network.is_none() {
        return Err(Refusal::Unknown);
    }
    login(&identity.principal)?;
    let fill = identity
        .principal
        .abilities()
        .has(Ability::WriteDependencyProxyContainer)
        && (sees || by_network == Some(store::Ability::Fill));
    Ok(Grant::new(facts.group, fill))
}

/// Whether a credential is worth a login to the registry at all: it can read the dependency proxy or
/// hosted images. A login names no group.
///
/// # Errors
/// `Denied` with the ability that is missing.
pub fn login(principal: &Principal) -> Result<(), Refusal> {
    let abilities = principal.abilities();
    // The ability to fill includes reading.
    let worth = matches!(principal, Principal::Anonymous)
        || abilities.has(Ability::ReadDependencyProxyContainer)
        || abilities.has(Ability::WriteDependencyProxyContainer);
    if worth {
        Ok(())
    } else {
        Err(Refusal::Denied(Ability::ReadDependencyProxyContainer))
    }
}

/// The most that a network rule gives the identity's address on the group.
fn network_ability(identity: &Identity, facts: GroupFacts<'_>) -> Option<store::Ability> {
    if !identity.address.trustworthy {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::address::ClientAddress;
    use crate::store::{Token, TokenId, TokenKind, User, UserId};
    use crate::time::Timestamp;

    fn group(visibility: Visibility, enabled: bool) -> Group {
        Group {
            id: GroupId(7),
            path: "acme".into(),
            parent: None,
            visibility,
            dependency_proxy_enabled: enabled,
            on_read_only_miss: OnReadOnlyMiss::PassThrough,
            default_upstream: None,
            created_at: Timestamp(0),
        }
    }

    fn user(admin: bool) -> Arc<User> {
        Arc::new(User {
            id: UserId(1),
            name: "alice".into(),
            admin,
            service: false,
            blocked: false,
            password_hash: None,
            password_version: 1,
            created_at: Timestamp(0),
        })
    }

    fn token(scopes: &[&str]) -> Arc<Token> {
        Arc::new(Token {
            id: TokenId(3),
            kind: TokenKind::Personal,
            name: "ci".into(),
            scopes: scopes.iter().map(|&scope| scope.into()).collect(),
            user_id: Some(UserId(1)),
            group_id: None,
            project_id: None,
            family: TokenId(3),
            username: None,
            access_level: None,
            revoked: false,
            created_at: Timestamp(0),
            expires_at: None,
            created_by: "box".into(),
            last_used_at: None,
        })
    }

    fn identity(principal: Principal, ip: &str, trustworthy: bool) -> Identity {
        let address = ClientAddress {
            ip: ip.parse().unwrap(),
            trustworthy,
        };
        Identity {
            principal,
            address,
            bound: None,
        }
    }

    /// `fill`, `read`, or the refusal's status.
    fn verdict(result: Result<Grant, Refusal>) -> &'static str {
        match result {
            Ok(grant) if grant.may_fill() => "fill",
            Ok(_) => "read",
            Err(Refusal::Unauthenticated) => "401",
            Err(Refusal::Unknown) => "404",
            Err(Refusal::Denied(_)) => "403",
        }
    }

    #[test]
    fn users_and_their_tokens() {
        let rw: &[&str] = &["read_registry", "write_registry"];
        let table: &[(Option<&[&str]>, bool, Option<Level>, Visibility, bool, &str)] = &[
            // scopes (None: password), admin, level, visibility, enabled → verdict
            (
                None,
                false,
                Some(Level::Guest),
                Visibility::Private,
                true,
                "fill",
            ),
            (None, false, None, Visibility::Private, true, "404"),
            (None, false, None, Visibility::Public, true, "fill"),
            (None, true, None, Visibility::Private, true, "fill"),
            (None, true, None, Visibility::Private, false, "404"),
            (
                Some(rw),
                false,
                Some(Level::Guest),
                Visibility::Private,
                true,
                "fill",
            ),
            (Some(rw), false, None, Visibility::Private, true, "404"),
            (
                Some(&["read_registry"]),
                false,
                Some(Level::Owner),
                Visibility::Private,
                true,
                "read",
            ),
            (
                Some(&["read_virtual_registry"]),
                false,
                Some(Level::Guest),
                Visibility::Private,
                true,
                "read",
            ),
            (
                Some(&["write_virtual_registry"]),
                false,
                Some(Level::Guest),
                Visibility::Private,
                true,
                "fill",
            ),
            (
                Some(&["write_registry"]),
                false,
                Some(Level::Guest),
                Visibility::Private,
                true,
                "fill",
            ),
            (
                Some(&["write_registry"]),
                false,
                None,
                Visibility::Private,
                true,
                "404",
            ),
            (
                Some(&["read_api"]),
                false,
                Some(Level::Owner),
                Visibility::Public,
                true,
                "403",
            ),
            (
                Some(&["api"]),
                false,
                Some(Level::Guest),
                Visibility::Private,
                true,
                "fill",
            ),
        ];
        for (scopes, admin, level, visibility, enabled, expected) in table {
            let principal = match scopes {
                None => Principal::Password(user(*admin)),
                Some(scopes) => Principal::PersonalToken(user(*admin), token(scopes)),
            };
            let group = group(*visibility, *enabled);
            let facts = GroupFacts {
                group: &group,
                level: *level,
                is_mirror: false,
                networks: &[],
            };
            let got = verdict(dependency_proxy(
                &identity(principal, "192.0.2.1", true),
                Some(facts),
            ));
            assert_eq!(
                got, *expected,
                "{scopes:?} admin={admin} {level:?} {visibility:?} enabled={enabled}"
            );
        }
        let nobody = identity(Principal::Password(user(true)), "192.0.2.1", true);
        assert_eq!(verdict(dependency_proxy(&nobody, None)), "404");
    }

    #[test]
    fn who_may_only_read_is_passed_through_as_the_group_says() {
        use OnReadOnlyMiss::{Deny, PassThrough};
        let network = |ability| {
            let cidr = "127.0.0.0/8".parse().unwrap();
            let group = None;
            [Network {
                cidr,
                ability,
                group,
            }]
        };
        let token = |scope| Principal::PersonalToken(user(false), token(&[scope]));
        let table = [
            // principal, network's ability, setting → passes through
            (
                token("read_registry"),
                store::Ability::Read,
                PassThrough,
                true,
            ),
            (token("read_registry"), store::Ability::Read, Deny, false),
            // A network's rule is for those who do not log in.
            (token("read_registry"), store::Ability::Fill, Deny, false),
            (
                token("write_virtual_registry"),
                store::Ability::Read,
                Deny,
                true,
            ),
            (
                Principal::Password(user(true)),
                store::Ability::Read,
                Deny,
                true,
            ),
            (
                Principal::Anonymous,
                store::Ability::Read,
                PassThrough,
                true,
            ),
            (Principal::Anonymous, store::Ability::Read, Deny, false),
            (Principal::Anonymous, store::Ability::Fill, Deny, true),
        ];
        for (principal, ability, setting, expected) in table {
            let mut group = group(Visibility::Public, true);
            group.on_read_only_miss = setting;
            let facts = GroupFacts {
                group: &group,
                level: None,
                is_mirror: true,
                networks: &network(ability),
            };
            let shown = format!("{principal:?} {ability:?} {setting:?}");
            let grant = dependency_proxy(&identity(principal, "127.0.0.1", true), Some(facts));
            assert_eq!(grant.unwrap().passes_through(), expected, "{shown}");
        }
    }

    #[test]
    fn a_login_keeps_what_the_network_gives_the_mirror() {
        use crate::store::Ability::{Fill, Read};
        let rw: &[&str] = &["read_registry", "write_registry"];
        let table: &[(&[&str], Option<store::Ability>, bool, bool, &str)] = &[
            // scopes of one who is no member, rule, trustworthy, the mirror's group → verdict
            (rw, Some(Fill), true, true, "fill"),
            (rw, Some(Read), true, true, "read"),
            (&["read_registry"], Some(Fill), true, true, "read"),
            (&["read_api"], Some(Fill), true, true, "403"),
            (rw, Some(Fill), false, true, "404"),
            (rw, Some(Fill), true, false, "404"),
            (rw, None, true, true, "404"),
        ];
        for (scopes, rule, trustworthy, is_mirror, expected) in table {
            let group = group(Visibility::Private, true);
            let networks: Vec<_> = rule
                .iter()
                .map(|&ability| Network {
                    cidr: "127.0.0.0/8".parse().unwrap(),
                    ability,
                    group: (!is_mirror).then_some(GroupId(7)),
                })
                .collect();
            let facts = GroupFacts {
                group: &group,
                level: None,
                is_mirror: *is_mirror,
                networks: &networks,
            };
            let principal = Principal::PersonalToken(user(false), token(scopes));
            let got = verdict(dependency_proxy(
                &identity(principal, "127.0.0.1", *trustworthy),
                Some(facts),
            ));
            assert_eq!(
                got, *expected,
                "{scopes:?} {rule:?} {trustworthy} {is_mirror}"
            );
        }
    }

    #[test]
    fn anonymous_is_judged_by_its_network() {
        let rule = |cidr: &str, ability, group: Option<i64>| Network {
            cidr: cidr.parse().unwrap(),
            ability,
            group: group.map(GroupId),
        };
        use crate::store::Ability::{Fill, Read};
        let table: &[(&str, bool, Option<Network>, bool, &str)] = &[
            // address, trustworthy, rule, the mirror's group → verdict
            (
                "127.0.0.1",
                true,
                Some(rule("127.0.0.0/8", Fill, None)),
                true,
                "fill",
            ),
            (
                "127.0.0.1",
                true,
                Some(rule("127.0.0.0/8", Read, None)),
                true,
                "read",
            ),
            (
                "127.0.0.1",
                false,
                Some(rule("127.0.0.0/8", Fill, None)),
                true,
                "401",
            ),
            (
                "192.0.2.1",
                true,
                Some(rule("127.0.0.0/8", Fill, None)),
                true,
                "401",
            ),
            (
                "127.0.0.1",
                true,
                Some(rule("127.0.0.0/8", Fill, None)),
                false,
                "401",
            ),
            (
                "127.0.0.1",
                true,
                Some(rule("127.0.0.0/8", Fill, Some(7))),
                false,
                "fill",
            ),
            (
                "127.0.0.1",
                true,
                Some(rule("127.0.0.0/8", Fill, Some(8))),
                false,
                "401",
            ),
            (
                "2001:db8::1",
                true,
                Some(rule("2001:db8::/32", Read, None)),
                true,
                "read",
            ),
            ("127.0.0.1", true, None, true, "401"),
        ];
        for (ip, trustworthy, rule, is_mirror, expected) in table {
            let group = group(Visibility::Public, true);
            let networks: Vec<_> = rule.iter().cloned().collect();
            let facts = GroupFacts {
                group: &group,
                level: None,
                is_mirror: *is_mirror,
                networks: &networks,
            };
            let got = verdict(dependency_proxy(
                &identity(Principal::Anonymous, ip, *trustworthy),
                Some(facts),
            ));
            assert_eq!(got, *expected, "{ip} {trustworthy} {rule:?} {is_mirror}");
        }
        assert_eq!(
            verdict(dependency_proxy(
                &identity(Principal::Anonymous, "127.0.0.1", true),
                None
            )),
            "401"
        );
    }
}
