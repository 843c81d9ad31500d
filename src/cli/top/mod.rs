//! `breakwater top`: what the running server does, shown again and again in the same place.

mod keyboard;
mod rates;
mod screen;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;

use super::Outcome;
use super::output::print_text;
use super::terminal;
use super::workplace::Workplace;
use crate::admin::{ActivityView, ShowActivity};
use crate::error::Result;
use keyboard::{Keyboard, Woken};
use rates::{Rates, Seen};

/// Watch what the running server does: pulls, fetches, upstreams; shown anew every second until you press q
///
/// Rates are those since the screen before. Without a terminal for its output and its keys, and with --once, it watches for
/// one interval and prints one screen. With --json each refresh is one line, until you stop it or its reader goes away.
///
/// Where the server was restarted within the interval, there are no rates: its counters begin at zero.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater top
  breakwater top --every 5
  breakwater top --once
  breakwater top --json --every 5")]
pub(super) struct Top {
    /// Seconds between two screens, 0.2 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    every: Duration,
    /// Print one screen as plain text, and end
    #[arg(long)]
    once: bool,
    /// Print a JSON object on one line at each refresh
    #[arg(long)]
    json: bool,
}

fn interval(text: &str) -> std::result::Result<Duration, String> {
    let seconds: f64 = text.parse().unwrap_or_default();
    match (0.2..=3600.0).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err("write a number of seconds from 0.2 to 3600".to_owned()),
    }
}

impl Top {
    pub(super) fn run(self, place: &Workplace) -> Result<Outcome> {
        let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        if is_terminal && !self.once && !self.json {
            return self.refresh_in_place(place);
        }
        let mut before = look(place)?;
        loop {
            std::thread::sleep(self.every);
            let now = look(place)?;
            let rates = Rates::between(&before, &now);
            if self.json {
                print_text(&format!("{}\n", rates::json(rates.as_ref(), &now.view)?))?;
            } else {
                let lines = screen::lines(&now.view, rates.as_ref(), terminal::size(), None);
                let lines = lines.iter().map(|line| format!("{}\n", line.text));
                print_text(&lines.collect::<String>())?;
            }
            if self.once || !self.json {
                return Ok(Outcome::Done);
            }
            before = now;
        }
    }

    /// A server that goes away may come back: what it says is shown meanwhile.
    fn refresh_in_place(&self, place: &Workplace) -> Result<Outcome> {
        let mut last = look(place)?;
        let mut rates = None;
        let mut failure = None;
        let mut keyboard = Keyboard::take()?;
        loop {
            let end = Instant::now().checked_add(self.every);
            loop {
                let keys = format!("every {}   q ends", shown_interval(self.every));
                let lines = screen::lines(
                    &last.view,
                    rates.as_ref(),
                    terminal::size(),
                    Some(failure.as_deref().unwrap_or(&keys)),
                );
                print_text(&screen::drawn(&lines, terminal::has_colours()))?;
                let left = end.map(|end| end.saturating_duration_since(Instant::now()));
                match keyboard.wait(left.unwrap_or(self.every)) {
                    Woken::InTime => break,
                    Woken::Early => {}
                    Woken::ToEnd => return Ok(Outcome::Done),
                }
            }
            match look(place) {
                Ok(now) => {
                    rates = Rates::between(&last, &now);
                    (last, failure) = (now, None);
                }
                Err(error) => failure = Some(format!("no answer: {error}")),
            }
        }
    }
}

fn look(place: &Workplace) -> Result<Seen> {
    let Some(server) = place.running_server()? else {
        place.check_data()?;
        return Err(ShowActivity::without_server());
    };
    let server = server.with_patience(Duration::from_secs(5));
    let view: ActivityView = place.ask(&server, &ShowActivity {})?;
    Ok(Seen {
        at: Instant::now(),
        view,
    })
}

fn shown_interval(interval: Duration) -> String {
    format!("{} s", interval.as_secs_f64())
}
