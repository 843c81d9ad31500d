//! The body of an answer to several ranges (`multipart/byteranges`, RFC 9110 section 14.6).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::{Body, Part};

/// The parts of a representation of `total` bytes, in the order in which they are given, each with what it holds; and the
/// `Content-Type` of it all. The `boundary` must not occur in the content, and stands for itself in a header.
///
/// Without sendfile, because what asks for parts asks for little of each.
pub fn several_parts(
    boundary: &str,
    media_type: &str,
    total: u64,
    parts: impl Iterator<Item = (Part, Body)>,
) -> (String, Body) {
    let mut pieces = VecDeque::new();
    let mut length = 0_u64;
    let mut add = |piece: Piece| {
        length = length.saturating_add(piece.left);
        pieces.push_back(piece);
    };
    for (part, body) in parts {
        add(Piece::text(format!(
            "\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {}\r\n\r\n",
            part.content_range(total)
        )));
        add(Piece {
            reader: reader(body),
            left: part.length,
        });
    }
    add(Piece::text(format!("\r\n--{boundary}--\r\n")));
    let body = Body::Stream {
        reader: Box::new(Pieces(pieces)),
        length: Some(length),
    };
    (format!("multipart/byteranges; boundary={boundary}"), body)
}

/// Exactly so many bytes.
struct Piece {
    reader: Box<dyn Read + Send>,
    left: u64,
}

impl Piece {
    fn text(text: String) -> Self {
        Self {
            left: text.len() as u64,
            reader: Box::new(io::Cursor::new(text)),
        }
    }
}

/// One piece after the other. It fails where one of them is too short: what follows would be taken for the rest of it.
struct Pieces(VecDeque<Piece>);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(piece) = self.0.front_mut() {
            if piece.left == 0 {
                self.0.pop_front();
                continue;
            }
            let read = piece.reader.by_ref().take(piece.left).read(buffer)?;
            if read == 0 && !buffer.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            piece.left = piece.left.saturating_sub(read as u64);
            return Ok(read);
        }
        Ok(0)
    }
}

fn reader(body: Body) -> Box<dyn Read + Send> {
    match body {
        Body::Empty => Box::new(io::empty()),
        Body::Bytes(bytes) => Box::new(io::Cursor::new(bytes)),
        Body::File { file, offset, .. } => Box::new(FromFile { file, offset }),
        Body::Stream { reader, .. } => reader,
    }
}

struct FromFile {
    file: Arc<File>,
    offset: u64,
}

impl Read for FromFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset = self.offset.saturating_add(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
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
        let (content_type, body) = several_parts("b7", "a/b", 26, parts.into_iter());
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
        let (_, body) = several_parts("b7", "a/b", 26, std::iter::once((part(1, 4), body)));
        let error = collect(body).1.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
