//! Tokens that the flags refuse, would refuse, or let in all the same; and groups that nobody can fill.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::{Finding, Severity};
use crate::admin::tokens::{Known, Owners};
use crate::auth::address::ClientAddress;
use crate::auth::features::{Flag, Flags};
use crate::auth::policy::{self, GroupFacts};
use crate::auth::{Identity, Principal, scope};
use crate::cli::workplace::Workplace;
use crate::error::Result;
use crate::store::{Ability, Group, Store, Token, TokenId};

/// So many tokens are named in one finding.
const TOKENS_NAMED: usize = 50;

pub(super) fn find(place: &Workplace, store: &Store) -> Result<Vec<Finding>> {
    let known = Known::read(store)?;
    let owners = Owners::read(store)?;
    let mut findings = refused(&known, &owners);
    findings.extend(unfilled(&known, &place.config.mirror.group));
    Ok(findings)
}

/// For each setting of the flags the tokens that it refuses: a warning where it is in force, a note for a
/// stricter one, for whoever means to turn it on.
fn refused(known: &Known, owners: &Owners) -> Vec<Finding> {
    let mut in_force: Vec<(Flags, Vec<String>)> = Vec::new();
    let mut note = |flags: Flags, place: String| match in_force
        .iter_mut()
        .find(|(known, _)| *known == flags)
    {
        Some((_, places)) => places.push(place),
        None => in_force.push((flags, vec![place])),
    };
    note(Flags::of(&known.features, &[]), "for the box".to_owned());
    for group in &known.groups {
        if known.features.iter().any(|row| row.group == Some(group.id)) {
            let flags = Flags::of(&known.features, known.lineage(group.id));
            note(flags, format!("for {}", group.path));
        }
    }
    let lenient = in_force.iter().filter(|(flags, _)| !flags.enforce);
    let lenient: Vec<_> = lenient
        .map(|(flags, places)| only_reported(known, owners, *flags, places))
        .collect();
    let strict = [true, false].map(|split| Flags {
        enforce: true,
        split,
    });
    let imagined = strict
        .into_iter()
        .filter(|flags| in_force.iter().all(|(known, _)| known != flags));
    let imagined: Vec<_> = imagined.map(|flags| (flags, Vec::new())).collect();
    let all = in_force.into_iter().chain(imagined);
    let refused = all.filter_map(|(flags, places)| of_setting(known, owners, flags, &places));
    refused.chain(lenient).collect()
}

/// What is hidden where abilities are only reported: who is let in for that alone.
fn only_reported(known: &Known, owners: &Owners, flags: Flags, places: &[String]) -> Finding {
    let enforced = Flags {
        enforce: true,
        ..flags
    };
    // Some are refused all the same.
    let refused: HashSet<_> = known
        .refused(flags, |_| true)
        .map(|(_, token, _)| token.id)
        .collect();
    let hidden = known.refused(enforced, |token| !refused.contains(&token.id));
    let hidden: Vec<_> = hidden.collect();
    let (names, ids) = named(owners, &hidden);
    let flag = Flag::EnforceAbilitiesCheck.as_str();
    let hidden = match hidden.is_empty() {
        true => "no token needs that any more".to_owned(),
        false => format!("it lets in {names}"),
    };
    let mut finding = Finding::new(
        Severity::Warning,
        "enforcement_off",
        format!("{flag} is off {}: {hidden}", places.join(" and ")),
        format!(
            "replace such tokens, see who else is reported in log/auth_json.log, then `breakwater feature enable {flag}`, with --group where it is a group's"
        ),
    );
    finding.tokens = ids;
    finding
}

/// The first tokens that are refused, with what they lack, in words; and their ids.
fn named(
    owners: &Owners,
    refused: &[(&Principal, &Token, scope::Ability)],
) -> (String, Vec<TokenId>) {
    first_tokens(refused, ", ", |(_, token, missing)| {
        let name = format!(
            "token {} `{}` ({}, {}; lacks {})",
            token.id.0,
            token.name,
            token.kind.as_str(),
            owners.of(token),
            missing.as_str()
        );
        (token.id, name)
    })
}

