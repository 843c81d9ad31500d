//! `breakwater import`: reads an archive, says what would come of it, stages it, and lets the box adopt it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::parts::Parts;
use super::room::check_room;
use crate::admin::{AdoptImport, AdoptedImage, PlanImport, Planned, PlannedImage};
use crate::cli::Outcome;
use crate::cli::output::{counted, hint, print, print_json, shown_size};
use crate::cli::progress::Bar;
use crate::cli::workplace::Workplace;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::oci::Digest;
use crate::store::{ImportDirectory, Store};
use crate::upkeep::bundle::VerifyKey;
use crate::upkeep::bundle::import::{Archive, Form, ImageParts, Staged, ToStage, stage, to_stage};

/// So many blobs are asked for at once, so that a request stays short.
const ASKED_AT_ONCE: usize = 20_000;
/// So many problems are told.
const TOLD: usize = 20;
/// Longer than any public key.
const MAX_KEY: u64 = 4096;

/// Import images from a bundle, or from an archive of skopeo, podman or docker
///
/// Everything is verified before anything of it can be pulled: an import that breaks off leaves nothing half done, and goes on
/// where it was when it is started again. Images that were fetched from an upstream are cached as if this box had fetched them,
/// so that they are pulled as before, also offline; those that were pushed come to the project that they were in.
///
/// Of a bundle in parts, name them in any order, or one of them, or the file with their checksums, or BUNDLE.tar alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater import /media/disk/week-42.tar --dry-run
  breakwater import /media/disk/week-42.tar.sha256
  breakwater import app.tar --name registry.example/app:1.2
  breakwater import images.tar --to acme/base")]
pub(in crate::cli) struct Import {
    /// The archive, or its parts
    #[arg(required = true, value_name = "BUNDLE")]
    files: Vec<PathBuf>,
    /// Cache all images for this group, or make them images of this project
    #[arg(long, value_name = "GROUP|PROJECT")]
    to: Option<String>,
    /// What the one image of an archive is called that does not say so
    #[arg(long, value_name = "IMAGE")]
    name: Option<String>,
    /// Import only what this key of minisign has signed: a file, or the key itself
    #[arg(long, value_name = "PUBFILE")]
    verify_key: Option<String>,
    /// Write nothing, only say what would come and what is missing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[arg(skip)]
    opened: Option<Opened>,
}

/// What was opened with the caller's rights.
#[derive(Debug)]
struct Opened {
    parts: Parts,
    keys: Vec<VerifyKey>,
}

/// What is printed by --json.
#[derive(Debug, Serialize)]
struct Summary {
    dry_run: bool,
    signed_by: Option<String>,
    images: Vec<AdoptedImage>,
    /// Files and bytes that were copied, or would be
    files: u64,
    bytes: u64,
}

impl Import {
    /// Opens the archive and reads the keys, with the caller's rights.
    pub(in crate::cli) fn open(&mut self, config: &Config) -> Result<()> {
        let keys = [&config.import.verify_key, &self.verify_key];
        let keys = keys.into_iter().flatten().map(|key| read_key(key));
        self.opened = Some(Opened {
            keys: keys.collect::<Result<_>>()?,
            parts: Parts::open(&self.files)?,
        });
        Ok(())
    }

