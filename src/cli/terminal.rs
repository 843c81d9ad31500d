//! What standard output is: how wide, and whether it may be coloured. This is the one place that decides.

use std::env;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// The columns and lines of the terminal that standard output is, if it is one.
pub(super) fn size() -> Option<(usize, usize)> {
    size_of(std::io::stdout())
}

pub(super) fn width() -> Option<usize> {
    width_of(std::io::stdout())
}

pub(super) fn width_of(stream: impl AsFd) -> Option<usize> {
    size_of(stream).map(|(columns, _)| columns)
}

fn size_of(stream: impl AsFd) -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    let (columns, lines) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns > 0).then_some((columns, lines))
}

/// Whether what is written to standard output may be coloured.
pub(super) fn has_colours() -> bool {
    std::io::stdout().is_terminal() && wants_colours(|name| env::var_os(name))
}

/// Whether the environment leaves a terminal its colours: <https://no-color.org>, and what came before it.
pub(super) fn wants_colours(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let is = |name: &str, word: &str| variable(name).is_some_and(|value| value == word);
    let is_refused = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    !is_refused && !is("CLICOLOR", "0") && !is("TERM", "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_can_refuse_colours() {
        for (name, value, colours) in [
            ("NO_COLOR", "1", false),
            ("NO_COLOR", "0", false),
            ("NO_COLOR", "", true),
            ("CLICOLOR", "0", false),
            ("CLICOLOR", "1", true),
            ("TERM", "dumb", false),
            ("TERM", "xterm-256color", true),
            ("OTHER", "1", true),
        ] {
            let variable = |asked: &str| (asked == name).then(|| OsString::from(value));
            assert_eq!(wants_colours(variable), colours, "{name}={value}");
        }
    }
}
