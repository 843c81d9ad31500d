//! Crashes: the box is killed at random moments of concurrent fills and started again. Nothing is damaged,
//! nothing half is taken for whole, and the next pull goes on from where the last one was cut.
//!
//! `BREAKWATER_CRASH_ROUNDS` says how often (25 if it does not), `BREAKWATER_CRASH_SEED` repeats a run.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use breakwater::oci::Digest;

use crate::faults::client::{self, Reply};
use crate::faults::{assert_clean, staged};
use crate::support::appliance::Appliance;
use crate::support::fake_upstream::{Answer, FakeUpstream, Image};

/// After so many rounds a new data directory is begun, so that `verify` stays quick.
const ROUNDS_PER_BOX: u64 = 10;
const REPOSITORY: &str = "library/app";

/// xorshift: the same seed gives the same moments.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What all rounds together came to.
#[derive(Debug, Default)]
struct Figures {
    rounds: u64,
    /// Fills that were cut by a kill, and of which something was staged.
    cut: usize,
    /// Those of them that the next pull resumed.
    resumed: usize,
    /// Blobs and manifests that were kept before the kill.
    kept: usize,
}

pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect(variable))
}

#[test]
fn a_crash_at_any_moment_of_a_fill_damages_nothing() {
    let rounds = number("BREAKWATER_CRASH_ROUNDS").unwrap_or(25);
    let seed = number("BREAKWATER_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("BREAKWATER_CRASH_SEED={seed} BREAKWATER_CRASH_ROUNDS={rounds}");
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut figures = Figures::default();
    let began = Instant::now();
    let fake = FakeUpstream::start();
    let mut appliance = None;
    for round in 0..rounds {
        if round % ROUNDS_PER_BOX == 0 {
            appliance = Some(Appliance::with_upstream(fake.url()));
        }
        let appliance = appliance.as_mut().expect("a box");
        crash(&fake, appliance, round, &mut random, &mut figures);
    }
    println!("{figures:?}, no damage, in {:?}", began.elapsed());
    assert!(
        rounds < 10 || figures.resumed > 0,
        "no kill met a fill: the moments are badly chosen"
    );
}

/// Pulls an image that is new to the box, kills the box meanwhile, and looks at what it makes of that.
fn crash(
    fake: &FakeUpstream,
    appliance: &mut Appliance,
    round: u64,
    random: &mut Random,
    figures: &mut Figures,
) {
    let mut size = || 1_000_000 + usize::try_from(random.below(4_000_000)).unwrap();
    let sizes = [size(), size(), size() * 8 / 5];
    let image = Image::oci(round, &sizes);
    let tag = format!("r{round}");
    fake.put_image(REPOSITORY, &tag, &image);
    let mut contents = HashMap::from([(
        format!("/v2/{REPOSITORY}/manifests/{tag}"),
        image.manifest.clone(),
    )]);
    for bytes in image.blobs() {
        let path = format!("/v2/{REPOSITORY}/blobs/{}", Digest::of(bytes));
        contents.insert(path, bytes.clone());
    }
    // Slow enough that there is a middle to hit.
    fake.on("GET", "/blobs/")
        .always(Answer::good().slowly(128 * 1024, Duration::from_millis(2)));
    let address = appliance.address();
    std::thread::scope(|scope| {
        for (path, content) in &contents {
            scope.spawn(move || {
                // The box may be gone at any point; what came whole must be right.
                if let Ok(download) = client::try_open(address, "GET", path, &[]) {
                    let reply = download.finish();
                    assert!(!is_whole(&reply) || reply.body == *content, "{path}");
                }
            });
        }
        std::thread::sleep(Duration::from_micros(random.below(150_000)));
        appliance.kill();
    });
    fake.behave();
    appliance.restart();
    assert_clean(appliance);
    figures.kept += assert_whole_files(appliance, &contents);
    resume(fake, appliance, &contents, figures);
    assert_clean(appliance);
    figures.rounds += 1;
}

/// Pulls all of it again: right, and what was staged is not fetched again.
fn resume(
    fake: &FakeUpstream,
    appliance: &Appliance,
    contents: &HashMap<String, Vec<u8>>,
    figures: &mut Figures,
) {
    let mut left = staged(appliance);
    left.retain(|length| *length > 0);
    figures.cut += left.len();
    fake.forget_requests();
    for (path, content) in contents {
        let reply = client::get(appliance.address(), path);
        assert!(is_whole(&reply) && reply.body == *content, "{path}");
    }
    for request in fake.requests() {
        let Some(range) = request.header("Range") else {
            continue;
        };
        let offset = range.trim_start_matches("bytes=").trim_end_matches('-');
        let offset: u64 = offset.parse().expect("an offset");
        let found = left.iter().position(|length| *length == offset);
        left.swap_remove(found.expect("a resumed fill begins where the staged one ended"));
        figures.resumed += 1;
    }
    // What is left had come whole, and only its rename was missing.
    for length in left {
        let whole = |content: &Vec<u8>| content.len() as u64 == length;
        assert!(
            contents.values().any(whole),
            "{length} bytes were fetched again"
        );
    }
    crate::faults::wait_until("nothing is staged any more", || {
        staged(appliance).is_empty()
    });
}

fn is_whole(reply: &Reply) -> bool {
    reply.status == 200 && reply.complete
}

/// Every file among the blobs holds what its name says, by this test's own hashing; how many are of
/// `contents`.
fn assert_whole_files(appliance: &Appliance, contents: &HashMap<String, Vec<u8>>) -> usize {
    let lengths: HashMap<_, _> = contents
        .values()
        .map(|content| (Digest::of(content).hex().to_owned(), content.len()))
        .collect();
    let mut found = 0;
    let root = appliance.data().join("blobs/sha256");
    for directory in std::fs::read_dir(root).into_iter().flatten() {
        for file in std::fs::read_dir(directory.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let Some(length) = lengths.get(&name) else {
                // Of an earlier round: hashed then, and by `verify` now.
                continue;
            };
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(bytes.len(), *length, "{}", path.display());
            assert_eq!(Digest::of(&bytes).hex(), name);
            found += 1;
        }
    }
    found
}
