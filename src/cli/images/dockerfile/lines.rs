//! The instructions of a Dockerfile: comments and directives apart, continued lines put together, the text of
//! here-documents left out.

use std::collections::VecDeque;
use std::iter::Enumerate;
use std::str::Lines as TextLines;

/// The longest instruction that is put together, in bytes; what is behind is left out.
const MAX_INSTRUCTION: usize = 256 << 10;

pub(super) struct Instruction {
    /// In upper case.
    pub(super) word: String,
    pub(super) rest: String,
    /// Where it begins, from 1.
    pub(super) line: usize,
}

impl Instruction {
    pub(super) fn parse(text: &str, line: usize) -> Option<Self> {
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic());
        is_word.then(|| Self {
            word: word.to_ascii_uppercase(),
            rest: rest.trim().to_owned(),
            line,
        })
    }
}

pub(super) struct Lines<'a> {
    lines: Enumerate<TextLines<'a>>,
    escape: char,
    syntax: Option<(usize, String)>,
    /// The ends of here-documents that are still to be passed.
    ends: VecDeque<Heredoc>,
}

struct Heredoc {
    end: String,
    /// Whether tabs before the end are allowed.
    is_indented: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let text = text.trim_start_matches('\u{feff}');
        let mut lines = Self {
            lines: text.lines().enumerate(),
            escape: '\\',
            syntax: None,
            ends: VecDeque::new(),
        };
        lines.read_directives(text);
        lines
    }

    pub(super) fn escape(&self) -> char {
        self.escape
    }

    /// The image of `# syntax=`, and its line.
    pub(super) fn syntax(&self) -> Option<&(usize, String)> {
        self.syntax.as_ref()
    }

    /// `# NAME=VALUE`, until the first line that is none.
    fn read_directives(&mut self, text: &str) {
        for (number, line) in (1_usize..).zip(text.lines()) {
            let directive = line
                .trim()
                .strip_prefix('#')
                .and_then(|line| line.split_once('='));
            let Some((name, value)) = directive else {
                // A script that begins with #! may be a Dockerfile too.
                if number == 1 && line.starts_with("#!") {
                    continue;
                }
                return;
            };
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            match name.as_str() {
                "syntax" if self.syntax.is_none() => {
                    let image = value.split_whitespace().next().unwrap_or_default();
                    self.syntax = Some((number, image.to_owned()));
                }
                "escape" if value == "`" => self.escape = '`',
                "escape" | "check" | "syntax" => {}
                _ => return,
            }
        }
    }

    /// Whether the line belongs to a here-document.
    fn is_in_heredoc(&mut self, line: &str) -> bool {
        let Some(heredoc) = self.ends.front() else {
            return false;
        };
        let text = match heredoc.is_indented {
            true => line.trim_start_matches('\t'),
            false => line,
        };
        if text == heredoc.end {
            self.ends.pop_front();
        }
        true
    }
}

impl Iterator for Lines<'_> {
    type Item = Instruction;

    fn next(&mut self) -> Option<Instruction> {
        let mut text = String::new();
        let mut begins_at = None;
        while let Some((number, line)) = self.lines.next() {
            if self.is_in_heredoc(line) {
                continue;
            }
            let trimmed = line.trim();
            // Comments and empty lines do not end an instruction that goes on.
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let line = begins_at.get_or_insert(number.saturating_add(1));
            let (part, goes_on) = match trimmed.strip_suffix(self.escape) {
                Some(part) => (part, true),
                None => (trimmed, false),
            };
            if text.len().saturating_add(part.len()) <= MAX_INSTRUCTION {
                text.push_str(part);
                text.push(' ');
            }
            if goes_on {
                continue;
            }
            let instruction = Instruction::parse(&text, *line);
            text.clear();
            begins_at = None;
            if let Some(instruction) = instruction {
                self.ends.extend(heredocs(&instruction));
                return Some(instruction);
            }
        }
        begins_at.and_then(|line| Instruction::parse(&text, line))
    }
}

/// `<<EOF`, `<<-EOF`, `<<"EOF"` of an instruction that takes them.
fn heredocs(instruction: &Instruction) -> Vec<Heredoc> {
    let words = match instruction.word.as_str() {
        "RUN" | "COPY" | "ADD" | "ONBUILD" => instruction.rest.split_whitespace(),
        _ => "".split_whitespace(),
    };
    let heredocs = words.filter_map(|word| {
        // A file descriptor may stand before it.
        let word = word
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .strip_prefix("<<")?;
        let (word, is_indented) = match word.strip_prefix('-') {
            Some(word) => (word, true),
            None => (word, false),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let end: String = word
            .trim_matches(['"', '\''])
            .chars()
            .take_while(|c| is_name(*c))
            .collect();
        (!end.is_empty()).then_some(Heredoc { end, is_indented })
    });
    heredocs.collect()
}
