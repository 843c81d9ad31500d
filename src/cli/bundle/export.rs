//! `breakwater export`.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::deltas::{self, Saved, WithDeltas};
use super::holding::{HOLD_AGAIN, Holding};
use super::output::{Output, WrittenFile};
use super::room::kept_free;
use super::{have, read_text};
use crate::admin::{FindImages, FoundImage, FoundImages, box_name};
use crate::cli::Outcome;
use crate::cli::images::{ImageArguments, Selection};
use crate::cli::output::{Table, counted, hint, print, print_json, shown_size};
use crate::cli::progress::Bar;
use crate::cli::when::parse_past;
use crate::cli::workplace::Workplace;
use crate::config::Size;
use crate::error::{Error, Kind, Result, excerpt};
use crate::oci::Digest;
use crate::store::{BlobDir, Space, Store};
use crate::time::Timestamp;
use crate::upkeep::bundle::{
    Bundle, BundledImage, Deltas, LeftOut, Plan, SigningKey, WantedImage, plan, write,
};

/// Write images to one file that is carried to a box without a way to their upstreams
///
/// The file is an OCI image layout in a tar: `breakwater import` reads it, and so do skopeo, podman, docker and containerd.
/// What belongs to an image goes with it: index, platforms, signatures, attestations. With --have only what the other side
/// lacks is in it, and of a layer that has changed only what is new. The server may run meanwhile. Exit status 1 if an image was left out.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater export alpine:3.20 quay.io/org/x:1.0 -o week48.tar
  breakwater export --file images.txt --have have.txt --sign bundles.key -o week48.tar
  breakwater export --pulled-since 7d --platform linux/amd64 --split 4GB -o /mnt/usb/week48.tar")]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    images: ImageArguments,
    /// Only what was pulled since: 7d, 2027-01-31; without images, all of that
    #[arg(long, value_name = "TIME")]
    pulled_since: Option<String>,
    /// Where to
    #[arg(short = 'o', long = "output", value_name = "BUNDLE.tar")]
    output: PathBuf,
    /// Leave out what the other side has, by the list that `breakwater have` has made there
    #[arg(long, value_name = "HAVE")]
    have: Option<PathBuf>,
    /// Of layers that have changed since, carry only what has changed in them
    #[arg(
        long,
        value_name = "on|off",
        requires = "have",
        default_value = "on",
        hide_possible_values = true
    )]
    deltas: WithDeltas,
    /// Sign it with a key that `breakwater bundle key` has made
    #[arg(long, value_name = "KEYFILE")]
    sign: Option<PathBuf>,
    /// Write parts of at most this size, BUNDLE.tar.001 and so on, as a medium takes them: 4GB, 25GiB
    #[arg(long, value_name = "SIZE")]
    split: Option<String>,
    /// Replace a bundle of that name
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[arg(skip)]
    opened: Opened,
}

/// What was read with the caller's rights.
#[derive(Default)]
struct Opened {
    selection: Selection,
    have: Option<File>,
    key: Option<SigningKey>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened")
    }
}

/// What is printed of it as JSON.
#[derive(Serialize)]
struct Exported<'a> {
    file: &'a Path,
    size: u64,
    /// Of `breakwater-bundle.json`, in which the digest of everything else stands.
    digest: Digest,
    time: Timestamp,
    signed_by: Option<String>,
    files: Vec<WrittenFile>,
    images: &'a [BundledImage],
    relies_on: usize,
    deltas: Saved,
    left_out: &'a [LeftOut],
}

impl Export {
    /// Reads what the arguments name, with the caller's rights.
    pub(in crate::cli) fn open(&mut self) -> Result<()> {
        self.opened.selection = self.images.read()?;
        if let Some(path) = &self.have {
            let file = File::open(path).map_err(|error| Error::io("cannot read", path, error))?;
            self.opened.have = Some(file);
        }
        if let Some(path) = &self.sign {
            let key = SigningKey::read(&read_text(path)?);
            self.opened.key = Some(key.map_err(|error| error.context(path.display()))?);
        }
        Ok(())
    }

