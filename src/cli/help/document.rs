//! Reads the Markdown of a topic, as far as the manual uses it.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// A part of a text, from top to bottom.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// The title of the topic.
    Title(Vec<Span>),
    /// The heading of a section.
    Heading(Vec<Span>),
    Paragraph(Vec<Span>),
    /// What is typed, or stands in a file: its lines, as they are.
    Code(String),
    List(Vec<Vec<Block>>),
    Table(Table),
}

/// Rows of cells under a head, whose cells may be empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) head: Vec<Vec<Span>>,
    pub(super) rows: Vec<Vec<Vec<Span>>>,
}

/// A part of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Span {
    Text(String),
    Code(String),
    Emphasis(String),
    /// A reference to another topic, by its name.
    Topic(String),
}

/// The blocks of `markdown`. Comments and pictures are left out.
pub(super) fn read(markdown: &str) -> Vec<Block> {
    let options = Options::ENABLE_TABLES;
    let mut reader = Reader {
        events: Parser::new_ext(markdown, options),
    };
    reader.blocks(None)
}

struct Reader<'a> {
    events: Parser<'a>,
}

impl<'a> Reader<'a> {
    /// Blocks up to the end of what holds them, or of the text.
    fn blocks(&mut self, end: Option<TagEnd>) -> Vec<Block> {
        let mut blocks = Vec::new();
        // In a list without empty lines the text of an item stands in no paragraph.
        let mut bare = Vec::new();
        while let Some(event) = self.events.next() {
            if let Event::End(tag) = event {
                if Some(tag) == end {
                    break;
                }
            } else if let Some(block) = self.block(&event) {
                blocks.push(block);
            } else {
                self.span(event, &mut bare);
            }
        }
        if !bare.is_empty() {
            blocks.insert(0, Block::Paragraph(bare));
        }
        blocks
    }

    /// The block that begins with `event`, if one does.
    fn block(&mut self, event: &Event<'a>) -> Option<Block> {
        let Event::Start(tag) = event else {
            return None;
        };
        let end = tag.to_end();
        match tag {
            Tag::Heading {
                level: HeadingLevel::H1,
                ..
            } => Some(Block::Title(self.spans(end))),
            Tag::Heading { .. } => Some(Block::Heading(self.spans(end))),
            Tag::Paragraph => Some(self.spans(end))
                .filter(|spans| !spans.is_empty())
                .map(Block::Paragraph),
            Tag::CodeBlock(_) => Some(Block::Code(self.plain(end))),
            Tag::List(_) => Some(Block::List(self.items(end))),
            Tag::Table(_) => Some(Block::Table(self.table(end))),
            _ => None,
        }
    }

    fn items(&mut self, end: TagEnd) -> Vec<Vec<Block>> {
        let mut items = Vec::new();
        while let Some(event) = self.events.next() {
            match event {
                Event::Start(Tag::Item) => items.push(self.blocks(Some(TagEnd::Item))),
                Event::End(tag) if tag == end => break,
                _ => {}
            }
        }
        items
    }

    fn table(&mut self, end: TagEnd) -> Table {
        let mut table = Table::default();
        while let Some(event) = self.events.next() {
            match event {
                Event::Start(Tag::TableHead) => table.head = self.cells(TagEnd::TableHead),
                Event::Start(Tag::TableRow) => table.rows.push(self.cells(TagEnd::TableRow)),
                Event::End(tag) if tag == end => break,
                _ => {}
            }
        }
        table
    }

    fn cells(&mut self, end: TagEnd) -> Vec<Vec<Span>> {
        let mut cells = Vec::new();
        while let Some(event) = self.events.next() {
            match event {
                Event::Start(Tag::TableCell) => cells.push(self.spans(TagEnd::TableCell)),
                Event::End(tag) if tag == end => break,
                _ => {}
            }
        }
        cells
    }

    fn spans(&mut self, end: TagEnd) -> Vec<Span> {
        let mut spans = Vec::new();
        while let Some(event) = self.events.next() {
            if matches!(event, Event::End(tag) if tag == end) {
                break;
            }
            self.span(event, &mut spans);
        }
        spans
    }

    /// Adds what `event` begins; nothing for a comment or a picture.
    fn span(&mut self, event: Event<'a>, spans: &mut Vec<Span>) {
        match event {
            Event::Code(code) => spans.push(Span::Code(code.into_string())),
            Event::Text(text) => push_text(spans, &text),
            Event::SoftBreak | Event::HardBreak => push_text(spans, " "),
            Event::Start(tag @ (Tag::Emphasis | Tag::Strong)) => {
                spans.push(Span::Emphasis(self.plain(tag.to_end())));
            }
            Event::Start(Tag::Image { .. }) => {
                self.plain(TagEnd::Image);
            }
            Event::Start(Tag::Link { dest_url, .. }) => {
                let text = self.plain(TagEnd::Link);
                match dest_url.strip_suffix(".md") {
                    Some(topic) => spans.push(Span::Topic(topic.to_owned())),
                    None if *dest_url == *text => push_text(spans, &text),
                    None => push_text(spans, &format!("{text} ({dest_url})")),
                }
            }
            _ => {}
        }
    }

    /// The text up to `end`, without what it is.
    fn plain(&mut self, end: TagEnd) -> String {
        let mut plain = String::new();
        for event in self.events.by_ref() {
            match event {
                Event::Text(text) | Event::Code(text) => plain.push_str(&text),
                Event::SoftBreak | Event::HardBreak => plain.push(' '),
                Event::End(tag) if tag == end => break,
                _ => {}
            }
        }
        plain
    }
}

fn push_text(spans: &mut Vec<Span>, more: &str) {
    match spans.last_mut() {
        Some(Span::Text(text)) => text.push_str(more),
        _ => spans.push(Span::Text(more.to_owned())),
    }
}
