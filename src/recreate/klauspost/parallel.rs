//! pgzip: blocks that are compressed side by side, each as if the end of the one before had been compressed already.

use super::{Compressor, Headers};

/// So much of the block before is told to the next one.
const TAIL: usize = 16384;

/// pgzip's writer, with blocks of one size.
pub(in crate::recreate) struct Parallel {
    compressor: Compressor,
    block: usize,
    /// So much of the block is there.
    filled: usize,
    /// The last bytes of the block, twice as many as are needed at the most.
    tail: Vec<u8>,
}

impl Parallel {
    pub(in crate::recreate) fn new(level: u8, headers: Headers, block: usize) -> Self {
        Self {
            compressor: Compressor::new(level, headers),
            block,
            filled: 0,
            tail: Vec::new(),
        }
    }

    pub(in crate::recreate) fn write(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            let wanted = self.block.saturating_sub(self.filled);
            let (now, later) = content
                .split_at_checked(wanted)
                .unwrap_or((content, Default::default()));
            self.compressor.write(now);
            self.keep(now);
            self.filled = self.filled.saturating_add(now.len());
            content = later;
            if self.filled == self.block {
                self.compressor.flush();
                let gone = self.tail.len().saturating_sub(TAIL);
                self.tail.drain(..gone);
                self.compressor.restart(&self.tail);
                self.tail.clear();
                self.filled = 0;
            }
        }
    }

    pub(in crate::recreate) fn finish(&mut self) {
        self.compressor.flush();
        self.compressor.finish();
    }

    pub(in crate::recreate) fn output(&mut self) -> &mut Vec<u8> {
        self.compressor.output()
    }

    fn keep(&mut self, content: &[u8]) {
        let last = content.len().saturating_sub(TAIL);
        let content = content.get(last..).unwrap_or_default();
        let gone = self.tail.len().saturating_sub(TAIL);
        if gone > TAIL {
            self.tail.drain(..gone);
        }
        self.tail.extend_from_slice(content);
    }
}
