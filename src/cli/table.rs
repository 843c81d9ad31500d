//! Tables: rows under a header. On a terminal no line is wider than the terminal; elsewhere nothing is shortened.

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
/// What stands in these columns, and in the first of each table, tells rows apart: it is cut in the middle, and only so far
/// that it still does.
const TELLING_APART: [&str; 13] = [
    "ASKED FOR",
    "DIGEST",
    "FROM",
    "GROUP",
    "ID",
    "KEY ID",
    "NAME",
    "PATH",
    "REPOSITORIES",
    "REQUEST",
    "SHA-256",
    "URL",
    "WHO",
];

/// The names of events are words to search for: they are never cut.
const NEVER_CUT: &str = "EVENT";

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

    /// Its text, no line of which is longer than `width`.
    pub(super) fn fitted(&self, width: Option<usize>) -> String {
        let Fitted { heading, rows } = self.fit(width);
        let lines = heading.into_iter().chain(rows.into_iter().flatten());
        lines.flat_map(|line| [line, "\n".to_owned()]).collect()
    }

    /// Its lines, none longer than `width`: the widest columns are cut. Where that is not enough, or where two different rows
    /// would look the same even if every column told rows apart, each row becomes a few lines.
    pub(super) fn fit(&self, width: Option<usize>) -> Fitted {
        let Some(width) = width else {
            return self.render();
        };
        let different = self.different_rows();
        for is_strict in [false, true] {
            let columns: Vec<_> = self.columns(is_strict).collect();
            let cut = widths(&columns, width).map(|widths| self.cut(&columns, &widths));
            match cut {
                Some(cut) if cut.different_rows() == different => return cut.render(),
                _ => {}
            }
        }
        self.stacked(width)
    }

    fn different_rows(&self) -> usize {
        self.rows.iter().collect::<HashSet<_>>().len()
    }

    /// `is_strict`: every column tells rows apart.
    fn columns(&self, is_strict: bool) -> impl Iterator<Item = Column<'_>> {
        let header = self.rows.first().map_or(&[][..], Vec::as_slice);
        header.iter().enumerate().map(move |(at, name)| Column {
            is_never_cut: name == NEVER_CUT,
            tells_apart: is_strict || at == 0 || TELLING_APART.contains(&name.as_str()),
            cells: self.rows.iter().filter_map(|row| row.get(at)).collect(),
        })
    }

    fn cut(&self, columns: &[Column<'_>], widths: &[usize]) -> Self {
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
    fn stacked(&self, width: usize) -> Fitted {
        let names = self.rows.first().map_or(&[][..], Vec::as_slice);
        let indent = names.iter().map(|name| length(name)).max().unwrap_or(0);
        let indent = indent.saturating_add(GAP).min(width / 2);
        let room = width.saturating_sub(indent).max(1);
        let mut rows = Vec::new();
        for (number, row) in self.rows.iter().skip(1).enumerate() {
            let mut lines = Vec::new();
            if number > 0 {
                lines.push(String::new());
            }
            for (name, cell) in names.iter().zip(row) {
                let letters: Vec<char> = cell.chars().collect();
                let mut name: String = name.chars().take(indent.saturating_sub(1)).collect();
                for piece in letters.chunks(room) {
                    let piece: String = piece.iter().collect();
                    let line = format!("{name:<indent$}{piece}");
                    lines.push(line.trim_end().to_owned());
                    name.clear();
                }
            }
            rows.push(lines);
        }
        Fitted {
            heading: None,
            rows,
        }
    }

    fn render(&self) -> Fitted {
        let columns = self.columns(false);
        let widths: Vec<_> = columns.map(|column| column.width()).collect();
        let mut lines = self.rows.iter().map(|row| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                let padding = width.saturating_sub(length(cell)).saturating_add(GAP);
                line.extend(std::iter::repeat_n(' ', padding));
            }
            line.trim_end().to_owned()
        });
        let heading = lines.next();
        Fitted {
            heading,
            rows: lines.map(|line| vec![line]).collect(),
        }
    }
}

/// A table as it is shown: lines without their ends.
pub(super) struct Fitted {
    /// The names of the columns; `None` where each row has them in front of its cells.
    pub(super) heading: Option<String>,
    /// The lines of each row.
    pub(super) rows: Vec<Vec<String>>,
}

/// A column, its name included.
struct Column<'a> {
    is_never_cut: bool,
    tells_apart: bool,
    cells: Vec<&'a String>,
}

impl Column<'_> {
    fn width(&self) -> usize {
        let lengths = self.cells.iter().map(|cell| length(cell));
        lengths.max().unwrap_or_default()
    }

    /// Numbers, times and addresses are not cut at all.
    fn narrowest(&self) -> usize {
        let mut cells = self.cells.iter().skip(1);
        let is_exact = cells.all(|cell| {
            let is_word = matches!(cell.as_str(), "" | "-" | "never" | "in all");
            is_word || (cell.starts_with(|c: char| c.is_ascii_digit()) && length(cell) <= DIGEST)
        });
        match is_exact || self.is_never_cut {
            true => self.width(),
            false => NARROWEST.min(self.width()),
        }
    }

    /// The least width from `width` on at which no two different cells look the same, where that matters.
    fn clear_from(&self, width: usize) -> usize {
        let whole = self.width();
        if !self.tells_apart || width >= whole {
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
        let behind = match self.tells_apart && !is_digest(cell) {
            true => kept / 2,
            false => 0,
        };
        let front = cell.chars().take(kept.saturating_sub(behind));
        let back = cell.chars().skip(count.saturating_sub(behind));
        front.chain(['…']).chain(back).collect()
    }
}

/// How wide each column may be so that a line fits; `None` where it cannot.
fn widths(columns: &[Column<'_>], width: usize) -> Option<Vec<usize>> {
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
    fn the_first_column_tells_rows_apart_whatever_its_name() {
        let flag = |last: &str| format!("dependency_proxy_for_groups_{last}");
        let mut table = Table::new(&["FLAG", "DEFAULT"]);
        for last in ["a", "b"] {
            table.row([flag(last), "the default of this flag ".repeat(4)]);
        }
        let text = table.fitted(Some(40));
        let mut lines: Vec<_> = text.lines().collect();
        assert!(longest(&text) <= 40 && lines.len() == 3, "{text}");
        lines.dedup();
        assert_eq!(lines.len(), 3, "{text}");
    }

    #[test]
    fn rows_that_differ_in_any_column_do_not_look_the_same() {
        let mut table = Table::new(&["TIME", "WHAT"]);
        for last in ['a', 'b'] {
            let time = "2026-11-30T12:00:00Z".to_owned();
            table.row([time, format!("network {}{last}", "0".repeat(30))]);
        }
        for width in [30, 40, 60, 70] {
            let text = table.fitted(Some(width));
            assert!(text.contains("0a\n") && text.contains("0b\n"), "{text}");
            assert_eq!(text.contains('…'), width < 61, "{text}");
        }
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
