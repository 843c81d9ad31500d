//! The metrics that are no counters: name, kind, labels, meaning.
//!
//! Names and labels are a contract: dashboards and alerts are written against them. No label's value may be
//! the name of a group, a project, a user or an image.

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum MetricKind {
    /// Only grows, from 0 at the start.
    Counter,
    /// Goes up and down.
    Gauge,
    Histogram,
}

impl MetricKind {
    /// As the text format has it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A metric of the page.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: MetricKind,
    pub labels: &'static [&'static str],
    /// What it says, in one line.
    pub help: &'static str,
}

macro_rules! catalog {
    ($($constant:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        /// The metrics by constants, so that a typing error does not compile.
        pub mod name {
            use super::{Metric, MetricKind};
            $(pub static $constant: Metric = Metric {
                name: $name,
                kind: MetricKind::$kind,
                labels: &[$($label),*],
                help: $help,
            };)*
        }

        pub static CATALOG: &[&Metric] = &[$(&name::$constant),*];
    };
}

catalog! {
    BUILD Gauge "breakwater_build_info" ["version"] "Always 1: which version runs.";
    OFFLINE Gauge "breakwater_offline" [] "Whether no connection leaves the box (1), or they may (0).";
    PANICS Counter "breakwater_panics_total" [] "Requests that ended in a mistake of the program.";

    REQUESTS Counter "breakwater_http_requests_total" ["route", "method", "status", "cache"] "Answered requests by what was asked for, method, class of status (2xx) and X-Cache (none where there is no such word).";
    REQUEST_DURATION Histogram "breakwater_http_request_duration_seconds" ["route"] "Seconds from the whole request head to the last byte of the answer.";
    RESPONSE_BYTES Counter "breakwater_http_response_body_bytes_total" ["cache"] "Body bytes sent to clients: hit, revalidated and stale came from the disk, miss and bypass from an upstream.";
    REFUSED_REQUESTS Counter "breakwater_http_refused_requests_total" ["status"] "What never became a request: malformed, too large, too slow, or over a limit.";
    CONNECTIONS Gauge "breakwater_http_connections" [] "Open connections of clients.";
    CONNECTIONS_LIMIT Gauge "breakwater_http_connections_limit" [] "server.max_connections.";
    ACCEPTED Counter "breakwater_http_connections_accepted_total" [] "Connections that were let in.";
    REFUSED_CONNECTIONS Counter "breakwater_http_connections_refused_total" ["limit"] "Connections turned away because there were too many in all (server), or from their address (address).";
    WORKERS Gauge "breakwater_http_workers" [] "Threads that answer requests; more are started when they are needed.";
    WORKERS_BUSY Gauge "breakwater_http_workers_busy" [] "Those of them that are answering one.";
    QUEUED Gauge "breakwater_http_requests_queued" [] "Requests that wait for a worker.";
    CERTIFICATE_ENDS Gauge "breakwater_tls_certificate_expiry_timestamp_seconds" [] "When the certificate in use ends, as Unix time; absent without TLS.";
    CERTIFICATE_OUTDATED Gauge "breakwater_tls_certificate_reload_failed" [] "Whether the certificate's files have changed into what is of no use, so that the one from before is in use (1); absent without TLS.";

    UPSTREAM_REQUESTS Counter "breakwater_upstream_requests_total" ["upstream", "result"] "Tries at an upstream by how they ended. The label upstream is a name of the box's own, or (groups) for those of all groups together.";
    UPSTREAM_BYTES Counter "breakwater_upstream_received_bytes_total" ["upstream"] "Bytes of manifests, blobs and lists that came from an upstream.";
    UPSTREAM_SERVED Counter "breakwater_upstream_served_total" ["upstream", "cache"] "Manifests and blobs of an upstream that went to clients, by X-Cache: hit, revalidated and stale came from the disk.";
    UPSTREAM_SERVED_BYTES Counter "breakwater_upstream_served_bytes_total" ["upstream", "cache"] "Their bytes.";
    UPSTREAM_LIES Counter "breakwater_upstream_lies_total" ["upstream"] "How often an upstream sent something else than it was asked for.";
    UPSTREAM_STATE Gauge "breakwater_upstream_breaker_state" ["upstream", "state"] "How many upstreams are in this state; closed is the good one, slow and half-open are on the way.";
    UPSTREAM_SUCCESS Gauge "breakwater_upstream_last_success_timestamp_seconds" ["upstream"] "When an upstream of the box answered last.";
    RATE_LIMIT Gauge "breakwater_upstream_rate_limit_pulls" ["upstream"] "Pulls that the upstream allows within its window.";
    RATE_REMAINING Gauge "breakwater_upstream_rate_limit_remaining_pulls" ["upstream"] "Pulls that were left of it when it last said so.";
    RATE_RESET Gauge "breakwater_upstream_rate_limit_reset_timestamp_seconds" ["upstream"] "When the window that it spoke of is over at the latest.";

    FETCHES Gauge "breakwater_fetches_in_flight" [] "Blobs that arrive from upstreams at this moment.";
    FILLS Gauge "breakwater_fills_in_flight" [] "Those of them that will be kept.";
    FETCH_CLIENTS Gauge "breakwater_fetch_clients" [] "Clients that are served from blobs on their way.";

    DISK_FREE Gauge "breakwater_disk_free_bytes" [] "Free space on the filesystem of the blobs.";
    DISK_SIZE Gauge "breakwater_disk_size_bytes" [] "The size of that filesystem.";
    DISK_TAKEN Gauge "breakwater_disk_taken_bytes" [] "Room there that blobs on their way have taken and not written yet.";
    DISK_READ_ONLY Gauge "breakwater_disk_read_only" [] "Whether that filesystem takes no writes (1).";
    CACHED_BLOBS Gauge "breakwater_cached_blobs" [] "Kept blobs, manifests included.";
    CACHED_BYTES Gauge "breakwater_cached_bytes" [] "Their bytes.";
    CACHE_LIMIT Gauge "breakwater_cache_limit_bytes" [] "cache.max_size in bytes; 0: none.";
    MIN_FREE Gauge "breakwater_disk_min_free_bytes" [] "cache.min_free in bytes.";
    EVICTION_AGE Gauge "breakwater_eviction_age_seconds" [] "How long the last image that went for want of room had not been pulled. Short: the disk is too small.";
    EVICTED_AT Gauge "breakwater_last_eviction_timestamp_seconds" [] "When that was.";
    DATABASE_ERRORS Counter "breakwater_database_errors_total" ["reason"] "Statements that failed: the disk is full, another process kept the database busy, it cannot be written (read_only), it is damaged, or something else (other).";
    SCRUB_ENDED Gauge "breakwater_scrub_last_round_timestamp_seconds" [] "When everything that is kept had last been read again; absent until then.";
    SCRUB_PLACE Gauge "breakwater_scrub_directories_read" [] "How many of the 512 directories of blobs the scrub has read in this round.";
    DAMAGED Gauge "breakwater_damaged_blobs" [] "Blobs that are damaged and not whole again: to be fetched again, or pushed.";
    LOST Gauge "breakwater_lost_blobs" [] "Blobs that were damaged and that their upstream has no more, for 30 days.";
    ROWS_SAVED Gauge "breakwater_rows_saved_timestamp_seconds" [] "When the rows of the databases were last saved; absent until then.";

    TOKENS Gauge "breakwater_tokens_active" ["kind"] "Tokens that are neither revoked nor expired.";
    BANS Gauge "breakwater_bans_active" [] "Addresses and users that may not log in at this moment.";

    PROCESS_CPU Counter "process_cpu_seconds_total" [] "CPU time of the process, user and system.";
    PROCESS_START Gauge "process_start_time_seconds" [] "When it was started.";
    PROCESS_RESIDENT Gauge "process_resident_memory_bytes" [] "Its memory.";
    PROCESS_VIRTUAL Gauge "process_virtual_memory_bytes" [] "Its address space.";
    PROCESS_THREADS Gauge "process_threads" [] "Its threads.";
    PROCESS_FDS Gauge "process_open_fds" [] "Its open files.";
    PROCESS_MAX_FDS Gauge "process_max_fds" [] "How many it may open.";
}
