//! The cases of distribution-spec 1.1, by its text and by what its conformance suite asks of a registry: pull, push,
//! content discovery, content management, for every shape of content that the suite knows.

mod blobs;
mod content;
mod discovery;
mod management;
mod manifests;

/// Where everything is pushed.
const REPOSITORY: &str = "acme/api/conformance";
/// Where blobs are mounted from.
const OTHER: &str = "acme/api/other";
