//! The public port: HTTP/1.1 on `std::net` and `httparse`. Knows no route and no store.
mod admission;
mod authority;
mod chunked;
mod connection;
mod exchange;
mod head;
mod head_scan;
mod listener;
mod poller;
mod range;
mod request;
mod request_body;
mod respond;
mod response;
mod response_head;
mod service;
mod transport;
mod workers;
use listener::Refused;
pub use listener::{Handler, Limits, Refusal, Server};
pub use range::{RangeRequest, none_match, parse_range};
pub use request::{Headers, Method, Request, Scheme};
pub use request_body::RequestBody;
pub use response::{Body, Delivery, Response};
mod range {
    pub enum RangeRequest {
        Whole,
        Part { offset: u64, length: u64 },
        Unsatisfiable,
    }
    pub fn parse_range(_header: Option<&str>, _total: u64) -> RangeRequest {
        todo!()
    }
    pub fn none_match(_header: Option<&str>, _etag: &str) -> bool {
        todo!()
    }
}
pub use range::{RangeRequest, none_match, parse_range};
