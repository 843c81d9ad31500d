//! `breakwater have`: what this box has, so that the other side need not send it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::admin::{FindImages, HAVE_HEADER, ListHave, box_name};
use crate::cli::Outcome;
use crate::cli::output::{counted, tell};
use crate::cli::progress::Bar;
use crate::cli::workplace::Workplace;
use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::Digest;
use crate::store::Store;
use crate::upkeep::bundle::{WantedImage, plan};

/// List the digests of all that this box has, for `breakwater export --have` on the other side
///
/// It holds digests alone: no names of images, of users or of groups. With patterns it lists what belongs to these images.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater have -o have.txt
  breakwater have -o have.txt 'docker.io/library/*' 'hosted:acme/*'")]
pub(in crate::cli) struct Have {
    /// Where to; what is there is replaced
    #[arg(short = 'o', long = "output", value_name = "HAVE")]
    file: PathBuf,
    /// Only of these images: as for docker, * for any run of characters, or hosted:PATH:TAG
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Have {
    /// Makes the file, with the caller's rights.
    pub(in crate::cli) fn make_file(&self) -> Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.file)
            .map_err(|error| Error::io("cannot make", &self.file, error))
    }

    pub(in crate::cli) fn run(self, place: &Workplace, file: Option<File>) -> Result<Outcome> {
        let file = file.ok_or_else(|| Error::internal("the list was not made"))?;
        let bar = Bar::new("listing", self.json);
        let written = match self.patterns.is_empty() {
            true => self.all(place, file),
            false => self.of_images(place, file),
        };
        if written.is_err() {
            // Half a list would only let more be sent, but nobody asked for half a list.
            let _ = fs::remove_file(&self.file);
        }
        drop(bar);
        let digests = written?;
        let line = format!(
            "listed {} in {}",
            counted(digests, "digest"),
            self.file.display()
        );
        tell(
            &json!({ "file": self.file, "digests": digests }),
            self.json,
            &line,
        )?;
        Ok(Outcome::Done)
    }

    fn all(&self, place: &Workplace, mut file: File) -> Result<u64> {
        let process = std::process::id();
        let staged = place.config.data.join(place.perform(ListHave { process })?);
        let copied = copy_lines(&staged, &mut file);
        // What cannot be removed is swept by the next start.
        let _ = fs::remove_file(&staged);
        copied.map_err(|error| Error::io("cannot write", &self.file, error))
    }

    fn of_images(&self, place: &Workplace, file: File) -> Result<u64> {
        let found = place.perform(FindImages {
            images: self.patterns.clone(),
            pulled_since: None,
        })?;
        let blobs = Store::open_files(&place.config.data)?;
        let images = found.images.into_iter().map(|found| WantedImage {
            image: found.image,
            platforms: Vec::new(),
        });
        let plan = plan(&blobs, &images.collect::<Vec<_>>(), &BTreeSet::new())?;
        let mut file = BufWriter::new(file);
        let mut lines = 0_u64;
        let mut write = || -> io::Result<()> {
            writeln!(file, "{HAVE_HEADER} {}", box_name(&place.config))?;
            for digest in plan.digests() {
                writeln!(file, "{digest}")?;
                lines = lines.saturating_add(1);
            }
            file.flush()?;
            file.get_ref().sync_all()
        };
        write().map_err(|error| Error::io("cannot write", &self.file, error))?;
        Ok(lines)
    }
}

/// Copies a list; how many digests there are in it.
fn copy_lines(from: &Path, to: &mut File) -> io::Result<u64> {
    let mut from = BufReader::new(File::open(from)?);
    let mut writer = BufWriter::new(&mut *to);
    let (mut line, mut lines) = (Vec::new(), 0_u64);
    while from.read_until(b'\n', &mut line)? > 0 {
        writer.write_all(&line)?;
        line.clear();
        lines = lines.saturating_add(1);
    }
    writer.flush()?;
    drop(writer);
    to.sync_all()?;
    Ok(lines.saturating_sub(1))
}

/// Shows every digest of a list that [`Have`] has made.
///
/// # Errors
/// `Usage` for what is no such list, `Io`.
pub(super) fn each_digest(path: &Path, file: &mut File, mut see: impl FnMut(Digest)) -> Result<()> {
    use std::io::{Read as _, Seek as _};
    /// The longest line: a digest, or the header with a name.
    const LONGEST: u64 = 512;
    let failed = |error| Error::io("cannot read", path, error);
    let wrong = |line: u64, text: &str| {
        let what = format!(
            "line {line} of {} is `{}`, and no list of what a box has is written so",
            path.display(),
            excerpt(text.trim_end())
        );
        Error::new(Kind::Usage, what)
            .remedy("make the list on the other side, by `breakwater have -o HAVE`")
    };
    file.rewind().map_err(failed)?;
    let mut lines = BufReader::new(file);
    let mut line = String::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        let read = (&mut lines).take(LONGEST).read_line(&mut line);
        if read.map_err(failed)? == 0 {
            break;
        }
        number = number.saturating_add(1);
        if number == 1 {
            if !line.starts_with(HAVE_HEADER) {
                return Err(wrong(number, &line));
            }
            continue;
        }
        see(Digest::parse(line.trim_end()).map_err(|_| wrong(number, &line))?);
    }
    match number {
        0 => Err(wrong(1, "")),
        _ => Ok(()),
    }
}
