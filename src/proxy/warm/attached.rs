//! What is attached to an image: referrers by the API, or by the fallback tag where the upstream has none (distribution-spec,
//! "Unavailable Referrers API"), and what cosign puts under tags of its own.

use super::{Held, MAX_DEPTH, Step, Stop, Warming};
use crate::error::{Kind, Result};
use crate::oci::{Digest, Manifest, MediaType, Reference, Tag};
use crate::proxy::ListPage;
use crate::proxy::listings::fallback_tag;

/// Signatures, attestations and lists of contents, as cosign 2 names them: `sha256-HEX.sig`.
const OF_COSIGN: [&str; 3] = ["sig", "att", "sbom"];
/// How many manifests that are attached to one image are taken along.
const MAX_ATTACHED: u64 = 1_000;
/// How many pages of a list are read.
const MAX_PAGES: usize = 50;
/// What is attached to something that is attached, such as the signature of a list of contents, is taken along; not what is
/// attached to that.
const MAX_ATTACHED_DEPTH: u32 = 2;

impl Warming<'_> {
    /// Takes along what is attached to every image that was come upon.
    pub(super) fn attached(&mut self) -> Step<()> {
        let mut subjects = std::mem::take(&mut self.subjects);
        for _ in 0..MAX_ATTACHED_DEPTH {
            let mut found = Vec::new();
            for subject in subjects {
                found.extend(self.referrers(&subject)?);
                self.of_cosign(&subject)?;
            }
            subjects = found;
        }
        Ok(())
    }

    /// Fetches the referrers of a manifest; their digests.
    fn referrers(&mut self, subject: &Digest) -> Step<Vec<Digest>> {
        let Some(listed) = self.listed(subject)? else {
            let tag = fallback_tag(subject)?;
            let Some(held) = self.optional(&tag)? else {
                return Ok(Vec::new());
            };
            if held.media_type != MediaType::OciIndex {
                return Ok(Vec::new());
            }
            let listed = self.children(&held)?;
            self.seen.insert(held.digest);
            return self.take_along(listed);
        };
        self.take_along(listed)
    }

    /// What the upstream's API lists; `None` where it has none.
    fn listed(&mut self, subject: &Digest) -> Step<Option<Vec<Digest>>> {
        let mut digests = Vec::new();
        let mut query = String::new();
        for _ in 0..MAX_PAGES {
            self.check_wanted()?;
            let owner = self.target.owner();
            let page = ListPage {
                owner: owner.clone(),
                n: None,
                last: None,
                query,
            };
            let listing = self
                .proxy
                .referrers_now(self.grant, self.target, subject, &page)?;
            let Some(listing) = listing else {
                return Ok((!digests.is_empty()).then_some(digests));
            };
            let spools = &self.proxy.store.spools;
            let listed = spools.work(owner, listing.body.length(), || {
                Ok(Manifest::parse(
                    &listing.body.read()?,
                    Some(MediaType::OciIndex),
                ))
            })?;
            let listed = listed.map(|index| index.manifests).unwrap_or_default();
            digests.extend(listed.into_iter().map(|descriptor| descriptor.digest));
            match listing.next {
                Some(next) => query = next,
                None => break,
            }
        }
        Ok(Some(digests))
    }

    fn children(&self, held: &Held) -> Result<Vec<Digest>> {
        let (spools, owner) = (&self.proxy.store.spools, self.target.owner());
        spools.work(owner, held.content.length(), || {
            let index = Manifest::parse(&held.content.read()?, Some(held.media_type))?;
            let children = index.manifests.into_iter();
            Ok(children.map(|descriptor| descriptor.digest).collect())
        })
    }

    fn take_along(&mut self, digests: Vec<Digest>) -> Step<Vec<Digest>> {
        let mut taken = Vec::new();
        for digest in digests {
            if self.seen.contains(&digest) || !self.has_room_for_more() {
                continue;
            }
            // A list may name what is not there any more, or is of a type that no registry has to keep.
            let held = match self.by_digest(&digest) {
                Err(Stop::Failed(error)) if error.kind() == Kind::UpstreamLied => {
                    tracing::warn!("left out, although attached to an image: {error}");
                    continue;
                }
                held => present(held)?,
            };
            if let Some(held) = held {
                self.walk(held, false, MAX_DEPTH)?;
                taken.push(digest);
            }
        }
        Ok(taken)
    }

    fn of_cosign(&mut self, subject: &Digest) -> Step<()> {
        for ending in OF_COSIGN {
            let tag = format!(
                "{}-{}.{ending}",
                subject.algorithm().as_str(),
                subject.hex()
            );
            // The tag of a long digest is none.
            let Ok(tag) = Tag::parse(&tag) else {
                continue;
            };
            if let Some(held) = self.optional(&tag)?
                && self.has_room_for_more()
            {
                self.walk(held, false, MAX_DEPTH)?;
            }
        }
        Ok(())
    }

    /// What is under a tag that need not be there.
    fn optional(&mut self, tag: &Tag) -> Step<Option<Held>> {
        present(self.by_tag(&Reference::Tag(tag.clone())))
    }

    fn has_room_for_more(&mut self) -> bool {
        if self.done.attached >= MAX_ATTACHED {
            tracing::warn!(
                "more than {MAX_ATTACHED} manifests are attached to an image of {}: the rest is left out",
                self.target.shown()
            );
            return false;
        }
        self.done.attached = self.done.attached.saturating_add(1);
        true
    }
}

fn present(held: Step<Held>) -> Step<Option<Held>> {
    match held {
        Err(Stop::Failed(error)) if error.kind() == Kind::ManifestUnknown => Ok(None),
        held => held.map(Some),
    }
}
