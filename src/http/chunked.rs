//! Decodes the chunked transfer coding (RFC 9112 section 7.1), strictly and without any IO.
//!
//! Two readers of one message must never disagree about where it ends, so what the grammar does not allow
//! is an error here, never "repaired": no sign, no space, no `0x` before or after a size, no bare CR or LF.
//! Extensions and trailers are read, bounded and ignored. Nothing is allocated, whatever a size says.

/// Hexadecimal digits of a chunk's size, leading zeros included: as many as fit `u64`.
const SIZE_DIGITS: u8 = 16;
/// Bytes of extensions in a whole body. Nobody sends any; without a bound they are free work for us.
const EXTENSION_LIMIT: u16 = 4096;
/// Bytes of the trailer section.
const TRAILER_LIMIT: u16 = 8192;

/// The framing is wrong, so nobody knows where the message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadChunk(pub(super) &'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Within a size, after so many digits.
    Size(u8),
    Extension,
    /// After the CR that ends the line of a size.
    SizeEnd,
    Data,
    /// After a chunk's data: its CR, then its LF.
    DataCr,
    DataLf,
    /// At the start of a line of the trailer section.
    TrailerStart,
    Trailer,
    /// After a CR in the trailer section; whether the line is the empty one that ends the body.
    TrailerEnd {
        last: bool,
    },
    Done,
}

/// How much of the input was used, and how much data it gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) consumed: usize,
    pub(super) produced: usize,
}

/// A decoder that can be fed in pieces of any size.
#[derive(Debug)]
pub(super) struct ChunkedDecoder {
    state: State,
    /// The size being read, or what is left of the chunk's data.
    remaining: u64,
    extension: u16,
    trailer: u16,
}

impl ChunkedDecoder {
    pub(super) fn new() -> Self {
        Self {
            state: State::Size(0),
            remaining: 0,
            extension: 0,
            trailer: 0,
        }
    }

    /// Whether the last chunk and its trailers were read.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of data that come next on the wire, so that a caller with no input left may read them straight
    /// into their destination; it then owes a call of [`Self::advance`].
    pub(super) fn data_ahead(&self) -> u64 {
        if self.state == State::Data {
            self.remaining
        } else {
            0
        }
    }

    /// Notes that `count` bytes of data, at most [`Self::data_ahead`], were read past the decoder.
    pub(super) fn advance(&mut self, count: u64) {
        self.remaining = self.remaining.saturating_sub(count);
        if self.remaining == 0 && self.state == State::Data {
            self.state = State::DataCr;
        }
    }

    /// Decodes from `input` into `output` until either is used up or the body has ended.
    pub(super) fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Decoded, BadChunk> {
        let (mut consumed, mut produced) = (0_usize, 0_usize);
        while !self.is_done()
            && let Some(unread @ [byte, ..]) = input.get(consumed..)
        {
            if self.state == State::Data {
                let count = copy_some(unread, output.get_mut(produced..), self.remaining);
                if count == 0 {
                    break;
                }
                consumed = consumed.saturating_add(count);
                produced = produced.saturating_add(count);
                self.advance(count as u64);
            } else {
                self.step(*byte)?;
                consumed = consumed.saturating_add(1);
            }
        }
        Ok(Decoded { consumed, produced })
    }

    /// One byte of framing.
    fn step(&mut self, byte: u8) -> Result<(), BadChunk> {
        self.state = match (self.state, byte) {
            (State::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits >= SIZE_DIGITS {
                    return Err(BadChunk("the size of a chunk has too many digits"));
                }
                let value = char::from(byte).to_digit(16).unwrap_or_default();
                self.remaining = self.remaining << 4 | u64::from(value);
                State::Size(digits.saturating_add(1))
            }
            (State::Size(1..), b'\r') => State::SizeEnd,
            (State::Size(1..), b';') => State::Extension,
            (State::Size(_), _) => return Err(BadChunk("the size of a chunk is not a number")),
            (State::Extension, b'\r') => State::SizeEnd,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension = self.extension.saturating_add(1);
                if self.extension > EXTENSION_LIMIT {
                    return Err(BadChunk("the chunk extensions are too long"));
                }
                State::Extension
            }
            (State::Extension, _) => {
                return Err(BadChunk("a chunk extension holds a control character"));
            }
            (State::SizeEnd, b'\n') if self.remaining == 0 => State::TrailerStart,
            (State::SizeEnd, b'\n') => State::Data,
            (State::SizeEnd, _) => {
                return Err(BadChunk("a line of a chunk's size ends in a bare CR"));
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(0),
            (State::DataCr | State::DataLf, _) => {
                return Err(BadChunk("a chunk is longer than its size"));
            }
            (State::TrailerStart, b' ' | b'\t' | b':') => {
                return Err(BadChunk("a trailer field has no name"));
            }
            (State::TrailerStart, b'\r') => State::TrailerEnd { last: true },
            (State::Trailer, b'\r') => State::TrailerEnd { last: false },
            (State::TrailerStart | State::Trailer, b'\t' | b' '..=b'~' | 0x80..) => {
                self.trailer = self.trailer.saturating_add(1);
                if self.trailer > TRAILER_LIMIT {
                    return Err(BadChunk("the trailer section is too long"));
                }
                State::Trailer
            }
            (State::TrailerStart | State::Trailer, _) => {
                return Err(BadChunk("a trailer field holds a control character"));
            }
            (State::TrailerEnd { last: true }, b'\n') => State::Done,
            (State::TrailerEnd { last: false }, b'\n') => State::TrailerStart,
            (State::TrailerEnd { .. }, _) => {
                return Err(BadChunk("a trailer field ends in a bare CR"));
            }
            // `decode` never calls with these.
            (State::Data | State::Done, _) => return Err(BadChunk("a byte of data is no framing")),
        };
        Ok(())
    }
}

