//! What is remembered for a while of what an upstream said, or of what became of it here. The key always holds
//! the upstream, its credentials and the repository, never a digest alone: so no tenant's upstream decides
//! anything for another tenant.

use std::hash::Hash;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use super::TargetKey;

/// Notes about whatever `W` names in a repository of an upstream.
pub(super) struct Notes<W, V>(Cache<(TargetKey, W), (Instant, V)>);

impl<W: Hash + Eq + Clone, V: Clone> Notes<W, V> {
    /// Keeps so many at most.
    pub(super) fn new(most: usize) -> Self {
        Self(Cache::new(most))
    }

    pub(super) fn note(&self, key: (TargetKey, W), value: V) {
        self.0.insert(key, (Instant::now(), value));
    }

    /// What was noted within the last `period`.
    pub(super) fn recent(&self, key: &(TargetKey, W), period: Duration) -> Option<V> {
        let (at, value) = self.0.get(key)?;
        (at.elapsed() < period).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::oci::{Digest, RegistryHost, RepositoryName};
    use crate::proxy::OriginKey;

    #[test]
    fn a_note_is_found_by_upstream_credentials_repository_and_digest_together() {
        let key = |upstream: &str, fingerprint: &str, repository: &str, bytes: &[u8]| {
            let upstream = RegistryHost::parse(upstream).unwrap();
            let origin = OriginKey(Arc::new((upstream, fingerprint.to_owned())));
            let repository = RepositoryName::parse(repository).unwrap();
            (TargetKey { origin, repository }, Digest::of(bytes))
        };
        let notes = Notes::new(100);
        let noted = key("a.example", "1", "app", b"blob");
        notes.note(noted.clone(), ());
        let hour = Duration::from_secs(3600);
        assert!(notes.recent(&noted, hour).is_some());
        assert!(notes.recent(&noted, Duration::ZERO).is_none());
        for other in [
            key("b.example", "1", "app", b"blob"),
            key("a.example", "2", "app", b"blob"),
            key("a.example", "1", "other", b"blob"),
            key("a.example", "1", "app", b"another blob"),
        ] {
            assert!(notes.recent(&other, hour).is_none(), "{other:?}");
        }
    }
}
