//! Who may do what with a hosted repository, as tables: the places and principals of them, and how one is judged.

mod answers;
mod columns;
mod tags;

use std::sync::Arc;

use strum::VariantArray as _;

use super::*;
use crate::auth::policy::tests::{group, identity, project as placed, status, token, user};
use crate::oci::Tag;
use crate::store::{GroupId, ProjectId, RuleId, RuleOwner, TagRule, TokenKind, Visibility};
use crate::time::Timestamp;

/// The project that is asked for is 5, in group 2, which lies in group 1. 9 is elsewhere.
const GROUPS: [i64; 2] = [2, 1];
const REPOSITORY: &str = "group/project/image";

const NO_RULES: (Option<MinimumLevel>, Option<MinimumLevel>) = (None, None);

fn hosted(is_public: bool, rules: Vec<ProtectionRule>, tag_rules: &[TagRule]) -> HostedProject {
    HostedProject {
        placed: placed(&GROUPS),
        is_public,
        quotas: Arc::from([]),
        rules: rules.into(),
        tag_rules: Arc::new(TagRules::new(tag_rules, &Arc::default())),
    }
}

fn rule(
    pattern: &str,
    tags: Option<&str>,
    push: Option<MinimumLevel>,
    delete: Option<MinimumLevel>,
) -> ProtectionRule {
    ProtectionRule {
        id: RuleId(1),
        owner: RuleOwner::Project(ProjectId(5)),
        pattern: pattern.into(),
        tag_pattern: tags.map(str::to_owned),
        min_push: push,
        min_delete: delete,
        created_at: Timestamp(0),
    }
}

/// What each of the three comes to, as `pull push delete`: `ok` or a status.
fn verdicts(
    principal: &Principal,
    level: Option<Level>,
    is_public: bool,
    (push, delete): (Option<MinimumLevel>, Option<MinimumLevel>),
) -> String {
    let rules = vec![rule("group/project*", None, push, delete)];
    let project = hosted(is_public, rules, &[]);
    let who = identity(principal.clone(), "192.0.2.1", true);
    let verdict = |&wanted| match ask(&who, &project, level, wanted) {
        Ok(_) => "ok",
        Err(refusal) => status(refusal),
    };
    let verdicts: Vec<_> = Wanted::VARIANTS.iter().map(verdict).collect();
    verdicts.join(" ")
}

fn ask(
    who: &Identity,
    project: &HostedProject,
    level: Option<Level>,
    wanted: Wanted,
) -> Result<RepositoryGrant, Refusal> {
    let name = RepositoryName::parse(REPOSITORY).unwrap();
    let facts = RepositoryFacts {
        project,
        repository: &name,
        level,
    };
    repository(who, Some(facts), wanted)
}

fn password(admin: bool) -> Principal {
    Principal::Password(user(admin))
}

fn personal(admin: bool, scopes: &str) -> Principal {
    Principal::PersonalToken(user(admin), token(TokenKind::Personal, scopes))
}

/// A job of the project that is asked for, or of another one.
fn job(admin: bool, own: bool) -> Principal {
    let mut of = placed(&GROUPS);
    if !own {
        Arc::make_mut(&mut of).project.id = ProjectId(99);
    }
    Principal::JobToken(user(admin), of, token(TokenKind::Job, ""))
}

fn bot(kind: TokenKind, scopes: &str, level: Option<Level>) -> Arc<crate::store::Token> {
    let mut token = token(kind, scopes);
    Arc::make_mut(&mut token).access_level = level;
    token
}

fn of_group(id: i64, scopes: &str, level: Level) -> Principal {
    let group = Arc::new(group(id, Visibility::Private));
    Principal::GroupToken(group, bot(TokenKind::Group, scopes, Some(level)))
}

fn of_project(own: bool, scopes: &str, level: Level) -> Principal {
    let mut of = placed(&GROUPS);
    if !own {
        Arc::make_mut(&mut of).project.id = ProjectId(99);
    }
    Principal::ProjectToken(of, bot(TokenKind::Project, scopes, Some(level)))
}

fn group_deploy(id: i64, scopes: &str) -> Principal {
    let group = Arc::new(group(id, Visibility::Private));
    Principal::GroupDeployToken(group, token(TokenKind::Deploy, scopes))
}

fn project_deploy(own: bool, scopes: &str) -> Principal {
    let mut of = placed(&GROUPS);
    if !own {
        Arc::make_mut(&mut of).project.id = ProjectId(99);
    }
    Principal::ProjectDeployToken(of, token(TokenKind::Deploy, scopes))
}

fn who(level: Option<Level>, admin: bool) -> String {
    match level {
        _ if admin => "administrator".to_owned(),
        None => "stranger".to_owned(),
        Some(level) => format!("{level:?}").to_lowercase(),
    }
}
