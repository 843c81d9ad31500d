//! Standard output: lines and JSON. Text that may come from outside is escaped.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

pub(super) use super::table::{Fitted, Table};
use crate::error::{Error, Result};
pub(super) use crate::human::{counted, shown_size};
use crate::telemetry::{escape_json, escape_text};
use crate::time::Timestamp;

/// Prints one line.
pub(super) fn print(line: &str) -> Result<()> {
    write(&format!("{}\n", escape_text(line)))
}

/// Prints JSON for programs, laid out so that people can read it too.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::internal("an answer is no JSON").because(error))?;
    write(&format!("{}\n", escape_json(&text)))
}

/// Says what was made or changed: as JSON where that is asked for, otherwise by this line.
pub(super) fn tell(made: &impl Serialize, json: bool, line: &str) -> Result<()> {
    match json {
        true => print_json(made),
        false => print(line),
    }
}

/// Says what was done to something of which nothing is shown any more: as JSON its name, under the word for it.
pub(super) fn tell_done(done: &str, name: impl Serialize, json: bool, line: &str) -> Result<()> {
    tell(&serde_json::json!({ done: name }), json, line)
}

/// Says that something was removed, and from which group where it was a group's.
pub(super) fn tell_removed(
    name: &str,
    group: Option<String>,
    json: bool,
    line: &str,
) -> Result<()> {
    let mut removed = serde_json::json!({ "removed": name });
    if let (Some(fields), Some(group)) = (removed.as_object_mut(), group) {
        fields.insert("group".to_owned(), group.into());
    }
    tell(&removed, json, line)
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
