//! A topic as plain text of a certain width.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "widths and heights of the manual's own text, which is part of the program"
)]

use super::document::{Block, Span, Table, read};

/// How far everything but headings is indented.
const INDENT: usize = 4;
/// The least width that a column is given for cells that are wider.
const NARROWEST: usize = 24;
const GAP: usize = 2;

/// The width of the terminal that standard output is, within bounds; of an ordinary one if it is none.
pub(super) fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map(|size| size.ws_col);
    match columns {
        Ok(columns) if columns > 0 => usize::from(columns).clamp(40, 100),
        _ => 80,
    }
}

pub(super) fn render(markdown: &str, width: usize) -> String {
    let mut text = String::new();
    for block in read(markdown) {
        if !text.is_empty() {
            text.push('\n');
        }
        match block {
            Block::Title(spans) | Block::Heading(spans) => {
                text.push_str(&plain(&spans));
                text.push('\n');
            }
            block => append(
                &mut text,
                &body(&block, width.saturating_sub(INDENT)),
                INDENT,
            ),
        }
    }
    // What was kept together is no different from other text for whoever copies it.
    text.replace(NO_BREAK, " ")
}

/// The lines of what is no heading.
fn body(block: &Block, width: usize) -> Vec<String> {
    match block {
        Block::Title(spans) | Block::Heading(spans) | Block::Paragraph(spans) => {
            wrap(&plain(spans), width)
        }
        Block::Code(code) => indented(code.lines().map(str::to_owned), INDENT),
        Block::List(items) => items
            .iter()
            .flat_map(|item| self::item(item, width))
            .collect(),
        Block::Table(table) => columns(table, width).unwrap_or_else(|| entries(table, width)),
    }
}

fn item(blocks: &[Block], width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for block in blocks {
        lines.extend(indented(body(block, width.saturating_sub(2)), 2));
    }
    if let Some(first) = lines.first_mut() {
        first.replace_range(..2, "- ");
    }
    lines
}

fn indented(lines: impl IntoIterator<Item = String>, by: usize) -> Vec<String> {
    let indent = |line: String| match line.as_str() {
        "" => line,
        line => format!("{:by$}{line}", ""),
    };
    lines.into_iter().map(indent).collect()
}

fn append(text: &mut String, lines: &[String], indent: usize) {
    for line in indented(lines.iter().cloned(), indent) {
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// The table in columns that are as wide as they must be; nothing where a line does not hold them.
pub(super) fn columns(table: &Table, width: usize) -> Option<Vec<String>> {
    let rows: Vec<Vec<String>> = std::iter::once(&table.head)
        .chain(&table.rows)
        .map(|row| row.iter().map(|cell| cell_text(cell)).collect())
        .collect();
    let widths = widths(&rows, width)?;
    let rows = rows.iter().map(|row| laid_out(row, &widths));
    let mut rows: Vec<_> = rows.collect();
    let sparse = rows.iter().any(|row| row.len() > 1);
    if table.head.iter().all(Vec::is_empty) {
        rows.remove(0);
    } else {
        let rule = widths.iter().map(|width| "-".repeat(*width)).collect();
        if let Some(head) = rows.first_mut() {
            head.push(join(rule, &widths));
        }
    }
    let mut lines = Vec::new();
    for row in rows {
        // Where cells take several lines, only an empty one says where the next row begins.
        if sparse && !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(row);
    }
    Some(lines)
}

/// How wide each column is; nothing if there is not room enough for all.
fn widths(rows: &[Vec<String>], width: usize) -> Option<Vec<usize>> {
    let count = rows.first()?.len();
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let longest = |text: &String| text.split(' ').map(length).max().unwrap_or_default();
    let natural: Vec<usize> = (0..count)
        .map(|column| {
            cells(column)
                .map(|cell| length(cell))
                .max()
                .unwrap_or_default()
        })
        .collect();
    let mut widths: Vec<usize> = natural
        .iter()
        .enumerate()
        .map(|(column, natural)| {
            let word = cells(column).map(longest).max().unwrap_or_default();
            word.max(NARROWEST.min(*natural))
        })
        .collect();
    let mut room = width.checked_sub(widths.iter().sum::<usize>() + GAP * (count - 1))?;
    // The rest goes to those that can use it, a character at a time to each.
    while room > 0 && widths != natural {
        for (width, natural) in widths.iter_mut().zip(&natural) {
            if room > 0 && *width < *natural {
                *width += 1;
                room -= 1;
            }
        }
    }
    Some(widths)
}

/// The lines of a row.
fn laid_out(row: &[String], widths: &[usize]) -> Vec<String> {
    let cells = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| wrap(cell, *width));
    let cells: Vec<Vec<String>> = cells.collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or_default();
    (0..height)
        .map(|line| {
            let parts = cells
                .iter()
                .map(|cell| cell.get(line).cloned().unwrap_or_default());
            join(parts.collect(), widths)
        })
        .collect()
}

fn join(cells: Vec<String>, widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(cell);
        let padding = width.saturating_sub(length(cell)) + GAP;
        line.extend(std::iter::repeat_n(' ', padding));
    }
    line.trim_end().to_owned()
}

/// The table as a list: the first cell of a row, and below it what the others say.
fn entries(table: &Table, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for row in &table.rows {
        let (first, others) = entry(&table.head, row);
        lines.extend(wrap(&first, width));
        for other in others {
            lines.extend(indented(wrap(&other, width.saturating_sub(INDENT)), INDENT));
        }
    }
    lines
}

/// The first cell of a row, and the others with what their column is called.
fn entry(head: &[Vec<Span>], row: &[Vec<Span>]) -> (String, Vec<String>) {
    let first = row.first().map(|cell| cell_text(cell)).unwrap_or_default();
    let others = head
        .iter()
        .zip(row)
        .skip(1)
        .filter(|(_, cell)| !cell.is_empty());
    let others = others.map(|(head, cell)| match plain(head).as_str() {
        "" => plain(cell),
        head => format!("{head}: {}", plain(cell)),
    });
    (first, others.collect())
}

/// A cell that is all code needs no quotes: its column says so.
fn cell_text(spans: &[Span]) -> String {
    match spans {
        [Span::Code(code)] => code.clone(),
        spans => plain(spans),
    }
}

/// Between the words of short code, which stay in one line.
pub(super) const NO_BREAK: char = '\u{a0}';

pub(super) fn plain(spans: &[Span]) -> String {
    let mut text = String::new();
    for span in spans {
        match span {
            Span::Text(part) | Span::Emphasis(part) => text.push_str(part),
            Span::Code(code) => text.push_str(&quoted(code)),
            Span::Topic(name) => text.push_str(&quoted(&format!("breakwater help {name}"))),
        }
    }
    text
}

fn quoted(code: &str) -> String {
    let code = format!("`{code}`");
    if length(&code) > 40 {
        return code;
    }
    code.replace(' ', &NO_BREAK.to_string())
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() && length(&line) + 1 + length(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

fn length(text: &str) -> usize {
    text.chars().count()
}
