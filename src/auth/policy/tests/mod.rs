//! The whole matrix: principal × scope × flags (`scopes`), relation to the group (`relation`), and networks
//! (`networks`). Here is what the tables are made of.

mod networks;
mod relation;
mod scopes;

use std::sync::Arc;

use super::*;
use crate::auth::address::{ClientAddress, NotTrusted};
use crate::auth::identity::PlacedProject;
use crate::store::{
    Maker, Project, ProjectId, Token, TokenId, TokenKind, User, UserId, Visibility,
};
use crate::time::Timestamp;

pub(super) const ON: Flags = Flags {
    enforce: true,
    split: true,
};
const OLDER: Flags = Flags {
    enforce: true,
    split: false,
};
const LOG_ONLY: Flags = Flags {
    enforce: false,
    split: true,
};
const OLDER_LOG_ONLY: Flags = Flags {
    enforce: false,
    split: false,
};

/// The group that is asked for; 1 is its parent, 3 its child, 9 a stranger.
pub(super) const ASKED: i64 = 2;
pub(super) const LINEAGE: [GroupId; 2] = [GroupId(ASKED), GroupId(1)];

pub(super) fn group(id: i64, visibility: Visibility) -> Group {
    Group {
        id: GroupId(id),
        path: format!("group{id}"),
        parent: None,
        visibility,
        dependency_proxy_enabled: true,
        on_read_only_miss: OnReadOnlyMiss::PassThrough,
        default_upstream: None,
        quota: None,
        max_size: None,
        created_at: Timestamp(0),
    }
}

pub(super) fn user(admin: bool) -> Arc<User> {
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

pub(super) fn token(kind: TokenKind, scopes: &str) -> Arc<Token> {
    Arc::new(Token {
        id: TokenId(3),
        kind,
        name: "ci".into(),
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        user_id: None,
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
    })
}

pub(super) fn project(groups: &[i64]) -> Arc<PlacedProject> {
    let groups: Arc<[GroupId]> = groups.iter().map(|&id| GroupId(id)).collect();
    let project = Project {
        id: ProjectId(5),
        path: "group/project".into(),
        group: groups[0],
        visibility: Visibility::Private,
        quota: None,
        created_at: Timestamp(0),
    };
    Arc::new(PlacedProject { project, groups })
}

pub(super) fn identity(principal: Principal, ip: &str, trustworthy: bool) -> Identity {
    let address = ClientAddress {
        ip: ip.parse().unwrap(),
        not_trusted: (!trustworthy).then_some(NotTrusted::OldProtocol),
    };
    Identity {
        principal,
        address,
        bound: None,
    }
}

/// `fill`, `read`, or the refusal's status.
pub(super) fn verdict(result: Result<Grant, Refusal>) -> &'static str {
    match result {
        Ok(grant) if grant.may_fill() => "fill",
        Ok(_) => "read",
        Err(refusal) => status(refusal),
    }
}

/// The status that a refusal becomes.
pub(super) fn status(refusal: Refusal) -> &'static str {
    match refusal.clone().error("acme/api").kind() {
        Kind::Unauthorized => "401",
        Kind::NameUnknown => "404",
        Kind::Denied => "403",
        other => panic!("{refusal:?} is {other:?}"),
    }
}

/// What is stored about a group to which nothing gives access.
fn facts(group: &Group) -> GroupFacts<'_> {
    GroupFacts {
        group,
        lineage: &LINEAGE,
        level: None,
        is_public: group.visibility == Visibility::Public,
        is_mirror: false,
        networks: &[],
        flags: ON,
    }
}

/// The verdict on a principal from nowhere in particular.
fn judge(
    principal: Principal,
    level: Option<Level>,
    visibility: Visibility,
    flags: Flags,
) -> &'static str {
    let group = group(ASKED, visibility);
    let facts = GroupFacts {
        level,
        flags,
        ..facts(&group)
    };
    verdict(dependency_proxy(
        &identity(principal, "192.0.2.1", true),
        Some(facts),
    ))
}
