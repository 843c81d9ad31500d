//! The public port: HTTP/1.1 on `std::net` and `httparse`. Knows no route and no store.
mod listener;
mod request;
mod response;
pub use listener::{Handler, Limits, Refusal, Server};
pub use request::{Headers, Method, Request, RequestBody, Scheme};
pub use response::{Body, Delivery, Response};
