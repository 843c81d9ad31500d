//! A request whose answer can be had as JSON.

use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Shown<R: Args> {
    #[command(flatten)]
    pub(super) request: R,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}
