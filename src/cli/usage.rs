//! Wrong usage in our own words: clap's paragraphs as one line, and its help as it is.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Outcome, complain, parse};
use crate::error::{Error, Kind, Result};

/// Prints what clap has to say; the exit status.
pub(super) fn report(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Styled for a terminal, plain otherwise; a closed pipe is fine.
            let _ = error.print();
            let _ = std::io::stdout().flush();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            complain(&sentence(&error.render().to_string()));
            ExitCode::from(2)
        }
    }
}

/// What is wrong with a request, with the argument that it is about. Operations name the fields of the REST API.
pub(super) fn with_argument(error: &Error) -> String {
    let is_wrong_usage = matches!(error.kind(), Kind::Usage | Kind::BadRequest);
    let argument = match error.subject().filter(|_| is_wrong_usage) {
        Some("expires_at" | "ttl") => "--expires",
        Some("to") => "--to",
        Some("ip_address") => "--address",
        Some("scopes") => "--scope",
        Some("cidr") => "CIDR",
        Some("image") => "IMAGE",
        _ => return error.to_string(),
    };
    format!("{argument}: {error}")
}

/// Prints what `--help` prints after the words of a command.
pub(super) fn show_help(words: &[OsString]) -> Result<Outcome> {
    let mut line = words.to_vec();
    line.insert(0, "breakwater".into());
    line.push("--help".into());
    match parse(line) {
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            report(&error);
            Ok(Outcome::Done)
        }
        Err(error) => Err(Error::new(
            Kind::Usage,
            sentence(&error.render().to_string()),
        )),
        Ok(_) => Err(Error::internal("no help was shown for --help")),
    }
}

/// Whether clap has refused `breakwater user help`, which says the same as `breakwater help user`.
pub(super) fn asks_for_help(error: &clap::Error) -> bool {
    let word = error.get(ContextKind::InvalidSubcommand);
    error.kind() == ErrorKind::InvalidSubcommand
        && matches!(word, Some(ContextValue::String(word)) if word == "help")
}

/// `error: A\n  b\n\n  tip: C\n\nUsage: D\n\nFor more information, try '--help'.` → `A b (C; usage: D)`
fn sentence(rendered: &str) -> String {
    let mut what = String::new();
    let mut remedies = Vec::new();
    for paragraph in rendered.split("\n\n") {
        let text = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(error) = text.strip_prefix("error: ") {
            what = error.to_owned();
        } else if let Some(tip) = text.strip_prefix("tip: ") {
            remedies.extend(tip.split(" tip: ").map(str::to_owned));
        } else if let Some(usage) = text.strip_prefix("Usage: ") {
            remedies.push(format!("usage: {usage}"));
        }
    }
    if remedies.is_empty() {
        remedies.push("see `breakwater --help`".to_owned());
    }
    format!("{what} ({})", remedies.join("; "))
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn paragraphs_become_one_line() {
        let cases = [
            (
                "error: unexpected argument '--foo' found\n\n  tip: a similar argument exists: '--for'\n\nUsage: breakwater x\n\nFor more information, try '--help'.\n",
                "unexpected argument '--foo' found (a similar argument exists: '--for'; usage: breakwater x)",
            ),
            (
                "error: the following required arguments were not provided:\n  --name <N>\n  --scope <S>\n\nUsage: breakwater token create --name <N>\n",
                "the following required arguments were not provided: --name <N> --scope <S> (usage: breakwater token create --name <N>)",
            ),
            ("error: odd", "odd (see `breakwater --help`)"),
        ];
        for (rendered, expected) in cases {
            assert_eq!(sentence(rendered), expected);
        }
    }
}
