//! A topic as a manual page.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::Topic;
use super::document::{Block, Span, Table, read};
use super::text::{NO_BREAK, columns, plain};
use crate::config::SECTIONS;

/// What a line of a page holds on an ordinary terminal.
const WIDTH: usize = 70;
/// The topic whose page is that of the file which it describes.
const CONFIGURATION: &str = "configuration";

/// The name and the section of a topic's page.
pub(in crate::cli) fn page_of(topic: &str) -> (String, &'static str) {
    match topic {
        CONFIGURATION => ("breakwater.toml".to_owned(), "5"),
        topic => (format!("breakwater-{topic}"), "7"),
    }
}

/// No date, so that the same program always writes the same bytes.
pub(in crate::cli) fn render(topic: &Topic) -> Roff {
    let mut roff = Roff::default();
    let (name, section) = page_of(topic.name);
    let source = concat!("breakwater ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", [name.as_str(), section, "\"\"", source, "Breakwater"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {}", topic.summary()))]);
    roff.control("SH", ["DESCRIPTION"]);
    // The title and the sentence below it have become the name.
    for block in read(topic.text).iter().skip(2) {
        match block {
            Block::Table(_) if topic.name == CONFIGURATION => keys(&mut roff),
            block => append(block, &mut roff),
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("breakwater"), roman("(1)")]);
    roff
}

/// Every key of the configuration, by sections, with its default as the file would have it.
fn keys(roff: &mut Roff) {
    for section in SECTIONS {
        if !section.name.is_empty() {
            roff.control(
                "SS",
                [format!("[{}]", section.name.replace('"', "\\(dq")).as_str()],
            );
        }
        for key in section.keys {
            roff.control("TP", []);
            roff.text([bold(key.name), roman(" = "), bold(key.default.to_string())]);
            for block in read(key.about()) {
                if let Block::Paragraph(spans) = block {
                    roff.text(inlines(&spans));
                }
            }
        }
    }
}

fn append(block: &Block, roff: &mut Roff) {
    match block {
        Block::Title(spans) | Block::Heading(spans) => {
            roff.control("SS", [plain(spans).replace(NO_BREAK, " ").as_str()]);
        }
        Block::Paragraph(spans) => {
            roff.control("PP", []);
            roff.text(inlines(spans));
        }
        Block::Code(code) => as_it_is(code.lines().map(str::to_owned), roff),
        Block::List(items) => {
            for item in items {
                roff.control("IP", ["\\(bu", "2"]);
                item_text(item, roff);
            }
        }
        Block::Table(table) => match columns(table, WIDTH) {
            Some(lines) => as_it_is(lines.iter().map(|line| line.replace(NO_BREAK, " ")), roff),
            None => entries(table, roff),
        },
    }
}

/// The first paragraph of an item stands beside its mark.
fn item_text(blocks: &[Block], roff: &mut Roff) {
    for (index, block) in blocks.iter().enumerate() {
        match block {
            Block::Paragraph(spans) if index == 0 => {
                roff.text(inlines(spans));
            }
            block => append(block, roff),
        }
    }
}

/// Lines that are not filled.
fn as_it_is(lines: impl Iterator<Item = String>, roff: &mut Roff) {
    roff.control("PP", []);
    roff.control("RS", ["2"]);
    roff.control("nf", []);
    for line in lines {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("RE", []);
}

/// Rows that a line does not hold: the first cell is the term, the others tell of it.
fn entries(table: &Table, roff: &mut Roff) {
    for row in &table.rows {
        let Some((first, others)) = row.split_first() else {
            continue;
        };
        roff.control("TP", []);
        roff.text(inlines(first));
        let others = table.head.iter().skip(1).zip(others);
        for (index, (head, cell)) in others.filter(|(_, cell)| !cell.is_empty()).enumerate() {
            if index > 0 {
                roff.control("br", []);
            }
            let mut text = inlines(cell);
            if !head.is_empty() {
                text.insert(0, roman(format!("{}: ", plain(head))));
            }
            roff.text(text);
        }
    }
}

fn inlines(spans: &[Span]) -> Vec<Inline> {
    let mut inlines = Vec::new();
    for span in spans {
        match span {
            Span::Text(text) => inlines.push(roman(text)),
            Span::Code(code) => inlines.push(bold(breakable(code))),
            Span::Emphasis(text) => inlines.push(italic(text)),
            Span::Topic(name) => {
                let (page, section) = page_of(name);
                inlines.push(bold(page));
                inlines.push(roman(format!("({section})")));
            }
        }
    }
    inlines
}

/// JSON that is longer than a line can be broken after its commas.
fn breakable(code: &str) -> String {
    match code.len() > 60 {
        true => code.replace(",\"", ", \""),
        false => code.to_owned(),
    }
}
