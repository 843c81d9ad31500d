//! `breakwater tls`: a certificate for a box that has none, and the lines that make clients trust it.
//!
//! It writes files and changes nothing else: what they are used for stands in the configuration, and a
//! running server loads changed ones by itself.

mod authority;
mod names;
mod trust;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Outcome;
use super::output::{print, print_json};
use super::workplace::Workplace;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::http::CertificateSummary;
use crate::time::Timestamp;
use authority::Authority;
use names::Names;
use trust::Trust;

/// Below the data directory.
const DIRECTORY: &str = "tls";
/// How long a certificate is good for, in days, unless somebody says.
const DAYS: u16 = 397;
/// The port in the printed lines where the configuration has none.
const PORT: u16 = 5443;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A certificate that ends so soon is replaced, however long it was made for.
const NEAR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Make a certificate for this box
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  breakwater tls self-signed")]
pub(super) struct Tls {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    SelfSigned(SelfSigned),
}

/// Make a certificate authority of the box's own, and a certificate from it; print how clients trust it
///
/// The certificate is for this machine's name, localhost, its addresses, and what --name and --address add.
/// Run again, it changes nothing unless the certificate ends within 30 days, lacks a name, or --renew is given; the
/// authority stays the same, so that clients need no change. A running server loads the new one by itself.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater tls self-signed
  breakwater tls self-signed --name registry.example.com --address 10.0.0.5
  breakwater tls self-signed --renew")]
struct SelfSigned {
    /// A further name that clients use; give it again for more
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// A further address that clients use; give it again for more
    #[arg(long = "address", value_name = "IP")]
    addresses: Vec<std::net::IpAddr>,
    /// Where to write [default: tls in the data directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How long a new certificate is good for [default: 397]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: Option<u16>,
    /// Make a new certificate even if the one that is there will do
    #[arg(long)]
    renew: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Tls {
    /// Makes the directory that --out names, with the caller's rights, and gives it to whoever will write
    /// there.
    pub(super) fn make_directory(&self, config: &Config) -> Result<()> {
        let Command::SelfSigned(SelfSigned { out, .. }) = &self.command;
        let Some(out) = out.as_deref().filter(|out| !out.exists()) else {
            return Ok(());
        };
        make_private_directory(out)?;
        let owner = fs::metadata(&config.data);
        if let (true, Ok(owner)) = (rustix::process::geteuid().is_root(), owner) {
            std::os::unix::fs::chown(out, Some(owner.uid()), Some(owner.gid()))
                .map_err(|error| Error::io("cannot give away", out, error))?;
        }
        Ok(())
    }

    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        match self.command {
            Command::SelfSigned(command) => command.run(place),
        }
    }
}

/// The files of one directory, with absolute paths.
struct Files {
    authority: PathBuf,
    authority_key: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn below(directory: &Path) -> Result<Self> {
        let directory = std::path::absolute(directory)
            .map_err(|error| Error::io("cannot find", directory, error))?;
        Ok(Self {
            authority: directory.join("ca.crt"),
            authority_key: directory.join("ca.key"),
            certificate: directory.join("server.crt"),
            key: directory.join("server.key"),
        })
    }
}

impl SelfSigned {
    fn run(self, place: &Workplace) -> Result<Outcome> {
        let given = Names::given(&self.names, &self.addresses)?;
        let main_name = given.first();
        let directory = match &self.out {
            Some(out) => out.clone(),
            None => {
                // The data directory is made by others, with all that belongs into it.
                place.check_data()?;
                place.config.data.join(DIRECTORY)
            }
        };
        if !directory.exists() {
            make_private_directory(&directory)?;
        }
        let files = Files::below(&directory)?;
        let (authority, made_authority) = open_authority(&files)?;
        let now = Timestamp::now();
        let present = match files.certificate.exists() {
            true => CertificateSummary::from_files(&files.certificate, &files.key).ok(),
            false => None,
        };
        // Names that were asked for once are not forgotten by a renewal.
        let before = present.as_ref().map(Names::of).unwrap_or_default();
        let wanted = given.and(before).and(Names::of_this_machine()?);
        let main_name = main_name.or_else(|| wanted.first()).unwrap_or_default();
        let good = |present: &CertificateSummary| {
            !made_authority
                && !self.renew
                && !is_near_its_end(present, now)
                && wanted.are_in(present)
                && authority.has_issued(&files.certificate)
        };
        let kept = present.as_ref().filter(|present| good(present));
        let made = kept.is_none();
        if let (Some(kept), Some(days)) = (kept, self.days) {
            refuse_other_life(&files.certificate, kept, days)?;
        }
        if made {
            let (certificate, key) = authority.issue(&wanted, life(self.days.unwrap_or(DAYS)))?;
            // A running server that looks in between finds two that do not belong together, and looks again.
            write_private(&files.key, &key)?;
            write_private(&files.certificate, &certificate)?;
        }
        let summary = CertificateSummary::from_files(&files.certificate, &files.key)?;
        let trust = Trust {
            host: &main_name,
            port: place.config.tls.listen.first().map_or(PORT, |at| at.port()),
            files: &files,
            listen: &place.config.tls.listen,
        };
        if self.json {
            print_json(&json!({
                "ca": files.authority,
                "certificate": files.certificate,
                "key": files.key,
                "names": summary.names,
                "addresses": summary.addresses,
                "not_after": summary.not_after.to_string(),
                "made": made,
            }))?;
            return Ok(Outcome::Done);
        }
        let verb = |made| if made { "made" } else { "kept" };
        print(&format!(
            "{} the certificate authority {}",
            verb(made_authority),
            files.authority.display(),
        ))?;
        print(&format!(
            "{} the certificate {}, good until {}, for {}",
            verb(made),
            files.certificate.display(),
            summary.not_after,
            Names::of(&summary),
        ))?;
        for line in trust.lines() {
            print(&line)?;
        }
        Ok(Outcome::Done)
    }
}