/// Copies as much as both have, and at most `most`; how much it was.
fn copy_some(from: &[u8], to: Option<&mut [u8]>, most: u64) -> usize {
    let to = to.unwrap_or_default();
    let room = from.len().min(to.len());
    let count = usize::try_from(most).map_or(room, |most| most.min(room));
    to.iter_mut()
        .zip(from)
        .take(count)
        .for_each(|(to, from)| *to = *from);
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `input` in pieces of at most `piece`, with an output of `room`; gives data, rest and result.
    fn decode_all(
        input: &[u8],
        piece: usize,
        room: usize,
    ) -> (Vec<u8>, usize, Result<bool, BadChunk>) {
        let mut decoder = ChunkedDecoder::new();
        let mut data = Vec::new();
        let mut at = 0;
        let mut output = vec![0; room];
        while at < input.len() && !decoder.is_done() {
            let end = input.len().min(at + piece);
            match decoder.decode(&input[at..end], &mut output) {
                Ok(decoded) => {
                    at += decoded.consumed;
                    data.extend_from_slice(&output[..decoded.produced]);
                }
                Err(bad) => return (data, at, Err(bad)),
            }
        }
        (data, at, Ok(decoder.is_done()))
    }

    #[test]
    fn what_the_grammar_allows_is_decoded() {
        let long_trailer = format!("0\r\nA: {}\r\n\r\n", "x".repeat(8000));
        let cases: &[(&str, &str)] = &[
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("5\r\nhello\r\n006\r\n world\r\n0\r\n\r\n", "hello world"),
            ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
            ("a\r\n0123456789\r\n000\r\n\r\n", "0123456789"),
            ("1;a=b;c=\"d;\"\r\nx\r\n0;last\r\n\r\n", "x"),
            ("1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", "x"),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
            (&long_trailer, ""),
        ];
        for (input, expected) in cases {
            let (data, used, result) = decode_all(input.as_bytes(), 7, 3);
            assert_eq!(result, Ok(true), "{input:?}");
            assert_eq!(String::from_utf8_lossy(&data), *expected, "{input:?}");
            assert_eq!(used, input.len(), "{input:?}");
        }
    }

    #[test]
    fn what_the_grammar_forbids_is_refused() {
        let long_extension = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(5000));
        let many_extensions = "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n".repeat(200);
        let long_trailer = format!("0\r\nA: {}\r\n\r\n", "x".repeat(9000));
        let many_trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(3000));
        let cases: &[&str] = &[
            "\r\n",
            "-1\r\n",
            "+1\r\nx\r\n",
            " 1\r\nx\r\n",
            "1 \r\nx\r\n",
            "1\t\r\nx\r\n",
            "0x1\r\nx\r\n",
            "1_0\r\n",
            "g\r\n",
            ";a\r\n",
            "1\nx\r\n",
            "1\rx",
            "1\r\nxy\r\n",
            "1\r\nx\n0\r\n\r\n",
            "1\r\nx\r0\r\n\r\n",
            "1\r\nx0\r\n\r\n",
            "1;\x0b\r\nx\r\n",
            "1;a\nx\r\n",
            "1\x0b\r\nx\r\n",
            "1\0\r\nx\r\n",
            "00000000000000001\r\nx\r\n",
            "ffffffffffffffff1\r\n",
            "0\r\n\n",
            "0\r\n\rx",
            "0\r\nA: b\n\r\n",
            "0\r\n folded\r\n\r\n",
            "0\r\nA: b\0\r\n\r\n",
            &long_extension,
            &many_extensions,
            &long_trailer,
            &many_trailers,
        ];
        for input in cases {
            let (_, _, result) = decode_all(input.as_bytes(), 4096, 64);
            assert!(result.is_err(), "{:.60?} gave {result:?}", input);
        }
    }

    #[test]
    fn a_huge_size_is_only_a_number() {
        let mut decoder = ChunkedDecoder::new();
        let mut output = [0; 8];
        let decoded = decoder.decode(b"ffffffffffffffff\r\nabc", &mut output);
        let expected = Decoded {
            consumed: 21,
            produced: 3,
        };
        assert_eq!(decoded, Ok(expected));
        assert_eq!(decoder.data_ahead(), u64::MAX - 3);
    }

    #[test]
    fn what_follows_the_body_stays_in_the_input() {
        let (data, used, result) = decode_all(b"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1", 1024, 64);
        assert_eq!((data.as_slice(), used, result), (&b"x"[..], 11, Ok(true)));
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same(
            input in prop_oneof![
                any::<Vec<u8>>(),
                "([0-9a-fA-F]{1,2}(;[a-z=]{0,4})?\r\n[a-z]{0,12}\r?\n){0,6}(0\r\n(A: b\r\n)?\r\n)?"
                    .prop_map(String::into_bytes),
            ],
            piece in 1usize..20,
            room in 1usize..20,
        ) {
            let whole = decode_all(&input, usize::MAX / 2, 4096);
            let pieces = decode_all(&input, piece, room);
            prop_assert_eq!(&whole.2, &pieces.2);
            if whole.2.is_ok() {
                prop_assert_eq!(whole, pieces);
            }
        }

        #[test]
        fn what_was_encoded_comes_back(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8), piece in 1usize..50) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\nrest");
            let (data, used, result) = decode_all(&wire, piece, 64);
            prop_assert_eq!(result, Ok(true));
            prop_assert_eq!(data, chunks.concat());
            prop_assert_eq!(used, wire.len() - 4);
        }
    }
}
