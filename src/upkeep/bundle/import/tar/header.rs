//! The headers of a tar: what one says of its entry, and what headers before it add to that.

use super::super::Source;
use crate::error::{Error, Kind, Result};

/// Of what an extended header says.
const MAX_EXTENDED: u64 = 64 * 1024;

pub(super) struct Header {
    name: String,
    pub(super) link: String,
    pub(super) size: u64,
    pub(super) kind: u8,
}

impl Header {
    pub(super) fn parse(block: &[u8], at: u64) -> Result<Self> {
        let field = |from: usize, length: usize| {
            let field = block.get(from..from.saturating_add(length));
            field.unwrap_or_default()
        };
        let no_tar = || {
            let what = match (at, field(0, 4)) {
                (0, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd]) => {
                    "the archive is compressed".to_owned()
                }
                (0, _) => "this is no tar archive".to_owned(),
                _ => format!(
                    "at byte {at} stands no header of a tar archive: something was changed, or lost on the way"
                ),
            };
            Error::new(Kind::ManifestInvalid, what).remedy(match at {
                0 => "name a bundle, or an archive as `skopeo copy … oci-archive:` and `docker save` make them, unpacked with gunzip or zstd -d if it is compressed",
                _ => "copy it again from where it was made",
            })
        };
        let magic = field(257, 5);
        let sum = octal(field(148, 8)).ok_or_else(no_tar)?;
        let spaces = block.iter().enumerate().map(|(place, byte)| match place {
            148..156 => u64::from(b' '),
            _ => u64::from(*byte),
        });
        if sum != spaces.sum::<u64>() || !(magic == b"ustar" || magic == [0; 5]) {
            return Err(no_tar());
        }
        let is_ustar = magic == b"ustar" && field(262, 1) == [0];
        let prefix = match is_ustar {
            true => text(field(345, 155)),
            false => String::new(),
        };
        let name = text(field(0, 100));
        Ok(Self {
            name: match prefix.is_empty() {
                true => name,
                false => format!("{prefix}/{name}"),
            },
            link: text(field(157, 100)),
            size: number(field(124, 12)).ok_or_else(no_tar)?,
            kind: field(156, 1).first().copied().unwrap_or_default(),
        })
    }
}

/// What headers before an entry's own say of it.
#[derive(Default)]
pub(super) struct Extended {
    name: Option<String>,
    pub(super) link: Option<String>,
    pub(super) size: Option<u64>,
}

impl Extended {
    pub(super) fn name_of(&self, header: &Header) -> String {
        self.name.clone().unwrap_or_else(|| header.name.clone())
    }

    pub(super) fn read(&mut self, source: &dyn Source, kind: u8, at: u64, size: u64) -> Result<()> {
        let wrong = |what: &str| Err(Error::new(Kind::ManifestInvalid, what));
        if size > MAX_EXTENDED {
            return wrong("the archive has an extended header that is longer than 64 KiB");
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        source.read_exact_at(&mut bytes, at)?;
        match kind {
            b'L' => self.name = Some(text(&bytes)),
            b'K' => self.link = Some(text(&bytes)),
            _ => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let Some((key, value, behind)) = record(rest) else {
                        return wrong("the archive has an extended header that cannot be read");
                    };
                    let value = String::from_utf8_lossy(value).into_owned();
                    match key {
                        b"path" => self.name = Some(value),
                        b"linkpath" => self.link = Some(value),
                        b"size" => match value.parse() {
                            Ok(size) => self.size = Some(size),
                            Err(_) => return wrong("the archive has a size that is no number"),
                        },
                        key if key.starts_with(b"GNU.sparse") => {
                            return wrong("the archive has a sparse file, which is not taken");
                        }
                        _ => {}
                    }
                    rest = behind;
                }
            }
        }
        Ok(())
    }
}

/// `LENGTH KEY=VALUE\n`, and what is behind it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let (length, _) = bytes.split_at_checked(space)?;
    let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
    let (record, behind) = bytes.split_at_checked(length)?;
    let pair = record.get(space.checked_add(1)?..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some((
        pair.get(..equals)?,
        pair.get(equals.checked_add(1)?..)?,
        behind,
    ))
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0);
    let text = field.get(..end.unwrap_or(field.len())).unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let text = text.trim_matches(['\0', ' ']);
    match text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => None,
        false => u64::from_str_radix(text, 8).ok(),
    }
}

/// Octal digits, or with the highest bit set a number to the base of 256.
fn number(field: &[u8]) -> Option<u64> {
    match field.split_first() {
        Some((0x80, rest)) => {
            let (high, low) = rest.split_at_checked(3)?;
            let low: [u8; 8] = low.try_into().ok()?;
            let number = u64::from_be_bytes(low);
            let is_fine = high.iter().all(|byte| *byte == 0) && number <= i64::MAX.cast_unsigned();
            is_fine.then_some(number)
        }
        _ => octal(field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary_and_never_negative() {
        assert_eq!(number(b"00000000017\0"), Some(15));
        let huge = [&[0x80, 0, 0, 0][..], &(10_u64 << 40).to_be_bytes()].concat();
        assert_eq!(number(&huge), Some(10 << 40));
        assert_eq!(number(&[0xff; 12]), None);
    }
}
