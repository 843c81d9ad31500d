//! What the first start makes: an administrator, the mirror's group, and trust in loopback.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::admin::{INITIAL_ROOT_PASSWORD, ROOT};
use crate::auth::password;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::store::{Ability, Actor, Network, Store, Visibility};

/// Makes the mirror's group where it is missing, and at the very first start (while there is no user)
/// the networks 127.0.0.0/8 and ::1, which may fill the mirror, and an administrator `root` whose random
/// password goes to `DATA/initial_root_password` (0600).
///
/// Root comes last, so that a start that was interrupted is made good by the next one. Returns the
/// sentences that the operator should read.
///
/// # Errors
/// `Sql` or `Io` with the path.
pub fn first_start(
    actor: &Actor,
    store: &Store,
    config: &Config,
    directory: &Path,
) -> Result<Vec<String>> {
    let mut told = Vec::new();
    if config.mirror.enabled && store.access.group_by_path(&config.mirror.group)?.is_none() {
        store
            .access
            .create_group(actor, &config.mirror.group, Visibility::Private)?;
    }
    if !store.access.users()?.is_empty() {
        return Ok(told);
    }
    let known = store.access.networks()?;
    for cidr in ["127.0.0.0/8", "::1/128"] {
        let cidr = cidr
            .parse()
            .map_err(|_| Error::internal("a built-in network does not parse"))?;
        if !known.iter().any(|network| network.cidr == cidr) {
            store.access.add_network(
                actor,
                &Network {
                    cidr,
                    ability: Ability::Fill,
                    group: None,
                },
            )?;
        }
    }
    let secret = crate::auth::keys::random_hex::<16>()?;
    let path = directory.join(INITIAL_ROOT_PASSWORD);
    let failed = |error| Error::io("cannot write", &path, error);
    let options = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path);
    let mut file = options.map_err(failed)?;
    file.write_all(format!("{secret}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    store
        .access
        .create_user(actor, ROOT, true, false, Some(&password::hash(&secret)?))?;
    told.push(format!(
        "made the administrator `{ROOT}`; its password is in {}",
        path.display()
    ));
    Ok(told)
}
