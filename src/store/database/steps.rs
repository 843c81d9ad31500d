//! Changes of many rows, in steps: each holds the writer for a moment, and whoever waits for it comes in between.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::error::Result;

/// How long one step goes on with further pieces: so that with its commit nobody waits for longer than about 50 ms.
const STEP: Duration = Duration::from_millis(15);
/// A lock that is taken again at once goes to nobody else: so who takes it pauses, for as long as it has had it.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Does pieces of a change until nothing is left, or it is time for others; says whether there may be more.
pub(in crate::store) fn step(mut piece: impl FnMut() -> Result<bool>) -> Result<bool> {
    let begun = Instant::now();
    while piece()? {
        if begun.elapsed() >= STEP {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Runs `transaction` again and again until it says that nothing is left.
pub(in crate::store) fn in_steps(mut transaction: impl FnMut() -> Result<bool>) -> Result<()> {
    loop {
        let begun = Instant::now();
        if !transaction()? {
            return Ok(());
        }
        std::thread::sleep(begun.elapsed().clamp(PAUSE.0, PAUSE.1));
    }
}

/// What a transaction of [`each_in_steps`] comes to: the items that are left, and what was given of those before them.
pub(in crate::store) type Went<'i, I, T> = (&'i [I], Vec<T>);

/// Makes a change of each item, in transactions of a moment each; adds to `all` what `change` gave of those that are
/// committed, also where a later one fails. `transaction` runs the work that it is given in one that it commits.
pub(in crate::store) fn each_in_steps<'i, I, T>(
    items: &'i [I],
    transaction: impl Fn(&dyn Fn(&Connection) -> Result<Went<'i, I, T>>) -> Result<Went<'i, I, T>>,
    change: impl Fn(&Connection, &I) -> Result<Option<T>>,
    all: &mut Vec<T>,
) -> Result<()> {
    let mut rest = items;
    in_steps(|| {
        // Mostly there is nothing, and nobody need wait for the writer.
        if rest.is_empty() {
            return Ok(false);
        }
        let (left, given) = transaction(&|connection| {
            let (mut left, mut given) = (rest.iter(), Vec::new());
            step(|| {
                let Some(item) = left.next() else {
                    return Ok(false);
                };
                given.extend(change(connection, item)?);
                Ok(true)
            })?;
            Ok((left.as_slice(), given))
        })?;
        all.extend(given);
        rest = left;
        Ok(true)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_ends_in_time_or_with_the_last_piece_and_the_next_one_goes_on() {
        let (mut left, mut steps) = (60, 0);
        let changed = in_steps(|| {
            steps += 1;
            step(|| {
                std::thread::sleep(Duration::from_millis(1));
                left -= 1;
                Ok(left > 0)
            })
        });
        changed.unwrap();
        assert_eq!(left, 0);
        assert!((2..60).contains(&steps), "{steps}");
    }
}
