//! The entries of a tar that somebody brought: their names, and where in it their bytes lie. Nothing is unpacked.
//!
//! Only plain files and directories count, under names that lead nowhere else. A link is noted as one, and whoever knows the
//! format decides what to make of it: docker's old archives have some. Everything else that a tar can hold, and every way of
//! saying a size or a name that could be read in two ways, is refused.

mod header;

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;

use super::Source;
use crate::error::{Error, Kind, Result, excerpt};
use header::{Extended, Header};

/// Of a header, and what the bytes of an entry are filled up to.
const BLOCK: u64 = 512;
/// More than any bundle has. Their names are in memory.
const MAX_ENTRIES: usize = 200_000;
/// Longer than any name that is known.
const MAX_NAME: usize = 255;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: u64,
    pub(super) size: u64,
    /// Where a link leads to, from the top of the archive.
    pub(super) link: Option<String>,
}

pub(super) type Entries = HashMap<String, Entry>;

/// Reads all headers.
///
/// # Errors
/// `ManifestInvalid` with what is wrong with it, `Io` where it ends too early or cannot be read.
pub(super) fn entries(source: &dyn Source) -> Result<Entries> {
    let mut entries = Entries::new();
    let mut extended = Extended::default();
    let mut at = 0_u64;
    loop {
        let mut header = [0; BLOCK as usize];
        source.read_exact_at(&mut header, at)?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(entries);
        }
        let header = Header::parse(&header, at)?;
        let size = extended.size.unwrap_or(header.size);
        let begin = at.saturating_add(BLOCK);
        let end = begin.saturating_add(size);
        if end > source.length() {
            return Err(beyond_end(source, &extended.name_of(&header), size, begin));
        }
        match header.kind {
            b'x' | b'L' | b'K' => extended.read(source, header.kind, begin, size)?,
            b'g' => {}
            _ => {
                let name = extended.name_of(&header);
                let link = extended.link.take().unwrap_or(header.link);
                let entry = match header.kind {
                    b'0' | 0 => Some(None),
                    b'1' | b'2' => Some(Some(link)),
                    b'5' => None,
                    _ => return Err(odd_kind(&name, header.kind)),
                };
                let name = plain_name(&name)?;
                if let Some(link) = entry {
                    let link = link
                        .map(|link| led_to(&name, &link, header.kind))
                        .transpose()?;
                    let entry = Entry {
                        at: begin,
                        size,
                        link,
                    };
                    match entries.entry(name) {
                        MapEntry::Occupied(twice) => return Err(twice_there(twice.key())),
                        MapEntry::Vacant(place) => drop(place.insert(entry)),
                    }
                }
                extended = Extended::default();
            }
        }
        if entries.len() > MAX_ENTRIES {
            let what = format!("the archive has more than {MAX_ENTRIES} files");
            return Err(
                Error::new(Kind::ManifestInvalid, what).remedy("export fewer images at a time")
            );
        }
        at = end.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
    }
}

/// The name without `./` before and `/` behind it.
fn plain_name(name: &str) -> Result<String> {
    let plain = name.trim_end_matches('/');
    let plain = plain.strip_prefix("./").unwrap_or(plain);
    let is_part = |part: &str| !part.is_empty() && part != "..";
    let is_plain = plain.split('/').all(is_part)
        && plain.len() <= MAX_NAME
        && !plain.contains(|c: char| c.is_control() || c == '\\');
    match is_plain || plain.is_empty() {
        true => Ok(plain.to_owned()),
        false => {
            let what = format!(
                "the archive has a file `{}`, whose name leads out of it or cannot be meant",
                excerpt(name)
            );
            Err(Error::new(Kind::ManifestInvalid, what).remedy("do not trust whoever made it"))
        }
    }
}

/// Where a link leads to, from the top: the target of a symbolic one is meant from its own directory.
fn led_to(name: &str, target: &str, kind: u8) -> Result<String> {
    let above: Vec<&str> = match kind {
        b'2' => name.split('/').collect(),
        _ => vec![name],
    };
    let mut parts: Vec<&str> = above
        .split_last()
        .map(|(_, above)| above.to_vec())
        .unwrap_or_default();
    for part in target.split('/') {
        match part {
            "." => {}
            ".." if !parts.is_empty() => drop(parts.pop()),
            // An empty part is that before the first slash.
            "" | ".." => {
                let what = format!(
                    "the archive has a link `{}` to `{}`, which leads out of it",
                    excerpt(name),
                    excerpt(target)
                );
                return Err(
                    Error::new(Kind::ManifestInvalid, what).remedy("do not trust whoever made it")
                );
            }
            part => parts.push(part),
        }
    }
    plain_name(&parts.join("/"))
}

fn beyond_end(source: &dyn Source, name: &str, size: u64, begin: u64) -> Error {
    let what = format!(
        "the archive is cut off, or its header lies: `{}` should have {size} bytes from byte {begin} on, and all of it has {}",
        excerpt(name),
        source.length()
    );
    Error::new(Kind::Io, what).remedy("copy it again from where it was made")
}

fn odd_kind(name: &str, kind: u8) -> Error {
    let kind = match kind {
        b'3' | b'4' => "a device".to_owned(),
        b'6' => "a named pipe".to_owned(),
        b'S' => "a sparse file".to_owned(),
        other => format!("an entry of the kind {}", char::from(other).escape_debug()),
    };
    let what = format!(
        "the archive has {kind} under the name `{}`, and only plain files are taken",
        excerpt(name)
    );
    Error::new(Kind::ManifestInvalid, what).remedy("do not trust whoever made it")
}

