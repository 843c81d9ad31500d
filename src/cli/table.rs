//! Tables: rows under a header. On a terminal no line is longer than that is wide; elsewhere nothing is shortened.

use std::collections::HashSet;

use super::output::print_text;
use super::terminal;
use crate::error::Result;
use crate::telemetry::escape_text;

/// Between two columns.
const GAP: usize = 2;
/// No column is cut to less.
const NARROWEST: usize = 6;
/// Of a digest that is cut, `sha256:`, twelve digits and the mark remain, which is what other programs show of one.
const DIGEST: usize = 20;
/// What stands in these columns tells rows apart: it is cut in the middle, and only so far that it still does.
const TELLING_APART: [&str; 19] = [
    "DIGEST",
    "FETCH",
    "GROUP",
    "ID",
    "IMAGE",
    "KEY",
    "KEY ID",
    "NAME",
    "NETWORK",
    "PART",
    "PATH",
    "PATTERN",
    "REPOSITORIES",
    "REPOSITORY",
    "REQUEST",
    "SHA-256",
    "TAG",
    "UPSTREAM",
    "USER",
];

/// Rows under a header, in columns as wide as need be.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(super) fn new(header: &[&str]) -> Self {
        let header = header.iter().map(|&cell| cell.to_owned()).collect();
        Self { rows: vec![header] }
    }

    /// Adds a row; control characters in it are escaped.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows
            .push(cells.iter().map(|cell| escape_text(cell)).collect());
    }

    /// Prints it in one write, no wider than the terminal.
    pub(super) fn print(&self) -> Result<()> {
        print_text(&self.fitted(terminal::width()))
    }

    /// Its lines, none longer than `width`: the widest columns are cut, and where that is not enough, each row becomes a
    /// few lines.
    pub(super) fn fitted(&self, width: Option<usize>) -> String {
        let Some(width) = width else {
            return self.render();
        };
        match self.widths(width) {
            Some(widths) => self.cut(&widths).render(),
            None => self.stacked(width),
        }
    }

    fn columns(&self) -> impl Iterator<Item = Column<'_>> {
        let header = self.rows.first().map_or(&[][..], Vec::as_slice);
        header.iter().enumerate().map(|(at, name)| Column {
            name,
            cells: self.rows.iter().filter_map(|row| row.get(at)).collect(),
        })
    }

    /// How wide each column may be so that a line fits; `None` where it cannot.
    fn widths(&self, width: usize) -> Option<Vec<usize>> {
        let columns: Vec<_> = self.columns().collect();
        let mut widths: Vec<_> = columns.iter().map(Column::width).collect();
        let mut least: Vec<_> = columns.iter().map(Column::narrowest).collect();
        let gaps = columns.len().saturating_sub(1).saturating_mul(GAP);
        loop {
            while widths.iter().sum::<usize>().saturating_add(gaps) > width {
                let cut = widths.iter_mut().zip(&least);
                let cut = cut.filter(|(width, least)| **width > **least);
                let (widest, _) = cut.max_by_key(|(width, _)| **width)?;
                *widest = widest.saturating_sub(1);
            }
            let mut is_clear = true;
            for ((column, width), least) in columns.iter().zip(&mut widths).zip(&mut least) {
                let clear = column.clear_from(*width);
                if clear > *width {
                    (*width, *least, is_clear) = (clear, clear, false);
                }
            }
            if is_clear {
                return Some(widths);
            }
        }
    }

    fn cut(&self, widths: &[usize]) -> Self {
        let columns: Vec<_> = self.columns().collect();
        let cut = |row: &Vec<String>| {
            let cells = row.iter().zip(columns.iter().zip(widths));
            cells
                .map(|(cell, (column, width))| column.shorten(cell, *width))
                .collect()
        };
        Self {
            rows: self.rows.iter().map(cut).collect(),
        }
    }

    /// Each cell on lines of its own, behind the name of its column.
    fn stacked(&self, width: usize) -> String {
        let names = self.rows.first().map_or(&[][..], Vec::as_slice);
        let indent = names.iter().map(|name| length(name)).max().unwrap_or(0);
        let indent = indent.saturating_add(GAP).min(width / 2);
        let room = width.saturating_sub(indent).max(1);
        let mut text = String::new();
        for (number, row) in self.rows.iter().skip(1).enumerate() {
            if number > 0 {
                text.push('\n');
            }
            for (name, cell) in names.iter().zip(row) {
                let letters: Vec<char> = cell.chars().collect();
                let mut name: String = name.chars().take(indent.saturating_sub(1)).collect();
                for piece in letters.chunks(room) {
                    let piece: String = piece.iter().collect();
                    let line = format!("{name:<indent$}{piece}");
                    text.push_str(line.trim_end());
                    text.push('\n');
                    name.clear();
                }
            }
        }
        text
    }

    fn render(&self) -> String {
        let widths: Vec<_> = self.columns().map(|column| column.width()).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                let padding = width.saturating_sub(length(cell)).saturating_add(GAP);
                line.extend(std::iter::repeat_n(' ', padding));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A column, its name included.
struct Column<'a> {
    name: &'a str,
    cells: Vec<&'a String>,
}

