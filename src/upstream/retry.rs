//! Tries: each asks the breakers for leave and reports to them; between two there is a pause that doubles,
//! with jitter, so that many boxes do not come back in step.

use std::time::{Duration, Instant};

use super::breakers::Question;
use super::fault::{Fault, FaultKind};
use super::transport::Deadline;
use super::{Timeouts, Upstream};

/// When no other try is begun any more: clients wait, and an upstream that hangs costs each try a whole
/// silence.
const LAST_TRY_WITHIN: Duration = Duration::from_secs(20);
/// The longest `Retry-After` that is waited for within a request.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(2);

impl Upstream {
    /// Runs `attempt` once. That it ran into a `deadline` which is shorter than the silence that anybody
    /// else bears does not count as an outage; after a few of those, only such questions are not asked.
    pub(super) fn once<T>(
        &self,
        question: &Question,
        deadline: Deadline,
        attempt: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.transport.check_offline()?;
        let is_short = deadline.allowed() < self.timeouts.silence;
        let permit = if is_short {
            self.health.admit_short(question)?
        } else {
            self.health.admit(question)?
        };
        let result = attempt();
        self.counts.note_try(&result);
        match &result {
            Err(fault)
                if is_short
                    && fault.kind == FaultKind::TimedOut
                    && deadline.remaining().is_zero() =>
            {
                permit.expire(fault);
            }
            _ => permit.settle(&result, true),
        }
        result
    }

    /// Runs `attempt` until it succeeds, fails for good, or the tries are used up. `complete` tells
    /// whether a success is a whole answer or only the beginning of one, as for the breaker.
    pub(super) fn with_retries<T>(
        &self,
        question: &Question,
        complete: bool,
        attempt: impl Fn() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut last: Option<Fault> = None;
        let began = Instant::now();
        for number in 1.. {
            self.transport.check_offline()?;
            let permit = match self.health.admit(question) {
                Ok(permit) => permit,
                // The breaker opened between two tries: what opened it says more.
                Err(open) => return Err(last.unwrap_or(open)),
            };
            let result = attempt();
            self.counts.note_try(&result);
            permit.settle(&result, complete);
            let fault = match result {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            match pause(&fault, number, &self.timeouts) {
                Some(pause)
                    if number < self.timeouts.tries && began.elapsed() < LAST_TRY_WITHIN =>
                {
                    std::thread::sleep(pause);
                }
                _ => return Err(fault),
            }
            tracing::debug!(upstream = %self.name, try_number = number, fault = %fault, "trying again");
            last = Some(fault);
        }
        Err(last.unwrap_or_else(|| Fault::new(FaultKind::Unreachable, "no try was made")))
    }
}

/// How long to wait after try `number` (from 1) failed; `None` where another try is pointless.
fn pause(fault: &Fault, number: u32, timeouts: &Timeouts) -> Option<Duration> {
    let (first, longest) = timeouts.pause;
    let doublings = number.saturating_sub(1).min(16);
    let doubled = first.saturating_mul(1 << doublings).min(longest);
    // Between half of it and all of it.
    let jittered = doubled.mul_f64(random_fraction().midpoint(1.0));
    match fault.kind {
        FaultKind::RateLimited { retry_after } if retry_after <= LONGEST_RETRY_AFTER => {
            Some(retry_after.max(jittered))
        }
        _ => fault.is_transient().then_some(jittered),
    }
}

/// From 0 up to 1. Where the system has no randomness, the pause is merely not jittered.
pub fn random_fraction() -> f64 {
    let mut bytes = [0; 2];
    let _ = getrandom::fill(&mut bytes);
    f64::from(u16::from_le_bytes(bytes)) / 65_536.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_within_their_bounds_and_only_where_they_help() {
        let ms = Duration::from_millis;
        let timeouts = Timeouts {
            pause: (ms(200), ms(2000)),
            ..Timeouts::default()
        };
        let down = Fault::new(FaultKind::Unreachable, "");
        for (number, longest) in [
            (1, 200),
            (2, 400),
            (3, 800),
            (4, 1600),
            (5, 2000),
            (60, 2000),
        ] {
            let pause = pause(&down, number, &timeouts).unwrap();
            assert!(
                pause >= ms(longest / 2) && pause <= ms(longest),
                "{number}: {pause:?}"
            );
        }
        for (kind, expected) in [
            (
                FaultKind::RateLimited {
                    retry_after: ms(2000),
                },
                Some(ms(2000)),
            ),
            (
                FaultKind::RateLimited {
                    retry_after: ms(3000),
                },
                None,
            ),
            (FaultKind::NotFound, None),
            (FaultKind::Denied, None),
            (FaultKind::Protocol, None),
        ] {
            assert_eq!(
                pause(&Fault::new(kind, ""), 1, &timeouts),
                expected,
                "{kind:?}"
            );
        }
    }
}