fn twice_there(name: &str) -> Error {
    let what = format!("the archive has `{}` twice", excerpt(name));
    Error::new(Kind::ManifestInvalid, what).remedy("export it again")
}

#[cfg(test)]
mod tests {
    use super::super::tests::Bytes;
    use super::*;

    /// A header with its checksum, and the bytes filled up.
    fn entry(name: &str, kind: u8, size: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..124 + size.len()].copy_from_slice(size);
        header[156] = kind;
        header[257..262].copy_from_slice(b"ustar");
        header[263..265].copy_from_slice(b"00");
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header.extend_from_slice(bytes);
        header.resize(header.len().next_multiple_of(512), 0);
        header
    }

    fn file(name: &str, bytes: &[u8]) -> Vec<u8> {
        entry(
            name,
            b'0',
            format!("{:011o}\0", bytes.len()).as_bytes(),
            bytes,
        )
    }

    fn read(parts: &[Vec<u8>]) -> Result<Entries> {
        let mut bytes = parts.concat();
        bytes.resize(bytes.len() + 1024, 0);
        entries(&Bytes(bytes))
    }

    #[test]
    fn entries_are_found_where_they_lie_also_under_long_names() {
        let long = format!("blobs/sha512/{}", "a".repeat(128));
        let path = format!("path={long}2\n");
        let record = format!("{} {path}", path.len() + 4);
        assert_eq!(record.len(), path.len() + 4);
        let found = read(&[
            entry("blobs/", b'5', b"00000000000\0", b""),
            file("./oci-layout", b"{}"),
            entry(
                "././@LongLink",
                b'L',
                format!("{:011o}\0", long.len()).as_bytes(),
                long.as_bytes(),
            ),
            file("cut", b"1234"),
            entry(
                "pax",
                b'x',
                format!("{:011o}\0", record.len()).as_bytes(),
                record.as_bytes(),
            ),
            file("cut", b"12345"),
        ])
        .unwrap();
        let at = |name: &str| found.get(name).map(|entry| (entry.at, entry.size));
        assert_eq!(at("oci-layout"), Some((1024, 2)));
        assert_eq!(at(&long), Some((3072, 4)));
        assert_eq!(at(&format!("{long}2")), Some((5120, 5)));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn whatever_is_not_a_plain_file_under_a_plain_name_is_refused() {
        let none = b"00000000000\0";
        let link = |name: &str, target: &str, kind| {
            let mut link = entry(name, kind, none, b"");
            link[157..157 + target.len()].copy_from_slice(target.as_bytes());
            link[148..156].fill(b' ');
            let sum: u64 = link.iter().map(|byte| u64::from(*byte)).sum();
            link[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            link
        };
        let huge = [&[0x80, 0, 0, 0][..], &(10_u64 << 40).to_be_bytes()].concat();
        let sparse = "28 GNU.sparse.realsize=1000\n";
        let mut damaged = file("a", b"");
        damaged[3] = b'x';
        for (parts, expected) in [
            (vec![file("../etc/passwd", b"x")], "leads out of it"),
            (vec![file("/etc/passwd", b"x")], "leads out of it"),
            (vec![file("a/../../b", b"x")], "leads out of it"),
            (vec![file("a\\b", b"x")], "leads out of it"),
            (
                vec![link("a/b", "../../c", b'2')],
                "a link `a/b` to `../../c`",
            ),
            (
                vec![link("a", "/etc/passwd", b'2')],
                "which leads out of it",
            ),
            (vec![link("a/b", "../c", b'1')], "which leads out of it"),
            (vec![entry("a", b'3', none, b"")], "a device"),
            (vec![entry("a", b'6', none, b"")], "a named pipe"),
            (vec![entry("a", b'S', none, b"")], "a sparse file"),
            (
                vec![
                    entry("a", b'x', b"00000000034\0", sparse.as_bytes()),
                    file("a", b""),
                ],
                "a sparse file",
            ),
            (
                vec![entry("a", b'x', b"00000000003\0", b"abc"), file("a", b"")],
                "cannot be read",
            ),
            (vec![file("a", b"x"), file("./a", b"x")], "has `a` twice"),
            (
                vec![entry("a", b'0', &huge, b"")],
                "should have 10995116277760 bytes",
            ),
            (
                vec![entry("a", b'L', &huge, b"")],
                "should have 10995116277760 bytes",
            ),
            (vec![damaged], "no tar archive"),
            (
                vec![file("a", b"x"), b"\x01".repeat(512)],
                "at byte 1024 stands no header",
            ),
            (vec![b"\x1f\x8b\x08".repeat(512)], "is compressed"),
        ] {
            let refused = read(&parts).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
        // Without its end, which is two empty blocks, something is missing.
        let refused = entries(&Bytes(file("a", b"x"))).unwrap_err().to_string();
        assert!(refused.contains("ends at byte 1024"), "{refused}");
        let found = read(&[link("a/b/layer.tar", "../c/layer.tar", b'2')]).unwrap();
        assert_eq!(
            found["a/b/layer.tar"].link.as_deref(),
            Some("a/c/layer.tar")
        );
    }
}
