//! The files of an archive: one, or the parts that `export --split` made of it. They are opened with the caller's rights,
//! before root becomes the data directory's owner.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::{Algorithm, Digest, Hasher};
use crate::upkeep::bundle::import::Source;

/// What a file with the checksums of parts may have.
const MAX_SUMS: u64 = 1 << 20;
const SUMS: &str = ".sha256";
/// Whoever misses more than these misses all.
const NAMED: usize = 5;

/// An archive, opened.
#[derive(Debug)]
pub(super) struct Parts {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: File,
    /// Where it begins in the archive.
    at: u64,
    length: u64,
    /// What its digest is, where somebody noted it.
    sum: Option<Digest>,
}

impl Parts {
    /// Finds all parts by those that are named, and opens them.
    pub(super) fn open(named: &[PathBuf]) -> Result<Self> {
        let first = named
            .first()
            .ok_or_else(|| usage("no archive is named".to_owned()))?;
        let stem = stem_of(first);
        if let Some(other) = named.iter().find(|path| stem_of(path) != stem) {
            let what = format!(
                "{} and {} are no parts of one archive",
                first.display(),
                other.display()
            );
            return Err(usage(what));
        }
        let mut directories: Vec<_> = named.iter().map(|path| directory_of(path)).collect();
        directories.dedup();
        let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
        for path in named.iter().filter(|path| !is_sums(path)) {
            if is_part(path) || path.exists() {
                found.insert(name_of(path), path.clone());
            }
        }
        let sums = directories
            .iter()
            .map(|directory| directory.join(format!("{stem}{SUMS}")));
        let sums = sums
            .filter(|path| path.exists())
            .map(|path| read_sums(&path))
            .next();
        let sums = sums.transpose()?.unwrap_or_default();
        if !found.contains_key(&stem) {
            if sums.is_empty() {
                add_numbered(&mut found, &stem, &directories);
            }
            for name in needed_of(&sums, &stem) {
                let mut places = directories.iter().map(|directory| directory.join(name));
                if let (false, Some(path)) =
                    (found.contains_key(name), places.find(|path| path.exists()))
                {
                    found.insert(name.clone(), path);
                }
            }
        }
        check_complete(&stem, &found, &sums, &directories)?;
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_key(|(name, _)| number_of(name));
        let mut parts = Self { parts: Vec::new() };
        for (name, path) in found {
            parts.add(path, sums.get(&name).cloned())?;
        }
        Ok(parts)
    }

    fn add(&mut self, path: PathBuf, sum: Option<Digest>) -> Result<()> {
        let failed = |error| Error::io("cannot open", &path, error);
        let file = File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            let what = format!("{} is not a file", path.display());
            return Err(Error::new(Kind::Usage, what)
                .remedy("name a file: an archive is read more than once"));
        }
        // Only makes it faster.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
        let at = self.length();
        let length = metadata.len();
        self.parts.push(Part {
            path,
            file,
            at,
            length,
            sum,
        });
        Ok(())
    }
}

