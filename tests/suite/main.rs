//! The integration suite: one binary, one module a subject. Real processes, real sockets, loopback only.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::get_unwrap,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unchecked_time_subtraction,
    clippy::unreachable,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on shall say so where it stands"
)]

mod api;
mod bundle;
mod cached;
mod cli;
mod clients;
mod conformance;
mod crash;
mod eviction;
mod external;
mod faults;
mod garbage;
mod healing;
mod hosted_access;
mod hostile;
mod http;
mod layering;
mod login;
mod metrics;
mod mirror;
mod monitoring;
mod neighbours;
mod networks;
mod observe;
mod offline;
mod page;
mod pull_through;
mod push_pull;
mod readme;
mod recreate;
mod store;
mod support;
mod tiers;
mod upstream;
mod upstreams;
mod warm;
mod webhooks;
