//! Platforms as docker writes them: `linux/amd64`, `linux/arm/v7` (image-spec, "Image Index": `platform`).

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Kind, excerpt};

/// What an image runs on. Different words for one architecture are one platform: `linux/aarch64` and `linux/arm64/v8` are
/// `linux/arm64`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    os: Box<str>,
    architecture: Box<str>,
    variant: Option<Box<str>>,
}

impl Platform {
    /// Whether an image for `other` is wanted where this one is asked for: without a variant all variants are.
    pub fn includes(&self, other: &Self) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_none() || self.variant == other.variant)
    }

    pub fn os(&self) -> &str {
        &self.os
    }

    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || {
            let what = format!("`{}` is not a platform", excerpt(text));
            Error::new(Kind::Usage, what)
                .remedy("write it as for docker: linux/amd64, linux/arm/v7")
        };
        let word = |word: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            !word.is_empty() && word.len() <= 64 && word.bytes().all(fits)
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match *parts.as_slice() {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(invalid()),
        };
        if ![os, architecture].into_iter().chain(variant).all(word) {
            return Err(invalid());
        }
        let lower = |text: &str| text.to_ascii_lowercase();
        let (os, architecture, variant) = (lower(os), lower(architecture), variant.map(lower));
        // As containerd takes them for the same.
        let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("i386", variant) => ("386", variant),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", None) => ("arm", Some("v7")),
            ("armel", None) => ("arm", Some("v6")),
            (architecture, variant) => (architecture, variant),
        };
        let variant = match (architecture, variant) {
            ("amd64", Some("v1")) | ("arm64", Some("v8" | "8")) => None,
            ("arm", Some(variant)) if !variant.starts_with('v') => Some(format!("v{variant}")),
            (_, variant) => variant.map(str::to_owned),
        };
        Ok(Self {
            os: os.into(),
            architecture: architecture.into(),
            variant: variant.map(Into::into),
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn different_words_for_one_platform_are_one() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(platform(text).to_string(), shown, "{text}");
        }
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "a/b/c/d",
            "linux/a b",
            "linux/$ARCH",
        ] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn without_a_variant_all_variants_are_meant() {
        for (asked, there, includes) in [
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm", "linux/arm/v7", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm/v7", "linux/arm", false),
            ("linux/amd64", "linux/arm64", false),
            ("linux/amd64", "windows/amd64", false),
        ] {
            let includes_it = platform(asked).includes(&platform(there));
            assert_eq!(includes_it, includes, "{asked} {there}");
        }
    }
}
