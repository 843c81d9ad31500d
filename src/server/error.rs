//! From the kind of an error to an HTTP status, an OCI code and a text: the only mapping.
//!
//! What concerns the box itself (a path, an SQL statement, a bug) is logged and not told: the client gets
//! the request's id, under which the log has the rest.

use std::time::Duration;

use serde_json::json;

use crate::error::{Error, Kind};
use crate::http::{Body, Response};

/// Status and code of distribution-spec 1.1, "Error Codes", and the few beyond its list.
pub fn status_and_code(kind: Kind) -> (u16, &'static str) {
    match kind {
        Kind::NameInvalid => (400, "NAME_INVALID"),
        Kind::TagInvalid => (400, "TAG_INVALID"),
        Kind::DigestInvalid => (400, "DIGEST_INVALID"),
        Kind::ManifestInvalid => (400, "MANIFEST_INVALID"),
        Kind::ManifestTooLarge => (413, "SIZE_INVALID"),
        Kind::SizeInvalid => (400, "SIZE_INVALID"),
        Kind::BlobUploadInvalid => (400, "BLOB_UPLOAD_INVALID"),
        Kind::BlobUploadUnknown => (404, "BLOB_UPLOAD_UNKNOWN"),
        Kind::BadRequest => (400, "UNSUPPORTED"),
        Kind::RangeInvalid => (416, "RANGE_INVALID"),
        Kind::Unsupported => (405, "UNSUPPORTED"),
        Kind::Unauthorized => (401, "UNAUTHORIZED"),
        Kind::Denied => (403, "DENIED"),
        Kind::NameUnknown => (404, "NAME_UNKNOWN"),
        Kind::ManifestUnknown => (404, "MANIFEST_UNKNOWN"),
        Kind::BlobUnknown => (404, "BLOB_UNKNOWN"),
        Kind::NotFound => (404, "NOT_FOUND"),
        Kind::Conflict => (409, "CONFLICT"),
        Kind::TooManyRequests { .. } => (429, "TOOMANYREQUESTS"),
        Kind::Unavailable { .. } | Kind::UpstreamLied => (503, "UNAVAILABLE"),
        Kind::Busy => (503, "UNAVAILABLE"),
        Kind::Circle => (508, "UNAVAILABLE"),
        // As nginx logs it; no client sees it.
        Kind::Abandoned => (499, "UNAVAILABLE"),
        Kind::Full => (507, "UNAVAILABLE"),
        Kind::Usage | Kind::Config | Kind::Lost | Kind::Io | Kind::Sql | Kind::Internal => {
            (500, "UNKNOWN")
        }
    }
}

/// What a client is told of an error.
pub(super) struct Told {
    pub(super) status: u16,
    /// The OCI code.
    pub(super) code: &'static str,
    pub(super) message: String,
    /// For `Retry-After`, in seconds.
    pub(super) retry_after: Option<u64>,
}

/// What a client is told of `error`; the rest is logged.
pub(super) fn told(error: &Error, request_id: &str) -> Told {
    let (status, code) = status_and_code(error.kind());
    let of_the_box = match error.kind() {
        Kind::Full => Some("the disk of this box is full: ask its administrator to free space"),
        Kind::Busy => Some("a database of this box is in use by another process: try again"),
        // Whose image it is has to know.
        Kind::Lost => None,
        _ if status == 500 => Some("something is wrong with this box"),
        _ => None,
    };
    let message = match of_the_box {
        Some(what) => {
            tracing::error!(request_id, "request failed: {error}");
            format!("{what}; its log says more under request {request_id}")
        }
        None => error.to_string(),
    };
    let retry_after = match error.kind() {
        Kind::TooManyRequests { retry_after } | Kind::Unavailable { retry_after } => {
            Some(retry_after)
        }
        Kind::UpstreamLied | Kind::Busy => Some(Duration::from_secs(5)),
        _ => None,
    };
    Told {
        status,
        code,
        message,
        retry_after: retry_after.map(|after| after.as_secs().max(1)),
    }
}

/// The answer to a request that failed with `error`, in the form of the registry protocol.
pub(super) fn response(error: &Error, request_id: &str) -> Response {
    let told = told(error, request_id);
    let response = body(told.status, told.code, &told.message);
    // docker shows no body of a 5xx, only the status line.
    let response = if told.status >= 500 {
        response.reason(&told.message)
    } else {
        response
    };
    match told.retry_after {
        Some(seconds) => response.header("Retry-After", seconds.to_string()),
        None => response,
    }
}

/// An answer in the form of distribution-spec 1.1, "Error Codes".
pub(super) fn body(status: u16, code: &str, message: &str) -> Response {
    let body = json!({ "errors": [{ "code": code, "message": message, "detail": null }] });
    json_body(Response::new(status), &body)
}

/// Puts `value` into an answer as JSON.
pub(super) fn json_body(response: Response, value: &serde_json::Value) -> Response {
    response
        .header("Content-Type", "application/json")
        .body(Body::Bytes(value.to_string().into_bytes().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(response: &Response) -> String {
        match &response.body {
            Body::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            _ => String::new(),
        }
    }

    #[test]
    fn what_concerns_the_box_is_not_told_to_strangers() {
        let error = Error::new(Kind::Io, "cannot open /var/lib/breakwater/secret.key");
        let response = response(&error, "abc123");
        assert_eq!(response.status, 500);
        assert!(!text(&response).contains("secret.key") && text(&response).contains("abc123"));
    }

    #[test]
    fn an_answer_says_when_to_come_again() {
        let kind = Kind::Unavailable {
            retry_after: Duration::from_millis(200),
        };
        let response = response(&Error::new(kind, "docker.io does not answer"), "x");
        assert_eq!(
            (response.status, response.get("Retry-After")),
            (503, Some("1"))
        );
        assert!(text(&response).contains("docker.io does not answer"));
    }
}
