//! What lies around the tokens: networks, the first password, passwords of upstreams and keys of registries.

use std::os::unix::fs::MetadataExt;

use super::{Finding, Severity, upstream_subject};
use crate::admin::{INITIAL_ROOT_PASSWORD, ROOT};
use crate::auth::external::Signing;
use crate::auth::seal::{Owner, SealingKeys};
use crate::cli::workplace::Workplace;
use crate::error::Result;
use crate::store::{Ability, Store};

pub(super) fn find(place: &Workplace, store: &Store) -> Result<Vec<Finding>> {
    let mut findings = networks(place, store)?;
    findings.extend(first_password(store));
    findings.extend(sealed(store)?);
    findings.extend(password_files(place));
    Ok(findings)
}

/// Rules that trust every address there is.
fn networks(place: &Workplace, store: &Store) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for network in store.access.networks()? {
        if network.cidr.prefix_len() > 0 {
            continue;
        }
        let group = match network.group {
            Some(id) => store.access.group(id)?.map(|group| group.path),
            None => Some(place.config.mirror.group.clone()),
        };
        // Strangers who read use the box; strangers who fill choose what others get.
        let severity = match network.ability {
            Ability::Fill => Severity::Error,
            Ability::Read => Severity::Warning,
        };
        findings.push(Finding::new(
            severity,
            "network_trusts_everybody",
            format!(
                "every address of {} may {} {} without a login",
                network.cidr,
                <&str>::from(network.ability),
                group.unwrap_or_default(),
            ),
            format!(
                "name your own networks with `breakwater network add`, then `breakwater network remove {}`",
                network.cidr
            ),
        ));
    }
    Ok(findings)
}

fn first_password(store: &Store) -> Option<Finding> {
    let path = store.directory().join(INITIAL_ROOT_PASSWORD);
    path.exists().then(|| {
        Finding::new(
            Severity::Warning,
            "initial_password",
            format!("{ROOT}'s first password still lies in {}", path.display()),
            format!("change it with `breakwater user passwd {ROOT} --password-stdin`"),
        )
    })
}

/// Passwords of upstreams and keys of external registries that no key at hand opens.
fn sealed(store: &Store) -> Result<Vec<Finding>> {
    let rows = store.access.upstreams()?;
    let keys = SealingKeys::find(store.directory())?;
    let mut findings = Vec::new();
    for row in rows {
        let upstream = row.upstream;
        let Some((_, sealed)) = &upstream.credentials else {
            continue;
        };
        let owner = Owner::upstream(&upstream.name, upstream.group);
        if let Err(error) = keys.open(&owner, sealed) {
            let group = match upstream.group {
                Some(id) => store.access.group(id)?.map(|group| group.path),
                None => None,
            };
            let finding = Finding::new(
                Severity::Error,
                "upstream_password",
                format!(
                    "the password of the upstream {} cannot be read: {}",
                    upstream.name,
                    error.what_and_why()
                ),
                "put back the secret.key that it was stored with, or remove the upstream and add it again",
            );
            let subject = upstream_subject(upstream.name.as_str(), group.as_deref());
            findings.push(finding.about(subject));
        }
    }
    let registries = store.access.external_registries()?;
    for signing in Signing::of(registries, || Ok(keys))?.iter() {
        if let Err(why) = &signing.signer {
            findings.push(Finding::new(
                Severity::Error,
                "registry_key",
                format!("no token can be signed for {}: {why}", signing.audience),
                "put back the secret.key that its key was stored with, or remove the registry, add it again, and give it the new certificate",
            ));
        }
    }
    Ok(findings)
}

/// Passwords of configured upstreams: files that cannot be read, and files that everybody can.
fn password_files(place: &Workplace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for upstream in &place.config.upstreams {
        let Some(path) = &upstream.password_file else {
            continue;
        };
        let (name, at) = (&upstream.name, path.display());
        // With the rights of the service, which opens it when it starts.
        let mode = match std::fs::File::open(path).and_then(|file| file.metadata()) {
            Ok(metadata) => metadata.mode() & 0o777,
            Err(error) => {
                findings.push(Finding::new(
                    Severity::Error,
                    "password_file_unreadable",
                    format!("the password of the upstream {name} cannot be read from {at}: {error}; the server does not start so"),
                    "put the password there, and give the file to the user of the service",
                ));
                continue;
            }
        };
        if mode & 0o007 != 0 {
            findings.push(Finding::new(
                Severity::Error,
                "password_file_wide",
                format!(
                    "every user of this machine may read {at}, the password of the upstream {name} (mode {mode:04o})"
                ),
                format!("chmod o= {at}"),
            ));
        }
    }
    findings
}