    pub(in crate::cli) fn run(mut self, place: &Workplace) -> Result<Outcome> {
        let opened = self.opened.take();
        let opened = opened.ok_or_else(|| Error::internal("the archive was not opened"))?;
        place.check_data()?;
        let reading = Bar::new("reading the archive", self.json);
        let archive = Archive::open(&opened.parts, &opened.keys, self.name.as_deref())?;
        let parts = archive.images.iter().map(|image| archive.parts_of(image));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let planned = self.plan(place, &archive, &parts)?;
        drop(reading);
        let problems = problems(&archive, &parts, &planned);
        let absent = planned.iter().map(|planned| &planned.absent);
        let files = to_stage(&archive, parts.iter().zip(absent));
        if self.dry_run {
            return self.tell_plan(&archive, planned, &files, &problems);
        }
        refuse(&problems)?;
        let directory = ImportDirectory::open(&place.config.data, &archive.id)?;
        check_room(place, &archive, &files, &directory)?;
        let blobs = Store::open_files(&place.config.data)?;
        let bar = Bar::new("importing", self.json);
        let total = bytes_of(&files);
        let told = |done| bar.show(done, total);
        let staged = stage(&archive, &files, &blobs, &directory, &told);
        drop(bar);
        let staged = staged?;
        directory.hand_over()?;
        let taking = Bar::new("taking the images up", self.json);
        let adopted = place.perform(AdoptImport {
            import: archive.id.clone(),
            to: self.to.clone(),
            images: archive.images.clone(),
            signed_by: archive.signed_by.clone(),
        })?;
        drop(taking);
        self.tell(&archive, adopted.images, staged)
    }

    /// Asks the box where the images come to, and what of them is here.
    fn plan(
        &self,
        place: &Workplace,
        archive: &Archive<'_>,
        parts: &[ImageParts],
    ) -> Result<Vec<Planned>> {
        let mut planned = Vec::new();
        let (mut asked, mut images) = (0, Vec::new());
        for (image, parts) in archive.images.iter().zip(parts) {
            let own = parts.blobs.iter().map(|(digest, _)| digest);
            // What the new layers are made from must be here for the same image.
            let references = own.clone().flat_map(|digest| archive.references(digest));
            let blobs: Vec<Digest> = own.chain(references).cloned().collect();
            asked = blobs.len().saturating_add(asked).saturating_add(1);
            images.push(PlannedImage {
                image: image.clone(),
                blobs,
            });
            if asked >= ASKED_AT_ONCE {
                let images = std::mem::take(&mut images);
                let to = self.to.clone();
                planned.extend(place.perform(PlanImport { to, images })?);
                asked = 0;
            }
        }
        let to = self.to.clone();
        planned.extend(place.perform(PlanImport { to, images })?);
        Ok(planned)
    }

    fn tell_plan(
        &self,
        archive: &Archive<'_>,
        planned: Vec<Planned>,
        files: &[ToStage],
        problems: &[(String, String)],
    ) -> Result<Outcome> {
        let problem: HashMap<_, _> = problems.iter().map(|(name, why)| (name, why)).collect();
        let images = archive
            .images
            .iter()
            .zip(planned)
            .map(|(image, planned)| AdoptedImage {
                target: planned.target,
                digest: image.digest.clone(),
                problem: problem.get(&image.name).map(|why| (*why).clone()),
                name: image.name.clone(),
            });
        let summary = Summary {
            dry_run: true,
            signed_by: archive.signed_by.clone(),
            images: images.collect(),
            files: files.len() as u64,
            bytes: bytes_of(files),
        };
        if self.json {
            print_json(&summary)?;
        } else {
            tell_images(&summary.images, "would come")?;
            print(&format!(
                "{} of {} would be copied, {}",
                counted(summary.files, "file"),
                counted(summary.images.len() as u64, "image"),
                shown_size(summary.bytes)
            ))?;
        }
        Ok(match problems.is_empty() {
            true => Outcome::Done,
            false => Outcome::Bad,
        })
    }

