//! `/metrics` and the probes of the running server: what they say, to whom, and that the text is one that
//! Prometheus reads.

mod access;
mod counters;
mod probes;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use breakwater::metrics::MetricKind;
use breakwater::server;

use crate::support::appliance::Appliance;
use crate::support::client::Client;

/// A page as a scraper reads it: every sample by its name and labels.
pub(crate) struct Scrape {
    pub(crate) samples: BTreeMap<String, f64>,
    pub(crate) text: String,
}

impl Scrape {
    pub(crate) fn of(appliance: &Appliance) -> Self {
        let answer = Client::of(appliance).get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            answer.field("Content-Type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        Self::parse(&answer.text())
    }

    /// Reads the text format strictly: every sample below its own HELP and TYPE, none twice, labels quoted,
    /// histograms whole.
    fn parse(text: &str) -> Self {
        let catalog: HashMap<_, _> = server::metrics_catalog()
            .map(|metric| (metric.name, metric))
            .collect();
        assert!(text.ends_with('\n'), "the last line has an end");
        let mut samples = BTreeMap::new();
        let mut families = Vec::new();
        let mut current = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(!families.contains(&name), "{name} is there twice");
                assert_eq!(catalog[name].help, help);
                families.push(name);
                current = name;
                continue;
            }
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let kind = catalog[current].kind.as_str();
                assert_eq!(rest, format!("{current} {kind}"));
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').expect("a closed brace")),
                None => (series, ""),
            };
            let metric = catalog[current];
            let names: Vec<&str> = labels
                .split("\",")
                .filter(|pair| !pair.is_empty())
                .map(|pair| pair.split_once("=\"").expect("a quoted value").0)
                .collect();
            let mut expected = metric.labels.to_vec();
            if metric.kind == MetricKind::Histogram {
                let suffix = name.strip_prefix(current).expect("the family's name");
                assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}");
                expected.extend((suffix == "_bucket").then_some("le"));
            } else {
                assert_eq!(name, current, "{line}");
            }
            assert_eq!(names, expected, "{line}");
            let value: f64 = value.parse().expect("a number");
            assert!(value >= 0.0, "{line}");
            let before = samples.insert(series.to_owned(), value);
            assert!(before.is_none(), "{series} is there twice");
        }
        Self {
            samples,
            text: text.to_owned(),
        }
    }

    pub(crate) fn get(&self, series: &str) -> f64 {
        let value = self.find(series);
        value.unwrap_or_else(|| panic!("no {series} in\n{}", self.text))
    }

    /// Requests of a kind that never came are left out.
    pub(crate) fn find(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }

    /// The sum over all series of a metric.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let of_name = |series: &&String| series.split('{').next() == Some(name);
        let samples = self.samples.keys().filter(of_name);
        samples.map(|series| self.samples[series]).sum()
    }
}

/// The access log's line, and with it the count, comes after the answer.
pub(crate) fn eventually(
    appliance: &Appliance,
    what: &str,
    holds: impl Fn(&Scrape) -> bool,
) -> Scrape {
    let begun = Instant::now();
    loop {
        let scrape = Scrape::of(appliance);
        if holds(&scrape) {
            return scrape;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{what}:\n{}",
            scrape.text
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn requests(route: &str, method: &str, status: &str, cache: &str) -> String {
    format!(
        "breakwater_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\",cache=\"{cache}\"}}"
    )
}
