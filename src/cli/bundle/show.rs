//! `breakwater bundle show`: what a bundle holds, for whoever carries it or signs for it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{deltas, read_text};
use crate::cli::Outcome;
use crate::cli::output::{Table, counted, print, print_json, shown_size};
use crate::error::{Error, Kind, Result};
use crate::oci::Digest;
use crate::upkeep::bundle::{
    BundleManifest, LAYOUT, MANIFEST, MANIFEST_LIMIT, Message, SIGNATURE, VerifyKey,
};

/// Show what is in a bundle, and verify its signature; needs no data directory
///
/// Reads only its beginning, so the first part of a bundle in parts will do. Whether the files are whole is said by
/// `sha256sum -c BUNDLE.tar.sha256`, and by `breakwater import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater bundle show week48.tar
  breakwater bundle show week48.tar.001 --verify-key bundles.key.pub")]
pub(super) struct Show {
    /// The bundle, or its first part
    #[arg(value_name = "BUNDLE.tar")]
    file: PathBuf,
    /// Fail unless this key has signed it: the .pub file of `breakwater bundle key`
    #[arg(long, value_name = "PUBFILE")]
    verify_key: Option<PathBuf>,
    /// Print its manifest as JSON
    #[arg(long)]
    json: bool,
}

/// The beginning of a bundle.
struct Beginning {
    text: Vec<u8>,
    signature: Option<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    /// Of `breakwater-bundle.json`, in which the digest of everything else stands.
    digest: &'a Digest,
    signed: bool,
    /// The comment of a signature that was verified.
    verified: Option<String>,
    #[serde(flatten)]
    manifest: &'a BundleManifest,
}

impl Show {
    pub(super) fn run(&self) -> Result<Outcome> {
        let beginning = self.read()?;
        let digest = Digest::of(&beginning.text);
        let verified = self.verify(&beginning)?;
        let manifest = BundleManifest::read(beginning.text.as_slice())
            .map_err(|error| error.context(self.file.display()))?;
        let signed = beginning.signature.is_some();
        if self.json {
            let shown = Shown {
                digest: &digest,
                signed,
                verified,
                manifest: &manifest,
            };
            print_json(&shown)?;
            return Ok(Outcome::Done);
        }
        tell(&manifest)?;
        print("")?;
        print(&format!("digest of the whole: {digest}"))?;
        print(&match (signed, verified) {
            (false, _) => "signature: none".to_owned(),
            (true, None) => "signature: not looked at, see --verify-key".to_owned(),
            (true, Some(comment)) => format!("signature: good ({})", comment.replace('\t', ", ")),
        })?;
        Ok(Outcome::Done)
    }

    fn verify(&self, beginning: &Beginning) -> Result<Option<String>> {
        let Some(path) = &self.verify_key else {
            return Ok(None);
        };
        let key = VerifyKey::read(&read_text(path)?);
        let key = key.map_err(|error| error.context(path.display()))?;
        let Some(signature) = &beginning.signature else {
            let what = format!("{} is not signed", self.file.display());
            return Err(Error::new(Kind::Denied, what)
                .remedy("export it with --sign, and do not import this one"));
        };
        let mut message = Message::default();
        std::io::copy(&mut beginning.text.as_slice(), &mut message)
            .map_err(|error| Error::internal("cannot hash").because(error))?;
        let verified = key.verify(message, signature);
        verified.map(Some).map_err(|error| {
            let error = error.context(self.file.display());
            error.remedy("do not import it, and ask where it was changed or who signed it")
        })
    }

    /// Reads no further than the signature.
    fn read(&self) -> Result<Beginning> {
        let failed = |error| Error::io("cannot read", &self.file, error);
        let no_bundle = || {
            let what = format!("{} is not a bundle", self.file.display());
            Error::new(Kind::BadRequest, what)
                .remedy("name what `breakwater export` has written, or the first part of it")
        };
        let file = BufReader::new(File::open(&self.file).map_err(failed)?);
        let mut archive = tar::Archive::new(file);
        let mut entries = archive.entries().map_err(failed)?;
        let mut next = |name: &str, most: u64| -> Result<Option<Vec<u8>>> {
            let Some(Ok(mut entry)) = entries.next() else {
                return Ok(None);
            };
            if *entry.path_bytes() != *name.as_bytes() {
                return Ok(None);
            }
            if entry.size() > most {
                return Err(no_bundle());
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(failed)?;
            Ok(Some(bytes))
        };
        if next(LAYOUT, 4096)?.is_none() {
            return Err(no_bundle());
        }
        let text = next(MANIFEST, MANIFEST_LIMIT)?.ok_or_else(no_bundle)?;
        let signature = next(SIGNATURE, 4096)?.map(String::from_utf8).transpose();
        Ok(Beginning {
            text,
            signature: signature.map_err(|_| no_bundle())?,
        })
    }
}

fn tell(manifest: &BundleManifest) -> Result<()> {
    let mut table = Table::new(&["IMAGE", "DIGEST", "SIZE", "PLATFORMS", "ATTACHED"]);
    for image in &manifest.images {
        let mut platforms = image.platforms.join(" ");
        if !image.absent_platforms.is_empty() {
            platforms.push_str(&format!(" (without {})", image.absent_platforms.join(" ")));
        }
        table.row([
            match image.kind {
                crate::upkeep::bundle::ImageKind::Cached => image.name.clone(),
                crate::upkeep::bundle::ImageKind::Hosted => format!("hosted:{}", image.name),
            },
            image.digest.to_string(),
            shown_size(image.size),
            platforms.trim().to_owned(),
            image.referrers.len().to_string(),
        ]);
    }
    table.print()?;
    let carried = manifest.blobs.iter().filter(|blob| blob.in_bundle).count();
    let relies: HashSet<_> = manifest.relies_on.iter().collect();
    let relied = manifest.blobs.iter();
    let relied = relied.filter(|blob| relies.contains(&blob.digest));
    let relied_bytes = relied.fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
    let manifests = counted(manifest.manifests.len() as u64, "manifest");
    let blobs = counted(carried as u64, "blob");
    print("")?;
    for (field, value) in [
        ("made by", manifest.maker.clone()),
        ("as of", manifest.time.to_string()),
        ("images", manifest.images.len().to_string()),
        (
            "in it",
            format!(
                "{manifests}, {blobs} ({})",
                shown_size(manifest.carried_bytes())
            ),
        ),
        (
            "relies on",
            match manifest.relies_on.len() {
                0 => "nothing that the other side must have".to_owned(),
                count => format!(
                    "{} ({}) that the other side must have: see --json",
                    counted(count as u64, "blob"),
                    shown_size(relied_bytes)
                ),
            },
        ),
        (
            "changed",
            match manifest.deltas.is_empty() {
                true => "all layers that are in it are whole".to_owned(),
                false => deltas::line(manifest),
            },
        ),
        (
            "size",
            format!("{} bytes ({})", manifest.size, shown_size(manifest.size)),
        ),
    ] {
        print(&format!("{field:<14} {value}"))?;
    }
    Ok(())
}
