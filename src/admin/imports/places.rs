//! Where an image of an archive comes to: a repository of an upstream as the mirror, or a group, would have cached it; or one of
//! a project. And what of it is here for that place.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::super::named::Place as GroupOrProject;
use crate::admin::{Admin, configured_client};
use crate::auth::RepositoryGrant;
use crate::auth::credentials::hosted_project_now;
use crate::error::{Error, Kind, Result};
use crate::oci::{DOCKER_HUB, Digest, ImageName, Reference, RegistryHost, RepositoryName};
use crate::proxy::client_of;
use crate::store::{GroupId, OriginId, ProjectId, UpstreamRow};
use crate::upkeep::bundle::ImageKind;
use crate::upkeep::bundle::import::ImportedImage;
use crate::upstream::Upstream;

/// How many repositories of a project are looked at for a blob.
const REPOSITORIES_LOOKED_AT: u32 = 1_000;

/// What identifies an origin.
type OriginKey = (RegistryHost, String);

pub(super) enum Place {
    Cached {
        origin: OriginKey,
        repository: RepositoryName,
        reference: Reference,
    },
    Hosted {
        grant: Box<RepositoryGrant>,
        reference: Reference,
    },
}

impl Place {
    pub(super) fn shown(&self) -> String {
        let (name, reference) = match self {
            Self::Cached {
                origin,
                repository,
                reference,
            } => (format!("{}/{repository}", origin.0), reference),
            Self::Hosted { grant, reference } => {
                (format!("hosted:{}", grant.repository()), reference)
            }
        };
        match reference {
            Reference::Tag(tag) => format!("{name}:{tag}"),
            Reference::Digest(digest) => format!("{name}@{digest}"),
        }
    }
}

/// The places of one import.
pub(super) struct Places<'a> {
    admin: &'a Admin<'a>,
    /// The project that all images come to.
    project: Option<(ProjectId, String)>,
    /// The group whose upstreams are meant, and those above it, nearest first; last the box itself.
    scopes: Vec<Option<GroupId>>,
    /// Whether it was named.
    is_group_named: bool,
    rows: Vec<UpstreamRow>,
    /// By name, which of those upstreams it is.
    upstreams: HashMap<RegistryHost, Option<OriginKey>>,
    /// The origins that whoever pulls there reaches.
    reached: Option<Vec<OriginId>>,
    /// Those of the box that need no login: what came from there everybody could have had.
    public: Option<Vec<OriginId>>,
}

impl<'a> Places<'a> {
    pub(super) fn of(admin: &'a Admin<'a>, to: Option<&str>) -> Result<Self> {
        let access = &admin.store.access;
        let (mut project, mut group) = (None, None);
        match to.map(|path| admin.place_of_path(path)).transpose() {
            Err(error) => return Err(error.about("to")),
            Ok(Some(GroupOrProject::Project(found))) => project = Some((found.id, found.path)),
            Ok(Some(GroupOrProject::Group(found))) => group = Some(found),
            Ok(None) => {}
        }
        let is_group_named = group.is_some();
        let mirror = &admin.config.mirror;
        if to.is_none() && mirror.enabled {
            group = access.group_by_path(&mirror.group)?;
        }
        let lineage = group.map(|group| access.lineage(group.id)).transpose()?;
        let lineage = lineage.unwrap_or_default().into_iter().map(Some);
        Ok(Self {
            admin,
            project,
            scopes: lineage.chain([None]).collect(),
            is_group_named,
            rows: access.upstreams()?,
            upstreams: HashMap::new(),
            reached: None,
            public: None,
        })
    }

    /// Where the image comes to.
    ///
    /// # Errors
    /// `NotFound` for an upstream or a project that is not there, `Denied` by a rule, `Usage` for what cannot be meant.
    pub(super) fn place(&mut self, image: &ImportedImage) -> Result<Place> {
        match (image.kind, &self.project) {
            (ImageKind::Cached, None) => {
                let name = ImageName::parse(&image.name)?.with_docker_hub();
                let host = name
                    .host
                    .unwrap_or_else(|| self.admin.config.mirror.default.clone());
                let origin = self.origin(&host)?;
                let origin = origin.ok_or_else(|| self.no_upstream(&host, &image.name))?;
                Ok(Place::Cached {
                    origin,
                    repository: name.repository,
                    reference: name.reference.unwrap_or_else(|| by_digest(image)),
                })
            }
            (ImageKind::Cached, Some((_, path))) => {
                let name = ImageName::parse(&image.name)?.with_docker_hub();
                let repository = name.repository.as_str();
                let is_docker_hub = name.host.is_some_and(|host| host.as_str() == DOCKER_HUB);
                let short = repository
                    .strip_prefix("library/")
                    .filter(|_| is_docker_hub);
                let path = format!("{path}/{}", short.unwrap_or(repository));
                self.hosted(&path, name.reference.unwrap_or_else(|| by_digest(image)))
            }
            (ImageKind::Hosted, _) if self.is_group_named => {
                let what = format!(
                    "{} was pushed to a box, and so belongs in a project, not in what a group has cached",
                    image.name
                );
                Err(Error::new(Kind::Usage, what).remedy("name a project with --to, or nothing"))
            }
            (ImageKind::Hosted, project) => {
                let (own, reference) = hosted_name(&image.name)?;
                let path = match project {
                    Some((_, path)) if is_below(&own, path) => own,
                    Some((_, path)) => format!("{path}/{own}"),
                    None => own,
                };
                self.hosted(&path, reference)
            }
        }
    }

