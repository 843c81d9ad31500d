//! Origins (an upstream with its credentials) and their repositories: ids, kept in memory after first sight.

use rusqlite::{Connection, params};

use super::{CacheDb, OriginId, RepositoryId};
use crate::error::Result;
use crate::oci::{RegistryHost, RepositoryName};
use crate::store::statement::{find, get};

/// More origins than anybody configures; past it memory starts afresh.
const ORIGINS_REMEMBERED: usize = 4096;

pub(super) const FIND_ORIGIN: &str =
    "SELECT id FROM origins WHERE upstream = ?1 AND fingerprint = ?2";
pub(super) const FIND_REPOSITORY: &str =
    "SELECT id FROM repositories WHERE origin_id = ?1 AND name = ?2";

impl CacheDb {
    /// The origin's id if anything of it was ever kept. (Memory first.)
    pub fn find_origin(
        &self,
        upstream: &RegistryHost,
        fingerprint: &str,
    ) -> Result<Option<OriginId>> {
        let key = (upstream.clone(), fingerprint.to_owned());
        let origins = self.origins.lock();
        if let Some(id) = origins.get(&key) {
            return Ok(Some(*id));
        }
        drop(origins);
        let id = self
            .database
            .read(|connection| find_origin(connection, upstream, fingerprint))?;
        if let Some(id) = id {
            self.remember_origin(key, id);
        }
        Ok(id)
    }

    /// The origin's id, made if need be: only on the way to keep something.
    pub fn origin(&self, upstream: &RegistryHost, fingerprint: &str) -> Result<OriginId> {
        if let Some(id) = self.find_origin(upstream, fingerprint)? {
            return Ok(id);
        }
        let id = self.database.write(|connection| {
            // Another thread may have made it in between.
            if let Some(id) = find_origin(connection, upstream, fingerprint)? {
                return Ok(id);
            }
            get(
                connection,
                "add origin",
                "INSERT INTO origins (upstream, fingerprint) VALUES (?1, ?2) RETURNING id",
                params![upstream.as_str(), fingerprint],
                |row| row.get(0),
            )
        })?;
        self.remember_origin((upstream.clone(), fingerprint.to_owned()), id);
        Ok(id)
    }

    fn remember_origin(&self, key: (RegistryHost, String), id: OriginId) {
        let mut origins = self.origins.lock();
        if origins.len() >= ORIGINS_REMEMBERED {
            origins.clear();
        }
        origins.insert(key, id);
    }

    /// The repository's id if anything of it was ever kept. (Memory first.)
    pub fn find_repository(
        &self,
        origin: OriginId,
        name: &RepositoryName,
    ) -> Result<Option<RepositoryId>> {
        let key = (origin, name.clone());
        if let Some(id) = self.repositories.get(&key) {
            return Ok(Some(id));
        }
        let id = self
            .database
            .read(|connection| find_repository(connection, origin, name))?;
        if let Some(id) = id {
            self.repositories.insert(key, id);
        }
        Ok(id)
    }

    /// The repository's id, made if need be: only on the way to keep something.
    pub fn repository(&self, origin: OriginId, name: &RepositoryName) -> Result<RepositoryId> {
        if let Some(id) = self.find_repository(origin, name)? {
            return Ok(id);
        }
        let id = self.database.write(|connection| {
            if let Some(id) = find_repository(connection, origin, name)? {
                return Ok(id);
            }
            get(
                connection,
                "add repository",
                "INSERT INTO repositories (origin_id, name) VALUES (?1, ?2) RETURNING id",
                params![origin, name.as_str()],
                |row| row.get(0),
            )
        })?;
        self.repositories.insert((origin, name.clone()), id);
        Ok(id)
    }
}

fn find_origin(
    connection: &Connection,
    upstream: &RegistryHost,
    fingerprint: &str,
) -> Result<Option<OriginId>> {
    find(
        connection,
        "find origin",
        FIND_ORIGIN,
        params![upstream.as_str(), fingerprint],
        |row| row.get(0),
    )
}

fn find_repository(
    connection: &Connection,
    origin: OriginId,
    name: &RepositoryName,
) -> Result<Option<RepositoryId>> {
    find(
        connection,
        "find repository",
        FIND_REPOSITORY,
        params![origin, name.as_str()],
        |row| row.get(0),
    )
}
