//! A year of a farm in a minute, by a clock of its own: pulls, pushes, evictions, outages, full disks, restarts, purges and
//! pins. After each step all that the box claims to hold is there.
//!
//! `BREAKWATER_YEAR_SEED` repeats a run, `BREAKWATER_YEAR_STEPS` makes it longer, `BREAKWATER_YEAR_IMAGES` the farm larger.

use std::path::Path;
use std::process::Command;

use breakwater::store::Pins;
use breakwater::upkeep;
use breakwater::upkeep::purge::{Purge, select};
use breakwater::upstream::{Settings, Upstream};

use super::*;
use crate::crash::{Random, number};
use crate::support::appliance::Appliance;
use crate::support::client::Client;

const GROUPS: [GroupId; 3] = [GroupId(1), GroupId(2), GroupId(3)];
const IMAGES: u64 = 150;
/// Bytes of the cache for each image that the upstreams have: for some of them.
const ROOM: u64 = 13_000;

fn noise(random: &mut Random, length: u64) -> Vec<u8> {
    (0..length).map(|_| random.below(256) as u8).collect()
}

/// What the upstreams have: some base layers, many images, some for two platforms, and most new from time to time.
struct Upstreams {
    bases: Vec<Vec<u8>>,
    images: Vec<Image>,
}

impl Upstreams {
    fn new(random: &mut Random, images: u64) -> Self {
        let bases = (0..12).map(|_| {
            let length = 2_000 + random.below(30_000);
            noise(random, length)
        });
        let mut upstreams = Self {
            bases: bases.collect(),
            images: Vec::new(),
        };
        for number in 0..images {
            let image = upstreams.image(random, number);
            upstreams.images.push(image);
        }
        upstreams
    }

    fn image(&self, random: &mut Random, number: u64) -> Image {
        let platforms = 1 + random.below(2);
        let platforms = (0..platforms).map(|_| {
            let base = self.bases[random.below(self.bases.len() as u64) as usize].clone();
            let config = noise(random, 100);
            // Most layers are small, a few are large.
            let length = match random.below(10) {
                0 => 100_000,
                1 | 2 => 20_000,
                _ => 1_000,
            };
            let layer = random.below(length) + 1;
            vec![config, base, noise(random, layer)]
        });
        let platforms = platforms.collect();
        Image {
            upstream: UPSTREAMS[(number % 3) as usize],
            repository: format!("team/app{}", number % 40),
            tag: format!("v{}", number / 40),
            platforms,
        }
    }

    /// Low numbers are popular.
    fn some(&self, random: &mut Random) -> Image {
        let most = 1 + random.below(self.images.len() as u64);
        self.images[random.below(most) as usize].clone()
    }
}

/// What happened, so that a run that meets nothing fails.
#[derive(Debug, Default)]
struct Figures {
    hits: u32,
    fills: u32,
    not_kept: u32,
    failed: u32,
    evicted: u64,
    restarts: u32,
    outages: u32,
    purges: u32,
    moved: u32,
    /// Tags pulled whole from a server whose upstreams are off.
    pulled_offline: u32,
}