    /// Whether the blob is here for whoever may pull from that place.
    pub(super) fn has(&mut self, place: &Place, digest: &Digest) -> Result<bool> {
        let store = self.admin.store;
        if store.blobs.is_known_damaged(digest) || !store.blobs.contains(digest)? {
            return Ok(false);
        }
        let origins = match place {
            Place::Cached { .. } => self.reached()?,
            Place::Hosted { grant, .. } => {
                let registry = &store.registry;
                let linked = registry.repositories_with(digest, REPOSITORIES_LOOKED_AT)?;
                if linked
                    .iter()
                    .any(|(project, _)| *project == grant.project())
                {
                    return Ok(true);
                }
                self.public()?
            }
        };
        for origin in origins {
            if store.cache.blob_of_origin(*origin, digest)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn hosted(&self, path: &str, reference: Reference) -> Result<Place> {
        let repository = RepositoryName::parse(path)?;
        let access = &self.admin.store.access;
        let owner = access.project_owning(path)?;
        let project = owner.map(|owner| hosted_project_now(access, owner));
        let Some(project) = project.transpose()?.flatten() else {
            let what = format!("{path} was pushed to a project that this box does not have");
            return Err(Error::new(Kind::NotFound, what)
                .remedy("make it with `breakwater project add`, or name another one with --to"));
        };
        let grant = RepositoryGrant::of_an_administrator(&project, &repository)
            .map_err(|refusal| refusal.error(path))?;
        Ok(Place::Hosted {
            grant: Box::new(grant),
            reference,
        })
    }

    fn no_upstream(&self, host: &RegistryHost, name: &str) -> Error {
        let (whose, option) = match self.is_group_named {
            true => ("the group reaches no upstream", " --group"),
            false => ("this box has no upstream", ""),
        };
        let what = format!("{whose} {host}, so that nobody could pull {name} here");
        Error::new(Kind::NotFound, what).remedy(format!(
            "add it with `breakwater upstream add {host} https://{host}{option}`, whether it can be reached or not, or name a project with --to"
        ))
    }

    /// What the upstream that `host` means there caches for: as the proxy resolves it.
    fn origin(&mut self, host: &RegistryHost) -> Result<Option<OriginKey>> {
        if let Some(known) = self.upstreams.get(host) {
            return Ok(known.clone());
        }
        let mut found = None;
        for scope in &self.scopes {
            found = self.upstream(*scope, host)?;
            if found.is_some() {
                break;
            }
        }
        let origin = found.map(|upstream| (host.clone(), upstream.fingerprint().to_owned()));
        self.upstreams.insert(host.clone(), origin.clone());
        Ok(origin)
    }

    /// The upstream of this name of a group, or of the box.
    fn upstream(&self, scope: Option<GroupId>, host: &RegistryHost) -> Result<Option<Upstream>> {
        let Admin { store, config, .. } = self.admin;
        let offline = Arc::new(AtomicBool::new(true));
        let is_it = |row: &&UpstreamRow| row.upstream.group == scope && row.upstream.name == *host;
        let row = self.rows.iter().find(is_it);
        let configured = config.upstreams.iter().find(|one| one.name == *host);
        let configured = configured.filter(|_| scope.is_none());
        // One that stands in no configuration gives way to one that was added.
        let gives_way = row.is_some() && config.built_in_upstream() == Some(host);
        match (configured, row) {
            (Some(configured), _) if !gives_way => {
                configured_client(store, configured, &offline).map(Some)
            }
            (_, Some(row)) => client_of(store, &row.upstream, &offline).map(Some),
            (_, None) => Ok(None),
        }
    }

    fn reached(&mut self) -> Result<&[OriginId]> {
        if self.reached.is_none() {
            let mut reached = Vec::new();
            for host in self.hosts() {
                // What is kept of one that cannot be used is no reason not to import.
                let origin = self.origin(&host).ok().flatten();
                let cache = &self.admin.store.cache;
                if let Some((host, fingerprint)) = origin {
                    reached.extend(cache.find_origin(&host, &fingerprint)?);
                }
            }
            self.reached = Some(reached);
        }
        Ok(self.reached.as_deref().unwrap_or_default())
    }

    fn public(&mut self) -> Result<&[OriginId]> {
        if self.public.is_none() {
            let mut public = Vec::new();
            for host in self.hosts() {
                let upstream = self.upstream(None, &host).ok().flatten();
                let upstream = upstream.filter(|upstream| !upstream.has_credentials());
                let cache = &self.admin.store.cache;
                if let Some(upstream) = upstream {
                    public.extend(cache.find_origin(&host, upstream.fingerprint())?);
                }
            }
            self.public = Some(public);
        }
        Ok(self.public.as_deref().unwrap_or_default())
    }

    /// The names of all upstreams.
    fn hosts(&self) -> Vec<RegistryHost> {
        let configured = self.admin.config.upstreams.iter().map(|one| &one.name);
        let added = self.rows.iter().map(|row| &row.upstream.name);
        let mut hosts: Vec<_> = configured.chain(added).cloned().collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }
}

fn by_digest(image: &ImportedImage) -> Reference {
    Reference::Digest(image.digest.clone())
}

fn is_below(path: &str, project: &str) -> bool {
    let rest = path.strip_prefix(project);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `PATH:TAG` or `PATH@DIGEST`.
fn hosted_name(name: &str) -> Result<(String, Reference)> {
    let parts = name.split_once('@').or_else(|| name.rsplit_once(':'));
    let (path, reference) = parts.ok_or_else(|| {
        let what = format!(
            "`{}` is no name of an image that was pushed",
            crate::error::excerpt(name)
        );
        Error::new(Kind::ManifestInvalid, what).remedy("export it again")
    })?;
    Ok((path.to_owned(), Reference::parse(reference)?))
}
