//! The integration suite: one binary, one module a subject. Real processes, real sockets, loopback only.

mod cli;
mod support;
