//! Patterns of images as people write them: `alpine`, `alpine:3.*`, `quay.io/org/*`, `sha256:…`. Without a star docker's
//! rules hold; with one, what docker would supply is supplied where the pattern does not begin with a star itself.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::{DOCKER_HUB, Digest, ImageName, Reference};
use crate::error::{Error, Kind, Result, excerpt};

const LATEST: &str = "latest";
/// The longest pattern, in bytes: a name of 255, a host and a tag.
const MAX_PATTERN: usize = 512;

/// Which images are meant, to be matched against `HOST/NAME:TAG` and `HOST/NAME@DIGEST`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImagePattern {
    /// In full: all ways to write the same pattern have one text.
    text: Box<str>,
    glob: Box<str>,
}

impl ImagePattern {
    /// A name without a tag means all its tags.
    ///
    /// # Errors
    /// `NameInvalid`, `TagInvalid` or `DigestInvalid` for what no image can be called.
    pub fn of_all_tags(text: &str) -> Result<Self> {
        Self::parse(text, "*")
    }

    /// A name without a tag means its tag `latest`, as for docker.
    ///
    /// # Errors
    /// As [`Self::of_all_tags`].
    pub fn of_image(text: &str) -> Result<Self> {
        Self::parse(text, LATEST)
    }

    fn parse(text: &str, untagged: &str) -> Result<Self> {
        if text.contains('*') {
            return Self::with_stars(text, untagged);
        }
        if is_digest(text) {
            let digest = Digest::parse(text)?;
            return Ok(Self::new(digest.to_string(), format!("*@{digest}")));
        }
        let image = ImageName::parse(text)?.with_docker_hub();
        let name = image.full_name();
        let tag = match &image.reference {
            Some(Reference::Digest(digest)) => {
                return Ok(Self::exactly(format!("{name}@{digest}")));
            }
            Some(Reference::Tag(tag)) => tag.as_str(),
            None => untagged,
        };
        let glob = format!("{name}:{tag}");
        Ok(match tag {
            "*" => Self::new(name, glob),
            _ => Self::exactly(glob),
        })
    }

    fn with_stars(text: &str, untagged: &str) -> Result<Self> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@*".contains(&b);
        if text.len() > MAX_PATTERN || !text.bytes().all(fits) {
            let what = format!("`{}` is not a pattern of images", excerpt(text));
            return Err(Error::new(Kind::NameInvalid, what).remedy(
                "write it as for docker, with * for any run of characters: alpine:3.*, quay.io/org/*",
            ));
        }
        if is_digest(text) {
            return Ok(Self::new(text.to_owned(), format!("*@{text}")));
        }
        let mut full = supplied(text);
        // `NAME:*` and `NAME` are the same, unless a star of the name may run over the colon.
        if let Some(name) = full.strip_suffix(":*").filter(|name| !name.ends_with('*')) {
            let name = name.to_owned();
            return Ok(Self::new(name, full));
        }
        let last = full.rsplit('/').next().unwrap_or_default();
        if last.ends_with('*') || last.contains([':', '@']) {
            return Ok(Self::exactly(full));
        }
        let name = full.clone();
        full.push(':');
        full.push_str(untagged);
        Ok(match untagged {
            "*" => Self::new(name, full),
            _ => Self::exactly(full),
        })
    }

    fn new(text: String, glob: String) -> Self {
        Self {
            text: text.into(),
            glob: glob.into(),
        }
    }

    fn exactly(glob: String) -> Self {
        Self::new(glob.clone(), glob)
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it was written with a star, or means all tags of a name.
    pub fn is_open(&self) -> bool {
        self.glob.contains('*') && !is_digest(&self.text)
    }

    /// Whether an image of this name, `HOST/NAME:TAG` or `HOST/NAME@DIGEST`, is meant.
    pub fn matches(&self, name: &str) -> bool {
        matches_glob(&self.glob, name)
    }

    /// `HOST/NAME` where all tags of it are meant.
    fn whole_name(&self) -> Option<&str> {
        let name = self.glob.strip_suffix(":*")?;
        (!name.contains('*')).then_some(name)
    }

    fn digest(&self) -> Option<&str> {
        let digest = self.glob.strip_prefix("*@")?;
        (!digest.contains('*')).then_some(digest)
    }
}

