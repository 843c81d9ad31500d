//! The compressors that are known, by name and version.
//!
//! A name and version never changes its meaning, and none is ever taken away: bundles that name it may be kept for
//! years. A model that turns out to be wrong gets a new version beside the old one.

use super::go::{Fast, Lazy};
use super::klauspost::Headers::{self, Exact, Full};
use super::klauspost::{self, Parallel};

/// A compressor: what it writes depends on the content alone, not on the parts in which this comes.
pub(super) trait Compressor {
    fn write(&mut self, content: &[u8]);
    fn finish(&mut self);
    /// What it has written; whoever takes it away empties it.
    fn output(&mut self) -> &mut Vec<u8>;
}

/// A compressor that is known.
pub struct Model {
    pub name: &'static str,
    pub version: u32,
    start: fn() -> Box<dyn Compressor>,
}

/// The first one that fits is taken: those that are met most often stand first.
pub const MODELS: [Model; 12] = [
    model("go-6", 1, || Box::new(Lazy::new())),
    model("go-1", 1, || Box::new(Fast::new())),
    model("pgzip-5-1m", 1, || parallel(Full, 1 << 20)),
    model("pgzip-5-1m", 2, || parallel(Exact, 1 << 20)),
    model("pgzip-5-256k", 1, || parallel(Full, 1 << 18)),
    model("pgzip-5-256k", 2, || parallel(Exact, 1 << 18)),
    model("klauspost-6", 2, || klauspost(6, Exact)),
    model("klauspost-1", 2, || klauspost(1, Exact)),
    model("klauspost-5", 2, || klauspost(5, Exact)),
    model("klauspost-6", 1, || klauspost(6, Full)),
    model("klauspost-1", 1, || klauspost(1, Full)),
    model("klauspost-5", 1, || klauspost(5, Full)),
];

const fn model(name: &'static str, version: u32, start: fn() -> Box<dyn Compressor>) -> Model {
    Model {
        name,
        version,
        start,
    }
}

fn klauspost(level: u8, headers: Headers) -> Box<dyn Compressor> {
    Box::new(klauspost::Compressor::new(level, headers))
}

fn parallel(headers: Headers, block: usize) -> Box<dyn Compressor> {
    Box::new(Parallel::new(5, headers, block))
}

impl Model {
    pub fn find(name: &str, version: u32) -> Option<&'static Self> {
        const { &MODELS }
            .iter()
            .find(|model| model.name == name && model.version == version)
    }

    pub(super) fn start(&self) -> Box<dyn Compressor> {
        (self.start)()
    }
}

macro_rules! compressor {
    ($($kind:ty),*) => {$(
        impl Compressor for $kind {
            fn write(&mut self, content: &[u8]) {
                self.write(content);
            }

            fn finish(&mut self) {
                self.finish();
            }

            fn output(&mut self) -> &mut Vec<u8> {
                self.output()
            }
        }
    )*};
}

compressor!(Lazy, Fast, klauspost::Compressor, Parallel);
