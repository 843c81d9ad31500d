//! What a path means: a repository of an upstream, and how one is told from another.

use std::sync::Arc;

use crate::oci::{RegistryHost, RepositoryName};
use crate::spool::Owner;
use crate::upstream::Upstream;

/// A repository of an upstream.
#[derive(Clone)]
pub struct Target {
    pub upstream: Arc<Upstream>,
    /// The repository's name there, `library/` included.
    pub repository: RepositoryName,
    pub(super) origin: OriginKey,
}

impl Target {
    /// What fetches and calls in progress are told apart by: upstream, credentials, repository.
    pub(super) fn key(&self) -> TargetKey {
        TargetKey {
            origin: self.origin.clone(),
            repository: self.repository.clone(),
        }
    }

    /// On whose behalf answers of the upstream are held that several clients may wait for.
    pub(super) fn owner(&self) -> Owner {
        let (upstream, fingerprint) = (self.origin.upstream(), self.origin.fingerprint());
        Owner::Upstream(format!("{upstream} {fingerprint}"))
    }

    /// `HOST/NAME`, for people.
    pub(super) fn shown(&self) -> String {
        format!("{}/{}", self.upstream.name(), self.repository)
    }
}

/// An upstream with its credentials, by name and fingerprint. A key and no row: a row is made only on the way
/// to keep something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OriginKey(pub(super) Arc<(RegistryHost, String)>);

impl OriginKey {
    pub(super) fn of(upstream: &Upstream) -> Self {
        let fingerprint = upstream.fingerprint().to_owned();
        Self(Arc::new((upstream.name().clone(), fingerprint)))
    }

    pub(super) fn upstream(&self) -> &RegistryHost {
        &self.0.0
    }

    pub(super) fn fingerprint(&self) -> &str {
        &self.0.1
    }
}

/// A repository of an origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TargetKey {
    pub(super) origin: OriginKey,
    pub(super) repository: RepositoryName,
}
