//! `tags/list` and `referrers` (distribution-spec, "Listing Tags" and "Listing Referrers"): JSON passed
//! on as it came, with its pagination.

use super::breakers::Question;
use super::exchange::Ask;
use super::fault::{Fault, FaultKind};
use super::transport::Method;
use super::{Listing, Upstream};
use crate::oci::{Digest, RepositoryName};
use crate::spool::Spool;

/// The most bytes of one page.
const MAX_LISTING_SIZE: u64 = 16 * 1024 * 1024;

impl Upstream {
    /// `GET /v2/NAME/tags/list`. `query` is form-encoded, or empty; besides `n` and `last` it may hold what
    /// this upstream put into its own [`Listing::next`]. Each try gets its own spool.
    ///
    /// # Errors
    /// As [`FaultKind`] says.
    pub fn tags_list(
        &self,
        repository: &RepositoryName,
        query: &str,
        spool: impl Fn() -> Spool,
    ) -> Result<Listing, Fault> {
        let question = Question::new(repository, "tags/list");
        self.list(&question, query, "application/json", spool)
    }

    /// `GET /v2/NAME/referrers/DIGEST`, with `query` as in [`Upstream::tags_list`], `artifactType` in it.
    /// `NotFound` where the upstream has no such API: the caller reads the fallback tag.
    ///
    /// # Errors
    /// As [`FaultKind`] says.
    pub fn referrers(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        query: &str,
        spool: impl Fn() -> Spool,
    ) -> Result<Listing, Fault> {
        let question = Question::new(repository, format!("referrers/{digest}"));
        let accept = crate::oci::MediaType::OciIndex.as_str();
        self.list(&question, query, accept, spool)
    }

    fn list(
        &self,
        question: &Question,
        query: &str,
        accept: &str,
        spool: impl Fn() -> Spool,
    ) -> Result<Listing, Fault> {
        self.with_retries(question, true, || {
            let deadline = Some(self.small_answer());
            let reply = self.exchange(&Ask {
                method: Method::Get,
                question,
                query: (!query.is_empty()).then(|| query.to_owned()),
                headers: vec![("Accept", accept.to_owned())],
                deadline,
            })?;
            match reply.status {
                200 => {}
                // How registries say that they do not have this API.
                405 | 501 => {
                    let subject = self.transport.subject(&reply.url);
                    return Err(Fault::new(
                        FaultKind::NotFound,
                        format!("{subject} has no such list"),
                    ));
                }
                _ => return Err(self.refusal(reply, Method::Get)),
            }
            self.check_not_a_page(&reply)?;
            let text = |name: &str| reply.header(name).map(str::to_owned);
            let content_type = text("content-type").unwrap_or_default();
            let filters_applied = text("oci-filters-applied");
            let next = reply
                .all("link")
                .find_map(next_link)
                .and_then(|link| reply.url.join(link).ok())
                .and_then(|url| url.query().map(str::to_owned));
            Ok(Listing {
                body: self.spool_body(reply, spool(), MAX_LISTING_SIZE, deadline)?,
                content_type,
                next,
                filters_applied,
            })
        })
    }
}

/// The target of `<…>; rel="next"` in a `Link` header (RFC 8288), which may hold several links.
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.split_once('>')?;
        let end = after.find('<').unwrap_or(after.len());
        let (parameters, behind) = after.split_at_checked(end)?;
        let is_next = parameters.split([';', ',']).any(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("rel")
                    && value
                        .trim()
                        .trim_matches('"')
                        .split(' ')
                        .any(|word| word.eq_ignore_ascii_case("next"))
            })
        });
        if is_next {
            return Some(target);
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        let cases = [
            (
                "</v2/a/tags/list?last=b&n=2>; rel=\"next\"",
                Some("/v2/a/tags/list?last=b&n=2"),
            ),
            ("<?last=b>;rel=next", Some("?last=b")),
            (
                "<https://h/x?a>; rel=prev, <https://h/y?b>; rel=\"next\"",
                Some("https://h/y?b"),
            ),
            ("<x>; title=\"next\"", None),
            ("<x>; rel=\"last next\"", Some("x")),
            ("<x>", None),
            ("x; rel=next", None),
            ("", None),
            ("<", None),
        ];
        for (header, expected) in cases {
            assert_eq!(next_link(header), expected, "{header}");
        }
    }
}
