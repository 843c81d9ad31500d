//! Two tenants on one box: whatever one of them does, or nobody at all, the other one's pulls go on as before.
//!
//! ```ignore
//! let neighbours = Neighbours::start();
//! let eve = neighbours.attacker(&["evil/app"]);            // pull, push and delete there
//! // … what the attack needs is prepared here …
//! neighbours.unharmed_by("eight lists, hung up", || { … the attack … });
//! ```
//!
//! [`Neighbours::unharmed_by`] measures the victim's warm pulls calm, then while the attack runs, and demands that the
//! 95th percentile stays within twice its calm value, that readiness is answered, that the box's memory stays below
//! [`MEMORY`], and that nothing of the victim's changed. Ratios of fractions of a millisecond are noise on a busy
//! machine, so what is faster than [`floor`] passes. Figures are printed: `scripts/bench --neighbours` shows them for
//! a release build, with a floor of a millisecond.

mod audit;
mod disk;
mod doors;
mod lists;
mod logins;

mod manifests;
mod memory;
mod notes;
mod queries;
mod rules;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::appliance::{Appliance, Builder};
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{Hosted, bytes, push_image};

/// What the box may hold at most during an attack.
pub(crate) const MEMORY: u64 = 96 << 20;
/// How long the victim's pulls are measured without an attack, and at least while one runs or has just ended.
const MEASURED: Duration = Duration::from_secs(2);
/// Between two pulls, so that measuring does not take a processor of its own.
const PAUSE: Duration = Duration::from_millis(2);
/// Between two requests of a probe.
const PROBE_PAUSE: Duration = Duration::from_millis(20);

/// A running box with the tenants `good` and `evil`. `good` has a pushed and a cached image.
pub(crate) struct Neighbours {
    /// `docker.io`.
    pub(crate) upstream: FakeUpstream,
    pub(crate) appliance: Appliance,
    /// A token with `api` of `eve`, who owns the group `evil` with the project `evil/app`.
    pub(crate) secret: String,
    /// A client of `gus`, a maintainer of `good`, with a JWT for what is pulled.
    pub(crate) victim: Client,
    /// Requests of the victim with the bodies that they must be answered with.
    pulls: Vec<(String, Vec<u8>)>,
}

/// What one run measured.
#[derive(Debug, Default)]
struct Measured {
    pulls: Vec<Duration>,
    probes: Vec<Duration>,
}

impl Neighbours {
    pub(crate) fn start() -> Self {
        Self::of(Appliance::builder())
    }

    /// With further configuration.
    pub(crate) fn of(builder: Builder) -> Self {
        let upstream = elsewhere(FakeUpstream::start);
        let appliance = builder.upstream(upstream.url()).start();
        Self::on(upstream, appliance)
    }

    /// On a box that runs already, whose `docker.io` is `upstream`.
    pub(crate) fn on(upstream: FakeUpstream, appliance: Appliance) -> Self {
        let cached = Image::oci(7, &[1_000]);
        upstream.put_image("library/alpine", "latest", &cached);
        for (group, user, level) in [("good", "gus", "maintainer"), ("evil", "eve", "owner")] {
            appliance.ok(&["group", "add", group]);
            appliance.ok(&["project", "add", &format!("{group}/app")]);
            appliance.token(user, &["api"]);
            appliance.ok(&["member", "add", group, user, "--level", level]);
        }
        let secret = appliance.token("eve", &["api"]);
        let victims = appliance.token("gus", &["api"]);
        let hosted = Hosted {
            appliance,
            secret: victims,
        };
        let proxied = "good/dependency_proxy/containers/alpine";
        let victim = hosted.client_as(
            "gus",
            &hosted.secret,
            &["good/app", proxied],
            "pull,push,delete",
        );
        let layer = bytes(3, 1_000);
        let (_, pushed) = push_image(&victim, "good/app", "latest", &[&layer]);
        let pulls = vec![
            (
                format!("/v2/{proxied}/manifests/latest"),
                cached.manifest.clone(),
            ),
            (
                format!("/v2/{proxied}/blobs/{}", cached.layer_digest(0)),
                cached.layers[0].clone(),
            ),
            ("/v2/good/app/manifests/latest".to_owned(), pushed),
            (
                format!("/v2/good/app/blobs/{}", breakwater::oci::Digest::of(&layer)),
                layer,
            ),
        ];
        let neighbours = Self {
            upstream,
            appliance: hosted.appliance,
            secret,
            victim,
            pulls,
        };
        // Cold once, so that they are warm from here on.
        for (path, body) in &neighbours.pulls {
            neighbours.pull(path, body);
        }
        neighbours
    }

    /// A client of the attacker's with a JWT for everything in these repositories.
    pub(crate) fn attacker(&self, repositories: &[&str]) -> Client {
        let scopes: Vec<String> = repositories
            .iter()
            .map(|repository| format!("repository:{repository}:pull,push,delete"))
            .collect();
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let client = Client::of(&self.appliance);
        let jwt = client.basic("eve", &self.secret).token(&scopes);
        client.bearer(&jwt)
    }

    /// A client of the attacker's for the REST API.
    pub(crate) fn attacker_rest(&self) -> Client {
        Client::of(&self.appliance).with("PRIVATE-TOKEN", &self.secret)
    }

