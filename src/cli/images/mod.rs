//! Which images are meant, for commands that take many of them: by name, from lists, and from the files that use them.
//!
//! Files are read with the rights of whoever runs the command, before it becomes the data directory's owner. What is read
//! is bounded: a file's size here, what YAML makes of it in `yaml`.

mod dockerfile;
mod expand;
mod list;
mod yaml;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::{Error, Kind, Result};
use crate::oci::Platform;

/// The largest file that is read.
const MAX_FILE: u64 = 16 << 20;

/// Options of every command that takes many images.
#[derive(Debug, Default, Args)]
#[group(skip)]
pub(super) struct ImageArguments {
    /// An image as for docker: alpine, quay.io/org/x:1, quay.io/org/x@sha256:…
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Images of a list, one a line, with # before comments; - for standard input
    #[arg(long = "file", value_name = "LIST")]
    lists: Vec<PathBuf>,
    /// Images that a Dockerfile, compose file or Kubernetes manifest uses; - for standard input
    #[arg(long = "from", value_name = "FILE")]
    sources: Vec<PathBuf>,
    /// Of images for several platforms only this one, such as linux/amd64; give it again for more [default: all]
    #[arg(long = "platform", value_name = "P", value_delimiter = ',')]
    platforms: Vec<Platform>,
}

/// One image, as it was written. Whether it is a name, a pattern or `hosted:…` is for the command to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedImage {
    pub(super) text: String,
    /// Where it stands, `Dockerfile:3`; `None` for an argument.
    pub(super) place: Option<String>,
    /// Of an index only these; all where it is empty.
    pub(super) platforms: Vec<Platform>,
}

/// What stands where an image should, and does not say which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unresolved {
    pub(super) text: String,
    pub(super) place: String,
    pub(super) why: String,
}

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Each text once, in the order in which they were written.
    pub(super) images: Vec<WantedImage>,
    /// To be told as what could not be done.
    pub(super) unresolved: Vec<Unresolved>,
    /// What is good to know: sentences.
    pub(super) notes: Vec<String>,
    /// Where in `images` a text stands.
    known: HashMap<String, usize>,
    /// For images that name no platform themselves.
    platforms: Vec<Platform>,
}

impl ImageArguments {
    /// Whether nothing was named.
    pub(super) fn is_empty(&self) -> bool {
        self.images.is_empty() && self.lists.is_empty() && self.sources.is_empty()
    }

    /// What `--platform` says, for images that are found without being named.
    pub(super) fn platforms(&self) -> &[Platform] {
        &self.platforms
    }

    /// Reads the lists and files.
    ///
    /// # Errors
    /// `Io` for a file that cannot be read; `Usage` for one that is too large or nothing of what it should be, with its name.
    pub(super) fn read(&self) -> Result<Selection> {
        let mut selection = Selection {
            platforms: self.platforms.clone(),
            ..Selection::default()
        };
        for text in &self.images {
            selection.add(text, None, None);
        }
        for path in &self.lists {
            list::read(&read_text(path)?, &shown(path), &mut selection);
        }
        for path in &self.sources {
            read_source(path, &mut selection)?;
        }
        Ok(selection)
    }
}

impl Selection {
    /// Adds an image, of which the file may want one platform whatever is asked for.
    fn add(&mut self, text: &str, place: Option<String>, platform: Option<Platform>) {
        let platforms = match platform {
            Some(platform) => vec![platform],
            None => self.platforms.clone(),
        };
        let Some(known) = self.known.get(text).and_then(|at| self.images.get_mut(*at)) else {
            self.known.insert(text.to_owned(), self.images.len());
            let text = text.to_owned();
            return self.images.push(WantedImage {
                text,
                place,
                platforms,
            });
        };
        if known.platforms.is_empty() || platforms.is_empty() {
            known.platforms.clear();
            return;
        }
        for platform in platforms {
            if !known.platforms.contains(&platform) {
                known.platforms.push(platform);
            }
        }
    }

    fn add_unresolved(&mut self, text: &str, place: String, why: String) {
        let text = text.to_owned();
        self.unresolved.push(Unresolved { text, place, why });
    }
}

/// Reads a file that uses images, by its name or, where that says nothing, by what stands in it.
fn read_source(path: &Path, selection: &mut Selection) -> Result<()> {
    let (text, shown) = (read_text(path)?, shown(path));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_lowercase();
    let has_ending = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let is_dockerfile = ["dockerfile", "containerfile"]
        .iter()
        .any(|word| name.starts_with(word) || name.ends_with(&format!(".{word}")));
    let is_yaml = has_ending(&[".yaml", ".yml", ".json"]);
    if !is_yaml && (is_dockerfile || dockerfile::looks_like_one(&text)) {
        dockerfile::read(&text, &shown, selection);
        return Ok(());
    }
    let beside = |name: &str| path.with_file_name(name);
    let environment = match name.as_str() {
        "-" => HashMap::new(),
        _ => expand::environment_file(&beside(".env")),
    };
    yaml::read(&text, &shown, &environment, selection)
}

fn shown(path: &Path) -> String {
    match path.as_os_str() == "-" {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}

fn read_text(path: &Path) -> Result<String> {
    let is_standard_input = path.as_os_str() == "-";
    let cannot = |error| Error::io("cannot read", path, error);
    let mut bytes = Vec::new();
    let read = if is_standard_input {
        std::io::stdin()
            .lock()
            .take(MAX_FILE.saturating_add(1))
            .read_to_end(&mut bytes)
    } else {
        let file = File::open(path).map_err(cannot)?;
        file.take(MAX_FILE.saturating_add(1))
            .read_to_end(&mut bytes)
    };
    read.map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE {
        let what = format!(
            "{} is larger than 16 MiB, which no list of images is",
            shown(path)
        );
        return Err(Error::new(Kind::Usage, what).remedy("split it"));
    }
    String::from_utf8(bytes).map_err(|_| {
        let what = format!("{} is not text in UTF-8", shown(path));
        Error::new(Kind::Usage, what)
            .remedy("name a list, a Dockerfile, a compose file or a Kubernetes manifest")
    })
}

#[cfg(test)]
mod tests;
