//! `breakwater man`, for whoever packages or installs: the manual pages, written from the same words
//! as `--help`. Needs no store and no configuration.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::{Outcome, command};
use crate::error::{Error, Result};

/// Write the manual pages, one for each command, into a directory
///
/// `breakwater.1` is the first; that of `breakwater user add` is `breakwater-user-add.1`. Pages that are there
/// already are replaced.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  breakwater man --out /usr/local/share/man/man1")]
pub(super) struct WriteMan {
    /// The directory; it is made where it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// What the first page says beside the commands: heading, then entries and their paragraphs.
const SURROUNDINGS: &[(&str, &[(&str, &str)])] = &[
    (
        "FILES",
        &[
            (
                "/etc/breakwater/breakwater.toml",
                "The configuration, where neither --config nor BREAKWATER_CONFIG names another. It may be absent.",
            ),
            (
                "/var/lib/breakwater",
                "The data directory of an installed service: databases, blobs, keys. Without a configuration file it is ./breakwater-data.",
            ),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("BREAKWATER_CONFIG", "The configuration file."),
            (
                "BREAKWATER_DATA, BREAKWATER_SECTION_KEY",
                "Each key of the configuration; it beats the file, and an option beats it.",
            ),
            (
                "HTTPS_PROXY, HTTP_PROXY, NO_PROXY",
                "Proxies on the way to upstreams.",
            ),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "Done."),
            (
                "1",
                "Failed; or found what is bad, where looking for it was the task.",
            ),
            ("2", "Wrong usage or configuration."),
        ],
    ),
];

impl WriteMan {
    /// Files are made with the caller's rights: everybody may read a manual.
    pub(super) fn run(self) -> Result<Outcome> {
        fs::create_dir_all(&self.out)
            .map_err(|error| Error::io("cannot make", &self.out, error))?;
        let mut root = command().disable_help_subcommand(true);
        root.build();
        write_pages(&root, None, &self.out)?;
        Ok(Outcome::Done)
    }
}

/// The page of `command` and those below it.
fn write_pages(command: &clap::Command, above: Option<&str>, directory: &Path) -> Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or("breakwater")
        .to_owned();
    let path = directory.join(format!("{name}.1"));
    let mut page = Vec::new();
    render(command, above, &mut page)
        .and_then(|()| fs::write(&path, page))
        .map_err(|error| Error::io("cannot write", &path, error))?;
    for subcommand in shown_subcommands(command) {
        write_pages(subcommand, Some(&name), directory)?;
    }
    Ok(())
}

fn shown_subcommands(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set())
}

/// No date, so that the same program always writes the same bytes.
fn render(command: &clap::Command, above: Option<&str>, page: &mut Vec<u8>) -> io::Result<()> {
    let source = concat!("breakwater ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone())
        .source(source)
        .manual("Breakwater");
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if shown_subcommands(command).next().is_some() {
        man.render_subcommands_section(page)?;
    }
    let mut roff = Roff::default();
    if above.is_none() {
        surroundings(&mut roff);
    }
    examples(command, &mut roff);
    if let Some(above) = above {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([roman(format!("{above}(1)"))]);
    }
    roff.to_writer(page)
}

fn surroundings(roff: &mut Roff) {
    for (heading, entries) in SURROUNDINGS {
        roff.control("SH", [*heading]);
        for (entry, paragraph) in *entries {
            roff.control("TP", []);
            roff.text([roman(*entry)]);
            roff.text([roman(*paragraph)]);
        }
    }
}

/// The end of `--help` is its examples under a heading, indented by two; here they keep their lines.
fn examples(command: &clap::Command, roff: &mut Roff) {
    let Some(help) = command.get_after_help() else {
        return;
    };
    roff.control("SH", ["EXAMPLES"]);
    roff.control("nf", []);
    for line in help.to_string().lines().skip(1) {
        roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    roff.control("fi", []);
}
