//! The dashboard and the alert rules of scripts/monitoring against the catalogue of metrics. What the rules alert of is
//! tested by promtool, in scripts/e2e.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use breakwater::metrics::MetricKind;
use breakwater::server;
use serde_json::Value;

const DIRECTORY: &str = "scripts/monitoring";

fn read(name: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(DIRECTORY);
    fs::read_to_string(directory.join(name)).unwrap()
}

/// Every series that the page of metrics can have, with its labels.
fn series() -> BTreeMap<String, Vec<&'static str>> {
    let mut series = BTreeMap::new();
    for metric in server::metrics_catalog() {
        let labels = metric.labels.to_vec();
        if metric.kind == MetricKind::Histogram {
            for part in ["sum", "count"] {
                series.insert(format!("{}_{part}", metric.name), labels.clone());
            }
            let buckets = [&labels[..], &["le"]].concat();
            series.insert(format!("{}_bucket", metric.name), buckets);
        } else {
            series.insert(metric.name.to_owned(), labels);
        }
    }
    series
}

/// Every series that an expression names, with the labels that it selects by.
fn named(text: &str) -> Vec<(&str, Vec<&str>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.starts_with("breakwater_") || word.starts_with("process_") {
            let selector = after
                .strip_prefix('{')
                .and_then(|after| after.split_once('}'));
            let matchers = selector.map_or("", |(matchers, _)| matchers).split(',');
            let labels = matchers
                .filter_map(|matcher| matcher.split(['=', '!']).next())
                .map(str::trim);
            found.push((word, labels.filter(|label| !label.is_empty()).collect()));
        }
        rest = after;
    }
    found
}

#[track_caller]
fn check(file: &str, text: &str) -> usize {
    let series = series();
    let named = named(text);
    for (name, labels) in &named {
        let known = series.get(*name);
        let known = known.unwrap_or_else(|| panic!("{file}: there is no {name}"));
        for label in labels {
            // Prometheus adds these to all that it scrapes.
            let is_target = ["job", "instance"].contains(label);
            assert!(
                is_target || known.contains(label),
                "{file}: {name} has no label {label}"
            );
        }
    }
    named.len()
}

/// The panels' expressions.
fn expressions(dashboard: &Value) -> Vec<&str> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array());
    let targets = targets.flatten();
    targets
        .map(|target| target["expr"].as_str().unwrap())
        .collect()
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_there_are() {
    assert!(check("alerts.yml", &read("alerts.yml")) > 15);
    assert!(check("alerts-test.yml", &read("alerts-test.yml")) > 15);
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let expressions = expressions(&dashboard);
    assert!(expressions.len() > 30, "only {}", expressions.len());
    for expression in expressions {
        assert!(check("dashboard.json", expression) > 0, "{expression}");
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        check("dashboard.json", variable["query"].as_str().unwrap());
    }
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let mut cells = BTreeMap::new();
    let mut ids = BTreeMap::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert_eq!(ids.insert(panel["id"].as_u64().unwrap(), title), None);
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{title}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert_eq!(cells.insert(cell, title), None, "{title}");
        }
    }
}

#[test]
fn every_alert_says_what_to_do_and_how_bad_it_is() {
    let rules = read("alerts.yml");
    let rules: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(rules.len() > 10, "only {}", rules.len());
    for rule in rules {
        let name = rule.lines().next().unwrap();
        assert!(name.starts_with("Breakwater"), "{name}");
        for part in ["expr: ", "severity: ", "summary: ", "description: "] {
            assert_eq!(rule.matches(part).count(), 1, "{name}: {part}");
        }
        for command in rule.split("`breakwater ").skip(1) {
            let word = command.split(['`', ' ']).next().unwrap();
            assert!(
                breakwater::cli::command().find_subcommand(word).is_some(),
                "{name}: {word}"
            );
        }
    }
}