    fn tell(
        &self,
        archive: &Archive<'_>,
        images: Vec<AdoptedImage>,
        staged: Staged,
    ) -> Result<Outcome> {
        let failed = images
            .iter()
            .filter(|image| image.problem.is_some())
            .count();
        let summary = Summary {
            dry_run: false,
            signed_by: archive.signed_by.clone(),
            images,
            files: staged.files,
            bytes: staged.bytes,
        };
        if self.json {
            print_json(&summary)?;
        } else {
            tell_images(&summary.images, "came")?;
            let came = summary.images.len().saturating_sub(failed);
            let mut line = format!(
                "imported {}: copied {}, {}",
                counted(came as u64, "image"),
                counted(staged.files, "file"),
                shown_size(staged.bytes)
            );
            if staged.present > 0 {
                let before = shown_size(staged.present);
                line.push_str(&format!(
                    " (and {before} from an import that had broken off)"
                ));
            }
            if let Some(key) = &archive.signed_by {
                line.push_str(&format!("; signed by the key {key}"));
            }
            print(&line)?;
            if archive.form == Form::DockerArchive {
                hint(
                    "docker's classic archives hold no manifests: some were made, and the images have new digests",
                );
            }
        }
        if failed > 0 {
            let what = format!("{} did not come", counted(failed as u64, "image"));
            hint(&format!(
                "{what}: what else the archive has is here, and the same import again tries them anew"
            ));
            return Ok(Outcome::Bad);
        }
        Ok(Outcome::Done)
    }
}

fn tell_images(images: &[AdoptedImage], verb: &str) -> Result<()> {
    for image in images {
        let name = match image.name == image.target {
            true => image.name.clone(),
            false => format!("{} as {}", image.name, image.target),
        };
        match &image.problem {
            Some(why) => hint(&format!("{name} cannot come: {why}")),
            None => print(&format!("{name} {verb}: {}", image.digest))?,
        }
    }
    Ok(())
}

/// A public key, or that of a file.
fn read_key(key: &str) -> Result<VerifyKey> {
    if let Ok(key) = VerifyKey::read(key) {
        return Ok(key);
    }
    use std::io::Read as _;
    let path = Path::new(key);
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_KEY).read_to_string(&mut text))
        .map_err(|error| {
            Error::io("cannot read the key", path, error)
                .remedy("name a public key of minisign, or the file that holds it")
        })?;
    VerifyKey::read(&text).map_err(|error| error.context(path.display()))
}

/// By name of the image, why it cannot come. Two images that would get one name cannot either.
fn problems(
    archive: &Archive<'_>,
    parts: &[ImageParts],
    planned: &[Planned],
) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut taken: HashMap<&str, &Digest> = HashMap::new();
    for ((image, parts), planned) in archive.images.iter().zip(parts).zip(planned) {
        let mut problem = |why: String| problems.push((image.name.clone(), why));
        if let Some(why) = &planned.problem {
            problem(why.clone());
            continue;
        }
        let absent = parts.blobs.iter().map(|(digest, _)| digest);
        let absent = absent.filter(|digest| planned.absent.contains(*digest));
        let missing: Vec<&Digest> = absent
            .clone()
            .filter(|digest| !archive.has(digest))
            .collect();
        if let Some(first) = missing.first() {
            let more = match missing.len().saturating_sub(1) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            problem(format!(
                "it relies on {first}{more}, which is not in the archive and not here for it (import first what brought it, or export without --have)"
            ));
        }
        let mut hindrances =
            absent.filter_map(|digest| archive.hindrance(image, digest, &planned.absent));
        if let Some(why) = hindrances.next() {
            problem(why);
        }
        let other = taken.insert(&planned.target, &image.digest);
        if other.is_some_and(|other| *other != image.digest) {
            problem(format!(
                "another image of the archive would be called {} too (import without --to, or into several projects)",
                planned.target
            ));
        }
    }
    problems
}

fn refuse(problems: &[(String, String)]) -> Result<()> {
    let Some((name, why)) = problems.first() else {
        return Ok(());
    };
    let others: HashSet<_> = problems.iter().skip(1).collect();
    for (name, why) in problems.iter().skip(1).take(TOLD) {
        hint(&format!("{name} cannot come: {why}"));
    }
    let more = match others.len() {
        0 => String::new(),
        more => format!("; nor can {more} others"),
    };
    let what = format!("nothing was imported: {name} cannot come: {why}{more}");
    Err(Error::new(Kind::Conflict, what))
}

fn bytes_of(files: &[ToStage]) -> u64 {
    files
        .iter()
        .fold(0, |sum, file| sum.saturating_add(file.size))
}
