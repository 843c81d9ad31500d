//! The nouns of the OCI specifications: digest, repository name, tag, reference, image pattern, platform,
//! manifest, scope.
//!
//! Pure: no IO, no clock. A string from outside becomes one of these types, or an error, before it
//! touches a path, an SQL statement or an upstream's URL.

mod digest;
mod manifest;
mod pattern;
mod platform;
mod reference;
mod scope;

pub use digest::{Algorithm, Digest, Hasher};
pub use manifest::{
    ChosenChildren, Descriptor, MAX_ARTIFACT_TYPE, MAX_CONTENT_SIZE, MAX_MANIFEST_SIZE, Manifest,
    MediaType,
};
pub use pattern::{ImagePattern, ImagePatterns, matches_glob};
pub use platform::Platform;
pub use reference::{DOCKER_HUB, ImageName, Reference, RegistryHost, RepositoryName, Tag};
pub use scope::{AccessEntry, Scope};
