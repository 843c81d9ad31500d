//! `Range` and `If-None-Match` (RFC 9110 sections 14.2 and 13.1.2) as pure functions of header and length.
//!
//! The handler decides what it does with the result (206, 416, 304); nothing here reads a file or builds a
//! response.

/// A part of a representation, within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub offset: u64,
    /// At least 1.
    pub length: u64,
}

impl Part {
    /// The value of `Content-Range` for a representation of `total` bytes.
    pub fn content_range(self, total: u64) -> String {
        let end = self.offset.saturating_add(self.length);
        format!("bytes {}-{}/{total}", self.offset, end.saturating_sub(1))
    }
}

/// What a `Range` field asks of a representation of a known length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeRequest {
    /// All of it: no range, another unit, bad syntax, or several ranges that are more bytes than it has.
    Whole,
    One(Part),
    /// Several, in the order of the request; those that do not exist are left out. Podman takes them in no other order,
    /// and none that were merged.
    Several(Vec<Part>),
    /// Nothing of what was asked for exists: 416 with `Content-Range: bytes */TOTAL`.
    Unsatisfiable,
}

/// So many ranges one request may ask for.
pub const MAX_RANGES: usize = 256;

/// Whether `Range` holds more than [`MAX_RANGES`]. Such a request is refused with 400, upon which podman asks for half as many,
/// with the gaps between them.
pub fn has_too_many_ranges(header: Option<&str>) -> bool {
    header.is_some_and(|value| value.split(',').count() > MAX_RANGES)
}

/// Reads the value of `Range` for a representation of `total` bytes.
///
/// Numbers beyond `u64` are taken as "beyond the end", never as an error.
pub fn parse_range(header: Option<&str>, total: u64) -> RangeRequest {
    header
        .and_then(|value| requested(value, total))
        .unwrap_or(RangeRequest::Whole)
}

/// `None` for whatever is to be ignored.
fn requested(value: &str, total: u64) -> Option<RangeRequest> {
    let (unit, set) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let ranges = set.split(',').map(|range| range.trim_matches([' ', '\t']));
    let mut ranges = ranges.filter(|range| !range.is_empty());
    let first = single_range(ranges.next()?, total)?;
    let Some(second) = ranges.next() else {
        return Some(first.map_or(RangeRequest::Unsatisfiable, RangeRequest::One));
    };
    let mut parts = Vec::from_iter(first);
    for range in std::iter::once(second).chain(ranges) {
        parts.extend(single_range(range, total)?);
    }
    let bytes = parts
        .iter()
        .fold(0_u64, |sum, part| sum.saturating_add(part.length));
    match parts.is_empty() {
        true => Some(RangeRequest::Unsatisfiable),
        false => (bytes <= total).then_some(RangeRequest::Several(parts)),
    }
}

/// The part that `range` means, or none of it; `None` for what is no range.
fn single_range(range: &str, total: u64) -> Option<Option<Part>> {
    let (first, last) = range.split_once('-')?;
    match (position(first)?, position(last)?) {
        (None, None) => None,
        // The last N bytes of nothing are nothing, for which no Content-Range can be written.
        (None, Some(1..)) if total == 0 => None,
        (first, last) => Some(resolve(first, last, total)),
    }
}

/// `Some(None)` for an empty end, `None` for anything but digits.
fn position(digits: &str) -> Option<Option<u64>> {
    if digits.is_empty() {
        return Some(None);
    }
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| Some(digits.parse().unwrap_or(u64::MAX)))
}

fn resolve(first: Option<u64>, last: Option<u64>, total: u64) -> Option<Part> {
    let part = match (first, last) {
        // RFC 9110, 14.2, lets a server ignore or reject a last before its first; a client that gets the whole instead of
        // nothing would take its first bytes for others.
        (Some(first), last) => Part {
            offset: first,
            length: last
                .map_or(total, |last| total.min(last.saturating_add(1)))
                .saturating_sub(first),
        },
        (None, suffix) => {
            let length = suffix.unwrap_or(0).min(total);
            Part {
                offset: total.saturating_sub(length),
                length,
            }
        }
    };
    (part.length > 0).then_some(part)
}

/// Whether `If-None-Match` names `etag`, so that a GET or HEAD is to be answered with 304.
///
/// The comparison is weak, as the RFC asks. `etag` may come with or without its quotes, and so may the
/// members of the list: some registry clients send the bare digest.
pub fn none_match(header: Option<&str>, etag: &str) -> bool {
    let wanted = opaque(etag);
    header.is_some_and(|list| members(list).any(|member| member == "*" || opaque(member) == wanted))
}

/// The members of a list, split at the commas that stand outside quotes.
fn members(list: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    list.split(move |character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    })
    .map(|member| member.trim_matches([' ', '\t']))
    .filter(|member| !member.is_empty())
}

/// An entity tag without its weakness and its quotes.
fn opaque(tag: &str) -> &str {
    let strong = tag.strip_prefix("W/").unwrap_or(tag);
    strong
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(strong)
}

