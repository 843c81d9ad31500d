//! `breakwater bundle key`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::Outcome;
use crate::cli::output::{hint, tell};
use crate::error::{Error, Kind, Result};
use crate::upkeep::bundle::SigningKey;

/// Make a key that signs bundles, and its public half beside it
///
/// The files have minisign's formats, and the key no passphrase, because machines sign. KEYFILE stays on the side that
/// exports; KEYFILE.pub goes, once and by a way that is trusted, to the side that imports.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  breakwater bundle key -o /etc/breakwater/bundles.key")]
pub(super) struct MakeKey {
    /// Where to; neither it nor KEYFILE.pub may exist
    #[arg(short = 'o', long = "output", value_name = "KEYFILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl MakeKey {
    pub(super) fn run(&self) -> Result<Outcome> {
        let mut public = self.file.clone().into_os_string();
        public.push(".pub");
        let public = PathBuf::from(public);
        if public.exists() {
            return Err(exists(&public));
        }
        let key = SigningKey::generate()?;
        write(&self.file, &key.secret_text(), 0o600)?;
        write(&public, &key.public().text(), 0o644)?;
        let id = key.public().id();
        let line = format!("made the key {id} in {}", self.file.display());
        let view = json!({ "id": id, "file": self.file, "public": public });
        tell(&view, self.json, &line)?;
        hint(&format!(
            "sign by `breakwater export --sign {}`; take {} to the other side",
            self.file.display(),
            public.display()
        ));
        Ok(Outcome::Done)
    }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let written = match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(exists(path)),
        made => made.and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        }),
    };
    written.map_err(|error| Error::io("cannot write", path, error))
}

fn exists(path: &Path) -> Error {
    let what = format!("{} exists already", path.display());
    Error::new(Kind::Conflict, what)
        .remedy("a key that was handed out is not replaced: name another file")
}
