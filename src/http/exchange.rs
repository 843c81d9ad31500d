//! What is done with a request: parses the head, calls the handler, sends the response, and decides what becomes of the
//! connection. It knows nothing of epoll, and takes part in no decision about who is served when.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::connection::{Connection, Stage};
use super::head::{Head, parse_head};
use super::poller;
use super::respond::{Buffers, send};
use super::response_head::Terms;
use super::service::Service;
use super::{Body, Method, Refused, Request, RequestBody, Response};
use crate::context;

/// A worker waits so long for the next request itself. A client that asks again at once, as all of them do
/// between a manifest and its blobs, is served without the detour through the poller.
const NEXT_REQUEST: Duration = Duration::from_millis(5);

/// Bytes of a next request received in one go; mostly it is a head, and short.
const SCRATCH: usize = 4 * 1024;

/// What becomes of a connection.
enum Next {
    Keep {
        /// Whether the request was answered from memory, as the poller does it: with fewer threads than there are connections.
        by_poller: bool,
    },
    /// Its handshake went on, and no request was answered.
    Stay,
    Linger,
    Close,
}

/// Serves requests of `connection` until it pauses, ends, or others wait for the worker. On the poller's own thread it is one
/// request, whose connection is given back where it goes on; unless that had to wait: then the thread is a worker.
pub(super) fn serve(
    service: &Arc<Service>,
    mut connection: Box<Connection>,
    buffers: &mut Buffers,
) -> Option<Box<Connection>> {
    loop {
        let next = match std::mem::replace(&mut connection.stage, Stage::Waiting) {
            Stage::Whole(head) => exchange(service, &mut connection, head.start, head.end, buffers),
            Stage::Refused(refused) => refuse(service, &mut connection, refused, buffers),
            Stage::Greeted(length) => match connection.shake(length) {
                Ok(()) => Next::Stay,
                Err(_) => Next::Close,
            },
            // Only these three are ever queued.
            Stage::Greeting | Stage::Waiting | Stage::Partial | Stage::Lingering(_) => Next::Close,
        };
        match next {
            Next::Close => return None,
            Next::Linger => connection.linger(),
            Next::Keep { .. } => connection.next_request(),
            Next::Stay => {}
        }
        if poller::is_here() {
            return Some(connection);
        }
        // If it was the poller's, that has silenced it on its way to another thread.
        connection.watch.silence();
        let others_wait = service.pool.should_yield(connection.permit.origin());
        let by_poller = matches!(next, Next::Keep { by_poller: true });
        if !by_poller && connection.is_silent() && !others_wait && !service.is_draining() {
            match connection.wire.transport.wait_readable(NEXT_REQUEST) {
                Ok(false) => {}
                Ok(true) if connection.collect(&mut [0; SCRATCH]).is_ok() => {}
                _ => {
                    connection.farewell();
                    return None;
                }
            }
        }
        match connection.stage {
            Stage::Whole(_) | Stage::Refused(_) | Stage::Greeted(_) if !others_wait => {}
            // The end of the queue is a fair place for a client that sends request after request.
            Stage::Whole(_) | Stage::Refused(_) | Stage::Greeted(_) => {
                service.pool.push(service, connection);
                return None;
            }
            _ => {
                service.park(connection);
                return None;
            }
        }
    }
}

fn exchange(
    service: &Service,
    connection: &mut Connection,
    start: usize,
    end: usize,
    buffers: &mut Buffers,
) -> Next {
    let head = connection.wire.unread().get(start..end).unwrap_or_default();
    let by_poller = service.may_answer_from_memory(&connection.wire.transport, head);
    let head = match parse_head(head) {
        Ok(head) => head,
        Err(refused) => return refuse(service, connection, refused, buffers),
    };
    connection.wire.consume(end);
    let Head {
        modern, keep_alive, ..
    } = head;
    let head_only = head.method == Method::Head;
    let hung_up = connection.wire.transport.hang_up_detector();
    let mut request = request(connection, head);
    let handled = context::serve(connection.permit.origin(), hung_up, || {
        catch_unwind(AssertUnwindSafe(|| service.handler.handle(&mut request)))
    });
    let mut body = request.body;
    let sound = handled.is_ok();
    let response = handled.unwrap_or_else(|_| plain(500, "internal error\n"));
    // What the handler did not read must be out of the way before the next request, which is decided
    // before the response because it has to say whether the connection stays.
    let keep = sound && keep_alive && !service.is_draining() && body.discard();
    let body_read = body.is_done();
    connection.wire = body.into_wire();
    let terms = Terms {
        head_only,
        modern,
        keep,
    };
    match send(&mut connection.wire.transport, response, terms, buffers) {
        Ok(true) => Next::Keep {
            by_poller: by_poller && !context::has_waited(),
        },
        // It asked for the end itself, and has sent all that it had to: no reset can come of closing. Under
        // TLS its own end is still to come, and would be answered with one.
        Ok(false) if body_read && !keep_alive && connection.wire.is_plain_and_empty() => {
            Next::Close
        }
        Ok(false) => Next::Linger,
        Err(_) => {
            connection.wire.transport.abort();
            Next::Close
        }
    }
}

fn request(connection: &mut Connection, head: Head) -> Request {
    let wire = std::mem::take(&mut connection.wire);
    Request {
        method: head.method,
        path: head.path,
        query: head.query,
        headers: head.headers,
        host: head.host,
        peer: connection.peer,
        scheme: wire.transport.scheme(),
        is_http_1_0: !head.modern,
        body: RequestBody::incoming(wire, head.framing, head.expects_continue),
    }
}

fn refuse(
    service: &Service,
    connection: &mut Connection,
    refused: Refused,
    buffers: &mut Buffers,
) -> Next {
    let response = service.refusal(refused, connection.peer);
    let terms = Terms {
        head_only: false,
        modern: true,
        keep: false,
    };
    match send(&mut connection.wire.transport, response, terms, buffers) {
        Ok(_) => Next::Linger,
        Err(_) => Next::Close,
    }
}

/// Where the handler cannot be asked, which is who knows the shapes of the registry's errors.
pub(super) fn plain(status: u16, text: &str) -> Response {
    Response::new(status)
        .header("Content-Type", "text/plain; charset=utf-8")
        .body(Body::Bytes(text.as_bytes().into()))
}
