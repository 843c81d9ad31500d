//! The certificate in the configured files: whether clients take it, and for how much longer.

use super::{Finding, Severity};
use crate::cli::serve::certificates::SOON;
use crate::config::TlsConfig;
use crate::http::CertificateSummary;
use crate::time::Timestamp;

pub(super) fn find(tls: &TlsConfig, now: Timestamp) -> Option<Finding> {
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else {
        return None;
    };
    let finding = |severity, check, what| {
        let remedy = "put a new pair in the place of the files, which is loaded without a restart; \
            one of the box's own is renewed by `breakwater tls self-signed`";
        Some(Finding::new(severity, check, what, remedy))
    };
    let summary = match CertificateSummary::from_files(certificate, key) {
        Ok(summary) => summary,
        Err(error) => {
            let error = error.what_and_why();
            let what = format!(
                "the certificate cannot be used: {error}; a running server goes on with the one from before, and would not start again"
            );
            return finding(Severity::Error, "tls_certificate", what);
        }
    };
    let (path, end) = (certificate.display(), summary.not_after);
    if end <= now {
        let what = format!("the certificate in {path} expired at {end}: clients refuse it");
        return finding(Severity::Error, "tls_expiry", what);
    }
    if summary.not_before > now {
        let what = format!(
            "the certificate in {path} is not good before {}: clients refuse it",
            summary.not_before
        );
        return finding(Severity::Error, "tls_expiry", what);
    }
    if end <= now.plus(SOON) {
        let days = end.since(now).as_secs() / 86_400;
        let what = format!("the certificate in {path} expires in {days} days, at {end}");
        return finding(Severity::Warning, "tls_expiry", what);
    }
    None
}
