//! The disk's reserve holds, whatever upstreams send and however many fetch and push at once: the databases go on,
//! and everybody gets what they asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use breakwater::oci::Digest;

use super::{Neighbours, OnDrop, elsewhere};
use crate::support::appliance::Appliance;
use crate::support::client::{Client, assert_sound};
use crate::support::fake_upstream::{Answer, FakeUpstream, noise};
use crate::support::small_disk::SmallDisk;

const MIB: usize = 1024 * 1024;
/// A sixteenth of [`stage`]'s disk.
const RESERVE: u64 = 4 << 20;
/// Of so many bytes two may be announced at once there: half of the room is for what is only announced.
const LARGE: usize = 12 * MIB;
/// What the databases may take of it meanwhile.
const ROWS: u64 = 1 << 20;

/// A box with both tenants on a disk of 64 MiB. `None` where this user may not mount.
fn stage() -> Option<(Neighbours, SmallDisk)> {
    let upstream = elsewhere(FakeUpstream::start);
    let mut appliance = Appliance::builder().upstream(upstream.url()).prepare();
    let disk = SmallDisk::mount(appliance.data(), "64m")?;
    appliance.restart();
    Some((Neighbours::on(upstream, appliance), disk))
}

/// Runs `attack` while the victim pulls; the reserve has to hold.
fn keeps_the_reserve(
    neighbours: &Neighbours,
    disk: &SmallDisk,
    name: &str,
    attack: impl FnOnce() + Send,
) {
    let free = || {
        let space = rustix::fs::statvfs(disk.path()).unwrap();
        space.f_bavail * space.f_frsize
    };
    let (before, attacking) = (free(), AtomicBool::new(true));
    let least = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut least = before;
            while attacking.load(Ordering::Acquire) {
                least = least.min(free());
                std::thread::sleep(Duration::from_millis(1));
            }
            least
        });
        {
            // Also when it panics: the watching must end.
            let _ended = OnDrop(&attacking);
            neighbours.unharmed_by(name, attack);
        }
        watching.join().unwrap()
    });
    println!("{name}: {before} bytes were free before, {least} at the least");
    assert!(least >= RESERVE - ROWS, "{name}: {least} bytes were left");
}

/// Runs `work` for each of these at once.
fn at_once<T: Sync>(all: &[T], work: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        for one in all {
            let work = &work;
            scope.spawn(move || work(one));
        }
    });
}

/// Asks for all of these blobs at once, each of which has to come whole.
fn pull_all(client: &Client, group: &str, blobs: &[Vec<u8>]) {
    at_once(blobs, |blob| {
        let path = format!("/v2/{group}/blobs/{}", Digest::of(blob));
        let answer = client.get(&path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.complete && answer.body == *blob, "{}", answer.head);
    });
}

#[test]
fn blobs_of_unknown_length_leave_the_reserve_for_whoever_asks_for_them() {
    let Some((neighbours, disk)) = stage() else {
        return;
    };
    let repository = "evil/dependency_proxy/containers/endless";
    let appliance = &neighbours.appliance;
    let secret = appliance.token("eve-reads", &["read_registry"]);
    appliance.ok(&["member", "add", "evil", "eve-reads", "--level", "guest"]);
    let scope = format!("repository:{repository}:pull");
    let client = Client::of(appliance).basic("eve-reads", &secret);
    let reader = Client::of(appliance).bearer(&client.token(&[&scope]));
    let upstream = &neighbours.upstream;
    upstream
        .on("GET", "library/endless/blobs/")
        .always(Answer::good().chunked());
    for (seed, what, client) in [
        (10, "a caller who may not fill", reader),
        (20, "a caller who fills", neighbours.attacker(&[repository])),
    ] {
        let blobs = [1, 2].map(|n| noise(seed + n, 48 * MIB));
        for blob in &blobs {
            upstream.put_blob("library/endless", blob);
        }
        keeps_the_reserve(&neighbours, &disk, what, || {
            pull_all(&client, repository, &blobs);
        });
    }
    assert_sound(&neighbours.appliance);
}

#[test]
fn honest_fetches_at_once_leave_the_reserve_and_those_that_fit_are_kept() {
    let Some((neighbours, disk)) = stage() else {
        return;
    };
    let repository = "evil/dependency_proxy/containers/large";
    let client = neighbours.attacker(&[repository]);
    let blobs: Vec<_> = (1..=6).map(|seed| noise(seed, LARGE)).collect();
    let upstream = &neighbours.upstream;
    for blob in &blobs {
        upstream.put_blob("library/large", blob);
    }
    // So that all of them have begun when the first ones have written much.
    upstream
        .on("GET", "library/large/blobs/")
        .always(Answer::good().slowly(MIB / 4, Duration::from_millis(10)));
    keeps_the_reserve(&neighbours, &disk, "six fetches at once", || {
        pull_all(&client, repository, &blobs);
    });
    let kept = blobs.iter().filter(|blob| {
        let path = format!("/v2/{repository}/blobs/{}", Digest::of(blob));
        client.head(&path).cache() == "hit"
    });
    let kept = kept.count();
    println!("{kept} of 6 were kept");
    assert!((2..=4).contains(&kept), "{kept}");
    assert_sound(&neighbours.appliance);
}

#[test]
fn pushes_at_once_leave_the_reserve_and_are_refused_beyond() {
    let Some((neighbours, disk)) = stage() else {
        return;
    };
    let client = neighbours.attacker(&["evil/app"]);
    let blobs: Vec<_> = (1..=6).map(|seed| noise(seed, LARGE)).collect();
    let statuses = std::sync::Mutex::new(Vec::new());
    keeps_the_reserve(&neighbours, &disk, "six pushes at once", || {
        at_once(&blobs, |blob| {
            let path = format!("/v2/evil/app/blobs/uploads/?digest={}", Digest::of(blob));
            let answer = client.try_request("POST", &path, blob);
            let status = answer.map_or(0, |answer| answer.status);
            statuses.lock().unwrap().push(status);
        });
    });
    let mut statuses = statuses.into_inner().unwrap();
    statuses.sort_unstable();
    println!("{statuses:?}");
    let kept = statuses.iter().filter(|status| **status == 201).count();
    assert!((2..=4).contains(&kept), "{statuses:?}");
    assert!(
        statuses
            .iter()
            .all(|status| matches!(status, 0 | 201 | 507))
    );
    assert_sound(&neighbours.appliance);
}

#[test]
fn answers_that_nobody_reads_leave_the_reserve() {
    let Some((neighbours, disk)) = stage() else {
        return;
    };
    let repository = "evil/dependency_proxy/containers/many";
    let client = neighbours.attacker(&[repository]);
    let tags: Vec<String> = (0..12 * MIB / 16)
        .map(|n| format!("\"tag-{n:09}\""))
        .collect();
    let list = format!(r#"{{"name":"library/many","tags":[{}]}}"#, tags.join(","));
    neighbours
        .upstream
        .on("GET", "library/many/tags/list")
        .always(Answer::body(200, "application/json", list));
    keeps_the_reserve(&neighbours, &disk, "silent readers of lists", || {
        let path = format!("/v2/{repository}/tags/list");
        let opened: Vec<_> = (0..8).map(|_| client.open(&path)).collect();
        let statuses: Vec<_> = opened.iter().map(|one| one.answer.status).collect();
        println!("{statuses:?}");
        assert_eq!(statuses[..2], [200, 200]);
        assert!(statuses.iter().all(|status| matches!(status, 200 | 503)));
    });
}
