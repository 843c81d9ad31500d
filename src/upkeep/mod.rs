//! Care of what is kept, off the request's path: verify, repair and the scrub, garbage collection, cleanup policies, what
//! is saved every night, and bundles of images that travel to boxes without a way to the upstreams.
//!
//! Works on the store alone: asks no upstream, knows no route, and imports neither `proxy` nor `registry`.

pub mod bundle;
pub mod eviction;
pub mod garbage;
pub mod nightly;
pub mod purge;
pub mod repair;
pub mod retention;
pub mod scrub;
pub mod verify;

pub use verify::{Damage, DamageKind, Report, verify};