impl Source for Parts {
    fn length(&self) -> u64 {
        let last = self.parts.last();
        last.map_or(0, |part| part.at.saturating_add(part.length))
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<usize> {
        let behind = self
            .parts
            .partition_point(|part| part.at.saturating_add(part.length) <= at);
        let Some(part) = self.parts.get(behind) else {
            return Ok(0);
        };
        let within = at.saturating_sub(part.at);
        let left = usize::try_from(part.length.saturating_sub(within)).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        let read = part.file.read_at(buffer, within);
        read.map_err(|error| Error::io("cannot read", &part.path, error))
    }

    fn damaged_part(&self) -> Option<String> {
        let is_damaged = |part: &&Part| {
            let found = part.digest();
            part.sum
                .as_ref()
                .is_some_and(|sum| found.as_ref() != Some(sum))
        };
        let part = self.parts.iter().find(is_damaged)?;
        Some(format!(
            "{} is not the file whose checksum was noted when the archive was made",
            part.path.display()
        ))
    }
}

impl Part {
    fn digest(&self) -> Option<Digest> {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        loop {
            match self.file.read_at(&mut buffer, at).ok()? {
                0 => return Some(hasher.finish()),
                read => {
                    hasher.update(buffer.get(..read)?);
                    at = at.saturating_add(read as u64);
                }
            }
        }
    }
}

fn usage(what: String) -> Error {
    Error::new(Kind::Usage, what)
        .remedy("name one archive, or parts of one: BUNDLE.tar, BUNDLE.tar.001")
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn is_sums(path: &Path) -> bool {
    name_of(path).ends_with(SUMS)
}

/// Whether the name ends in a number of three digits or more.
fn is_part(path: &Path) -> bool {
    number_of(&name_of(path)).is_some()
}

fn number_of(name: &str) -> Option<u32> {
    let (_, ending) = name.rsplit_once('.')?;
    let is_number = ending.len() >= 3 && ending.bytes().all(|byte| byte.is_ascii_digit());
    ending.parse().ok().filter(|_| is_number)
}

/// The archive's own name.
fn stem_of(path: &Path) -> String {
    let name = name_of(path);
    let name = name.strip_suffix(SUMS).unwrap_or(&name);
    match number_of(name) {
        Some(_) => name
            .rsplit_once('.')
            .map_or(name, |(stem, _)| stem)
            .to_owned(),
        None => name.to_owned(),
    }
}

/// Lines of `sha256sum`: 64 digits, a space, a space or a star, a name.
fn read_sums(path: &Path) -> Result<BTreeMap<String, Digest>> {
    let failed = |error| Error::io("cannot read", path, error);
    let file = File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_SUMS)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let parts = line.split_once("  ").or_else(|| line.split_once(" *"));
        let sum = parts.and_then(|(digits, name)| {
            let digest = Digest::parse(&format!("sha256:{digits}")).ok()?;
            Some((name, digest)).filter(|_| !name.contains('/') && name != "..")
        });
        let Some((name, digest)) = sum else {
            let what = format!(
                "{} has a line that is none of sha256sum: `{}`",
                path.display(),
                excerpt(line)
            );
            return Err(Error::new(Kind::ManifestInvalid, what)
                .remedy("copy it again, or name the parts without it"));
        };
        sums.insert(name.to_owned(), digest);
    }
    Ok(sums)
}

/// The files that make up the archive: its parts, or itself where nobody has split it.
fn needed_of<'s>(
    sums: &'s BTreeMap<String, Digest>,
    stem: &'s str,
) -> impl Iterator<Item = &'s String> {
    let is_split = sums.len() > 1;
    sums.keys()
        .filter(move |name| !is_split || name.as_str() != stem)
}

/// Adds the parts that lie beside those that were named, by their numbers.
fn add_numbered(found: &mut BTreeMap<String, PathBuf>, stem: &str, directories: &[PathBuf]) {
    for number in 1_u32.. {
        let name = format!("{stem}.{number:03}");
        if found.contains_key(&name) {
            continue;
        }
        let mut places = directories.iter().map(|directory| directory.join(&name));
        match places.find(|path| path.exists()) {
            Some(path) => drop(found.insert(name, path)),
            None => return,
        }
    }
}

