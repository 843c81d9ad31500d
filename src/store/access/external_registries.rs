//! External registries that take our tokens: rows of `external_registries`. Keys come here sealed, and stay so.

use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};

use super::{AccessDb, ExternalRegistryId, taken};
use crate::error::{Result, excerpt};
use crate::store::audit::{Actor, Detail, Event, EventKind};
use crate::store::statement::{decoded, find, get, list, unknown_word};
use crate::time::Timestamp;

/// How tokens for an external registry are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA with SHA-256, PKCS#1 v1.5.
    Rs256,
}

impl SigningAlgorithm {
    /// The word in JWTs, JSON and the database.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// An external registry. `Debug` is missing, as it holds what may be tried for a key.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalRegistry {
    /// The row; given when it is added.
    pub id: ExternalRegistryId,
    /// What commands call it.
    pub name: String,
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of its tokens, and the `service` that clients ask for.
    pub audience: String,
    /// How its tokens are signed.
    pub algorithm: SigningAlgorithm,
    /// The private key, PKCS 8 in PEM, sealed by `auth::seal`.
    pub key_sealed: Vec<u8>,
    /// The public key's self-signed certificate, PEM: what the registry trusts.
    pub certificate: String,
    /// `kid`, from the public key.
    pub key_id: String,
    /// When it was added.
    pub created_at: Timestamp,
}

impl AccessDb {
    /// Adds one; its `id` and `created_at` are given here. `Conflict` if the name or the audience is taken.
    pub fn add_external_registry(
        &self,
        actor: &Actor,
        registry: &ExternalRegistry,
    ) -> Result<ExternalRegistryId> {
        self.database
            .change(actor, |connection| {
                let id = get(
                    connection,
                    "add external registry",
                    "INSERT INTO external_registries
                         (name, issuer, audience, algorithm, key_sealed, certificate, key_id, created_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id",
                    params![
                        registry.name,
                        registry.issuer,
                        registry.audience,
                        registry.algorithm.as_str(),
                        registry.key_sealed,
                        registry.certificate,
                        registry.key_id,
                        Timestamp::now().0,
                    ],
                    |row| row.get(0).map(ExternalRegistryId),
                )?;
                let event = Event::new(EventKind::RegistryAdded)
                    .subject("registry", &registry.name, Some(id.0))
                    .detail("issuer", Detail::name(&registry.issuer))
                    .detail("audience", Detail::name(&registry.audience))
                    .detail("algorithm", registry.algorithm.as_str());
                Ok((id, Some(event)))
            })
            .map_err(|error| {
                taken(error, || {
                    format!(
                        "there is a registry `{}` already, or one for the audience `{}`",
                        excerpt(&registry.name),
                        excerpt(&registry.audience)
                    )
                })
            })
    }

    /// All of them, by name.
    pub fn external_registries(&self) -> Result<Vec<ExternalRegistry>> {
        self.database.read(|connection| {
            list(
                connection,
                "list external registries",
                "SELECT id, name, issuer, audience, algorithm, key_sealed, certificate, key_id,
                     created_at
                 FROM external_registries ORDER BY name",
                [],
                external_registry,
            )
        })
    }

    /// Whether there was one of this name. No token for it is signed any more; those that were are good until
    /// they expire.
    pub fn remove_external_registry(&self, actor: &Actor, name: &str) -> Result<bool> {
        self.database.change(actor, |connection| {
            let removed = find(
                connection,
                "remove external registry",
                "DELETE FROM external_registries WHERE name = ?1 RETURNING id",
                [name],
                |row| row.get::<_, i64>(0),
            )?;
            let event = removed.map(|id| {
                Event::new(EventKind::RegistryRemoved).subject("registry", name, Some(id))
            });
            Ok((removed.is_some(), event))
        })
    }
}

fn external_registry(row: &Row<'_>) -> rusqlite::Result<ExternalRegistry> {
    Ok(ExternalRegistry {
        id: ExternalRegistryId(row.get(0)?),
        name: row.get(1)?,
        issuer: row.get(2)?,
        audience: row.get(3)?,
        algorithm: decoded(row, 4, |word| match word {
            "ES256" => Ok(SigningAlgorithm::Es256),
            "RS256" => Ok(SigningAlgorithm::Rs256),
            _ => Err(unknown_word("a signing algorithm", word)),
        })?,
        key_sealed: row.get(5)?,
        certificate: row.get(6)?,
        key_id: row.get(7)?,
        created_at: Timestamp(row.get(8)?),
    })
}