    /// Runs `attack` while the victim pulls, and panics where the victim notices it.
    pub(crate) fn unharmed_by(&self, name: &str, attack: impl FnOnce() + Send) {
        let before = self.belongings();
        let calm = self.measure(|| ());
        self.appliance.reset_peak_memory();
        let attacked = self.measure(attack);
        let peak = self.appliance.memory().peak;
        let (calm_p95, p95) = (percentile(&calm.pulls), percentile(&attacked.pulls));
        let slowest = attacked.pulls.iter().max().copied().unwrap_or_default();
        let (calm_probe, probe) = (percentile(&calm.probes), percentile(&attacked.probes));
        println!(
            "{name}: pulls {} calm, {} attacked; 95th percentile {calm_p95:?} calm, {p95:?} attacked, slowest {slowest:?}; \
             readiness {calm_probe:?} calm, {probe:?} attacked; peak {:.1} MB",
            calm.pulls.len(),
            attacked.pulls.len(),
            peak as f64 / 1e6,
        );
        assert!(
            p95 <= (2 * calm_p95).max(floor()),
            "{name}: the victim's pulls took {p95:?} instead of {calm_p95:?}"
        );
        let readiness = Duration::from_millis(100).max(2 * calm_probe);
        assert!(probe <= readiness, "{name}: readiness took {probe:?}");
        assert!(peak < MEMORY, "{name}: the box held {peak} bytes");
        assert_eq!(self.belongings(), before, "{name}");
        let fetched = self.upstream.count("GET", "library/alpine/blobs/");
        assert_eq!(
            fetched, 1,
            "{name}: the victim's blob had to be fetched again"
        );
    }

    /// Pulls and probes until `attack` has ended and [`MEASURED`] is over.
    fn measure(&self, attack: impl FnOnce() + Send) -> Measured {
        let attacking = AtomicBool::new(true);
        let begun = Instant::now();
        let goes_on = || attacking.load(Ordering::Acquire) || begun.elapsed() < MEASURED;
        std::thread::scope(|scope| {
            let attack = scope.spawn(|| {
                // Also when it panics: the measuring must end.
                let _ended = OnDrop(&attacking);
                elsewhere(attack);
            });
            let probes = scope.spawn(|| {
                repeatedly(PROBE_PAUSE, goes_on, || {
                    let answer = Client::of(&self.appliance).get("/-/readiness");
                    assert_eq!(answer.status, 200, "{answer:?}");
                })
            });
            let mut turns = self.pulls.iter().cycle();
            let pulls = repeatedly(PAUSE, goes_on, || {
                let (path, body) = turns.next().unwrap();
                self.pull(path, body);
            });
            attack.join().unwrap();
            Measured {
                pulls,
                probes: probes.join().unwrap(),
            }
        })
    }

    fn pull(&self, path: &str, body: &[u8]) {
        let answer = self.victim.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.complete && answer.body == body, "{path}");
    }

    /// What the victim has, as it is told.
    fn belongings(&self) -> Vec<String> {
        let lists = [
            "/v2/good/app/tags/list",
            "/v2/good/dependency_proxy/containers/alpine/tags/list",
        ];
        let listed = lists.iter().map(|path| self.victim.get(path).text());
        let commands: [&[&str]; 4] = [
            &["group", "show", "good", "--json"],
            &["project", "show", "good/app", "--json"],
            &["member", "list", "good", "--json"],
            &["rule", "list", "good/app", "--json"],
        ];
        let commands = commands.iter().map(|command| {
            let mut told = self.appliance.json(command);
            // Counted from pulls, which are noted a while later.
            if let Some(bytes) = told.pointer_mut("/contents/cached_bytes") {
                bytes.take();
            }
            told.to_string()
        });
        listed.chain(commands).collect()
    }
}

/// What is not slower than this is not held against an attack.
fn floor() -> Duration {
    let given = std::env::var("NEIGHBOURS_FLOOR_MS").ok();
    let given = given.and_then(|text| text.parse().ok());
    Duration::from_millis(given.unwrap_or(50))
}

/// Runs what would run on a machine of its own, an attacker's clients or an upstream: here it goes behind the box and
/// the victim, with all threads that it starts.
fn elsewhere<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let niced = || {
        rustix::process::setpriority_process(None, 19).expect("a lower priority needs no right");
        work()
    };
    std::thread::scope(|scope| scope.spawn(niced).join().unwrap())
}

/// Does it with pauses for as long as it `goes_on`; how long each took.
fn repeatedly(
    pause: Duration,
    goes_on: impl Fn() -> bool,
    mut work: impl FnMut(),
) -> Vec<Duration> {
    let mut taken = Vec::new();
    while goes_on() {
        let begun = Instant::now();
        work();
        taken.push(begun.elapsed());
        std::thread::sleep(pause);
    }
    taken
}

/// The 95th.
fn percentile(taken: &[Duration]) -> Duration {
    let mut sorted = taken.to_vec();
    sorted.sort_unstable();
    let at = sorted.len() * 95 / 100;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .expect("something was measured")
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[test]
fn who_asks_again_and_again_for_a_neighbours_things_finds_nothing() {
    let neighbours = Neighbours::start();
    let registry = neighbours.attacker(&["good/app"]);
    let rest = neighbours.attacker_rest();
    neighbours.unharmed_by("asking for what is the neighbour's", || {
        for _ in 0..50 {
            for (path, _) in &neighbours.pulls {
                let status = registry.get(path).status;
                assert!(matches!(status, 401 | 404), "{path}: {status}");
            }
            assert_eq!(rest.get("/api/v4/projects/good%2Fapp").status, 404);
        }
    });
}