#[cfg(test)]
mod tests {
    use super::RangeRequest::{One, Several, Unsatisfiable, Whole};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_resolve_as_rfc_9110_has_it() {
        let part = |offset, length| One(Part { offset, length });
        let several = |parts: &[(u64, u64)]| {
            let parts = parts
                .iter()
                .map(|&(offset, length)| Part { offset, length });
            Several(parts.collect())
        };
        let cases: &[(Option<&str>, u64, RangeRequest)] = &[
            (None, 100, Whole),
            (Some("bytes=0-99"), 100, part(0, 100)),
            (Some("bytes=0-0"), 100, part(0, 1)),
            (Some("bytes=10-19"), 100, part(10, 10)),
            (Some("bytes=90-1000"), 100, part(90, 10)),
            (Some("bytes=99-"), 100, part(99, 1)),
            (Some("bytes=0-"), 100, part(0, 100)),
            (Some("bytes=-1"), 100, part(99, 1)),
            (Some("bytes=-1000"), 100, part(0, 100)),
            (Some("Bytes= 5-6 "), 100, part(5, 2)),
            (Some("bytes=100-"), 100, Unsatisfiable),
            (Some("bytes=100-200"), 100, Unsatisfiable),
            (Some("bytes=-0"), 100, Unsatisfiable),
            (Some("bytes=0-"), 0, Unsatisfiable),
            (Some("bytes=-5"), 0, Whole),
            (Some("bytes=0-18446744073709551615"), 7, part(0, 7)),
            (
                Some("bytes=3-99999999999999999999999"),
                u64::MAX,
                part(3, u64::MAX - 3),
            ),
            (Some("bytes=99999999999999999999999-"), 100, Unsatisfiable),
            (Some("bytes=-99999999999999999999999"), 100, part(0, 100)),
            (Some("bytes=5-4"), 100, Unsatisfiable),
            (Some("bytes=-"), 100, Whole),
            (Some("bytes="), 100, Whole),
            (Some("bytes"), 100, Whole),
            (Some("bytes=0-1,5-6"), 100, several(&[(0, 2), (5, 2)])),
            (
                Some("bytes=90-, 5-6 ,,0-0"),
                100,
                several(&[(90, 10), (5, 2), (0, 1)]),
            ),
            (Some("bytes=-1,200-300"), 100, several(&[(99, 1)])),
            (Some("bytes=100-,200-300"), 100, Unsatisfiable),
            (Some("bytes=0-49,50-99"), 100, several(&[(0, 50), (50, 50)])),
            (Some("bytes=0-49,49-99"), 100, Whole),
            (Some("bytes=0-,0-"), 100, Whole),
            (Some("bytes=0-1,5"), 100, Whole),
            (Some("bytes=5-6,"), 100, part(5, 2)),
            (Some("bytes=,"), 100, Whole),
            (Some("bytes=-5,-7"), 0, Whole),
            (Some("bytes=a-b"), 100, Whole),
            (Some("bytes=+1-2"), 100, Whole),
            (Some("bytes=1--2"), 100, Whole),
            (Some("bytes=0x1-2"), 100, Whole),
            (Some("items=0-1"), 100, Whole),
            (Some(""), 100, Whole),
        ];
        for (header, total, expected) in cases {
            assert_eq!(
                parse_range(*header, *total),
                *expected,
                "{header:?} of {total}"
            );
        }
    }

    #[test]
    fn more_ranges_than_allowed_are_told_from_as_many() {
        let ranges = |count: usize| format!("bytes={}0-0", "0-0,".repeat(count - 1));
        let most = ranges(MAX_RANGES);
        assert!(!has_too_many_ranges(Some(&most)) && !has_too_many_ranges(None));
        assert!(
            matches!(parse_range(Some(&most), 1_000), Several(parts) if parts.len() == MAX_RANGES)
        );
        assert!(has_too_many_ranges(Some(&ranges(MAX_RANGES + 1))));
    }

    #[test]
    fn entity_tags_match_weakly() {
        let cases: &[(Option<&str>, &str, bool)] = &[
            (None, "\"a\"", false),
            (Some("\"a\""), "\"a\"", true),
            (Some("\"b\""), "\"a\"", false),
            (Some("W/\"a\""), "\"a\"", true),
            (Some("\"a\""), "W/\"a\"", true),
            (Some("\"x\", \"a\" , \"y\""), "\"a\"", true),
            (Some("\"x,\"a\",y\""), "\"a\"", false),
            (Some("\"x, y\",\"a\""), "\"a\"", true),
            (Some("*"), "\"a\"", true),
            (Some("\"*\""), "\"a\"", false),
            (Some(""), "\"a\"", false),
            (Some(", ,"), "\"\"", false),
            (Some("sha256:ab"), "\"sha256:ab\"", true),
            (Some("\"sha256:ab\""), "sha256:ab", true),
            (Some("\"A\""), "\"a\"", false),
        ];
        for (header, etag, expected) in cases {
            assert_eq!(
                none_match(*header, etag),
                *expected,
                "{header:?} against {etag}"
            );
        }
    }

    proptest! {
        #[test]
        fn parts_always_lie_within_the_whole(header in "(bytes=)?[-0-9, a-z=]{0,40}", total: u64) {
            let parts = match parse_range(Some(&header), total) {
                One(part) => vec![part],
                Several(parts) => parts,
                _ => Vec::new(),
            };
            let mut bytes = 0_u64;
            for Part { offset, length } in parts {
                prop_assert!(length >= 1);
                prop_assert!(offset.checked_add(length).is_some_and(|end| end <= total));
                bytes = bytes.saturating_add(length);
            }
            prop_assert!(bytes <= total);
        }

        #[test]
        fn no_list_of_tags_panics(header in any::<String>(), etag in any::<String>()) {
            none_match(Some(&header), &etag);
        }
    }
}
