//! The page of a box with very many images: how large each part of it is, and how long it takes; and commands about them.
//!
//! `BREAKWATER_PAGE_BLOBS` says how many blobs there are (20,000 if it does not; `scripts/bench --page` takes a million).

use std::time::Instant;

use super::{Browser, ready};
use crate::crash::number;
use crate::eviction::scale::stock;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};

/// Of which the median is told.
const ROUNDS: usize = 7;

/// In milliseconds: the median of some rounds, and the longest of them.
fn timed(mut round: impl FnMut()) -> (f64, f64) {
    let mut took: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            round();
            began.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    took.sort_by(f64::total_cmp);
    (took[ROUNDS / 2], took[ROUNDS - 1])
}

#[test]
fn no_page_grows_with_what_is_cached() {
    let blobs = number("BREAKWATER_PAGE_BLOBS").unwrap_or(20_000);
    let fake = FakeUpstream::start();
    let mut appliance = Appliance::builder().upstream(fake.url()).start();
    fake.put_image("library/app", "hot", &Image::oci(1, &[100_000]));
    let client = Client::of(&appliance);
    assert_eq!(client.get("/v2/library/app/manifests/hot").status, 200);
    appliance.ok(&["group", "add", "acme"]);
    appliance.ok(&["project", "add", "acme/api"]);
    appliance.ok(&["cache", "pin", "docker.io/stock/r50"]);
    appliance.stop();
    stock(&appliance.data(), blobs);
    appliance.restart();
    let browser = Browser::root(&appliance);
    let last = blobs / 500;
    let pages = [
        "/".to_owned(),
        "/images".to_owned(),
        format!("/images?page={last}"),
        "/images?search=t7".to_owned(),
        "/images?search=nothing-of-this-name".to_owned(),
        "/images?sort=pulled".to_owned(),
        "/images?sort=filled".to_owned(),
        "/images?sort=size".to_owned(),
        "/images/show?image=docker.io/library/app:hot".to_owned(),
        "/images/show?image=docker.io/library/app:absent".to_owned(),
        "/images/show?image=docker.io/library/app:hot&when=yes".to_owned(),
        "/images/next".to_owned(),
        "/images/next?asked=yes".to_owned(),
        "/images/next?asked=yes&to=1GB".to_owned(),
        "/images/pins".to_owned(),
        "/images/pins?counted=yes".to_owned(),
        "/images/purge?image=docker.io/stock/*".to_owned(),
        "/repositories".to_owned(),
        "/groups".to_owned(),
        "/groups/1".to_owned(),
        "/groups/1/members".to_owned(),
        "/groups/1/tokens".to_owned(),
        "/groups/1/rules".to_owned(),
        "/groups/1/settings".to_owned(),
        "/groups/1/upstreams".to_owned(),
        "/groups/1/webhooks".to_owned(),
        "/projects".to_owned(),
        "/projects/1".to_owned(),
        "/users".to_owned(),
        "/tokens".to_owned(),
        "/rules".to_owned(),
        "/upstreams".to_owned(),
        "/flags".to_owned(),
        "/webhooks".to_owned(),
        "/audit".to_owned(),
        "/start".to_owned(),
        "/sessions".to_owned(),
        "/account".to_owned(),
    ];
    for path in pages {
        let began = Instant::now();
        let first = ready(&browser, &path);
        let waited = began.elapsed().as_secs_f64() * 1000.0;
        let status = if path.ends_with(":absent") { 404 } else { 200 };
        assert_eq!(first.status, status, "{path}: {}", first.text());
        let (median, most) = timed(|| assert_eq!(ready(&browser, &path).status, status, "{path}"));
        println!(
            "{path}: {} bytes, {median:.1} ms, at most {most:.1} ms; at first {waited:.0} ms",
            first.body.len(),
        );
        assert!(first.body.len() < 50_000, "{path}: {}", first.body.len());
    }
    for command in [
        &["cache", "stats"][..],
        &["cache", "list", "stock/r50:"],
        &["cache", "list", "stock/r50:", "--json"],
        &["cache", "list", "nothing-of-this-name"],
        &["cache", "list", "t77", "--json"],
        &["upstream", "list"],
    ] {
        let began = Instant::now();
        let said = appliance.ok(command);
        let waited = began.elapsed().as_secs_f64() * 1000.0;
        let (median, most) = timed(|| drop(appliance.ok(command)));
        println!(
            "{}: {} bytes, {median:.1} ms, at most {most:.1} ms; at first {waited:.0} ms",
            command.join(" "),
            said.len(),
        );
    }
}
