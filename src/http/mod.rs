//! The public port: HTTP/1.1 on `std::net`, epoll and `httparse`. Knows no route and no store.
//!
//! # Bird's-eye view
//! ```text
//! listener   Server, Limits, Handler: start and graceful stop
//!   ├ poller      accepts, collects heads, watches idle connections, keeps deadlines; answers itself what is in memory
//!   ├ workers     the pool: threads on demand, a queue in which no address takes every place and nobody
//!   │             waits long behind those who wait for something else
//!   ├ exchange    head → handler → response → what becomes of the connection
//!   ├ admission   counts connections, in all and by address; cuts them at the end
//!   ├ gauge       how much there is to do, for whoever watches
//!   ├ probe       asks the own public port, for a watchdog
//!   └ service     what the threads share
//! connection      one connection between two requests: in its TLS handshake, waiting, partial, whole,
//!                 refused, lingering
//!   ├ head_scan → head, authority    bytes → a whole head → its meaning, or a refusal
//!   ├ request_body, chunked          the body while it arrives; what is left unread
//!   ├ response_head, respond         framing of the response; sendfile, streams
//!   └ wire, transport, tls, pace     what came too early; the socket; TLS over it; how slow a client may be
//! request, response, range           what a handler gets, gives, and may ask for help with
//! interfaces                         the addresses of this machine
//! ```
//! A connection belongs to the poller until its head is whole, costs a small buffer until then and no
//! thread, and is then handed to a worker, which does blocking IO with a stall timeout. The worker waits a
//! few milliseconds for the next request and hands the connection back. So ten thousand half requests fit
//! into a few megabytes, and a request that is there is served by straight-line code.
//!
//! What is likely to be answered from memory, as the handler says by the head, the poller's thread answers itself, by the same
//! code: it costs one call that receives and one that sends, and wakes nobody. Where it has to wait all the same, the thread
//! first leaves the poller to an idle worker and goes on as a worker: being the poller is one of the things that a worker
//! does, and there is one at any time. So nobody ever waits behind a request that waits. With a worker for each connection,
//! which the poller woke or which waited for the next request itself, a third of the time went to waking threads.
//!
//! Handlers and the sources of bodies may wait for an upstream for minutes. On a worker they need not say so: a request
//! that found no worker for 50 ms gets one more, up to one for each connection, and threads that are idle
//! end. So a kept image or `/-/liveness` never waits behind a cold one for long.
//!
//! A TLS handshake goes the same way: the poller collects a whole flight, a worker does the arithmetic of it
//! and waits for nobody.
//!
//! # Invariants
//! 1. Nothing is allocated by a number that a client sent: buffers grow with bytes that arrived.
//! 2. Whatever a proxy in front could have read in another way is refused, and its connection ends: two
//!    readings of one message are how requests are smuggled (RFC 9112 section 11.2).
//! 3. Every wait for a client has a deadline: a whole head, the next request, progress in a body, the end.
//!    Progress is bytes for the time spent waiting for them, so that a trickle is none.
//! 4. The poller waits for nobody: it calls the handler only for refusals and for what is answered from memory, and it is
//!    another thread's before a handler waits ([`crate::context::waits`]).
//! 5. A response that is not whole is broken off with a reset; its receipt is given exactly once.
//! 6. A panic in a handler, a body's source or a receipt costs its own connection and nothing else.
//!
//! # Why not `tiny_http`
//! The control socket uses it, and it is fast enough for anything: 30,000 small answers a second on two
//! cores, large files at nginx's speed. Strangers cannot be let near it (0.12, release build, measured):
//! - One request without credentials ends the process. After `PUT` with `Content-Length: 40000000000` and
//!   any answer given before the body was read, dropping the request allocates the unread length in one
//!   piece; the allocation fails, and that aborts (134), past every `catch_unwind`.
//! - Heads have neither limit nor deadline: one endless header grew the process by 100 MB a second, and
//!   2,000 half requests held 2,000 threads for good.
//! - Its accepting thread dies when descriptors are used up or a thread cannot be started, and the port
//!   stays dead; with TLS it does the handshakes there too, so that one silent client stops everybody.
//! - A body cannot be broken off, which is what a lie from the upstream demands: the connection is out of
//!   reach.
//!
//! Its last release is of 2022. The day one mends the first point is the day to look again.
//!
//! # What is deliberately missing
//! HTTP/2, pipelined parallelism, compression, `Upgrade`: no registry client needs them.

mod admission;
mod authority;
mod chunked;
mod connection;
mod date;
mod exchange;
mod gauge;
mod head;
mod head_scan;
mod interfaces;
mod listener;
mod pace;
mod parts;
mod poller;
mod probe;
mod range;
mod request;
mod request_body;
mod respond;
mod response;
mod response_head;
mod service;
mod tls;
mod transport;
mod wire;
mod workers;

pub use authority::{Authority, Host};
pub use gauge::{Gauge, Load};
pub use interfaces::interface_addresses;
use listener::Refused;
pub use listener::{Handler, Limits, Listener, Refusal, Server};
pub use parts::several_parts;
pub use probe::Probe;
pub use range::{MAX_RANGES, Part, RangeRequest, has_too_many_ranges, none_match, parse_range};
pub use request::{Headers, Method, Request, Scheme};
pub use request_body::RequestBody;
pub use response::{Body, Delivery, FilePart, Response, Source};
pub use tls::{CertificateSummary, Refresh, TlsIdentity, is_self_issued};
