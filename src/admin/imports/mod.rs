//! Imports: what of an archive's images is here already, and making visible what a command has staged of them.
//!
//! An import speaks for the box's administrator. That bytes are on this box is no reason to show them: an archive need not hold
//! what it names, so an image gets only what the archive brought, and what whoever may pull the image could pull here anyway.

mod adopt;
mod places;

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admin, Operation};
use crate::error::Result;
use crate::oci::Digest;
use crate::store::{Detail, Event, EventKind};
use crate::time::Timestamp;
use crate::upkeep::bundle::import::ImportedImage;
use adopt::Adoption;
use places::Places;

/// So many names stand in the audit.
const NAMES_AUDITED: usize = 100;

/// Where images would come to, and what of them is not here. Changes nothing.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlanImport {
    /// The group or project that they come to; where they were, where none is named.
    pub to: Option<String>,
    pub images: Vec<PlannedImage>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlannedImage {
    pub image: ImportedImage,
    /// Configs and layers of it.
    #[schemars(with = "Vec<String>")]
    pub blobs: Vec<Digest>,
}

/// One image of [`PlanImport`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Planned {
    /// What it will be called here.
    pub target: String,
    /// Why it cannot come here, and what to do.
    pub problem: Option<String>,
    /// The blobs that are not here for it.
    pub absent: HashSet<Digest>,
}

/// Makes visible what a command has staged.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AdoptImport {
    /// What it is staged under.
    #[schemars(with = "String")]
    pub import: Digest,
    pub to: Option<String>,
    pub images: Vec<ImportedImage>,
    /// The id of the key that has signed it.
    pub signed_by: Option<String>,
}

/// What came of it, of all images.
#[derive(Debug, Serialize, Deserialize)]
pub struct Adopted {
    pub images: Vec<AdoptedImage>,
    /// Files that are in place now and were not before.
    pub files: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct AdoptedImage {
    /// In the archive
    pub name: String,
    /// Here
    pub target: String,
    pub digest: Digest,
    /// Why it did not come, and what to do
    pub problem: Option<String>,
}

impl Operation for PlanImport {
    const NAME: &'static str = "imports.plan";
    type View = Vec<Planned>;
    const TAKES_LONG: bool = true;

    fn perform(self, admin: &Admin<'_>) -> Result<Vec<Planned>> {
        let mut places = Places::of(admin, self.to.as_deref())?;
        let planned = self
            .images
            .into_iter()
            .map(|PlannedImage { image, blobs }| {
                let place = match places.place(&image) {
                    Ok(place) => place,
                    Err(error) => {
                        return Ok(Planned {
                            target: image.name,
                            problem: Some(error.to_string()),
                            absent: blobs.into_iter().collect(),
                        });
                    }
                };
                let mut absent = HashSet::new();
                for digest in blobs {
                    if !places.has(&place, &digest)? {
                        absent.insert(digest);
                    }
                }
                Ok(Planned {
                    target: place.shown(),
                    problem: None,
                    absent,
                })
            });
        planned.collect()
    }
}

impl Operation for AdoptImport {
    const NAME: &'static str = "imports.adopt";
    type View = Adopted;
    const TAKES_LONG: bool = true;

    fn perform(self, admin: &Admin<'_>) -> Result<Adopted> {
        let places = Places::of(admin, self.to.as_deref())?;
        let adopting = admin.store.blobs.begin_adoption(&self.import)?;
        let mut adoption = Adoption::new(admin, places, &self.import, Timestamp::now());
        let mut images = Vec::new();
        for image in self.images {
            let (target, done) = adoption.image(&image);
            images.push(AdoptedImage {
                name: image.name,
                target,
                digest: image.digest,
                problem: done.err().map(|error| error.to_string()),
            });
        }
        let files = adoption.files();
        let came = || images.iter().filter(|image| image.problem.is_none());
        let names: Vec<_> = came()
            .map(|image| image.target.clone())
            .take(NAMES_AUDITED)
            .collect();
        let count = came().count();
        if count > 0 {
            let event = Event::new(EventKind::BundleImported)
                .subject("bundle", self.import.as_str(), None)
                .detail("images", i64::try_from(count).unwrap_or(i64::MAX))
                .detail("names", Detail::names(&names))
                .detail_if("to", self.to.as_deref().map(Detail::name))
                .detail_if("signed_by", self.signed_by.as_deref().map(Detail::name));
            admin.store.audit.record(&admin.actor, &event);
        }
        if count == images.len() {
            admin.store.blobs.end_import(&self.import)?;
        }
        drop(adopting);
        Ok(Adopted { images, files })
    }
}
