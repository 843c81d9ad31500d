//! Breakwater (skeleton).
pub mod config;
pub mod error;
pub mod http;
pub mod oci;
pub mod store;
pub mod time;
pub mod upstream;
