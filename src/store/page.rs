//! Pages of sorted lists: which rows somebody asks for, and those rows. A page is cut out by the database, so that the
//! work depends on the page and not on how long the list is.

use std::ops::ControlFlow;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, ToSql};
use serde::{Deserialize, Serialize};

use super::statement::{get, list, size, stored_size};
use crate::error::{Error, Result};

/// Rows are counted up to this number, and no further: beyond it a page does not say how many there are. GitLab has
/// the same limit.
pub(super) const MAX_COUNTED: u64 = 10_000;

/// Which rows of a sorted list: `count` of them behind the first `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// How many rows come before it.
    pub offset: u64,
    /// How many rows it holds at most.
    pub count: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self::ALL
    }
}

impl Window {
    /// The whole list: for commands on the box, never for a request.
    pub const ALL: Self = Self {
        offset: 0,
        count: i64::MAX as u64,
    };

    /// How many rows [`Filling`] takes at most, for `LIMIT`: the database need not sort those behind them.
    pub(super) fn rows_needed(self, is_long: bool) -> i64 {
        let end = self.offset.saturating_add(self.count);
        let counted = if is_long { 0 } else { MAX_COUNTED };
        let needed = end.max(counted).saturating_add(1);
        i64::try_from(needed).unwrap_or(i64::MAX)
    }
}

/// A part of a sorted list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The entries, sorted.
    pub entries: Vec<T>,
    /// Whether there are more behind them.
    pub more: bool,
    /// How many there are in all; `None` where they were not counted, or are more than `MAX_COUNTED`.
    pub total: Option<u64>,
}

impl<T> Page<T> {
    /// The first `count` of `entries`, of which one more was asked for. They are not counted.
    pub fn first(mut entries: Vec<T>, count: u64) -> Self {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let more = entries.len() > count;
        entries.truncate(count);
        Self {
            entries,
            more,
            total: None,
        }
    }

    /// The same page of what `shape` makes of its entries.
    pub fn map<U>(self, shape: impl FnMut(T) -> U) -> Page<U> {
        Page {
            entries: self.entries.into_iter().map(shape).collect(),
            more: self.more,
            total: self.total,
        }
    }

    /// As [`Self::map`], where `shape` can fail.
    ///
    /// # Errors
    /// Those of `shape`.
    pub fn try_map<U, E>(self, shape: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        Ok(Page {
            entries: self
                .entries
                .into_iter()
                .map(shape)
                .collect::<Result<_, _>>()?,
            more: self.more,
            total: self.total,
        })
    }

    /// A window of a list that is in memory already, because it is short by its nature.
    pub fn of(entries: Vec<T>, window: Window) -> Self {
        let total = entries.len() as u64;
        let offset = usize::try_from(window.offset).unwrap_or(usize::MAX);
        let rest = entries.into_iter().skip(offset).collect();
        Self {
            total: Some(total).filter(|&total| total <= MAX_COUNTED),
            ..Self::first(rest, window.count)
        }
    }
}

/// A page that is filled row by row, where SQL alone cannot tell which rows are meant.
pub(super) struct Filling<T> {
    window: Window,
    is_long: bool,
    met: u64,
    entries: Vec<T>,
}

impl<T> Filling<T> {
    /// `is_long`: it is known that there are more rows than are counted.
    pub(super) fn new(window: Window, is_long: bool) -> Self {
        Self {
            window,
            is_long,
            met: 0,
            entries: Vec::new(),
        }
    }

