//! `GET` and `HEAD /v2/NAME/blobs/DIGEST` (distribution-spec 1.1, "Pulling blobs"), also by parts.

use std::io;
use std::sync::Arc;

use super::super::Appliance;
use super::super::call::Call;
use super::content::{Content, part_of};
use crate::auth::Grant;
use crate::error::Result;
use crate::http::{Body, FilePart, Response, Source};
use crate::oci::Digest;
use crate::proxy::{BlobContent, BlobReader, Target};
use crate::spool;

pub(super) fn blob(
    appliance: &Appliance,
    call: &mut Call<'_>,
    grant: &Grant,
    target: &Target,
    digest: &Digest,
) -> Result<Response> {
    let answer = if call.is_head() {
        appliance.proxy.head_blob(grant, target, digest)?
    } else {
        appliance.proxy.blob(grant, target, digest)?
    };
    let content = Content {
        digest,
        media_type: "application/octet-stream",
        size: answer.size,
        can_be_read_again: match &answer.content {
            BlobContent::Arriving(arriving) => arriving.can_be_read_again(),
            BlobContent::Kept(_) | BlobContent::InMemory(_) | BlobContent::Elsewhere => true,
        },
        cache: Some(answer.cache),
        age: answer.age,
    };
    let size = answer.size;
    let mut kept_or_not = answer.content;
    content.answer(call, move |offset, length| match &mut kept_or_not {
        BlobContent::Kept(blob) => {
            let length = length.or(size).unwrap_or(0);
            Body::File {
                file: blob.to_send(),
                offset,
                length,
            }
        }
        BlobContent::InMemory(bytes) => {
            part_of(&spool::Content::Memory(Arc::clone(bytes)), offset, length)
        }
        BlobContent::Arriving(arriving) => Body::Arriving {
            source: Box::new(arriving.reader(offset, length)),
            length,
        },
        BlobContent::Elsewhere => Body::Empty,
    })
}

impl Source for BlobReader {
    fn arrived(&mut self) -> io::Result<Option<FilePart>> {
        let arrived = BlobReader::arrived(self)?;
        Ok(arrived.map(|(blob, offset, length)| FilePart {
            file: blob.to_send(),
            offset,
            length,
        }))
    }

    fn skip(&mut self, bytes: u64) {
        BlobReader::skip(self, bytes);
    }
}
