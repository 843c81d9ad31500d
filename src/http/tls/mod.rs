//! TLS on the public port: what a listener proves its name with, and the byte stream of one connection.
//!
//! Nothing here waits for a client but `TlsStream::receive` and `send_all`, which are a worker's. A handshake
//! belongs to the poller until a flight of it has come whole, and costs what arrived of it and nothing more;
//! the arithmetic is done by a worker, which does not wait for the next flight. So neither silence nor a
//! flood of handshakes stops anybody, and what is done is counted and bounded like requests.

mod certificate;
mod flight;
mod identity;
mod stream;

pub use certificate::{CertificateSummary, is_self_issued};
pub(super) use flight::{Flight, next_flight};
pub use identity::{Refresh, TlsIdentity};
pub(super) use stream::TlsStream;
