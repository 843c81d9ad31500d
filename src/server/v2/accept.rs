//! The field `Accept` of a request for a manifest.

use crate::oci::MediaType;

/// A media type as a client's `Accept` has it.
///
/// An absent `Accept` takes anything (RFC 9110, 12.5.1).
pub(super) fn accepts(accept: &[&str], media_type: MediaType) -> bool {
    let mut ranges = accept
        .iter()
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty());
    let mut none = true;
    let accepted = ranges.any(|range| {
        none = false;
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let refused = parts.any(|part| {
            part.strip_prefix("q=")
                .is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q == 0.0))
        });
        let matches = matches!(name, "*/*" | "application/*")
            || name.eq_ignore_ascii_case(media_type.as_str());
        matches && !refused
    });
    accepted || none
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_read_as_http_has_it() {
        let (manifest, index) = (
            MediaType::OciManifest.as_str(),
            MediaType::OciIndex.as_str(),
        );
        let both = format!("{manifest}, {index}");
        let table: &[(&[&str], bool)] = &[
            (&[], true),
            (&[""], true),
            (&["*/*"], true),
            (&["application/*;q=0.5"], true),
            (&[manifest], false),
            (&[&both], true),
            (&[manifest, index], true),
            (&[&format!("{index};q=0")], false),
            (&["text/html"], false),
        ];
        for (accept, expected) in table {
            assert_eq!(
                accepts(accept, MediaType::OciIndex),
                *expected,
                "{accept:?}"
            );
        }
    }
}
