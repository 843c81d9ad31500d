//! Breakwater (skeleton).
pub mod error;
pub mod http;
pub mod oci;
pub mod time;
pub mod upstream;
