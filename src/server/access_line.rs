//! What is counted and logged of each request, after its answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::call::Note;
use super::observe::{Answered, MethodClass, Observed, RouteClass};
use crate::http::{Delivery, Method};
use crate::proxy::CacheWord;
use crate::telemetry::RequestRecord;

/// What the log says of a request.
pub(super) struct AccessLine {
    pub(super) id: String,
    pub(super) remote_ip: IpAddr,
    pub(super) note: Note,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) started: Instant,
    pub(super) observed: Arc<Observed>,
}

impl AccessLine {
    /// Counts the request and logs it, once its answer has gone out.
    pub(super) fn write(self, status: u16, delivery: Delivery) {
        let note = &self.note;
        let duration = self.started.elapsed();
        self.observed.traffic.note(&Answered {
            route: note.route,
            method: MethodClass::from(&self.method),
            status,
            cache: note.cache,
            bytes: delivery.bytes,
            duration,
        });
        let is_content = matches!(note.route, RouteClass::Manifest | RouteClass::Blob);
        if let (Some(upstream), Some(word), true, 200..300) =
            (&note.upstream, note.cache, is_content, status)
        {
            upstream.counts().note_served(word.as_str(), delivery.bytes);
        }
        RequestRecord {
            request_id: &self.id,
            remote_ip: self.remote_ip,
            principal: note.principal.as_deref(),
            method: self.method.as_str(),
            path: &self.path,
            status,
            bytes: delivery.bytes,
            seconds: duration.as_secs_f64(),
            cache: note.cache.map(CacheWord::as_str),
            upstream: note
                .upstream
                .as_ref()
                .map(|upstream| upstream.name().as_str()),
            why: note.why.as_deref().filter(|_| status >= 400),
        }
        .log();
    }
}
