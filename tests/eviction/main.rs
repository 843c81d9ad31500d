//! Which image goes first: the order of `upkeep::eviction::order` and those of the literature, measured with synthetic
//! traces. `scripts/bench --eviction` runs the long form, and prints the tables.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on shall say so where it stands"
)]

mod policies;
mod replay;
mod trace;

use policies::{GreedyDual, Lru, Ours, Policy, Ranked, Sieve};
use replay::{Figures, replay};
use trace::{Scale, Trace};

const PERCENTS: [u64; 3] = [5, 10, 25];

type MakePolicy = fn(&Trace) -> Box<dyn Policy>;

const OURS: (&str, MakePolicy) = ("Breakwater", |trace| {
    Box::new(Ranked::new(Ours::new(trace)))
});
const LRU: (&str, MakePolicy) = ("LRU", |trace| Box::new(Ranked::new(Lru::new(trace))));
const LFU: (&str, MakePolicy) = ("LFU, ageing", |trace| {
    Box::new(Ranked::new(GreedyDual::lfu(trace)))
});
const PACKETS: (&str, MakePolicy) = ("GDSF, packets", |trace| {
    Box::new(Ranked::new(GreedyDual::packets(trace)))
});
const REQUESTS: (&str, MakePolicy) = ("GDSF, requests", |trace| {
    Box::new(Ranked::new(GreedyDual::requests(trace)))
});
const SIEVE: (&str, MakePolicy) = ("SIEVE", |trace| Box::new(Sieve::new(trace)));
const EXCLUSIVE: (&str, MakePolicy) = ("by exclusive bytes", |trace| {
    Box::new(Ranked::new(Ours::by_exclusive_bytes(trace)))
});

const OTHERS: [(&str, MakePolicy); 5] = [LRU, LFU, PACKETS, REQUESTS, SIEVE];

/// Byte hit ratio and image hit ratio.
type Ratios = (f64, f64);

type Figure = fn(Ratios) -> f64;
const BYTES: Figure = |ratios| ratios.0;
const IMAGES: Figure = |ratios| ratios.1;

/// Of each policy: of each trace, at each size.
struct Table {
    policies: Vec<&'static str>,
    traces: Vec<&'static str>,
    ratios: Vec<Vec<Ratios>>,
}

/// The mean over `seeds`.
fn measure(policies: &[(&'static str, MakePolicy)], seeds: u64, scale: Scale) -> Table {
    let mut traces = Vec::new();
    let mut ratios = vec![Vec::new(); policies.len()];
    for seed in 1..=seeds {
        let of_seed = trace::all(seed, scale);
        traces = of_seed.iter().map(|trace| trace.name).collect();
        for ((_, make), ratios) in policies.iter().zip(&mut ratios) {
            let figures = of_seed.iter().flat_map(|trace| {
                PERCENTS.map(|percent| {
                    replay(trace, trace.footprint() / 100 * percent, &mut *make(trace))
                })
            });
            add(ratios, figures, seeds);
        }
    }
    Table {
        policies: policies.iter().map(|(name, _)| *name).collect(),
        traces,
        ratios,
    }
}

fn add(sums: &mut Vec<Ratios>, figures: impl Iterator<Item = Figures>, seeds: u64) {
    for (place, figures) in figures.enumerate() {
        if place == sums.len() {
            sums.push((0.0, 0.0));
        }
        sums[place].0 += figures.byte_ratio() / seeds as f64;
        sums[place].1 += figures.image_ratio() / seeds as f64;
    }
}

impl Table {
    fn print(&self, title: &str, figure: Figure) {
        println!("\n{title}\n");
        print!("{:20}", "");
        for trace in &self.traces {
            for percent in PERCENTS {
                print!("{:>11}", format!("{trace} {percent} %"));
            }
        }
        println!("{:>8}", "mean");
        for (policy, ratios) in self.policies.iter().zip(&self.ratios) {
            print!("{policy:20}");
            for ratio in ratios {
                print!("{:>11.1}", 100.0 * figure(*ratio));
            }
            println!("{:>8.1}", 100.0 * mean(ratios, figure));
        }
    }
}

fn mean(ratios: &[Ratios], figure: Figure) -> f64 {
    ratios.iter().map(|ratio| figure(*ratio)).sum::<f64>() / ratios.len() as f64
}

#[test]
fn the_order_saves_as_many_bytes_as_any_other_and_more_whole_images() {
    let policies = [&[OURS], &OTHERS[..], &[EXCLUSIVE]].concat();
    let scale = Scale {
        days: 20,
        images: 500,
        a_day: 120,
    };
    let table = measure(&policies, 2, scale);
    table.print("Bytes", BYTES);
    table.print("Pulls", IMAGES);

    let ours = &table.ratios[0];
    for (policy, theirs) in table.policies.iter().zip(&table.ratios).skip(1) {
        for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            let (trace, percent) = (table.traces[place / 3], PERCENTS[place % 3]);
            let of = format!("{policy}, {trace}, {percent} %: {ours:?}, {theirs:?}");
            assert!(ours.0 > theirs.0 - 0.015, "bytes of {of}");
            assert!(ours.1 > theirs.1 - 0.01, "images of {of}");
        }
        let ahead = mean(ours, IMAGES) - mean(theirs, IMAGES);
        assert!(ahead > 0.01, "images of {policy}, by {ahead}");
    }
    let ahead = mean(ours, BYTES) - mean(&table.ratios[1], BYTES);
    assert!(ahead > 0.005, "bytes of LRU, by {ahead}");
}

#[test]
#[ignore = "the long form, for scripts/bench --eviction"]
fn tables() {
    let policies = [&[OURS], &OTHERS[..], &[EXCLUSIVE]].concat();
    let scale = Scale {
        days: 60,
        images: 3000,
        a_day: 500,
    };
    let table = measure(&policies, 8, scale);
    table.print(
        "Bytes that did not have to be fetched, in percent",
        |ratios| ratios.0,
    );
    table.print(
        "Pulls for which nothing had to be fetched, in percent",
        |ratios| ratios.1,
    );
}
