//! Scopes of docker's token authentication: `repository:NAME:ACTIONS` (distribution, "Token Scope
//! Documentation"), and the `access` claim that answers them.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result, excerpt};

/// One requested scope. The name is not yet a `RepositoryName`: an external registry's may differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// `repository`, `registry`, …; a class in parentheses (`repository(plugin)`) is dropped.
    pub kind: String,
    /// The resource's name; may hold colons (a host with a port).
    pub name: String,
    /// `pull`, `push`, `delete`, `*`.
    pub actions: Vec<String>,
}

impl Scope {
    /// Parses one scope: type before the first colon, actions after the last, name between.
    ///
    /// # Errors
    /// `BadRequest` when it has no two colons, or is longer than 1,024 bytes.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || {
            Error::new(
                Kind::BadRequest,
                format!("`{}` is not a scope", excerpt(text)),
            )
            .remedy("write repository:NAME:pull")
        };
        if text.len() > 1024 {
            return Err(invalid());
        }
        let (kind, rest) = text.split_once(':').ok_or_else(invalid)?;
        let (name, actions) = rest.rsplit_once(':').ok_or_else(invalid)?;
        let kind = kind.split_once('(').map_or(kind, |(kind, _)| kind);
        if kind.is_empty() || name.is_empty() {
            return Err(invalid());
        }
        let actions = actions
            .split(',')
            .filter(|action| !action.is_empty())
            .map(str::to_owned)
            .collect();
        Ok(Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            actions,
        })
    }

    /// Parses every scope of repeated parameters, each of which may hold several separated by spaces.
    ///
    /// # Errors
    /// As [`Scope::parse`]; also `BadRequest` for more than 64 scopes.
    pub fn parse_all<'a>(parameters: impl IntoIterator<Item = &'a str>) -> Result<Vec<Self>> {
        let scopes: Vec<_> = parameters
            .into_iter()
            .flat_map(str::split_ascii_whitespace)
            .take(65)
            .collect();
        if scopes.len() > 64 {
            return Err(Error::new(
                Kind::BadRequest,
                "more than 64 scopes in one token request",
            ));
        }
        scopes.into_iter().map(Self::parse).collect()
    }
}

/// One entry of a JWT's `access` claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessEntry {
    /// As [`Scope::kind`].
    #[serde(rename = "type")]
    pub kind: String,
    /// As [`Scope::name`].
    pub name: String,
    /// The actions that were granted, a subset of those asked for.
    pub actions: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_split_at_the_outer_colons() {
        let cases: &[(&str, &str, &str, &[&str])] = &[
            (
                "repository:library/alpine:pull",
                "repository",
                "library/alpine",
                &["pull"],
            ),
            (
                "repository:localhost:5000/x:pull,push",
                "repository",
                "localhost:5000/x",
                &["pull", "push"],
            ),
            ("repository(plugin):x:pull", "repository", "x", &["pull"]),
            ("registry:catalog:*", "registry", "catalog", &["*"]),
            ("repository:x:", "repository", "x", &[]),
        ];
        for (text, kind, name, actions) in cases {
            let scope = Scope::parse(text).unwrap();
            assert_eq!(
                (scope.kind.as_str(), scope.name.as_str()),
                (*kind, *name),
                "{text}"
            );
            assert_eq!(scope.actions, *actions, "{text}");
        }
        for text in ["", "x", "repository:x", ":x:pull", "repository::pull"] {
            assert!(Scope::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn several_scopes_come_repeated_or_separated_by_spaces() {
        let scopes =
            Scope::parse_all(["repository:a:pull repository:b:pull", "repository:c:pull"]).unwrap();
        assert_eq!(
            scopes.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        assert!(Scope::parse_all(["repository:a:pull "; 65]).is_err());
    }
}
