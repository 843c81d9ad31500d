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

/// Sizes of the cache, in percent of all that is ever pulled.
const PERCENTS: [u64; 3] = [5, 10, 25];

type MakePolicy = fn(&Trace) -> Box<dyn Policy>;

const OURS: (&str, MakePolicy) = ("Breakwater", |trace| Ranked::boxed(Ours::new(trace)));

const OTHERS: [(&str, MakePolicy); 5] = [
    ("LRU", |trace| Ranked::boxed(Lru::new(trace))),
    ("LFU", |trace| Ranked::boxed(GreedyDual::lfu(trace))),
    ("GDSF packets", |trace| {
        Ranked::boxed(GreedyDual::packets(trace))
    }),
    ("GDSF requests", |trace| {
        Ranked::boxed(GreedyDual::requests(trace))
    }),
    ("SIEVE", |trace| Box::new(Sieve::new(trace))),
];

const EXCLUSIVE: (&str, MakePolicy) = ("exclusive bytes", |trace| {
    Ranked::boxed(Ours::by_exclusive_bytes(trace))
});

/// Byte hit ratio and image hit ratio.
type Ratios = (f64, f64);

type Figure = fn(Ratios) -> f64;
const BYTES: Figure = |ratios| ratios.0;
const IMAGES: Figure = |ratios| ratios.1;

struct Table {
    policies: Vec<&'static str>,
    /// Each trace at each size.
    rows: Vec<(&'static str, u64)>,
    /// Of each policy: of each row.
    ratios: Vec<Vec<Ratios>>,
}

/// The mean over `seeds`.
fn measure(
    policies: &[(&'static str, MakePolicy)],
    percents: &[u64],
    seeds: u64,
    scale: Scale,
) -> Table {
    let mut rows = Vec::new();
    let mut ratios = vec![Vec::new(); policies.len()];
    for seed in 1..=seeds {
        let traces = trace::all(seed, scale);
        let runs = traces.iter().flat_map(|trace| {
            let sizes = percents.iter();
            sizes.map(move |percent| (trace, *percent))
        });
        rows = runs
            .clone()
            .map(|(trace, percent)| (trace.name, percent))
            .collect();
        for ((_, make), ratios) in policies.iter().zip(&mut ratios) {
            let figures = runs.clone().map(|(trace, percent)| {
                let capacity = trace.footprint() / 100 * percent;
                replay(trace, capacity, &mut *make(trace))
            });
            add(ratios, figures, seeds);
        }
    }
    Table {
        policies: policies.iter().map(|(name, _)| *name).collect(),
        rows,
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
    /// As Markdown, in percent.
    fn print(&self, title: &str, figure: Figure) {
        println!(
            "\n{title}\n\n| trace | size | {} |",
            self.policies.join(" | ")
        );
        println!("|---|--:|{}", "--:|".repeat(self.policies.len()));
        for (place, (trace, percent)) in self.rows.iter().enumerate() {
            let of_row = self.ratios.iter().map(|ratios| figure(ratios[place]));
            println!("| {trace} | {percent} % | {}", cells(of_row));
        }
        let means = self.ratios.iter().map(|ratios| mean(ratios, figure));
        println!("| mean | | {}", cells(means));
    }
}

fn cells(ratios: impl Iterator<Item = f64>) -> String {
    ratios
        .map(|ratio| format!("{:.1} |", 100.0 * ratio))
        .collect::<Vec<_>>()
        .join(" ")
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
    let table = measure(&policies, &PERCENTS, 2, scale);
    table.print("Bytes", BYTES);
    table.print("Pulls", IMAGES);

    let ours = &table.ratios[0];
    for (policy, theirs) in table.policies.iter().zip(&table.ratios).skip(1) {
        for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            let (trace, percent) = table.rows[place];
            let of = format!("{policy}, {trace}, {percent} %: {ours:?}, {theirs:?}");
            assert!(ours.0 > theirs.0 - 0.01, "bytes of {of}");
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
    let table = measure(&policies, &PERCENTS, 8, scale);
    table.print("Bytes that did not have to be fetched", BYTES);
    table.print("Pulls for which nothing had to be fetched", IMAGES);
    let curve = measure(&[OURS], &[1, 2, 5, 10, 25, 50, 100], 8, scale);
    curve.print("Breakwater: bytes", BYTES);
    curve.print("Breakwater: pulls", IMAGES);
}
