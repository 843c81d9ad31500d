//! Care of what is kept, off the request's path: verify, repair and the scrub, garbage collection, cleanup policies, what
//! is saved every night. (Eviction, export and import belong here too.)
//!
//! Works on the store alone: asks no upstream, knows no route, and imports neither `proxy` nor `registry`.

pub mod eviction;
pub mod garbage;
pub mod nightly;
pub mod purge;
pub mod repair;
pub mod retention;
pub mod scrub;
pub mod verify;

pub use verify::{Damage, DamageKind, Report, verify};
