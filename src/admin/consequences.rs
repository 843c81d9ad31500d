//! What a flag would change: which tokens, of those that were used lately, it would refuse.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::features::parse_flag;
use super::tokens::{Known, Owners};
use super::{Admin, Named, Operation};
use crate::auth::features::{Flag, Flags};
use crate::auth::policy;
use crate::error::Result;
use crate::store::{Token, TokenId, TokenKind};
use crate::time::Timestamp;

/// What was not used since then is not told.
const LATELY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// So many tokens are shown.
const MOST: usize = 50;

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ShowConsequences {
    #[schemars(skip)]
    pub name: String,
    /// As if the flag were on, or off; on without it
    #[serde(default = "on")]
    pub value: bool,
    /// For this group, by path, instead of the box
    pub group: Option<String>,
}

fn on() -> bool {
    true
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FeatureConsequences")]
#[serde(deny_unknown_fields)]
pub struct ConsequencesView {
    pub name: String,
    pub value: bool,
    /// Null for the box
    pub group_path: Option<String>,
    /// How many tokens that were used within 30 days the dependency proxy would refuse
    pub total: usize,
    /// The 50 of them that were used last
    pub tokens: Vec<RefusedToken>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusedToken {
    pub id: TokenId,
    pub name: String,
    pub kind: TokenKind,
    /// The user, group or project that it is of
    pub owner: String,
    /// The ability that it would need
    pub lacks: String,
    pub last_used_at: Timestamp,
}

impl Operation for ShowConsequences {
    const NAME: &'static str = "features.consequences";
    type View = ConsequencesView;

    fn perform(self, admin: &Admin<'_>) -> Result<ConsequencesView> {
        let store = admin.store;
        store.in_list_queue(|| self.find(admin))
    }
}

impl ShowConsequences {
    fn find(self, admin: &Admin<'_>) -> Result<ConsequencesView> {
        let flag = parse_flag(&self.name)?;
        let path = self.group.filter(|path| !path.is_empty());
        let group = path
            .map(|path| admin.group(&Named::Text(path)))
            .transpose()?;
        let known = Known::read(admin.store)?;
        let owners = Owners::read(admin.store)?;
        let lineage = group
            .as_ref()
            .map_or(&[][..], |group| known.lineage(group.id));
        let mut flags = Flags::of(&known.features, lineage);
        match flag {
            Flag::EnforceAbilitiesCheck => flags.enforce = self.value,
            Flag::SplitAbilities => flags.split = self.value,
        }
        // One for the REST API alone is meant for no registry.
        let is_meant = |token: &Token| {
            let is_for = |scope: &String| scope.contains("write_") || scope.contains("registry");
            token.scopes.iter().any(is_for)
        };
        let now = Timestamp::now();
        let mut tokens = Vec::new();
        for (principal, token, lacks) in known.refused(flags, is_meant) {
            let sees = |group| policy::sees(principal, known.facts(group, principal));
            if !group.as_ref().is_none_or(sees) {
                continue;
            }
            let used = admin.store.cache.token_last_used(token.id)?;
            let Some((at, _)) = used.filter(|(at, _)| now.since(*at) < LATELY) else {
                continue;
            };
            tokens.push(RefusedToken {
                id: token.id,
                name: token.name.clone(),
                kind: token.kind,
                owner: owners.of(token),
                lacks: lacks.as_str().to_owned(),
                last_used_at: at,
            });
        }
        tokens.sort_by_key(|token| (std::cmp::Reverse(token.last_used_at), token.id.0));
        let total = tokens.len();
        tokens.truncate(MOST);
        Ok(ConsequencesView {
            name: self.name,
            value: self.value,
            group_path: group.map(|group| group.path),
            total,
            tokens,
        })
    }
}
