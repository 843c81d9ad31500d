//! What is served (skeleton).

use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::error::Result;
use crate::http::{Handler, Refusal, Request, Response};
use crate::store::Store;

/// Everything that answers requests: routes, policy, proxy. Knows no socket.
pub struct Appliance {
    _private: (),
}

impl Appliance {
    /// Makes the upstream clients and reads the keys; asks nobody.
    ///
    /// # Errors
    /// `Config` for an upstream that cannot be used, `Io` for keys.
    pub fn new(_config: &Config, _store: Arc<Store>) -> Result<Arc<Self>> {
        todo!()
    }
    /// The state of each upstream, for `upstream list` and `upstream status`.
    pub fn upstreams(&self) -> Vec<crate::upstream::Status> {
        todo!()
    }
    /// Stops what runs behind requests (fills): called after the front door is closed.
    pub fn stop(&self) {}
    /// The store.
    pub fn store(&self) -> &Store {
        todo!()
    }
}

impl Handler for Appliance {
    fn handle(&self, _request: &mut Request) -> Response {
        todo!()
    }
    fn refuse(&self, _refusal: &Refusal) -> Response {
        todo!()
    }
}

/// First start: makes an administrator `root` with a random password in `DATA/initial_root_password` (0600),
/// the mirror's group, the networks 127.0.0.0/8 and ::1 (fill), and the keys; does nothing where they were made before.
/// Returns the sentences to tell the operator.
pub fn first_start(_store: &Store, _config: &Config, _directory: &Path) -> Result<Vec<String>> {
    todo!()
}
