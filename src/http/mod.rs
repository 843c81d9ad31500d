//! The public port: HTTP/1.1 on `std::net` and `httparse`. Knows no route and no store.
mod listener;
mod request;
mod response;
pub use listener::{Handler, Limits, Refusal, Server};
pub use request::{Headers, Method, Request, RequestBody, Scheme};
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