/// Whether all are there that have to be, and no other.
fn check_complete(
    stem: &str,
    found: &BTreeMap<String, PathBuf>,
    sums: &BTreeMap<String, Digest>,
    directories: &[PathBuf],
) -> Result<()> {
    let parts: Vec<u32> = found.keys().filter_map(|name| number_of(name)).collect();
    let mut missing: Vec<String> = match (sums.is_empty(), found.contains_key(stem)) {
        (_, true) => Vec::new(),
        (false, false) => {
            let needed = needed_of(sums, stem);
            needed
                .filter(|name| !found.contains_key(*name))
                .cloned()
                .collect()
        }
        (true, false) => {
            let last = parts.iter().copied().max().unwrap_or(0);
            let numbers = (1..=last).filter(|number| !parts.contains(number));
            numbers
                .map(|number| format!("{stem}.{number:03}"))
                .collect()
        }
    };
    let foreign = found
        .iter()
        .find(|(name, _)| !sums.is_empty() && !sums.contains_key(*name) && name.as_str() != stem);
    if let Some((_, path)) = foreign {
        let what = format!(
            "{} is no part of the archive: {stem}{SUMS} does not name it",
            path.display()
        );
        return Err(Error::new(Kind::NotFound, what).remedy("leave it out"));
    }
    if found.is_empty() {
        missing.push(stem.to_owned());
    }
    if missing.is_empty() {
        return Ok(());
    }
    missing.truncate(NAMED);
    let places: Vec<String> = directories
        .iter()
        .map(|directory| directory.display().to_string())
        .collect();
    let what = format!(
        "{} is missing in {}",
        missing.join(", "),
        places.join(" and ")
    );
    Err(Error::new(Kind::NotFound, what).remedy("copy it there, or name it too, wherever it lies"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(parts: &Parts) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(parts.length()).unwrap()];
        parts.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn parts_are_found_by_any_of_their_names_and_what_is_missing_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let (here, there) = (directory.path().join("a"), directory.path().join("b"));
        for place in [&here, &there] {
            std::fs::create_dir(place).unwrap();
        }
        let write = |path: PathBuf, text: &str| std::fs::write(path, text).unwrap();
        write(here.join("x.tar.001"), "abc");
        write(here.join("x.tar.002"), "def");
        write(here.join("x.tar.003"), "g");
        let open = |names: &[PathBuf]| Parts::open(names);
        for names in [
            &[here.join("x.tar")][..],
            &[here.join("x.tar.001")],
            &[
                here.join("x.tar.003"),
                here.join("x.tar.001"),
                here.join("x.tar.002"),
            ],
        ] {
            assert_eq!(all(&open(names).unwrap()), b"abcdefg");
        }
        std::fs::rename(here.join("x.tar.002"), there.join("x.tar.002")).unwrap();
        let refused = |names: &[PathBuf], expected: &str| {
            let error = open(names).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        refused(&[here.join("x.tar.003")], "x.tar.002 is missing in");
        let apart = [there.join("x.tar.002"), here.join("x.tar.003")];
        assert_eq!(all(&open(&apart).unwrap()), b"abcdefg");

        let sum = |text: &str| Digest::of(text.as_bytes()).hex().to_owned();
        let sums = format!(
            "{}  x.tar.001\n{}  x.tar.002\n{} *x.tar.003\n",
            sum("abc"),
            sum("def"),
            sum("h")
        );
        write(here.join("x.tar.sha256"), &sums);
        refused(&[here.join("x.tar.sha256")], "x.tar.002 is missing in");
        let parts = open(&[here.join("x.tar.sha256"), there.join("x.tar.002")]).unwrap();
        assert_eq!(all(&parts), b"abcdefg");
        let damaged = parts.damaged_part().unwrap();
        assert!(damaged.contains("x.tar.003"), "{damaged}");
        write(here.join("x.tar.004"), "?");
        refused(
            &[here.join("x.tar.004"), there.join("x.tar.002")],
            "x.tar.004 is no part",
        );
        refused(
            &[here.join("x.tar.001"), here.join("y.tar.001")],
            "no parts of one",
        );
        refused(&[here.join("z.tar")], "z.tar is missing in");
        refused(
            std::slice::from_ref(&directory.path().to_owned()),
            "is not a file",
        );
        write(here.join("x.tar.sha256"), "../../etc/passwd");
        refused(&[here.join("x.tar.sha256")], "none of sha256sum");
    }
}