    /// Counts a row that is meant, and makes its entry where it is on the page. Says whether more rows are needed.
    pub(super) fn add<E>(
        &mut self,
        entry: impl FnOnce() -> Result<T, E>,
    ) -> Result<ControlFlow<()>, E> {
        let end = self.window.offset.saturating_add(self.window.count);
        if (self.window.offset..end).contains(&self.met) {
            self.entries.push(entry()?);
        }
        self.met = self.met.saturating_add(1);
        let is_counted = self.is_long || self.met > MAX_COUNTED;
        Ok(match self.met > end && is_counted {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }

    pub(super) fn finish(self) -> Page<T> {
        let end = self.window.offset.saturating_add(self.window.count);
        Page {
            entries: self.entries,
            more: self.met > end,
            total: Some(self.met).filter(|&total| !self.is_long && total <= MAX_COUNTED),
        }
    }
}

/// What a page is cut out of.
pub(super) struct Listing<'a> {
    /// What it is called in errors: "list groups".
    pub(super) statement: &'static str,
    /// Common table expressions: `WITH …`, or nothing.
    pub(super) with: &'a str,
    /// The columns of a row.
    pub(super) columns: &'a str,
    /// `FROM …`, without conditions.
    pub(super) from: &'a str,
    /// The columns to sort by, with which no two rows are equal.
    pub(super) order: &'a str,
}

/// Conditions that rows must meet, all at once. Those that are not asked for are not in the statement, so that SQLite
/// can use an index for the others.
#[derive(Default)]
pub(super) struct Conditions {
    text: String,
    values: Vec<Value>,
}

impl Conditions {
    /// None yet, of a statement that uses `values` as `?1` and so on.
    pub(super) fn after(values: Vec<Value>) -> Self {
        Self {
            text: String::new(),
            values,
        }
    }

    /// Adds `condition`, in which each `?` stands for `value`.
    pub(super) fn and(&mut self, condition: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        let parameter = format!("?{}", self.values.len());
        self.and_always(&condition.replace('?', &parameter));
    }

    /// Adds `condition` where there is a value for it.
    pub(super) fn and_if(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.and(condition, value);
        }
    }

    /// Adds a condition without a value.
    pub(super) fn and_always(&mut self, condition: &str) {
        let word = if self.text.is_empty() { "WHERE" } else { "AND" };
        self.text += &format!(" {word} ({condition})");
    }

    fn parameters<'a>(&'a self, more: &'a [i64]) -> Vec<&'a dyn ToSql> {
        let own = self.values.iter().map(|value| value as &dyn ToSql);
        own.chain(more.iter().map(|value| value as &dyn ToSql))
            .collect()
    }
}

/// The rows of `window`, and how many there are: counted only where the page itself does not tell.
pub(super) fn page<T>(
    connection: &Connection,
    listing: &Listing<'_>,
    conditions: &Conditions,
    window: Window,
    decode: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Page<T>> {
    let wanted = Window {
        count: window.count.saturating_add(1),
        ..window
    };
    let entries = rows(connection, listing, conditions, wanted, decode)?;
    let mut page = Page::first(entries, window.count);
    let seen = page.entries.len() as u64;
    let total = if page.more || (seen == 0 && window.offset > 0) {
        count_up_to(connection, listing, conditions)?
    } else {
        window.offset.saturating_add(seen)
    };
    page.total = Some(total).filter(|&total| total <= MAX_COUNTED);
    Ok(page)
}

/// The rows of `window` alone.
pub(super) fn rows<T>(
    connection: &Connection,
    listing: &Listing<'_>,
    conditions: &Conditions,
    window: Window,
    decode: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let Listing {
        statement,
        with,
        columns,
        from,
        order,
    } = listing;
    let text = &conditions.text;
    let next = conditions.values.len().saturating_add(1);
    let text = format!(
        "{with} SELECT {columns} {from}{text} ORDER BY {order} LIMIT ?{next} OFFSET ?{}",
        next.saturating_add(1)
    );
    let window = [stored_size(window.count), stored_size(window.offset)];
    let parameters = conditions.parameters(&window);
    list(connection, statement, &text, parameters.as_slice(), decode)
}

/// How many rows there are, or one more than is counted.
fn count_up_to(
    connection: &Connection,
    listing: &Listing<'_>,
    conditions: &Conditions,
) -> Result<u64> {
    let Listing { with, from, .. } = listing;
    let text = &conditions.text;
    let next = conditions.values.len().saturating_add(1);
    let text = format!("{with} SELECT count(*) FROM (SELECT 1 {from}{text} LIMIT ?{next})");
    let most = [stored_size(MAX_COUNTED + 1)];
    let parameters = conditions.parameters(&most);
    get(
        connection,
        listing.statement,
        &text,
        parameters.as_slice(),
        |row| size(row, 0),
    )
}

/// A list as a parameter, for `json_each`.
pub(super) fn json_of(list: &impl Serialize) -> Result<String> {
    serde_json::to_string(list)
        .map_err(|error| Error::internal("cannot write a list of names or ids").because(error))
}
