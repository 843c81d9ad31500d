//! How the upstreams are: for lists, for whoever asks each of them something, and for metrics.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Upstreams;
use super::table::Client;
use crate::error::Result;
use crate::oci::RegistryHost;
use crate::proxy::UpstreamFigures;
use crate::upstream::{BreakerState, Counts, Status, Upstream};

/// How one upstream is, for `upstream list` and `upstream status`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Upstream", extend("additionalProperties" = false))]
pub struct UpstreamState {
    /// Its path; null: the box's
    pub group: Option<String>,
    /// Whether it was added by command; otherwise it stands in the configuration file.
    pub by_command: bool,
    /// What is known of it. Its breaker is `unusable` where it cannot be used as it was added.
    #[serde(flatten)]
    pub status: Status,
}

/// The client of one upstream.
pub struct UpstreamClient {
    /// The path of the group that brings it; `None`: the box's.
    pub group: Option<String>,
    /// The word in paths.
    pub name: String,
    /// It, or why it cannot be used.
    pub upstream: std::result::Result<Arc<Upstream>, String>,
}

impl Upstreams {
    /// How they all are: the box's first, then by group.
    ///
    /// # Errors
    /// `Sql`.
    pub fn states(&self) -> Result<Vec<UpstreamState>> {
        let table = self.table()?;
        let of_file = self.of_file(&table).map(|upstream| UpstreamState {
            group: None,
            by_command: false,
            status: upstream.status(),
        });
        let rows = table.rows.iter().zip(&table.clients);
        let of_rows = rows.map(|(row, client)| UpstreamState {
            group: table.path(row.upstream.group),
            by_command: true,
            status: match client {
                Client::Ready(upstream) => upstream.status(),
                Client::Unusable(why) => Status {
                    name: row.upstream.name.to_string(),
                    url: row.upstream.url.clone(),
                    breaker: BreakerState::Unusable,
                    failures_in_a_row: 0,
                    last_failure: Some(why.clone()),
                    last_failure_remedy: None,
                    last_failure_at: None,
                    last_success_at: None,
                    rate_limit: None,
                    lies: 0,
                },
            },
        });
        let mut states: Vec<_> = of_file.chain(of_rows).collect();
        states.sort_by(|a, b| (&a.group, &a.status.name).cmp(&(&b.group, &b.status.name)));
        Ok(states)
    }

    /// The clients themselves, for whoever asks each of them something.
    ///
    /// # Errors
    /// `Sql`.
    pub fn clients(&self) -> Result<Vec<UpstreamClient>> {
        let table = self.table()?;
        let of_file = self.of_file(&table).map(|upstream| UpstreamClient {
            group: None,
            name: upstream.name().to_string(),
            upstream: Ok(Arc::clone(upstream)),
        });
        let of_rows = table.rows.iter().zip(&table.clients);
        let of_rows = of_rows.map(|(row, client)| UpstreamClient {
            group: table.path(row.upstream.group),
            name: row.upstream.name.to_string(),
            upstream: match client {
                Client::Ready(upstream) => Ok(Arc::clone(upstream)),
                Client::Unusable(why) => Err(why.clone()),
            },
        });
        Ok(of_file.chain(of_rows).collect())
    }

    /// Everything that was counted since the start, also of upstreams that are gone.
    pub(in crate::proxy) fn all_counts(&self) -> Vec<Arc<Counts>> {
        let of_file = self.of_file.iter();
        let of_file = of_file.map(|upstream| Arc::clone(upstream.counts()));
        of_file
            .chain(self.counts.lock().values().map(Arc::clone))
            .collect()
    }

    /// The same without a name of any group: the box's own by name, and last those of groups together.
    ///
    /// # Errors
    /// `Sql`.
    pub(in crate::proxy) fn figures(&self) -> Result<Vec<UpstreamFigures>> {
        let table = self.table()?;
        let of_box = |name: &RegistryHost, client: &Client, counts: Arc<Counts>| {
            let status = match client {
                Client::Ready(upstream) => Some(upstream.status()),
                Client::Unusable(_) => None,
            };
            let state = status
                .as_ref()
                .map_or(BreakerState::Unusable, |status| status.breaker);
            UpstreamFigures {
                name: Some(name.to_string()),
                counts,
                states: vec![(state, 1)],
                last_success_at: status.as_ref().and_then(|status| status.last_success_at),
                rate_limit: status.and_then(|status| status.rate_limit),
            }
        };
        let of_file = self.of_file(&table).map(|upstream| {
            let client = Client::Ready(Arc::clone(upstream));
            of_box(upstream.name(), &client, Arc::clone(upstream.counts()))
        });
        let mut figures: Vec<_> = of_file.collect();
        let mut states: Vec<(BreakerState, usize)> = Vec::new();
        for (row, client) in table.rows.iter().zip(&table.clients) {
            let name = &row.upstream.name;
            if row.upstream.group.is_none() {
                if !self.is_hidden(row) {
                    figures.push(of_box(name, client, self.counts_of(Some(name.clone()))));
                }
                continue;
            }
            let state = match client {
                Client::Ready(upstream) => upstream.status().breaker,
                Client::Unusable(_) => BreakerState::Unusable,
            };
            match states.iter_mut().find(|(known, _)| *known == state) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => states.push((state, 1_usize)),
            }
        }
        let has_groups = !states.is_empty();
        let counts = self.counts_of(None);
        if has_groups || counts.tries().any(|(_, count)| count > 0) {
            figures.push(UpstreamFigures {
                name: None,
                counts,
                states,
                last_success_at: None,
                rate_limit: None,
            });
        }
        Ok(figures)
    }
}
