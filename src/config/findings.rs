//! The findings of the doctor by their words, for `doctor.accept`: a word with a slip in it would accept nothing.

use super::value::Wrong;
use crate::error::{excerpt, nearest};

pub const FINDINGS: [&str; 63] = [
    "banned",
    "blob_damaged",
    "blob_lost",
    "cache_limit_below_use",
    "cache_pins",
    "cache_rows_lost",
    "cache_small",
    "check_failed",
    "cleanup_fails",
    "cleanup_overdue",
    "clock_behind",
    "clock_not_synchronized",
    "database_locked",
    "disk_almost_full",
    "disk_full",
    "disk_inodes",
    "disk_not_writable",
    "disk_read_only",
    "disk_unknown",
    "docker_elsewhere",
    "docker_settings",
    "docker_without_mirror",
    "enforcement_off",
    "group_unfilled",
    "group_unused",
    "initial_password",
    "limit_files",
    "limit_memory",
    "limit_tasks",
    "network_refused",
    "network_trusts_everybody",
    "no_network_trusted",
    "no_server",
    "offline",
    "password_file_unreadable",
    "password_file_wide",
    "permissions_owner",
    "permissions_wide",
    "plain_http",
    "points_outside",
    "proxy_suspected",
    "proxy_unnamed_clients",
    "proxy_untrusted",
    "pushed_blob_damaged",
    "pushed_files_missing",
    "rate_limit",
    "registry_key",
    "scrub_late",
    "server_silent",
    "store_unusable",
    "tls_certificate",
    "tls_expiry",
    "tokens_expire_soon",
    "tokens_expired_in_use",
    "tokens_refused",
    "tokens_would_be_refused",
    "upstream_credentials_refused",
    "upstream_fails",
    "upstream_lies",
    "upstream_password",
    "upstream_unreachable",
    "upstream_unusable",
    "webhook_undelivered",
];

/// The word of a finding.
pub fn finding(text: &str) -> Result<String, Wrong> {
    if FINDINGS.contains(&text) {
        return Ok(text.to_owned());
    }
    let (word, nearest) = (excerpt(text), nearest(text, FINDINGS));
    Err(format!(
        "`{word}` is no word of a finding of the doctor: did you mean `{nearest}`?"
    ))
}