impl Column<'_> {
    fn width(&self) -> usize {
        let lengths = self.cells.iter().map(|cell| length(cell));
        lengths.max().unwrap_or_default()
    }

    fn tells_apart(&self) -> bool {
        TELLING_APART.contains(&self.name)
    }

    /// Numbers, times and addresses are not cut at all.
    fn narrowest(&self) -> usize {
        let mut cells = self.cells.iter().skip(1);
        let is_exact = cells.all(|cell| {
            let is_word = matches!(cell.as_str(), "" | "-" | "never");
            is_word || (cell.starts_with(|c: char| c.is_ascii_digit()) && length(cell) <= DIGEST)
        });
        match is_exact {
            true => self.width(),
            false => NARROWEST.min(self.width()),
        }
    }

    /// The least width from `width` on at which no two different cells look the same, where that matters.
    fn clear_from(&self, width: usize) -> usize {
        let whole = self.width();
        if !self.tells_apart() || width >= whole {
            return width;
        }
        let cells: HashSet<_> = self.cells.iter().collect();
        let is_clear = |width: usize| {
            let mut seen = HashSet::new();
            cells
                .iter()
                .all(|cell| seen.insert(self.shorten(cell, width)))
        };
        let least = cells.iter().filter(|cell| is_digest(cell));
        let least = least
            .map(|cell| length(cell).min(DIGEST))
            .max()
            .unwrap_or(0);
        // The whole cells differ, so that the search ends at a width at which they do.
        let (mut low, mut high) = (width.max(least.min(whole)), whole);
        while low < high {
            let middle = low.midpoint(high);
            match is_clear(middle) {
                true => high = middle,
                false => low = middle.saturating_add(1),
            }
        }
        high
    }

    fn shorten(&self, cell: &str, width: usize) -> String {
        let count = length(cell);
        if count <= width {
            return cell.to_owned();
        }
        let kept = width.saturating_sub(1);
        let behind = match self.tells_apart() && !is_digest(cell) {
            true => kept / 2,
            false => 0,
        };
        let front = cell.chars().take(kept.saturating_sub(behind));
        let back = cell.chars().skip(count.saturating_sub(behind));
        front.chain(['…']).chain(back).collect()
    }
}

/// Whether it is one, or the hexadecimal digits of one, or the first of them: its beginning says which it is.
fn is_digest(cell: &str) -> bool {
    let hex = cell.trim_start();
    let hex = hex.split_once(':').map_or(hex, |(_, hex)| hex);
    hex.len() >= 12 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn length(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(text: &str) -> usize {
        text.lines().map(length).max().unwrap()
    }

    #[test]
    fn tables_line_up_and_escape() {
        let mut table = Table::new(&["ID", "NAME"]);
        table.row(["1".to_owned(), "a\u{1b}[2J\nb".to_owned()]);
        table.row(["1234".to_owned(), String::new()]);
        let expected = "ID    NAME\n1     a\\u{1b}[2J\\nb\n1234\n";
        assert_eq!(table.fitted(None), expected);
    }

    #[test]
    fn the_widest_columns_are_cut_until_a_table_fits() {
        let mut table = Table::new(&["ID", "NAME", "DETAILS"]);
        let cell = |length: usize| "é".repeat(length);
        table.row(["1".to_owned(), cell(12), cell(60)]);
        let expected = format!("1   {}  {}…", cell(12), cell(21));
        let text = table.fitted(Some(40));
        assert_eq!(text.lines().nth(1), Some(expected.as_str()));
        assert_eq!(longest(&table.fitted(None)), 2 + 2 + 12 + 2 + 60);
    }

    #[test]
    fn what_tells_rows_apart_still_does_when_it_is_cut() {
        let digest = |last: char| format!("sha256:{}{last}", "a".repeat(63));
        let mut table = Table::new(&["IMAGE", "DIGEST", "WHY"]);
        for (tag, last) in [("3.19", 'b'), ("3.20", 'c'), ("3.21", 'c')] {
            let image = format!("docker.io/library/a-very-long-name/alpine:{tag}");
            let why = "because of a long story ".repeat(5);
            table.row([image, digest(last), why]);
        }
        let text = table.fitted(Some(120));
        assert_eq!(longest(&text), 120, "{text}");
        for part in [":3.19 ", ":3.20 ", ":3.21 ", &digest('b'), &digest('c')] {
            assert!(text.contains(part), "{part} {text}");
        }
        // Digests that differ early are cut to their beginnings.
        let mut table = Table::new(&["DIGEST", "SIZE"]);
        for first in ["ab", "cd"] {
            let hex = format!("{first}{}", "0".repeat(62));
            table.row([format!("sha256:{hex}"), "1.5 MiB".to_owned()]);
        }
        let text = table.fitted(Some(9 + DIGEST));
        assert!(text.contains("sha256:ab0000000000…"), "{text}");
        assert!(longest(&text) == 9 + DIGEST && text.contains("1.5 MiB"));
    }

    #[test]
    fn rows_that_cannot_fit_become_lines_with_everything_in_them() {
        let mut table = Table::new(&["DIGEST", "STATE"]);
        for last in ['b', 'c'] {
            table.row([format!("sha256:{}{last}", "a".repeat(63)), "ok".to_owned()]);
        }
        for width in [1, 2, 10, 40, 70] {
            let text = table.fitted(Some(width));
            assert!(longest(&text) <= width, "{width}: {text}");
        }
        let text = table.fitted(Some(60));
        assert!(text.starts_with("DIGEST  sha256:aaa"), "{text}");
        assert_eq!(text.matches("STATE   ok\n").count(), 2, "{text}");
        assert!(!text.contains('…'), "{text}");
    }
}
