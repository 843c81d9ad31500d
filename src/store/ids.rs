//! Ids of rows that leave the box in JWTs, lists and the audit; each a type of its own, and never reused.

use std::borrow::Cow;

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

macro_rules! ids { ($($(#[$doc:meta])* $id:ident),*) => {$(
    $(#[$doc])*
    #[derive(
        Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
    )]
    #[serde(transparent)]
    pub struct $id(pub i64);

    impl JsonSchema for $id {
        fn schema_name() -> Cow<'static, str> {
            stringify!($id).into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "integer" })
        }
    }

    impl ToSql for $id {
        fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
            self.0.to_sql()
        }
    }

    impl FromSql for $id {
        fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
            i64::column_result(value).map(Self)
        }
    }
)*}; }
ids!(
    /// A user's row; never reused.
    UserId,
    /// A group's row; never reused.
    GroupId,
    /// A token's row; never reused.
    TokenId,
    /// An upstream's row; never reused.
    UpstreamId,
    /// A project's row; never reused.
    ProjectId,
    /// A rule's row, of either kind; never reused.
    RuleId,
    /// A session of the page; never reused.
    SessionId,
    /// An external registry's row; never reused.
    ExternalRegistryId,
    /// A webhook's row; never reused.
    WebhookId,
    /// An upstream with its credentials, in the cache.
    OriginId,
    /// A repository of an origin, in the cache.
    RepositoryId,
    /// A manifest of a repository, in the cache; never reused.
    ManifestId,
    /// A file's row in the cache; never reused.
    BlobId
);