    pub(in crate::cli) fn run(mut self, place: &Workplace) -> Result<Outcome> {
        let split = self.split.as_deref().map(parse_size).transpose()?;
        let looking = Bar::new("looking for the images", self.json);
        let found = place.perform(self.request()?)?;
        drop(looking);
        let names = found.images.iter().map(|found| &found.image.image);
        let holding = Holding::new(place, names);
        let left_out = self.unresolved(&found);
        let former = match self.makes_deltas() {
            true => deltas::find_former(place, &found)?,
            false => Vec::new(),
        };
        let holding = holding.with(former.iter().map(|former| &former.image));
        let host = found.host;
        let images = found.images.into_iter().map(|found| self.wanted(found));
        let images: Vec<_> = images.collect();
        let blobs = Store::open_files(&place.config.data)?;
        let mut deltas = match self.makes_deltas() {
            true => {
                let keep_free = kept_free(place, &Space::of(&place.config.data)?);
                Some(Deltas::new(&blobs, keep_free)?)
            }
            false => None,
        };
        let mut damaged = BTreeSet::new();
        let mut output: Option<Output> = None;
        let (plan, bundle) = loop {
            let mut plan = plan(&blobs, &images, &damaged)?;
            plan.left_out.extend(left_out.iter().cloned());
            if plan.is_empty() {
                return Err(nothing(&plan));
            }
            let former = deltas::plan_former(&blobs, &former, &damaged);
            let has = self.what_other_side_has(&plan, &former)?;
            if let Some(deltas) = &mut deltas {
                Output::check_name(&self.output, self.force)?;
                deltas::make(deltas, &plan, &former, &has, &holding, self.json)?;
            }
            let bundle = self.bundle(place, &plan, &has, deltas.as_ref(), &host)?;
            match &mut output {
                Some(output) => output.restart()?,
                None => {
                    let size = bundle.manifest.size;
                    output = Some(Output::begin(&self.output, split, size, self.force)?);
                }
            }
            let output = output
                .as_mut()
                .ok_or_else(|| Error::internal("no output"))?;
            let bad = copy(&bundle, &blobs, output, &holding, self.json)?;
            if bad.is_empty() {
                break (plan, bundle);
            }
            hint(&format!(
                "{} damaged or gone: writing the bundle again without what needs them",
                counted(bad.len() as u64, "file")
            ));
            damaged.extend(bad);
        };
        let output = output.ok_or_else(|| Error::internal("no output"))?;
        let files = output.finish()?;
        holding.release();
        self.tell(&plan, &bundle, files)
    }

    /// What was asked for and names nothing.
    fn unresolved(&self, found: &FoundImages) -> Vec<LeftOut> {
        for note in &self.opened.selection.notes {
            hint(note);
        }
        let unresolved = self
            .opened
            .selection
            .unresolved
            .iter()
            .map(|image| LeftOut {
                name: format!("{} ({})", image.text, image.place),
                why: image.why.clone(),
            });
        let images = &self.opened.selection.images;
        let unknown = images
            .iter()
            .filter(|image| found.unknown.contains(&image.text));
        let unknown = unknown.map(|image| LeftOut {
            name: match &image.place {
                Some(place) => format!("{} ({place})", image.text),
                None => image.text.clone(),
            },
            why: "nothing here is called so: see `breakwater cache list`".to_owned(),
        });
        unresolved.chain(unknown).collect()
    }

    /// With the platforms of all that asked for it.
    fn wanted(&self, found: FoundImage) -> WantedImage {
        let images = &self.opened.selection.images;
        let asked = found.asked.iter().filter_map(|place| images.get(*place));
        let asked: Vec<_> = asked.map(|image| image.platforms.as_slice()).collect();
        let platforms = match asked.is_empty() {
            true => self.images.platforms().to_vec(),
            false if asked.iter().any(|platforms| platforms.is_empty()) => Vec::new(),
            false => asked.concat(),
        };
        WantedImage {
            image: found.image,
            platforms,
        }
    }

    fn request(&self) -> Result<FindImages> {
        let images = self.opened.selection.images.iter();
        let images: Vec<_> = images.map(|image| image.text.clone()).collect();
        // Without a name all is meant that was pulled; a list without one means nothing.
        let is_all = self.images.is_empty() && self.pulled_since.is_some();
        if images.is_empty() && !is_all {
            return Err(Error::new(Kind::Usage, "no image is named").remedy(
                "name images, a list by --file, what uses them by --from, or a time by --pulled-since",
            ));
        }
        let now = Timestamp::now();
        let since = self.pulled_since.as_deref();
        let since = since.map(|text| parse_past("--pulled-since", text, now));
        Ok(FindImages {
            images,
            pulled_since: since.transpose()?,
        })
    }

    fn makes_deltas(&self) -> bool {
        self.have.is_some() && self.deltas == WithDeltas::On
    }

