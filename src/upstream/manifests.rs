//! HEAD and GET of manifests (distribution-spec, "Pulling manifests"). Nothing is checked against its
//! digest here; rate limits are read from every answer.

use std::time::Duration;

use strum::VariantNames as _;

use super::breakers::Question;
use super::exchange::Ask;
use super::fault::Fault;
use super::rate_limit::RateLimit;
use super::transport::{Deadline, Method, Reply};
use super::{FetchedManifest, ManifestHead, Upstream};
use crate::oci::{Digest, MAX_MANIFEST_SIZE, MediaType, Reference, RepositoryName};
use crate::spool::Spool;
use crate::time::Timestamp;

impl Upstream {
    /// HEAD of a manifest, within `deadline` in all (dance included), without retries. One that is shorter
    /// than [`Timeouts::silence`](super::Timeouts::silence) and runs out is no outage: after a few of them
    /// in a row only such questions fail at once, with `BreakerOpen`.
    ///
    /// # Errors
    /// `MethodNotAllowed` where only GET works; otherwise as [`FaultKind`](super::FaultKind) says.
    pub fn head_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        deadline: Duration,
    ) -> Result<ManifestHead, Fault> {
        let deadline = Deadline::after(deadline);
        let question = Question::manifest(repository, reference);
        self.once(&question, deadline, || {
            let reply = self.ask_manifest(Method::Head, &question, deadline)?;
            Ok(ManifestHead {
                digest: digest(&reply),
                media_type: reply.header("content-type").and_then(MediaType::parse),
                size: reply.content_length(),
                rate_limit: rate_limit(&reply),
            })
        })
    }

    /// GET of a manifest, read to at most `oci::MAX_MANIFEST_SIZE`. Retries; each try gets its own spool.
    ///
    /// # Errors
    /// `Protocol` for one that is empty, too large or a web page; otherwise as
    /// [`FaultKind`](super::FaultKind) says.
    pub fn get_manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        spool: impl Fn() -> Spool,
    ) -> Result<FetchedManifest, Fault> {
        let question = Question::manifest(repository, reference);
        self.with_retries(&question, true, || {
            let deadline = self.small_answer();
            let reply = self.ask_manifest(Method::Get, &question, deadline)?;
            let content_type = reply.header("content-type").unwrap_or_default().to_owned();
            let digest = digest(&reply);
            let subject = self.transport.subject(&reply.url);
            let content = self.spool_body(reply, spool(), MAX_MANIFEST_SIZE, Some(deadline))?;
            if content.length() == 0 {
                return Err(Fault::protocol(subject, "sent an empty manifest"));
            }
            Ok(FetchedManifest {
                content,
                content_type,
                digest,
            })
        })
    }

    fn ask_manifest(
        &self,
        method: Method,
        question: &Question,
        deadline: Deadline,
    ) -> Result<Reply, Fault> {
        let reply = self.exchange(&Ask {
            method,
            question,
            query: None,
            headers: vec![("Accept", MediaType::VARIANTS.join(", "))],
            deadline: Some(deadline),
        })?;
        if let Some(limit) = rate_limit(&reply) {
            self.note_rate_limit(limit);
        }
        if reply.status != 200 {
            return Err(self.refusal(reply, method));
        }
        self.check_encoding(&reply)?;
        self.check_not_a_page(&reply)?;
        Ok(reply)
    }
}

fn rate_limit(reply: &Reply) -> Option<RateLimit> {
    RateLimit::read(|name| reply.header(name), Timestamp::now())
}

fn digest(reply: &Reply) -> Option<Digest> {
    Digest::parse(reply.header("docker-content-digest")?.trim()).ok()
}
