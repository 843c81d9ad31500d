//! The public port as clients and attackers see it: real sockets, raw bytes, a handler that is a closure.

mod bodies;
mod framing;
mod from_memory;
mod hanging_up;
mod limits;
mod probe;
mod responses;
mod stopping;
mod support;
mod tls;
mod tls_load;
mod waiting;
