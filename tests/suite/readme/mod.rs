//! README.md and the manual in src/help against the program: what they say in tables is rendered from the
//! code, and what they tell people to type is run.
//!
//! The line before a fenced block says who runs it, word for word:
//!
//! | line | the block is run by |
//! |---|---|
//! | `<!-- test: NAME -->` | this suite: [`recipes::RECIPES`] says on which box, and what must come of it |
//! | `<!-- e2e: NAME -->` | a flow of scripts/e2e, with real clients |
//! | `<!-- ci -->` | `.ci/run`, which has its lines |

mod errors;
mod links;
mod recipes;
mod tables;

use std::path::{Path, PathBuf};

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// README.md, or a topic of the manual.
struct Document {
    /// From the repository's root.
    path: String,
    text: String,
}

fn read(path: &str) -> Document {
    let text = std::fs::read_to_string(in_repository(path)).unwrap();
    Document {
        path: path.to_owned(),
        text,
    }
}

/// The manual, in the order of its topics' names.
fn topics() -> Vec<Document> {
    let files = std::fs::read_dir(in_repository("src/help")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    // Beside them lies a directory of pictures, which terminals do without.
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".md")).collect();
    names.sort();
    names
        .iter()
        .map(|name| read(&format!("src/help/{name}")))
        .collect()
}

/// README.md, then the manual.
fn documents() -> Vec<Document> {
    let mut documents = vec![read("README.md")];
    documents.extend(topics());
    documents
}

/// A fenced block.
struct Block {
    /// The document that has it, and the line of its fence.
    place: String,
    /// The line before the fence.
    marker: String,
    /// Its own lines.
    text: String,
}

fn blocks() -> Vec<Block> {
    documents().iter().flat_map(Document::blocks).collect()
}

impl Document {
    fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut before = "";
        let mut inside = false;
        for (line, text) in (1..).zip(self.text.lines()) {
            if text.starts_with("```") {
                inside = !inside;
                if inside {
                    blocks.push(Block {
                        place: format!("{}:{line}", self.path),
                        marker: before.to_owned(),
                        text: String::new(),
                    });
                }
            } else if inside {
                let block = blocks.last_mut().expect("a fence opened it");
                block.text.push_str(text);
                block.text.push('\n');
            }
            before = text;
        }
        blocks
    }
}
