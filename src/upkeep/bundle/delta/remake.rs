//! A layer is made again from a delta and old layers.

use std::io::{self, Write};

use super::Head;
use crate::error::{Error, Kind, Result};
use crate::oci::{Digest, Hasher};
use crate::recreate::delta::{ReadAt, Unpacking};
use crate::recreate::recreate;

/// Takes the bytes of a layer that is made again: no more of them than it is to have.
pub(in crate::upkeep::bundle) struct Remade<'a> {
    hasher: Hasher,
    take: &'a mut dyn FnMut(&[u8]) -> Result<()>,
    failed: Option<Error>,
}

impl<'a> Remade<'a> {
    pub(in crate::upkeep::bundle) fn new(
        digest: &Digest,
        take: &'a mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Self {
        Self {
            hasher: Hasher::new(digest.algorithm()),
            take,
            failed: None,
        }
    }
}

impl Write for Remade<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        match (self.take)(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.failed = Some(error);
                Err(io::Error::other("the layer cannot be written"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes the layer of `head` again. `packed` has the segments, from `at` on, and they were checked.
///
/// # Errors
/// `BadRequest` where it becomes another one; those of whoever takes the bytes.
pub(in crate::upkeep::bundle) fn remake(
    head: &Head,
    old: &dyn ReadAt,
    packed: &dyn ReadAt,
    at: u64,
    mut to: Remade<'_>,
) -> Result<()> {
    let mut plain = Unpacking::new(&head.segments, old, packed, at);
    let made = recreate(&head.recipe, &mut plain, &mut to);
    if let Some(error) = to.failed {
        return Err(error);
    }
    made.map_err(|error| match plain.is_damaged() {
        true => Error::new(Kind::BadRequest, "its bytes are damaged").because(error),
        false => error,
    })?;
    let found = to.hasher.finish();
    match found == head.target {
        true => Ok(()),
        false => {
            let what = format!("it makes {found}, and not {}", head.target);
            Err(Error::new(Kind::BadRequest, what))
        }
    }
}