#[test]
fn after_each_step_of_a_year_all_that_is_claimed_is_there() {
    let seed = number("BREAKWATER_YEAR_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let steps = number("BREAKWATER_YEAR_STEPS").unwrap_or(400);
    let images = number("BREAKWATER_YEAR_IMAGES").unwrap_or(IMAGES);
    println!(
        "BREAKWATER_YEAR_SEED={seed} BREAKWATER_YEAR_STEPS={steps} BREAKWATER_YEAR_IMAGES={images}"
    );
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut upstreams = Upstreams::new(&mut random, images);
    let mut farm = Farm::new(Limits {
        max_size: Some(images * ROOM),
        unused_days: 90,
        ..NO_LIMITS
    });
    let mut figures = Figures::default();
    let mut pushed: Vec<Digest> = Vec::new();
    let mut filled: HashSet<String> = HashSet::new();
    for step in 0..steps {
        farm.pass(1 + random.below(2 * 365 * DAY as u64 / steps) as i64);
        match random.below(40) {
            0 => {
                figures.outages += 1;
                farm.weather
                    .away
                    .insert(UPSTREAMS[random.below(3) as usize]);
            }
            1 | 2 => farm.weather.away.clear(),
            3 => farm.weather.is_offline = !farm.weather.is_offline,
            4 => farm.weather.is_offline = false,
            5 => {
                let pin = upstreams.some(&mut random).name();
                if farm.pins().rows.len() < 10 {
                    farm.pin(&pin);
                }
            }
            6 => {
                if let Some(pin) = farm.pins().rows.first() {
                    farm.unpin(&pin.pattern.to_string());
                }
            }
            7 => {
                let bytes = noise(&mut random, 3_000);
                pushed.push(farm.workshop.push_blob("acme/api", &bytes));
                let tag = format!("t{step}");
                let (manifest, taken) = farm.workshop.put_image("acme/api", Some(&tag), &[&bytes]);
                assert!(taken);
                pushed.push(manifest);
            }
            8 => {
                figures.restarts += 1;
                farm.restart(random.below(2) == 0);
            }
            9 => {
                figures.purges += 1;
                purge(&farm, &mut random);
            }
            // A tag moves.
            10..=12 => {
                figures.moved += 1;
                let place = random.below(upstreams.images.len() as u64);
                let moved = upstreams.image(&mut random, place);
                upstreams.images[place as usize] = moved;
            }
            13 => {
                let image = upstreams.some(&mut random);
                let (repository, now) = (farm.repository(&image), farm.now());
                let tag = Tag::parse(&image.tag).unwrap();
                farm.store().cache.mark_gone(repository, &tag, now).unwrap();
            }
            // The disk has less and less room, and then enough again.
            14 => {
                let (free, _) = farm.store().blobs.space().unwrap();
                farm.limits.min_free = match random.below(4) {
                    0 => free * 2,
                    _ => 0,
                };
            }
            _ => {
                for _ in 0..=random.below(6 * images / IMAGES) {
                    pull(
                        &mut farm,
                        &upstreams,
                        &mut random,
                        &mut figures,
                        &mut filled,
                    );
                }
            }
        }
        let pinned = pinned(&farm);
        let before = farm.claims();
        farm.round();
        check(&farm, &filled, &pushed);
        for name in pinned {
            assert!(
                farm.claims().contains_key(&name),
                "step {step}: {name} was pinned"
            );
        }
        if farm.weather.is_offline && farm.limits.min_free == 0 {
            assert_eq!(
                farm.claims(),
                before,
                "step {step}: an outage deletes nothing"
            );
        }
        figures.evicted += (before.len() - farm.claims().len()) as u64;
        if step % 20 == 19 {
            settle(&mut farm, &filled, &pushed);
        }
        if step % 100 == 99 {
            figures.pulled_offline += pull_all_offline(&farm);
        }
    }
    println!("{figures:?}");
    assert!(steps < 300 || figures.evicted > 20, "{figures:?}");
    assert!(steps < 300 || figures.pulled_offline > 50, "{figures:?}");
    assert!(
        steps < 300 || figures.hits > 50 && figures.not_kept + figures.failed > 0,
        "{figures:?}"
    );
}

fn pull(
    farm: &mut Farm,
    upstreams: &Upstreams,
    random: &mut Random,
    figures: &mut Figures,
    filled: &mut HashSet<String>,
) {
    let image = upstreams.some(random);
    let platform = random.below(image.platforms.len() as u64) as usize;
    let group = GROUPS[random.below(3) as usize];
    let top = match image.is_index() {
        true => Digest::of(&image.index()),
        false => Digest::of(&image.manifest(0)),
    };
    let was_whole =
        filled.contains(&whole(&image, platform)) && farm.claims().get(&image.name()) == Some(&top);
    match farm.pull(&image, platform, group) {
        Pulled::Hit => figures.hits += 1,
        Pulled::Filled => figures.fills += 1,
        Pulled::NotKept => figures.not_kept += 1,
        Pulled::Failed => {
            figures.failed += 1;
            // What was claimed and pulled whole before can be pulled with the upstream off, unless its platform went by
            // itself.
            let child = Digest::of(&image.manifest(platform));
            let repository = farm.repository(&image);
            let is_here = farm
                .store()
                .cache
                .manifest(repository, &child)
                .unwrap()
                .is_some();
            assert!(!(was_whole && is_here), "{} was here", image.name());
            return;
        }
    }
    let repository = farm.repository(&image);
    let child = Digest::of(&image.manifest(platform));
    if farm.is_whole(repository, &child) {
        filled.insert(whole(&image, platform));
        filled.insert(format!("{repository:?} {child}"));
    } else {
        filled.remove(&whole(&image, platform));
        filled.remove(&format!("{repository:?} {child}"));
    }
}

fn whole(image: &Image, platform: usize) -> String {
    format!("{} {}", image.name(), Digest::of(&image.manifest(platform)))
}

fn purge(farm: &Farm, random: &mut Random) {
    let group = GROUPS[random.below(3) as usize];
    let store = farm.store();
    store.cache.write_notes().unwrap();
    let inventory = store.content.inventory().unwrap();
    let third = random.below(3) as i64;
    let purge = Purge::PulledBy(group, &|repository| repository.id.0 % 3 == third);
    let selection = select(&inventory, &purge, &Pins::default());
    upkeep::purge::purge(store, &inventory, &purge, &selection).unwrap();
}

/// The pinned images that the box claims to hold.
fn pinned(farm: &Farm) -> Vec<String> {
    let pins = farm.pins();
    let mut claims: Vec<String> = farm.claims().into_keys().collect();
    claims.retain(|name| pins.hold(name));
    claims
}

/// Every manifest that was once kept whole and is still here is still whole, and nothing pushed is gone.
fn check(farm: &Farm, filled: &HashSet<String>, pushed: &[Digest]) {
    let inventory = farm.store().content.inventory().unwrap();
    for manifest in &inventory.manifests {
        let repository = inventory.repositories[manifest.repository].id;
        assert!(farm.workshop.file_exists(&manifest.digest));
        if farm.indexes.contains(&manifest.digest) {
            continue;
        }
        if filled.contains(&format!("{repository:?} {}", manifest.digest)) {
            assert!(
                farm.is_whole(repository, &manifest.digest),
                "{} lost a layer",
                manifest.digest
            );
        }
    }
    for digest in pushed {
        assert!(farm.workshop.file_exists(digest), "{digest} was pushed");
    }
}

/// Once things are quiet no limit is exceeded, and rows and files agree.
fn settle(farm: &mut Farm, filled: &HashSet<String>, pushed: &[Digest]) {
    farm.weather.away.clear();
    farm.weather.is_offline = false;
    farm.limits.min_free = 0;
    farm.pass(2 * HOUR);
    farm.round();
    farm.store().finish_removals().unwrap();
    check(farm, filled, pushed);
    let inventory = farm.store().content.inventory().unwrap();
    let pins = farm.pins();
    let held: u64 = farm.store().cache.used().unwrap();
    let pinned = inventory.manifests.iter().filter(|manifest| {
        let names = inventory.names(manifest);
        names.iter().any(|name| pins.hold(name))
    });
    let most = farm.limits.max_size.unwrap() + pinned.count() as u64 * 200_000;
    assert!(held <= most, "{held} of {most}");
    let report = upkeep::verify(farm.store(), &|_, _| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.damage);
    let sum: u64 = inventory.blobs.iter().map(|blob| blob.size).sum();
    assert_eq!(sum, held, "the sum is kept as rows come and go");
}

/// Starts a server on a copy of what is cached, with its upstreams off, and pulls every tag that is claimed, as clients do.
/// Says how many came whole, with at least one platform: all but those that are listed as kept in part.
fn pull_all_offline(farm: &Farm) -> u32 {
    let tables = UPSTREAMS.map(|name| format!("[upstreams.\"{name}\"]\nurl = \"http://{name}\""));
    let settings = "offline = true\n[cache]\nunused_days = 0\nmin_free = '0'\n";
    let mut appliance = Appliance::builder()
        .toml(&format!("{settings}{}", tables.join("\n")))
        .start();
    appliance.stop();
    copy_cache(farm, &appliance.data());
    appliance.restart();
    let client = Client::of(&appliance);
    let mut whole = 0;
    for image in farm
        .store()
        .cache
        .images(&ImageFilter::default(), Window::ALL)
        .unwrap()
        .entries
    {
        let (Some(upstream), Some(tag)) = (&image.upstream, &image.tag) else {
            continue;
        };
        let get = |what: &str, reference: &str| {
            let place = format!("/v2/{}/{what}/{reference}?ns={upstream}", image.repository);
            client.get(&place)
        };
        let top = get("manifests", tag);
        if image.missing > 0 && top.status == 503 {
            // Nothing but manifests is here, as it is listed.
            continue;
        }
        assert_eq!(top.status, 200, "{}", image.name());
        let top_digest = Digest::of(&top.body);
        assert_eq!(top_digest.as_str(), image.digest, "{}", image.name());
        let children = match farm.indexes.contains(&top_digest) {
            true => farm.contents[&top_digest].clone(),
            false => vec![top_digest],
        };
        let host = RegistryHost::parse(upstream).unwrap();
        let origin = farm.store().cache.origin(&host, "anonymous").unwrap();
        let name = RepositoryName::parse(&image.repository).unwrap();
        let repository = farm.store().cache.repository(origin, &name).unwrap();
        let here = children
            .iter()
            .filter(|child| farm.is_whole(repository, child))
            .inspect(|child| {
                assert_eq!(Digest::of(&get("manifests", child.as_str()).body), **child);
                for layer in &farm.contents[*child] {
                    let answer = get("blobs", layer.as_str());
                    assert_eq!(Digest::of(&answer.body), *layer, "of {}", image.name());
                }
            });
        let here = here.count();
        assert!(
            here > 0 || image.missing > 0,
            "{} is listed as whole",
            image.name()
        );
        whole += u32::from(here > 0);
    }
    whole
}

/// Puts rows and files of what is cached into a data directory of a server that does not run.
fn copy_cache(farm: &Farm, data: &Path) {
    let from = farm.store().directory();
    std::fs::remove_dir_all(data.join("blobs")).unwrap();
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(from.join("blobs"));
    for file in ["cache.sqlite", "cache.sqlite-wal"] {
        let _ = std::fs::remove_file(data.join(file));
        if from.join(file).exists() {
            copy.arg(from.join(file));
        }
    }
    assert!(copy.arg(data).status().unwrap().success());
    let cache = rusqlite::Connection::open(data.join("cache.sqlite")).unwrap();
    for name in UPSTREAMS {
        let settings = Settings {
            name: RegistryHost::parse(name).unwrap(),
            ..crate::upstream::settings(&format!("http://{name}"))
        };
        let upstream = Upstream::new(settings, Arc::default()).unwrap();
        let text = "UPDATE origins SET fingerprint = ?1 WHERE upstream = ?2";
        cache.execute(text, [upstream.fingerprint(), name]).unwrap();
    }
}
