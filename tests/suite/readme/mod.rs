//! README.md against the program: what it says in tables is rendered from the code, and what it tells
//! people to type is run.
//!
//! The line before a fenced block says who runs it, word for word:
//!
//! | line | the block is run by |
//! |---|---|
//! | `<!-- test: NAME -->` | this suite: [`recipes::RECIPES`] says on which box, and what must come of it |
//! | `<!-- e2e: NAME -->` | a flow of scripts/e2e, with real clients |
//! | `<!-- ci -->` | `.ci/run`, which has its lines |

mod errors;
mod recipes;
mod tables;

use std::path::{Path, PathBuf};

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn readme() -> String {
    std::fs::read_to_string(in_repository("README.md")).unwrap()
}

/// A fenced block.
struct Block {
    /// The line of its fence, from 1.
    line: usize,
    /// The line before the fence.
    marker: String,
    /// Its own lines.
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut before = String::new();
    let mut inside = false;
    for (line, text) in (1..).zip(readme().lines()) {
        if text.starts_with("```") {
            inside = !inside;
            if inside {
                let marker = before.clone();
                let text = String::new();
                blocks.push(Block { line, marker, text });
            }
        } else if inside {
            let block = blocks.last_mut().expect("a fence opened it");
            block.text.push_str(text);
            block.text.push('\n');
        }
        text.clone_into(&mut before);
    }
    blocks
}
