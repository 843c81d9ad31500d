//! Which image goes first. (Preliminary: the one that was not pulled for longest.)

use crate::store::Frequency;
use crate::time::Timestamp;

/// What an image is worth: the least goes first.
pub fn worth(used: Frequency, _frees: u64, _files: u64, _now: Timestamp) -> f64 {
    used.at.0 as f64
}
