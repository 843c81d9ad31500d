//! Whether what an upstream sent is a list at all. The entries are left to the clients.

use std::io::{BufReader, Read as _};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{Error, Kind, Result, excerpt};
use crate::spool::Content;
use crate::store::ListingKind;

/// Whether `body` is a list of this kind; otherwise why not.
pub(super) fn check_shape(kind: ListingKind, body: &Content) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Tags {
        // Go writes an empty list as null; to leave it out is something else.
        #[serde(rename = "tags", deserialize_with = "Option::deserialize")]
        _tags: Option<Vec<IgnoredAny>>,
    }
    #[derive(Deserialize)]
    struct Index {
        #[serde(rename = "manifests")]
        _manifests: Vec<IgnoredAny>,
    }
    check_utf8(body).map_err(|error| error.to_string())?;
    let mut bytes = BufReader::new(body.reader()).bytes();
    let first = bytes.find(|byte| !matches!(byte, Ok(byte) if byte.is_ascii_whitespace()));
    if !matches!(first, Some(Ok(b'{'))) {
        return Err("it is no JSON object".to_owned());
    }
    let reader = BufReader::new(body.reader());
    let parsed = match kind {
        ListingKind::Tags => serde_json::from_reader::<_, Tags>(reader).map(|_| ()),
        ListingKind::Referrers => serde_json::from_reader::<_, Index>(reader).map(|_| ()),
    };
    // The parser's own words may hold what the upstream sent.
    parsed.map_err(|error| excerpt(&error.to_string()))
}

/// Fails unless all of it is UTF-8: what is ignored is not looked at closely by the parser.
fn check_utf8(body: &Content) -> Result<()> {
    let wrong = || Error::new(Kind::UpstreamLied, "it is no UTF-8");
    // What was not checked of the last piece: a character that goes on in the next one.
    let mut rest = Vec::new();
    body.for_each_piece(|piece| {
        rest.extend_from_slice(piece);
        let checked = match std::str::from_utf8(&rest) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(wrong()),
        };
        rest.drain(..checked);
        Ok(())
    })?;
    rest.is_empty().then_some(()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_are_taken_for_lists() {
        let (tags, referrers) = (ListingKind::Tags, ListingKind::Referrers);
        for (kind, body, expected) in [
            (tags, r#"{"name":"a","tags":["1"]}"#, true),
            (tags, r#" {"tags":null}"#, true),
            (tags, r#"{"name":"a"}"#, false),
            (tags, r#"{"tags":"1"}"#, false),
            (tags, r#"[["1"]]"#, false),
            (tags, r#"{"tags":["1"]"#, false),
            (tags, "<script>", false),
            (tags, "", false),
            (referrers, r#"{"schemaVersion":2,"manifests":[{}]}"#, true),
            (referrers, r#"{"schemaVersion":2}"#, false),
            (referrers, r#"{"manifests":{}}"#, false),
            (referrers, r#"{"tags":[]}"#, false),
        ] {
            assert_eq!(check_shape(kind, &body.into()).is_ok(), expected, "{body}");
        }
        assert!(check_shape(tags, &b"{\"tags\":[\"\xff\"]}".into()).is_err());
    }
}
