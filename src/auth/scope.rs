//! Scopes of tokens, and the abilities that each gives.

use std::fmt;

use serde::Serialize;
use strum::{VariantArray as _, VariantNames as _};

use crate::error::{Error, Kind, Result, excerpt};

/// One thing that a credential can allow. The names are those of GitLab's authentication
/// abilities; they stand in the log where one is missing.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Ability {
    /// Pull a hosted image.
    ReadContainerImage,
    CreateContainerImage,
    DestroyContainerImage,
    /// Read what the dependency proxy has, or pass through it.
    ReadDependencyProxyContainer,
    /// Fill the dependency proxy's cache.
    WriteDependencyProxyContainer,
    /// Read the REST API.
    ReadApi,
    /// Change things by the REST API.
    #[strum(serialize = "api")]
    WriteApi,
}

impl Ability {
    /// The ability's name as it is logged.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A set of abilities.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities(u8);

impl Abilities {
    /// None.
    pub const NONE: Self = Self(0);
    /// All: what a password and the scope `api` give.
    pub const ALL: Self = Self(0x7f);

    pub fn of(abilities: &[Ability]) -> Self {
        Self(abilities.iter().fold(0, |set, &ability| set | bit(ability)))
    }

    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `ability` is in the set.
    pub fn has(self, ability: Ability) -> bool {
        self.0 & bit(ability) != 0
    }

    /// The abilities, in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = Ability> {
        let abilities = Ability::VARIANTS.iter().copied();
        abilities.filter(move |&ability| self.has(ability))
    }
}

fn bit(ability: Ability) -> u8 {
    1 << ability as u8
}

impl fmt::Debug for Abilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Ability::as_str))
            .finish()
    }
}

/// A scope: a word on a token. In the order in which they are shown.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum TokenScope {
    /// `read_registry`
    ReadRegistry,
    /// `write_registry`
    WriteRegistry,
    /// `read_virtual_registry`, also accepted as `read_dependency_proxy`
    ReadVirtualRegistry,
    /// `write_virtual_registry`, also accepted as `write_dependency_proxy`
    WriteVirtualRegistry,
    /// `read_api`
    ReadApi,
    /// `api`
    Api,
}

impl TokenScope {
    /// The word under which the scope is stored and shown.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Reads a scope or one of the two aliases.
    ///
    /// # Errors
    /// `BadRequest` that lists the scopes.
    pub fn parse(text: &str) -> Result<Self> {
        let word = match text {
            "read_dependency_proxy" => "read_virtual_registry",
            "write_dependency_proxy" => "write_virtual_registry",
            other => other,
        };
        word.parse().map_err(|_| {
            let known = Self::VARIANTS.join(", ");
            let what = format!("`{}` is not a scope", excerpt(text));
            Error::new(Kind::BadRequest, what).remedy(format!("use one of {known}"))
        })
    }

    /// The abilities that the scope gives.
    pub fn abilities(self) -> Abilities {
        use Ability as A;
        match self {
            Self::ReadRegistry => {
                Abilities::of(&[A::ReadContainerImage, A::ReadDependencyProxyContainer])
            }
            Self::WriteRegistry => {
                Abilities::of(&[A::CreateContainerImage, A::WriteDependencyProxyContainer])
            }
            Self::ReadVirtualRegistry => Abilities::of(&[A::ReadDependencyProxyContainer]),
            Self::WriteVirtualRegistry => Abilities::of(&[
                A::ReadDependencyProxyContainer,
                A::WriteDependencyProxyContainer,
            ]),
            Self::ReadApi => Abilities::of(&[A::ReadContainerImage, A::ReadApi]),
            Self::Api => Abilities::ALL,
        }
    }
}

/// Reads scopes from outside: words, each perhaps a comma-separated list; sorted, without repetitions.
///
/// # Errors
/// As [`TokenScope::parse`]; `BadRequest` for none at all.
pub fn parse_scopes<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Vec<TokenScope>> {
    let words = words
        .into_iter()
        .flat_map(|word| word.split(','))
        .map(str::trim)
        .filter(|word| !word.is_empty());
    let mut scopes = words.map(TokenScope::parse).collect::<Result<Vec<_>>>()?;
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        let known = TokenScope::VARIANTS.join(", ");
        return Err(
            Error::new(Kind::BadRequest, "a token without scopes is worth nothing")
                .remedy(format!("give one or more of {known}")),
        );
    }
    Ok(scopes)
}

/// The abilities that stored scope words give together. A word that this program does not know gives none.
pub fn abilities_of(stored: &[String]) -> Abilities {
    stored
        .iter()
        .filter_map(|word| TokenScope::parse(word).ok())
        .fold(Abilities::NONE, |set, scope| set.union(scope.abilities()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_is_worth_what_the_table_says() {
        let table: &[(&str, &[&str])] = &[
            (
                "read_registry",
                &["read_container_image", "read_dependency_proxy_container"],
            ),
            (
                "write_registry",
                &["create_container_image", "write_dependency_proxy_container"],
            ),
            (
                "read_virtual_registry",
                &["read_dependency_proxy_container"],
            ),
            (
                "read_dependency_proxy",
                &["read_dependency_proxy_container"],
            ),
            (
                "write_virtual_registry",
                &[
                    "read_dependency_proxy_container",
                    "write_dependency_proxy_container",
                ],
            ),
            (
                "write_dependency_proxy",
                &[
                    "read_dependency_proxy_container",
                    "write_dependency_proxy_container",
                ],
            ),
            ("read_api", &["read_container_image", "read_api"]),
            (
                "api",
                &[
                    "read_container_image",
                    "create_container_image",
                    "destroy_container_image",
                    "read_dependency_proxy_container",
                    "write_dependency_proxy_container",
                    "read_api",
                    "api",
                ],
            ),
        ];
        for (word, expected) in table {
            let abilities: Vec<_> = TokenScope::parse(word)
                .unwrap()
                .abilities()
                .iter()
                .map(Ability::as_str)
                .collect();
            assert_eq!(abilities, *expected, "{word}");
        }
    }

    #[test]
    fn scopes_are_stored_under_their_own_word() {
        let scopes = parse_scopes(["read_dependency_proxy,api", "api"]).unwrap();
        assert_eq!(scopes, [TokenScope::ReadVirtualRegistry, TokenScope::Api]);
        assert!(parse_scopes([""]).is_err());
        assert!(parse_scopes(["sudo"]).is_err());
        assert_eq!(
            abilities_of(&["from_the_future".to_owned()]),
            Abilities::NONE
        );
    }
}