fn of_setting(known: &Known, owners: &Owners, flags: Flags, places: &[String]) -> Option<Finding> {
    // A token for the REST API alone, such as one for metrics, is meant for no registry. And one that reads is no mistake
    // because a setting that nobody has chosen would want both abilities.
    let is_imagined = places.is_empty();
    let is_meant = |token: &Token| {
        let has = |word: &str| token.scopes.iter().any(|scope| scope.contains(word));
        has("write_") || !is_imagined && has("registry")
    };
    let refused: Vec<_> = known.refused(flags, is_meant).collect();
    if refused.is_empty() {
        return None;
    }
    let word = |on| if on { "on" } else { "off" };
    let setting = format!(
        "{} {} and {} {}",
        Flag::EnforceAbilitiesCheck.as_str(),
        word(flags.enforce),
        Flag::SplitAbilities.as_str(),
        word(flags.split)
    );
    let (names, ids) = named(owners, &refused);
    let mut finding = if is_imagined {
        Finding::new(
            Severity::Note,
            "tokens_would_be_refused",
            format!("with {setting} the dependency proxy would refuse {names}"),
            "before you set the flags so, replace them by tokens with read_registry and write_registry",
        )
    } else {
        Finding::new(
            Severity::Warning,
            "tokens_refused",
            format!(
                "with {setting}, as it is {}, the dependency proxy refuses {names}",
                places.join(" and ")
            ),
            "make tokens with read_registry, to fill also with write_registry, and revoke these; if they are for something else, add \"tokens_refused\" to doctor.accept",
        )
    };
    finding.tokens = ids;
    Some(finding)
}

/// Groups whose cache stays empty, so that an outage upstream is an outage here.
fn unfilled(known: &Known, mirror: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    // An administrator's password could fill everything, but does not pull for a build farm.
    let passwords = known
        .users
        .iter()
        .filter(|user| !user.admin && !user.blocked && user.password_hash.is_some())
        .map(|user| Principal::Password(Arc::clone(user)));
    let principals: Vec<_> = known.tokens.iter().cloned().chain(passwords).collect();
    for group in &known.groups {
        if !group.dependency_proxy_enabled {
            continue;
        }
        let is_mirror = group.path == mirror;
        let by_network = known
            .networks
            .iter()
            .filter(|network| match network.group {
                Some(id) => id == group.id,
                None => is_mirror,
            })
            .map(|network| network.ability)
            .max();
        let fills = |principal: &Principal| fills(known, group, is_mirror, principal);
        let by_login = principals.iter().filter_map(fills).max();
        if by_network == Some(Ability::Fill) || by_login == Some(true) {
            continue;
        }
        let path = &group.path;
        findings.push(if by_network.is_none() && by_login.is_none() {
            Finding::new(
                Severity::Note,
                "group_unused",
                format!("nobody but an administrator can use the dependency proxy of {path}"),
                format!(
                    "add members or tokens, or turn it off with `breakwater group set {path} dependency_proxy_enabled=false`"
                ),
            )
        } else {
            Finding::new(
                Severity::Warning,
                "group_unfilled",
                format!(
                    "nobody can fill the dependency proxy of {path}, only read it: its cache stays empty, and an outage of an upstream is an outage here"
                ),
                "give a token of a member, or of the group, the scope write_registry, add a network with --ability fill, or fill the mirror's yourself with `breakwater warm`, every night by breakwater-warm.timer",
            )
        });
    }
    findings
}

/// Whether a principal that is let in fills; `None` for one that is not. Networks are judged apart.
fn fills(known: &Known, group: &Group, is_mirror: bool, principal: &Principal) -> Option<bool> {
    let facts = GroupFacts {
        is_mirror,
        ..known.facts(group, principal)
    };
    let nowhere = ClientAddress {
        ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        not_trusted: None,
    };
    let identity = Identity {
        principal: principal.clone(),
        address: nowhere,
        bound: None,
    };
    let grant = policy::dependency_proxy(&identity, Some(facts)).ok()?;
    Some(grant.may_fill())
}

/// The first of many tokens in words, and their ids.
pub(super) fn first_tokens<T>(
    tokens: &[T],
    separator: &str,
    describe: impl Fn(&T) -> (TokenId, String),
) -> (String, Vec<TokenId>) {
    let first = tokens.iter().take(TOKENS_NAMED).map(describe);
    let (ids, mut words): (Vec<_>, Vec<_>) = first.unzip();
    let more = tokens.len().saturating_sub(ids.len());
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    (words.join(separator), ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_tokens_the_first_are_named_and_the_others_counted() {
        let named = |count| {
            let tokens: Vec<_> = (1..=count).collect();
            first_tokens(&tokens, ", ", |&id| (TokenId(id), format!("token {id}")))
        };
        let (words, ids) = named(2);
        assert_eq!((words.as_str(), ids.len()), ("token 1, token 2", 2));
        let (words, ids) = named(57);
        assert!(words.ends_with("token 50, and 7 more"), "{words}");
        assert_eq!(ids.last(), Some(&TokenId(50)));
    }
}
