//! The compressors of `github.com/klauspost/compress/flate` at levels 1, 5 and 6, of which Go's own from 1.27 on is a
//! descendant, and of `github.com/klauspost/pgzip`.
//!
//! What they decide is decided here in the same order, which the notices in `NOTICE` stand for.

mod estimate;
mod history;
mod lazy;
mod level1;
mod parallel;
mod tables;
mod writer;

use crate::recreate::tokens::{STORED, Token};

use history::History;
use lazy::{Lazy, Level};
use level1::Level1;
pub(super) use parallel::Parallel;
pub(super) use writer::Headers;
use writer::Writer;

/// One of the compressors.
pub(super) struct Compressor {
    writer: Writer,
    find: Find,
    block: Vec<u8>,
    tokens: Vec<Token>,
}

/// What finds the matches of a block.
enum Find {
    Level1(Level1),
    Lazy(Lazy),
}

impl Compressor {
    pub(super) fn new(level: u8, headers: Headers) -> Self {
        Self {
            writer: Writer::new(headers),
            find: match level {
                1 => Find::Level1(Level1::new()),
                5 => Find::Lazy(Lazy::new(Level::Five)),
                _ => Find::Lazy(Lazy::new(Level::Six)),
            },
            block: Vec::with_capacity(STORED),
            tokens: Vec::with_capacity(STORED),
        }
    }

    pub(super) fn write(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            // A full block waits whether it is the last one.
            if self.block.len() == STORED {
                self.end_block(false);
            }
            let wanted = STORED.saturating_sub(self.block.len());
            let (now, later) = content
                .split_at_checked(wanted)
                .unwrap_or((content, Default::default()));
            self.block.extend_from_slice(now);
            content = later;
        }
    }

    /// Ends the block, so that all bytes so far can be read.
    fn flush(&mut self) {
        self.end_block(true);
        self.writer.flush();
    }

    pub(super) fn finish(&mut self) {
        self.end_block(true);
        self.writer.finish();
    }

    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        self.writer.output()
    }

    /// Starts anew, as if `before` had been compressed already.
    fn restart(&mut self, before: &[u8]) {
        self.find.history().restart();
        self.find.tokens(before, &mut self.tokens);
        self.tokens.clear();
    }

    fn end_block(&mut self, is_last: bool) {
        match self.block.len() {
            0 => return,
            1..=32 => self.writer.stored(&self.block),
            33..128 => self.writer.bytes(&self.block, true),
            length => {
                self.find.tokens(&self.block, &mut self.tokens);
                let few = length.saturating_sub(length >> 4);
                if self.tokens.is_empty() {
                    self.writer.stored(&self.block);
                } else if self.tokens.len() > few {
                    self.writer.bytes(&self.block, is_last);
                } else {
                    self.writer.tokens(&self.tokens, &self.block, is_last);
                }
            }
        }
        self.tokens.clear();
        self.block.clear();
    }
}

impl Find {
    fn tokens(&mut self, block: &[u8], tokens: &mut Vec<Token>) {
        match self {
            Self::Level1(level) => level.find(block, tokens),
            Self::Lazy(level) => level.find(block, tokens),
        }
    }

    fn history(&mut self) -> &mut History {
        match self {
            Self::Level1(level) => &mut level.history,
            Self::Lazy(level) => &mut level.history,
        }
    }
}
