//! Through which boxes a request has come: each tells the next in `CDN-Loop` (RFC 8586), so that an upstream that leads
//! back to the box that asks is noticed before the two wait for each other.
//!
//! `Via` would say the same, but the address of a request that carries `Via` is not trusted by any network rule. A box
//! is known by a random word that lasts as long as its process.
//!
//! As in [`crate::context`], this is a value of the thread. A fetch that several requests share takes along what the
//! first one said ([`along`]).

use std::cell::RefCell;
use std::sync::OnceLock;

pub const HEADER: &str = "CDN-Loop";
/// What to do about a circle.
pub const REMEDY: &str =
    "see on each box of the chain where its upstreams lead, with `breakwater upstream list`";
const BOX: &str = "breakwater-";
/// The length of the random word.
const WORD: usize = 16;
/// So many boxes are remembered, the last ones. More are no reason to refuse a request: a client can claim any number,
/// and whoever shares its fetch would be refused with it.
const MOST: usize = 8;

/// The random words of the boxes, the first one first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hops(Vec<String>);

thread_local! {
    static HOPS: RefCell<Hops> = RefCell::default();
}

impl Hops {
    /// What a request says; whatever else stands there, of others who use the header, is left out.
    pub fn read<'a>(headers: impl Iterator<Item = &'a str>) -> Self {
        let entries = headers.flat_map(|header| header.split(','));
        let words = entries.filter_map(|entry| entry.trim().strip_prefix(BOX));
        let words = words
            .filter(|word| word.len() == WORD && word.bytes().all(|b| b.is_ascii_hexdigit()))
            .map(str::to_owned);
        let mut words: Vec<_> = words.collect();
        words.drain(..words.len().saturating_sub(MOST));
        Self(words)
    }

    /// Those of the request that this thread works for.
    pub fn current() -> Self {
        HOPS.with_borrow(Clone::clone)
    }

    /// From now on this thread works for a request that said so; see [`along`] for another thread.
    pub fn carry(self) {
        HOPS.set(self);
    }

    /// Whether the request has been here already.
    pub fn is_circle(&self) -> bool {
        self.0.iter().any(|word| word == own())
    }

    /// The header for a request to an upstream.
    pub fn with_this_box(&self) -> String {
        let words = self.0.iter().map(String::as_str).chain([own()]);
        let entries: Vec<_> = words.map(|word| format!("{BOX}{word}")).collect();
        entries.join(", ")
    }
}

/// What another thread is to do for the request that this one works for.
pub fn along<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let hops = Hops::current();
    move || {
        hops.carry();
        work()
    }
}

/// The word of this process.
fn own() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| {
        let mut bytes = [0; WORD / 2];
        // Without randomness it is the same for all boxes that lack it, and there a chain of two is refused.
        let _ = getrandom::fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_here_goes_round_in_a_circle_and_no_other() {
        let other = |number: usize| format!("breakwater-{number:016x}");
        let chain = |length: usize| (0..length).map(other).collect::<Vec<_>>().join(",");
        for (header, is_circle) in [
            (None, false),
            (Some(String::new()), false),
            (Some("cloudflare; id=1, fastly".to_owned()), false),
            (Some(chain(MOST)), false),
            (Some(chain(MOST + 1)), false),
            (
                Some(format!(
                    "x,{},{}",
                    other(1),
                    Hops::default().with_this_box()
                )),
                true,
            ),
            (Some("breakwater-zz, breakwater-".to_owned()), false),
        ] {
            assert_eq!(
                Hops::read(header.as_deref().into_iter()).is_circle(),
                is_circle,
                "{header:?}"
            );
        }
        let longest = Hops::read([&*chain(100)].into_iter());
        assert_eq!(longest.0.len(), MOST, "no more is kept");
        assert_eq!(longest.0.last(), Some(&format!("{:016x}", 99)));
    }

    #[test]
    fn a_box_tells_the_next_one_of_all_before_it() {
        let first = "breakwater-00000000000000aa";
        Hops::read([first].into_iter()).carry();
        let told = Hops::current().with_this_box();
        assert_eq!(told, format!("{first}, {BOX}{}", own()));
        std::thread::spawn(|| assert_eq!(Hops::current(), Hops::default()))
            .join()
            .unwrap();
    }
}
