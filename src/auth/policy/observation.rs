//! Who may see how the box is. Pure.

use super::Refusal;
use crate::auth::identity::{Identity, Principal};
use crate::auth::scope::Ability;
use crate::store::{GroupId, Network};

/// Whether `identity` may see how the box is: its metrics, and the details of its health. `mirror` is the
/// mirror's group, if there is one.
///
/// Whom a network rule trusts for the mirror may, with or without credentials; so may credentials that are
/// worth reading the API.
///
/// # Errors
/// `Unauthenticated` for nobody from elsewhere, `Denied` for credentials that lack the ability.
pub fn observation(
    identity: &Identity,
    networks: &[Network],
    mirror: Option<GroupId>,
) -> Result<(), Refusal> {
    let address = identity.address;
    let is_of_mirror = |network: &Network| {
        network.group.is_none() || network.group.is_some_and(|group| Some(group) == mirror)
    };
    let mut networks = networks.iter();
    let is_trusted = address.not_trusted.is_none()
        && networks.any(|network| is_of_mirror(network) && network.cidr.contains(&address.ip));
    if is_trusted {
        return Ok(());
    }
    if matches!(identity.principal, Principal::Anonymous) {
        return Err(Refusal::Unauthenticated);
    }
    match identity.principal.abilities().has(Ability::ReadApi) {
        true => Ok(()),
        false => Err(Refusal::Denied(Ability::ReadApi)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::address::{ClientAddress, NotTrusted};
    use crate::store::{self, Maker, Token, TokenId, TokenKind, User, UserId};
    use crate::time::Timestamp;

    fn personal(scopes: &str) -> Principal {
        let user = User {
            id: UserId(1),
            name: "alice".into(),
            admin: false,
            service: false,
            blocked: false,
            password_hash: None,
            password_version: 1,
            created_at: Timestamp(0),
        };
        let token = Token {
            id: TokenId(3),
            kind: TokenKind::Personal,
            name: "ci".into(),
            scopes: scopes.split_whitespace().map(str::to_owned).collect(),
            user_id: Some(UserId(1)),
            group_id: None,
            project_id: None,
            family: TokenId(3),
            username: None,
            access_level: None,
            revoked: false,
            revoked_at: None,
            created_at: Timestamp(0),
            expires_at: None,
            maker: Maker::on_the_box(),
            ends_with_maker: false,
            last_used_at: None,
        };
        Principal::PersonalToken(Arc::new(user), Arc::new(token))
    }

    #[test]
    fn the_network_or_the_ability_lets_in() {
        let rule = |cidr: &str, group| Network {
            cidr: cidr.parse().unwrap(),
            group,
            ability: store::Ability::Read,
        };
        let mirror = GroupId(5);
        let rules = [
            rule("10.0.0.0/8", None),
            rule("172.16.0.0/12", Some(mirror)),
            rule("192.168.0.0/16", Some(GroupId(9))),
        ];
        let denied = || Err(Refusal::Denied(Ability::ReadApi));
        let nobody = || Err(Refusal::Unauthenticated);
        let table = [
            ("10.1.1.1", true, Principal::Anonymous, Ok(())),
            ("172.16.1.1", true, Principal::Anonymous, Ok(())),
            // Trusted for another group than the mirror's.
            ("192.168.1.1", true, Principal::Anonymous, nobody()),
            ("203.0.113.1", true, Principal::Anonymous, nobody()),
            // Forwarded by somebody who is no configured proxy.
            ("10.1.1.1", false, Principal::Anonymous, nobody()),
            ("203.0.113.1", true, personal("read_api"), Ok(())),
            ("203.0.113.1", false, personal("api"), Ok(())),
            (
                "203.0.113.1",
                true,
                personal("read_registry write_registry"),
                denied(),
            ),
            ("10.1.1.1", false, personal("read_registry"), denied()),
            // A login takes nothing away that the network gives.
            ("10.1.1.1", true, personal("read_registry"), Ok(())),
        ];
        for (ip, trustworthy, principal, expected) in table {
            let address = ClientAddress {
                ip: ip.parse().unwrap(),
                not_trusted: (!trustworthy).then_some(NotTrusted::OldProtocol),
            };
            let shown = format!("{ip} {trustworthy} {principal:?}");
            let identity = Identity {
                principal,
                address,
                bound: None,
            };
            assert_eq!(
                observation(&identity, &rules, Some(mirror)),
                expected,
                "{shown}"
            );
        }
    }
}
