//! Images that somebody is carrying away, and that are not evicted meanwhile: known in memory, and for a while only, so that
//! whoever is killed while he carries holds nothing for long.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::time::deadline;

/// By name, until when.
#[derive(Debug, Default)]
pub struct HeldImages(Mutex<HashMap<String, Instant>>);

impl HeldImages {
    /// Holds images, `HOST/NAME:TAG` or `HOST/NAME@DIGEST`, from now on for so long.
    pub fn hold(&self, names: impl IntoIterator<Item = String>, time: Duration) {
        let until = deadline(time);
        let now = Instant::now();
        let mut held = self.0.lock();
        held.retain(|_, until| *until > now);
        held.extend(names.into_iter().map(|name| (name, until)));
    }

    pub fn holds(&self, name: &str) -> bool {
        let held = self.0.lock();
        held.get(name).is_some_and(|until| *until > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_held_for_a_while() {
        let held = HeldImages::default();
        held.hold(["a".to_owned()], Duration::from_secs(60));
        held.hold(["b".to_owned()], Duration::ZERO);
        assert_eq!([held.holds("a"), held.holds("b")], [true, false]);
        held.hold(["a".to_owned()], Duration::ZERO);
        assert!(!held.holds("a"), "it was let go");
    }
}
