//! `Range` and `If-None-Match` (RFC 9110 sections 14.2 and 13.1.2) as pure functions of header and length.
//!
//! The handler decides what it does with the result (206, 416, 304); nothing here reads a file or builds a
//! response.

/// What a `Range` field asks of a representation of a known length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeRequest {
    /// All of it: no range, several ranges (a server may ignore those), another unit, or bad syntax.
    Whole,
    /// A part that lies within the representation; `length` is at least 1.
    Part { offset: u64, length: u64 },
    /// Nothing of what was asked for exists: 416 with `Content-Range: bytes */TOTAL`.
    Unsatisfiable,
}

/// Reads the value of `Range` for a representation of `total` bytes.
///
/// Numbers beyond `u64` are taken as "beyond the end", never as an error.
pub fn parse_range(header: Option<&str>, total: u64) -> RangeRequest {
    header
        .and_then(single_range)
        .map_or(RangeRequest::Whole, |(first, last)| {
            resolve(first, last, total)
        })
}

/// The two ends of the only range in `value`; `None` for whatever is to be ignored.
fn single_range(value: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, set) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    // A comma means several ranges, for which no registry client ever asks: the whole is a lawful answer.
    let (first, last) = set.trim_matches([' ', '\t']).split_once('-')?;
    match (position(first)?, position(last)?) {
        (None, None) => None,
        ends => Some(ends),
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

fn resolve(first: Option<u64>, last: Option<u64>, total: u64) -> RangeRequest {
    match (first, last) {
        (Some(first), _) if first >= total => RangeRequest::Unsatisfiable,
        // RFC 9110, 14.2, lets a server ignore or reject it; a client that gets the whole instead of nothing
        // would take its first bytes for others.
        (Some(first), Some(last)) if last < first => RangeRequest::Unsatisfiable,
        (Some(first), last) => RangeRequest::Part {
            offset: first,
            length: last
                .map_or(total, |last| total.min(last.saturating_add(1)))
                .saturating_sub(first),
        },
        (None, Some(0)) => RangeRequest::Unsatisfiable,
        // The last N bytes of nothing are nothing, for which no Content-Range can be written.
        (None, Some(_)) if total == 0 => RangeRequest::Whole,
        (None, Some(suffix)) => {
            let length = suffix.min(total);
            RangeRequest::Part {
                offset: total.saturating_sub(length),
                length,
            }
        }
        (None, None) => RangeRequest::Whole,
    }
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
    use super::RangeRequest::{Part, Unsatisfiable, Whole};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_resolve_as_rfc_9110_has_it() {
        let part = |offset, length| Part { offset, length };
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
            (Some("bytes=0-1,5-6"), 100, Whole),
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
        fn a_part_always_lies_within_the_whole(header in "(bytes=)?[-0-9, a-z=]{0,40}", total: u64) {
            if let Part { offset, length } = parse_range(Some(&header), total) {
                prop_assert!(length >= 1);
                prop_assert!(offset.checked_add(length).is_some_and(|end| end <= total));
            }
        }

        #[test]
        fn no_list_of_tags_panics(header in any::<String>(), etag in any::<String>()) {
            none_match(Some(&header), &etag);
        }
    }
}
