//! The integration tests: real sockets on loopback, real files, real processes.
mod support;
mod upstream;
