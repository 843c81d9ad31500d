//! One question that costs no pull, and tells whether an upstream can be used as it is configured.

use std::time::Duration;

use super::Upstream;
use super::fault::{Fault, FaultKind};
use super::transport::{Deadline, Method};
use crate::oci::{Reference, RepositoryName};

impl Upstream {
    /// Asks for a manifest that nobody has, dance included: HEAD is free at Docker Hub. That it does not have it is a good
    /// answer, if it is a registry's; so is that it tells strangers nothing of it, unless it refuses the password.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn probe(&self, patience: Duration) -> Result<(), Fault> {
        let name = RepositoryName::parse("breakwater/probe");
        let (Ok(repository), Ok(reference)) = (name, Reference::parse("latest")) else {
            return Ok(());
        };
        let deadline = Deadline::after(patience);
        match self.head_manifest(&repository, &reference, patience) {
            Ok(_) => Ok(()),
            Err(fault) => match fault.kind {
                FaultKind::NotFound => self.is_registry(deadline),
                FaultKind::Denied | FaultKind::MethodNotAllowed => Ok(()),
                _ => Err(fault),
            },
        }
    }

    /// A web server without a registry knows no manifest either. At its base a registry answers 200, or 401 (distribution-spec,
    /// "Determining Support").
    fn is_registry(&self, deadline: Deadline) -> Result<(), Fault> {
        let url = self.home.below("/v2/", None);
        let reply = self.follow(Method::Get, &url, &[], None, Some(deadline))?;
        let status = reply.status;
        reply.discard();
        if matches!(status, 200 | 401) {
            return Ok(());
        }
        let name = self.name.as_str();
        let why = format!(
            "is no registry: it answers {status} at {url}, where a registry says 200 or 401"
        );
        Err(Fault::protocol(name, why).with_remedy("see whether its url is right"))
    }
}
