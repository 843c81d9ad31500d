//! `breakwater warm`: images fetched ahead of their first pull by the running server, several at once, each by an operation
//! of its own. A server that hears nobody reading its progress any more stops; what has arrived by then stays.

mod shown;
mod work;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::Outcome;
use super::images::{ImageArguments, Selection};
use super::output::hint;
use super::workplace::Workplace;
use crate::admin::{WARM_NEEDS_A_SERVER, WarmImage, warm_offline};
use crate::error::{Error, Kind, Result};
use crate::oci::Platform;
use shown::{Failed, Shown};

/// Fetch images into the cache ahead of their first pull, with signatures and all; exit status 1 if any failed
///
/// The running server fetches, as for a pull. A tag that is current costs no pull of Docker Hub's rate limit, and what is here
/// already is not fetched again, so that a list can be warmed every night: `systemctl enable --now breakwater-warm.timer` does
/// that with /etc/breakwater/warm.list.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater warm alpine:3.20 quay.io/prometheus/prometheus:v2.53.0
  breakwater warm --from Dockerfile --from compose.yaml --platform linux/amd64
  breakwater warm --file /etc/breakwater/warm.list --keep-budget 20
  helm template ./chart | breakwater warm --from -")]
pub(super) struct Warm {
    #[command(flatten)]
    images: ImageArguments,
    /// How many images are fetched at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Ask for nothing that counts as a pull where the rate limit of Docker Hub leaves no more pulls than this
    #[arg(long, value_name = "N")]
    keep_budget: Option<u64>,
    /// Print a line of JSON for each image, and one for the whole
    #[arg(long)]
    json: bool,
    #[arg(skip)]
    selection: Selection,
}

impl Warm {
    /// Reads lists and other files, with the rights of whoever runs the command.
    pub(super) fn read_files(&mut self) -> Result<()> {
        if self.images.is_empty() {
            let error = Error::new(Kind::Usage, "no image is named");
            return Err(error
                .remedy("name images, a list with --file, or a file that uses them with --from"));
        }
        self.selection = self.images.read()?;
        Ok(())
    }

    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        place.check_data()?;
        let Some(server) = place.running_server()? else {
            let what = format!(
                "no server runs on {}, and it is the server that fetches",
                place.config.data.display()
            );
            return Err(Error::new(Kind::Conflict, what).remedy(WARM_NEEDS_A_SERVER));
        };
        if server.status()?.offline {
            return Err(warm_offline());
        }
        for note in &self.selection.notes {
            hint(note);
        }
        let mut shown = Shown::new(self.json);
        for unresolved in &self.selection.unresolved {
            shown.failed(Failed {
                image: unresolved.text.clone(),
                place: Some(unresolved.place.clone()),
                error: format!("it cannot be told which image this is: {}", unresolved.why),
            })?;
        }
        let tasks = self.selection.images.into_iter().map(|image| work::Task {
            place: image.place,
            request: WarmImage {
                image: image.text,
                platforms: image.platforms.iter().map(Platform::to_string).collect(),
                keep_budget: self.keep_budget,
            },
        });
        let interrupted = interruption()?;
        work::all(
            place,
            Arc::new(server),
            tasks.collect(),
            self.jobs,
            &mut shown,
            &interrupted,
        )?;
        shown.end()
    }
}

/// What the first SIGINT or SIGTERM sets; the second ends the process where it stands.
fn interruption() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&interrupted))
            .and_then(|_| flag::register(signal, Arc::clone(&interrupted)))
            .map_err(|error| Error::new(Kind::Io, "cannot listen for signals").because(error))?;
    }
    Ok(interrupted)
}