/// Whether it is time for a new one.
fn is_near_its_end(present: &CertificateSummary, now: Timestamp) -> bool {
    present.not_after.since(now) < NEAR
}

fn life(days: u16) -> Duration {
    DAY.saturating_mul(u32::from(days))
}

/// A certificate that is kept was made for some time: another one cannot be had without a new certificate.
///
/// # Errors
/// `Usage` where `days` asks for another time.
fn refuse_other_life(path: &Path, kept: &CertificateSummary, days: u16) -> Result<()> {
    // It begins a little before it was made.
    let is_asked_for = kept.not_after.since(kept.not_before).abs_diff(life(days)) <= DAY;
    if is_asked_for {
        return Ok(());
    }
    let what = format!(
        "{} is good until {}, and is kept: --days {days} would change nothing",
        path.display(),
        kept.not_after
    );
    Err(Error::new(Kind::Usage, what)
        .remedy("give --renew too for a new certificate, or leave --days out"))
}

/// The authority in `files`, made if there is none; whether it was.
fn open_authority(files: &Files) -> Result<(Authority, bool)> {
    match (files.authority.exists(), files.authority_key.exists()) {
        (true, true) => Ok((
            Authority::open(&files.authority, &files.authority_key)?,
            false,
        )),
        (false, false) => {
            let (authority, certificate, key) = Authority::make()?;
            write_private(&files.authority_key, &key)?;
            write_private(&files.authority, &certificate)?;
            Ok((authority, true))
        }
        (there, _) => {
            let (one, other) = match there {
                true => (&files.authority, &files.authority_key),
                false => (&files.authority_key, &files.authority),
            };
            let what = format!("there is {}, but no {}", one.display(), other.display());
            Err(Error::new(Kind::Conflict, what)
                .remedy("put the missing file back, or move the other one away to begin anew"))
        }
    }
}

fn make_private_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::io("cannot make", path, error))
}

/// Writes a file of mode 0600 in one step.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut staged = path.as_os_str().to_owned();
    staged.push(".new");
    let staged = PathBuf::from(staged);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&staged)?;
        // What was left there by somebody else may have other rights.
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&staged, path)
    };
    write().map_err(|error| {
        // The error that matters is the one that is returned.
        let _ = fs::remove_file(&staged);
        let is_denied = error.kind() == std::io::ErrorKind::PermissionDenied;
        let error = Error::io("cannot write", path, error);
        match is_denied {
            true => error.remedy(
                "name a directory with --out that the owner of the data directory may write to",
            ),
            false => error,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_before_it_ends() {
        let days = |days: i64| Timestamp(days * 86_400);
        // (made, ends, now, whether)
        for (begin, end, now, expected) in [
            (0, 397, 0, false),
            (0, 397, 360, false),
            (0, 397, 368, true),
            (0, 397, 400, true),
            (0, 90, 59, false),
            (0, 90, 61, true),
            (0, 9, 1, true),
        ] {
            let present = CertificateSummary {
                not_before: days(begin),
                not_after: days(end),
                names: Vec::new(),
                addresses: Vec::new(),
            };
            assert_eq!(
                is_near_its_end(&present, days(now)),
                expected,
                "{begin} {end} {now}"
            );
        }
    }
}
