//! Standard output: lines, tables and JSON. Text that may come from outside is escaped.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};
pub(super) use crate::human::{counted, shown_size};
use crate::telemetry::escape_text;
use crate::time::Timestamp;

/// Prints one line.
pub(super) fn print(line: &str) -> Result<()> {
    write(&format!("{}\n", escape_text(line)))
}

/// Prints JSON for programs, laid out so that people can read it too.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::internal("an answer is no JSON").because(error))?;
    write(&format!("{text}\n"))
}

/// Says what was made or changed: as JSON where that is asked for, otherwise by this line.
pub(super) fn tell(made: &impl Serialize, json: bool, line: &str) -> Result<()> {
    match json {
        true => print_json(made),
        false => print(line),
    }
}

/// Prints text of our own, as it is.
pub(super) fn print_text(text: &str) -> Result<()> {
    write(text)
}

/// What is good to know beside what was printed: on standard error, so that scripts do not read it.
pub(super) fn hint(sentence: &str) {
    let line = format!("{}\n", escape_text(sentence));
    // Whoever does not see it finds it in a list.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn write(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Error::io("cannot write to", Path::new("standard output"), error))
}

/// Whether `error` only says that nobody reads standard output any more.
pub(super) fn is_broken_pipe(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|source| source.kind() == std::io::ErrorKind::BrokenPipe)
}

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

    /// Prints it in one write.
    pub(super) fn print(&self) -> Result<()> {
        write(&self.render())
    }

    /// Prints it in one write; on a terminal no wider than that, by cutting the widest columns behind the first `kept`.
    pub(super) fn print_fitted(&mut self, kept: usize) -> Result<()> {
        if let Some(width) = terminal_width() {
            self.fit(width, kept);
        }
        self.print()
    }

    fn fit(&mut self, width: usize, kept: usize) {
        const NARROWEST: usize = 8;
        let cell_width = |cell: &String| cell.chars().count();
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let mut widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(cell_width).max().unwrap_or_default()
            })
            .collect();
        let gaps = columns.saturating_sub(1).saturating_mul(2);
        while widths.iter().sum::<usize>().saturating_add(gaps) > width {
            let cut = widths.iter_mut().skip(kept);
            let widest = cut.max_by_key(|width| **width);
            match widest.filter(|width| **width > NARROWEST) {
                Some(widest) => *widest = widest.saturating_sub(1),
                None => break,
            }
        }
        for row in &mut self.rows {
            for (cell, width) in row.iter_mut().zip(&widths) {
                if cell_width(cell) > *width {
                    let kept: String = cell.chars().take(width.saturating_sub(1)).collect();
                    *cell = format!("{kept}…");
                }
            }
        }
    }

    fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                let padding = width.saturating_sub(cell.chars().count()).saturating_add(2);
                line.extend(std::iter::repeat_n(' ', padding));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// How many columns the terminal has that standard output is, if it is one.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// A time in a table.
pub(super) fn shown_time(time: Option<Timestamp>, never: &str) -> String {
    time.map_or_else(|| never.to_owned(), |time| time.to_string())
}

/// A word for a truth in a table.
pub(super) fn yes(truth: bool) -> String {
    if truth { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_escape() {
        let mut table = Table::new(&["ID", "NAME"]);
        table.row(["1".to_owned(), "a\u{1b}[2J\nb".to_owned()]);
        table.row(["1234".to_owned(), String::new()]);
        assert_eq!(table.render(), "ID    NAME\n1     a\\u{1b}[2J\\nb\n1234\n");
    }

    #[test]
    fn the_widest_columns_are_cut_until_a_table_fits() {
        let mut table = Table::new(&["ID", "NAME", "DETAILS"]);
        let cell = |length: usize| "é".repeat(length);
        table.row(["1".to_owned(), cell(12), cell(60)]);
        table.fit(40, 0);
        let expected = format!("1   {}  {}…\n", cell(12), cell(21));
        assert_eq!(table.render().lines().nth(1), Some(expected.trim_end()));
        // What cannot fit is not cut to nothing, and the first columns are not cut at all.
        table.fit(1, 2);
        let longest = table
            .render()
            .lines()
            .map(|line| line.chars().count())
            .max();
        assert_eq!(longest, Some(2 + 2 + 12 + 2 + 8));
    }

    #[test]
    fn sizes_are_rounded_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (3 << 40, "3.0 TiB"),
        ] {
            assert_eq!(shown_size(bytes), text);
        }
    }
}