impl fmt::Display for ImagePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_digest(text: &str) -> bool {
    text.starts_with("sha256:") || text.starts_with("sha512:")
}

/// A pattern with the host that docker would supply, and `library/`. A part that begins with a star stands for them too.
fn supplied(text: &str) -> String {
    let is_host =
        |first: &str| first.contains(['.', ':']) || first == "localhost" || first.starts_with('*');
    let (host, name) = match text.split_once('/') {
        Some((first, rest)) if is_host(first) => (first, rest),
        None if text.starts_with('*') => return text.to_owned(),
        _ => (DOCKER_HUB, text),
    };
    let is_bare = !name.contains('/') && !name.starts_with('*') && host == DOCKER_HUB;
    let library = if is_bare { "library/" } else { "" };
    format!("{host}/{library}{name}")
}

/// Whether `pattern` matches the whole of `text`; `*` matches any run of characters, slashes too, and an
/// empty one.
///
/// Each part between two stars is looked for once, behind the one before it: the first place where it stands leaves the
/// most text for the rest. So the time is that of looking through the text, however many stars there are.
pub fn matches_glob(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_prefix(start) else {
        return false;
    };
    for part in middle.split('*') {
        match text.split_once(part) {
            Some((_, behind)) => text = behind,
            None => return false,
        }
    }
    text.ends_with(end)
}

/// Many patterns, to be matched against many names: those without a star are looked up, and of the others only those are
/// tried that begin as the name does.
#[derive(Debug, Default)]
pub struct ImagePatterns {
    exact: HashSet<Box<str>>,
    whole_names: HashSet<Box<str>>,
    digests: HashSet<Box<str>>,
    /// By what stands before the first star.
    open: HashMap<Box<str>, Vec<Box<str>>>,
    /// The lengths of the keys of `open`.
    lengths: Vec<usize>,
}

impl ImagePatterns {
    /// Whether one of them matches `HOST/NAME:TAG` or `HOST/NAME@DIGEST`.
    pub fn match_any(&self, name: &str) -> bool {
        let by_part = || match name.split_once('@') {
            Some((_, digest)) => self.digests.contains(digest),
            None => name
                .rsplit_once(':')
                .is_some_and(|(name, _)| self.whole_names.contains(name)),
        };
        self.exact.contains(name) || by_part() || self.is_open_for(name)
    }

    fn is_open_for(&self, name: &str) -> bool {
        let starts = self.lengths.iter().filter_map(|length| name.get(..*length));
        let mut patterns = starts.filter_map(|start| self.open.get(start)).flatten();
        patterns.any(|pattern| matches_glob(pattern, name))
    }
}

impl<'a> FromIterator<&'a ImagePattern> for ImagePatterns {
    fn from_iter<I: IntoIterator<Item = &'a ImagePattern>>(patterns: I) -> Self {
        let mut all = Self::default();
        for pattern in patterns {
            if let Some(name) = pattern.whole_name() {
                all.whole_names.insert(name.into());
            } else if let Some(digest) = pattern.digest() {
                all.digests.insert(digest.into());
            } else if let Some((start, _)) = pattern.glob.split_once('*') {
                let open = all.open.entry(start.into()).or_default();
                open.push(pattern.glob.clone());
            } else {
                all.exact.insert(pattern.glob.clone());
            }
        }
        all.lengths = all.open.keys().map(|start| start.len()).collect();
        all.lengths.sort_unstable();
        all.lengths.dedup();
        all
    }
}

#[cfg(test)]
mod tests;
