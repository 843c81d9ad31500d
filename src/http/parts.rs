//! The body of an answer to several ranges (`multipart/byteranges`, RFC 9110 section 14.6).

use std::collections::VecDeque;
use std::io::{self, Read};

use super::{Body, Part};

/// The parts of a representation of `total` bytes, in the order in which they are given, each with what it holds; and the
/// `Content-Type` of it all. The `boundary` must not occur in the content, and stands for itself in a header.
///
/// Without sendfile, because whoever asks for parts asks for little of each. The text before a part is made when its turn
/// comes, so that a client that does not read holds little memory.
pub fn several_parts(
    boundary: String,
    media_type: &str,
    total: u64,
    parts: impl Iterator<Item = (Part, Body)>,
) -> (String, Body) {
    let content_type = format!("multipart/byteranges; boundary={boundary}");
    let parts = Parts {
        boundary,
        media_type: media_type.to_owned(),
        total,
        current: None,
        left: parts.collect(),
        is_closed: false,
    };
    let body = Body::Stream {
        length: Some(parts.length()),
        reader: Box::new(parts),
    };
    (content_type, body)
}

struct Parts {
    boundary: String,
    media_type: String,
    total: u64,
    current: Option<Piece>,
    left: VecDeque<(Part, Body)>,
    /// Whether the last boundary was written.
    is_closed: bool,
}

impl Parts {
    fn head(&self, part: Part) -> String {
        let range = part.content_range(self.total);
        format!(
            "\r\n--{}\r\nContent-Type: {}\r\nContent-Range: {range}\r\n\r\n",
            self.boundary, self.media_type
        )
    }

    fn end(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    fn length(&self) -> u64 {
        let parts = self.left.iter().map(|(part, _)| {
            let head = self.head(*part).len() as u64;
            head.saturating_add(part.length)
        });
        parts.fold(self.end().len() as u64, u64::saturating_add)
    }

    fn next(&mut self) -> Option<Piece> {
        if let Some((part, body)) = self.left.pop_front() {
            let text = io::Cursor::new(self.head(part));
            let length = text.get_ref().len() as u64;
            return Some(Piece {
                left: length.saturating_add(part.length),
                reader: Box::new(text.chain(body.into_reader().take(part.length))),
            });
        }
        if self.is_closed {
            return None;
        }
        self.is_closed = true;
        let text = io::Cursor::new(self.end());
        Some(Piece {
            left: text.get_ref().len() as u64,
            reader: Box::new(text),
        })
    }
}

/// Exactly so many bytes.
struct Piece {
    reader: Box<dyn Read + Send>,
    left: u64,
}

/// One part after the other. It fails where one of them is too short: what follows would be taken for the rest of it.
impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.current.as_ref().is_none_or(|piece| piece.left == 0) {
                self.current = self.next();
            }
            let Some(piece) = &mut self.current else {
                return Ok(0);
            };
            let read = piece.reader.read(buffer)?;
            if read == 0 && !buffer.is_empty() && piece.left > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            piece.left = piece.left.saturating_sub(read as u64);
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;
    use std::sync::Arc;

    use super::*;

    fn collect(body: Body) -> (Option<u64>, io::Result<Vec<u8>>) {
        let Body::Stream { mut reader, length } = body else {
            panic!("no stream");
        };
        let mut bytes = Vec::new();
        let read = reader.read_to_end(&mut bytes).map(|_| bytes);
        (length, read)
    }

    fn part(offset: u64, length: u64) -> Part {
        Part { offset, length }
    }

    #[test]
    fn parts_come_in_the_order_that_was_asked_for_each_with_its_place() {
        let bytes = |text: &str| Body::Bytes(text.as_bytes().into());
        let stream = Body::Stream {
            reader: Box::new(io::Cursor::new("defgh")),
            length: None,
        };
        let parts = [(part(3, 2), stream), (part(0, 3), bytes("abc"))];
        let (content_type, body) = several_parts("b7".to_owned(), "a/b", 26, parts.into_iter());
        assert_eq!(content_type, "multipart/byteranges; boundary=b7");
        let (length, read) = collect(body);
        let expected = "\r\n--b7\r\nContent-Type: a/b\r\nContent-Range: bytes 3-4/26\r\n\r\nde\
                        \r\n--b7\r\nContent-Type: a/b\r\nContent-Range: bytes 0-2/26\r\n\r\nabc\
                        \r\n--b7--\r\n";
        assert_eq!(String::from_utf8(read.unwrap()).unwrap(), expected);
        assert_eq!(length, Some(expected.len() as u64));
    }

    #[test]
    fn a_part_that_is_too_short_breaks_the_answer_off() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        let body = Body::File {
            file: Arc::new(file),
            offset: 1,
            length: 4,
        };
        let (_, body) = several_parts(
            "b7".to_owned(),
            "a/b",
            26,
            std::iter::once((part(1, 4), body)),
        );
        let error = collect(body).1.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
