//! Parts of the cache that have limits of their own.

use std::collections::HashMap;

use crate::config::Config;
use crate::error::Result;
use crate::oci::RegistryHost;
use crate::store::{Scope, Store};

/// Upstreams and groups with the bytes that may be cached of each. Of several upstreams of one name the least limit holds.
///
/// # Errors
/// `Sql`.
pub fn limited_parts(store: &Store, config: &Config, filesystem: u64) -> Result<Vec<(Scope, u64)>> {
    let of_file = config.upstreams.iter();
    let of_file =
        of_file.map(|upstream| (upstream.name.clone(), upstream.max_size.limit(filesystem)));
    let rows = store.access.upstreams()?.into_iter();
    let rows = rows.map(|row| (row.upstream.name, row.upstream.max_size));
    let mut upstreams: HashMap<RegistryHost, u64> = HashMap::new();
    for (name, most) in of_file.chain(rows) {
        if let Some(most) = most {
            let least = upstreams.entry(name).or_insert(most);
            *least = most.min(*least);
        }
    }
    let upstreams = upstreams.into_iter();
    let upstreams = upstreams.map(|(name, most)| (Scope::Upstream(name), most));
    let groups = store.access.groups()?.into_iter();
    let groups = groups.filter_map(|group| Some((Scope::Group(group.id), group.max_size?)));
    Ok(upstreams.chain(groups).collect())
}
