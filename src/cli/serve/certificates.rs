//! Looks after the certificate while the box serves: loads it when its files change, and warns before it ends.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::threads::spawn;
use crate::error::Result;
use crate::http::{CertificateSummary, Refresh, TlsIdentity};
use crate::time::Timestamp;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(3);
/// From when on the end of a certificate is a matter for a warning.
pub(in crate::cli) const SOON: Duration = Duration::from_secs(21 * 24 * 60 * 60);

/// The thread that looks.
pub(super) struct CertificateWatch {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl CertificateWatch {
    pub(super) fn start(identity: Arc<TlsIdentity>) -> Result<Self> {
        note_expiry(&identity.summary());
        let (stop, stopped) = mpsc::channel();
        let thread = spawn("certificate", move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
                match identity.refresh() {
                    Refresh::Unchanged => {}
                    Refresh::Loaded(summary) => note_loaded(&summary),
                    Refresh::Refused(error) => {
                        tracing::error!(%error, "the new certificate is of no use: the old one stays");
                    }
                }
            }
        })?;
        Ok(Self { stop, thread })
    }

    pub(super) fn stop(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

/// What SIGHUP asks for.
pub(super) fn reload(identity: Option<&TlsIdentity>) {
    match identity.map(TlsIdentity::reload) {
        None => tracing::info!("SIGHUP: there is no certificate to load again"),
        Some(Ok(summary)) => note_loaded(&summary),
        Some(Err(error)) => {
            tracing::error!(%error, "the certificate cannot be loaded again: the old one stays");
        }
    }
}

fn note_loaded(summary: &CertificateSummary) {
    tracing::info!(not_after = %summary.not_after, "loaded a new certificate");
    note_expiry(summary);
}

/// A certificate that clients refuse, or soon will, is served all the same: they say more about it than a
/// closed port does.
fn note_expiry(summary: &CertificateSummary) {
    let (now, end) = (Timestamp::now(), summary.not_after);
    if end <= now {
        tracing::error!(not_after = %end, "the certificate has expired: clients refuse it");
    } else if end <= now.plus(SOON) {
        tracing::warn!(not_after = %end, "the certificate will expire soon");
    }
}