    /// What the other side has of these.
    fn what_other_side_has(&mut self, plan: &Plan, former: &Plan) -> Result<HashSet<Digest>> {
        let mut has = HashSet::new();
        if let (Some(path), Some(file)) = (&self.have, &mut self.opened.have) {
            have::each_digest(path, file, |digest| {
                if plan.has_blob(&digest) || former.has_blob(&digest) {
                    has.insert(digest);
                }
            })?;
        }
        Ok(has)
    }

    fn bundle(
        &self,
        place: &Workplace,
        plan: &Plan,
        has: &HashSet<Digest>,
        deltas: Option<&Deltas<'_>>,
        host: &str,
    ) -> Result<Bundle> {
        let maker = concat!("breakwater ", env!("CARGO_PKG_VERSION"));
        let key = self.opened.key.as_ref();
        let mut bundle = plan.bundle(has, deltas, maker, host, key.is_some())?;
        if let Some(key) = key {
            let now = Timestamp::now();
            let comment = format!(
                "timestamp:{}\tfile:breakwater-bundle.json\tmade {now} by {maker} on {}",
                now.0,
                box_name(&place.config)
            );
            bundle.sign(key, &comment)?;
        }
        Ok(bundle)
    }

    fn tell(&self, plan: &Plan, bundle: &Bundle, files: Vec<WrittenFile>) -> Result<Outcome> {
        let manifest = &bundle.manifest;
        let digest = bundle.digest()?;
        let signed_by = self.opened.key.as_ref().map(|key| key.public().id());
        if self.json {
            print_json(&Exported {
                file: &self.output,
                size: manifest.size,
                digest,
                time: manifest.time,
                signed_by,
                files,
                images: &manifest.images,
                relies_on: manifest.relies_on.len(),
                deltas: Saved::of(manifest),
                left_out: &plan.left_out,
            })?;
        } else {
            print(&format!(
                "wrote {} to {}: {}, as of {}",
                counted(manifest.images.len() as u64, "image"),
                self.output.display(),
                shown_size(manifest.size),
                manifest.time
            ))?;
            print(&format!("digest of the whole: {digest}"))?;
            if let Some(key) = signed_by {
                print(&format!("signed by the key {key}"))?;
            }
            if !manifest.relies_on.is_empty() {
                print(&format!(
                    "not in it are {} that the other side has",
                    counted(manifest.relies_on.len() as u64, "blob")
                ))?;
            }
            if !manifest.deltas.is_empty() {
                print(&deltas::line(manifest))?;
            }
            if files.len() > 1 {
                let mut table = Table::new(&["PART", "SIZE", "SHA-256"]);
                for file in &files {
                    let digest = file.digest.hex().to_owned();
                    table.row([file.name.clone(), shown_size(file.size), digest]);
                }
                table.print()?;
            }
        }
        for LeftOut { name, why } in &plan.broken_referrers {
            hint(&format!("of {name}: {why}"));
        }
        for LeftOut { name, why } in &plan.left_out {
            hint(&format!("left out {name}: {why}"));
        }
        Ok(match plan.left_out.is_empty() {
            true => Outcome::Done,
            false => Outcome::Bad,
        })
    }
}

fn nothing(plan: &Plan) -> Error {
    let what = match plan.left_out.as_slice() {
        [] => "no image is meant".to_owned(),
        [LeftOut { name, why }] => format!("{name} cannot be exported: {why}"),
        [LeftOut { name, why }, rest @ ..] => format!(
            "none of the images can be exported: {name}: {why}; and {}",
            counted(rest.len() as u64, "other")
        ),
    };
    Error::new(Kind::NotFound, what)
}

fn parse_size(text: &str) -> Result<u64> {
    match Size::parse(text) {
        Ok(Size::Bytes(bytes)) if bytes > 0 => Ok(bytes),
        _ => {
            let what = format!("`{}` is no size of a part", excerpt(text));
            Err(Error::new(Kind::Usage, what).remedy("write 4GB or 25GiB"))
        }
    }
}

/// Writes the bundle with a bar; the files that turned out damaged or gone.
fn copy(
    bundle: &Bundle,
    blobs: &BlobDir,
    output: &mut Output,
    holding: &Holding<'_>,
    json: bool,
) -> Result<BTreeSet<Digest>> {
    let bar = Bar::new("writing", json);
    let all = bundle.manifest.size;
    let mut told = Instant::now();
    let written = write(bundle, blobs, output, &mut |done| {
        bar.show(done, all);
        if told.elapsed() > HOLD_AGAIN {
            told = Instant::now();
            holding.hold();
        }
        Ok(())
    });
    drop(bar);
    written
}
