//! What a manifest must be beyond its references before this box keeps it on behalf of a tenant: JSON that every
//! reader reads in the same way, and fields of the types that the specifications give them. Other people's lists are
//! made of what is let in here.
//!
//! The rules are those of I-JSON (RFC 7493) for the whole document, and those of image-spec (manifest.md,
//! image-index.md, descriptor.md, annotations.md) for what it names. Fields that it does not name may hold anything.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::excerpt;

/// The most bytes that a descriptor may claim for its content: the greatest whole number that every reader of JSON
/// takes exactly (RFC 7493, 2.2), and more than any content has.
pub const MAX_CONTENT_SIZE: u64 = (1 << 53) - 1;
/// The longest `artifactType`, in bytes: media types have at most 127 on each side of the slash (RFC 6838, 4.2).
pub const MAX_ARTIFACT_TYPE: usize = 255;

/// The names that decide how clients read a document or a descriptor.
const FIELDS: [&str; 14] = [
    "schemaVersion",
    "mediaType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "artifactType",
    "digest",
    "size",
    "urls",
    "platform",
    "fsLayers",
    "history",
];

/// Checks the document's JSON and the fields that `Manifest` does not read; says what is wrong.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let wrong = |error| excerpt(&error);
    let mut reader = serde_json::Deserializer::from_str(text);
    Place::Document.deserialize(&mut reader).map_err(wrong)?;
    reader.end().map_err(wrong)?;
    let fields: Fields = serde_json::from_str(text).map_err(wrong)?;
    if fields.fs_layers.is_some() || fields.history.is_some() {
        return Err("it has fsLayers or history, which belong to schema 1".to_owned());
    }
    let is_long = |text: &Option<Text<'_>>| {
        text.as_ref()
            .is_some_and(|text| text.0.len() > MAX_ARTIFACT_TYPE)
    };
    if is_long(&fields.artifact_type)
        || fields
            .config
            .as_ref()
            .is_some_and(|config| is_long(&config.media_type))
    {
        return Err(format!(
            "its artifactType, or its config's mediaType, is longer than {MAX_ARTIFACT_TYPE} bytes"
        ));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An object of texts, which are not kept.
struct Texts;

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations, which are texts by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                while map.next_entry::<IgnoredAny, Text<'de>>()?.is_some() {}
                Ok(Texts)
            }
        }
        reader.deserialize_map(Each)
    }
}

/// The fields of which only the type counts. `null` is as good as none: Go writes empty lists like that.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    artifact_type: Option<Text<'a>>,
    config: Option<DescriptorFields<'a>>,
    #[serde(rename = "layers")]
    _layers: Option<Vec<DescriptorFields<'a>>>,
    #[serde(rename = "manifests")]
    _manifests: Option<Vec<DescriptorFields<'a>>>,
    #[serde(rename = "subject")]
    _subject: Option<DescriptorFields<'a>>,
    #[serde(rename = "annotations")]
    _annotations: Option<Texts>,
    fs_layers: Option<IgnoredAny>,
    history: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescriptorFields<'a> {
    #[serde(borrow)]
    media_type: Option<Text<'a>>,
    #[serde(rename = "size", deserialize_with = "size")]
    _size: (),
    #[serde(rename = "urls")]
    _urls: Option<Vec<Text<'a>>>,
    #[serde(rename = "annotations")]
    _annotations: Option<Texts>,
    #[serde(rename = "data")]
    _data: Option<Text<'a>>,
    #[serde(rename = "artifactType")]
    _artifact_type: Option<Text<'a>>,
    #[serde(rename = "platform")]
    _platform: Option<PlatformFields<'a>>,
}

#[derive(Deserialize)]
struct PlatformFields<'a> {
    #[serde(rename = "architecture", borrow)]
    _architecture: Option<Text<'a>>,
    #[serde(rename = "os")]
    _os: Option<Text<'a>>,
    #[serde(rename = "os.version")]
    _os_version: Option<Text<'a>>,
    #[serde(rename = "os.features")]
    _os_features: Option<Vec<Text<'a>>>,
    #[serde(rename = "variant")]
    _variant: Option<Text<'a>>,
    #[serde(rename = "features")]
    _features: Option<Vec<Text<'a>>>,
}

fn size<'de, D: Deserializer<'de>>(reader: D) -> Result<(), D::Error> {
    if u64::deserialize(reader)? > MAX_CONTENT_SIZE {
        return Err(D::Error::custom("a size is greater than 2^53 - 1 bytes"));
    }
    Ok(())
}

/// Where in a document a value stands. As a reader it looks at the value and all that is in it, and keeps nothing: a
/// text with half a surrogate pair, a number that is too great, nesting beyond 128 and a name that an object has twice
/// are errors, as they are not for [`IgnoredAny`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Document,
    /// A descriptor, or a list of them.
    Descriptor,
    Other,
}

impl Place {
    /// Where the value of `name` stands in an object that stands here.
    fn of(self, name: &str) -> Self {
        match name {
            "config" | "layers" | "manifests" | "subject" if self == Self::Document => {
                Self::Descriptor
            }
            _ => Self::Other,
        }
    }

    /// Whether `name` would be read as one of [`FIELDS`] by clients in Go, who compare without regard to case, and not
    /// by us.
    fn is_disguised(self, name: &str) -> bool {
        if self == Self::Other || FIELDS.contains(&name) {
            return false;
        }
        let folded: String = name
            .chars()
            .map(|letter| match letter {
                'ſ' => 's',
                // The sign for kelvin.
                '\u{212a}' => 'k',
                other => other,
            })
            .collect();
        FIELDS
            .iter()
            .any(|field| field.eq_ignore_ascii_case(&folded))
    }
}

impl<'de> DeserializeSeed<'de> for Place {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Eight bytes each, because the names of one document can be hundreds of thousands.
        let (hasher, mut names) = (RandomState::new(), Vec::new());
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            if self.is_disguised(&name) {
                return Err(A::Error::custom(
                    "a field's name differs from that of the specification in nothing but case",
                ));
            }
            names.push(hasher.hash_one(&*name));
            map.next_value_seed(self.of(&name))?;
        }
        names.sort_unstable();
        match names.is_sorted_by(|one, next| one < next) {
            true => Ok(()),
            false => Err(A::Error::custom("an object has the same name twice")),
        }
    }
}
