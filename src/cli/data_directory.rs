//! `breakwater data-directory`, for whoever installs, upgrades or removes: where the store of this configuration
//! is. Opens nothing and changes nothing, so that asking an old program leaves its databases as they are.

use std::path;

use clap::Args;

use super::Outcome;
use super::output::print;
use crate::config::Config;
use crate::error::{Error, Result};

/// Print the data directory that options, environment and configuration name
///
/// It need not exist.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  breakwater data-directory --config /etc/breakwater/breakwater.toml"
)]
pub(super) struct DataDirectory {}

impl DataDirectory {
    pub(super) fn run(&self, config: &Config) -> Result<Outcome> {
        let directory = path::absolute(&config.data)
            .map_err(|error| Error::io("cannot find", &config.data, error))?;
        print(&directory.display().to_string())?;
        Ok(Outcome::Done)
    }
}
