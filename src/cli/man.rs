//! `breakwater man`, for whoever packages or installs: the manual pages. Those of commands are written from the
//! words of `--help`, those of topics from what `breakwater help` shows. Needs no store and no configuration.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::help::{TOPICS, roff};
use super::{Outcome, command};
use crate::error::{Error, Result};

/// Write the manual pages, one for each command and each topic, below a directory
///
/// `man1/breakwater.1` is the first; that of `breakwater user add` is `man1/breakwater-user-add.1`, that of
/// `breakwater help tokens` is `man7/breakwater-tokens.7`, and that of the configuration
/// `man5/breakwater.toml.5`. Pages that are there already are replaced.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  breakwater man --out /usr/local/share/man")]
pub(super) struct WriteMan {
    /// The directory; it and those of the sections are made where they do not exist
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
        let mut root = command();
        root.build();
        write_pages(&root, None, &self.out)?;
        for topic in TOPICS {
            let (name, section) = roff::page_of(topic.name);
            let mut page = Vec::new();
            let rendered = roff::render(topic).to_writer(&mut page);
            write_page(rendered.map(|()| page), &name, section, &self.out)?;
        }
        Ok(Outcome::Done)
    }
}

/// The page of `command` and those below it.
fn write_pages(command: &clap::Command, above: Option<&str>, directory: &Path) -> Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or("breakwater")
        .to_owned();
    let mut page = Vec::new();
    let rendered = render(command, above, &mut page);
    write_page(rendered.map(|()| page), &name, "1", directory)?;
    for subcommand in shown_subcommands(command) {
        write_pages(subcommand, Some(&name), directory)?;
    }
    Ok(())
}

/// Puts a page where `man` looks for it.
fn write_page(page: io::Result<Vec<u8>>, name: &str, section: &str, out: &Path) -> Result<()> {
    let directory = out.join(format!("man{section}"));
    fs::create_dir_all(&directory).map_err(|error| Error::io("cannot make", &directory, error))?;
    let path = directory.join(format!("{name}.{section}"));
    page.and_then(|page| fs::write(&path, page))
        .map_err(|error| Error::io("cannot write", &path, error))
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
    roff.control("SH", ["SEE ALSO"]);
    match above {
        Some(above) => {
            roff.text([roman(format!("{above}(1)"))]);
        }
        None => see_topics(&mut roff),
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

/// The pages of the manual's topics, and what each is about.
fn see_topics(roff: &mut Roff) {
    for topic in TOPICS {
        let (name, section) = roff::page_of(topic.name);
        roff.control("TP", []);
        roff.text([bold(name), roman(format!("({section})"))]);
        roff.text([roman(topic.summary())]);
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
