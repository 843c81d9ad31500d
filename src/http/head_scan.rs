//! Finds the end of a request's head while it arrives, and refuses at once what no head may hold.
//!
//! Only lines and bytes are judged here (RFC 9112 sections 2.2 and 5), so that a bad head is answered when
//! its bad byte arrives and not at its deadline; what the lines mean is decided by `head`. Each byte
//! is looked at once, however small the pieces are in which it comes.

use std::ops::Range;

use super::Refused;

/// The longest head, request line and final empty line included.
pub(super) const HEAD_LIMIT: usize = 32 * 1024;
/// The most header fields.
pub(super) const FIELD_LIMIT: usize = 100;

/// How far a head was read. The bytes themselves belong to the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HeadScan {
    position: usize,
    /// Where the head begins: behind an empty line that a client may send first.
    start: usize,
    line_start: usize,
    /// Whole lines so far, the request line included.
    lines: usize,
}

impl HeadScan {
    /// Looks at what was appended to `bytes`, which must begin with what it began with before.
    ///
    /// Gives the head's place once it is whole; after that, and after an error, a new scan is needed.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<Option<Range<usize>>, Refused> {
        while let Some(&byte) = bytes.get(self.position) {
            let at = self.position;
            if at.saturating_sub(self.start) >= HEAD_LIMIT {
                return Err(Refused {
                    status: 431,
                    message: "the request's head is longer than 32 KiB",
                });
            }
            let before = at
                .checked_sub(1)
                .filter(|&before| before >= self.line_start);
            let after_cr = before.and_then(|before| bytes.get(before)) == Some(&b'\r');
            if before.is_some() && !after_cr {
                // Nearly all bytes are like this one, and nothing more is asked of them.
                let end = bytes.len().min(self.start.saturating_add(HEAD_LIMIT));
                let rest = bytes.get(at..end).unwrap_or_default();
                let plain = rest.iter().position(|byte| !is_of_a_line(*byte));
                let plain = plain.unwrap_or(rest.len());
                if plain > 0 {
                    self.position = at.saturating_add(plain);
                    continue;
                }
            }
            self.position = at.saturating_add(1);
            match byte {
                b'\n' if !after_cr => return Err(Refused::bad("a line ends in a bare LF")),
                b'\n' => {
                    if let Some(head) = self.end_line(at)? {
                        return Ok(Some(head));
                    }
                }
                _ if after_cr => return Err(Refused::bad("a CR stands within a line")),
                b' ' | b'\t' if at == self.line_start => {
                    return Err(Refused::bad("a line begins with a space"));
                }
                b'\r' => {}
                byte if is_of_a_line(byte) => {}
                _ => return Err(Refused::bad("the head holds a control character")),
            }
        }
        Ok(None)
    }

    /// Takes note of a line that ends with the LF at `at`.
    fn end_line(&mut self, at: usize) -> Result<Option<Range<usize>>, Refused> {
        let empty = at == self.line_start.saturating_add(1);
        self.line_start = at.saturating_add(1);
        if !empty {
            self.lines = self.lines.saturating_add(1);
            if self.lines > FIELD_LIMIT + 1 {
                return Err(Refused {
                    status: 431,
                    message: "the request has more than 100 header fields",
                });
            }
            return Ok(None);
        }
        if self.lines > 0 {
            return Ok(Some(self.start..self.line_start));
        }
        // RFC 9112 section 2.2 asks to ignore one empty line before the request line; more is an attack
        // or a mistake.
        if self.start > 0 {
            return Err(Refused::bad("empty lines stand before the request"));
        }
        self.start = self.line_start;
        Ok(None)
    }
}

/// What may stand in a line, but for its end.
fn is_of_a_line(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(bytes: &[u8], piece: usize) -> Result<Option<Range<usize>>, Refused> {
        let mut scan = HeadScan::default();
        let mut end = 0;
        while end < bytes.len() {
            end = bytes.len().min(end + piece);
            match scan.advance(&bytes[..end]) {
                Ok(None) => {}
                result => return result,
            }
        }
        Ok(None)
    }

    #[test]
    fn whole_heads_are_found() {
        let cases: &[(&str, Option<Range<usize>>)] = &[
            ("", None),
            ("G", None),
            ("GET / HTTP/1.1\r\n", None),
            ("GET / HTTP/1.1\r\n\r", None),
            ("GET / HTTP/1.0\r\n\r\n", Some(0..18)),
            ("GET / HTTP/1.0\r\n\r\nrest", Some(0..18)),
            ("\r\nGET / HTTP/1.0\r\n\r\n", Some(2..20)),
            ("A\r\nb: c\td\r\n\r\n", Some(0..13)),
            ("A\r\nb: \u{e4}\r\n\r\n", Some(0..12)),
        ];
        for (input, expected) in cases {
            for piece in [1, 3, 1000] {
                let result = scan(input.as_bytes(), piece);
                assert_eq!(result, Ok(expected.clone()), "{input:?} by {piece}");
            }
        }
    }

    #[test]
    fn forbidden_bytes_and_lines_are_refused() {
        let fields = |count: usize| format!("A\r\n{}\r\n", "b: c\r\n".repeat(count));
        let of_length = |length: usize| format!("A\r\nb: {}\r\n\r\n", "x".repeat(length - 10));
        let cases: &[(String, u16)] = &[
            ("\n".into(), 400),
            ("GET / HTTP/1.1\n".into(), 400),
            ("GET / HTTP/1.1\r\nHost: a\n".into(), 400),
            ("GET / HTTP/1.1\r\n\n".into(), 400),
            ("GET / HTTP/1.1\rHost".into(), 400),
            ("GET / HTTP/1.1\r\r\n".into(), 400),
            ("\rG".into(), 400),
            ("\r\n\r\n".into(), 400),
            ("GET / HTTP/1.1\r\nA: b\r\n c".into(), 400),
            ("GET / HTTP/1.1\r\nA: b\r\n\tc".into(), 400),
            ("GET / HTTP/1.1\r\n A: b".into(), 400),
            (" GET".into(), 400),
            ("GET / HTTP/1.1\r\nA: \0".into(), 400),
            ("GET / HTTP/1.1\r\nA\x0b: b".into(), 400),
            ("GET / HTTP/1.1\r\nA: b\x0c".into(), 400),
            ("GET / HTTP/1.1\r\nA: b\x7f".into(), 400),
            ("\x16\x03\x01".into(), 400),
            ("x".repeat(HEAD_LIMIT + 1), 431),
            (of_length(HEAD_LIMIT + 1), 431),
            (fields(FIELD_LIMIT + 1), 431),
        ];
        for (input, status) in cases {
            for piece in [1, 1000, 100_000] {
                let result = scan(input.as_bytes(), piece).map_err(|refused| refused.status);
                assert_eq!(result, Err(*status), "{:.60?} by {piece}", input);
            }
        }
        for input in [of_length(HEAD_LIMIT), fields(FIELD_LIMIT)] {
            assert_eq!(scan(input.as_bytes(), 1000), Ok(Some(0..input.len())));
        }
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same(
            input in prop_oneof![
                any::<Vec<u8>>(),
                "(\r\n)?[A-Z]{0,5} /[a-z]{0,9} HTTP/1.1\r?\n([A-Z]{1,4}: [a-z \t]{0,9}\r?\n){0,5}(\r\n)?(rest)?"
                    .prop_map(String::into_bytes),
            ],
            piece in 1usize..9,
        ) {
            prop_assert_eq!(scan(&input, piece), scan(&input, usize::MAX / 2));
        }
    }
}
