//! What the doctor says of a cache that is too small.

use std::fs;

use breakwater::time::Timestamp;

use super::{pull, stage};
use crate::cli::doctor_surroundings::{doctor, found};
use crate::faults::wait_until;
use crate::support::appliance::Appliance;
use crate::support::fake_upstream::Image;

/// The sentences of the findings of this check.
fn findings(appliance: &Appliance, check: &str) -> Vec<String> {
    let found = found(&mut doctor(appliance), check).into_iter();
    found
        .map(|(severity, what)| {
            assert_eq!(severity, "warning", "{what}");
            what
        })
        .collect()
}

#[test]
fn a_limit_below_what_is_pulled_pins_that_fill_it_and_images_that_go_too_early() {
    let (fake, mut appliance, client) = stage();
    let image = Image::oci(1, &[300_000]);
    fake.put_image("library/app", "1", &image);
    pull(&client, "library/app", "1", &[&image]);
    let is_written = || {
        let images = appliance.json(&["cache", "list", "--json"]);
        !images[0]["last_pulled_at"].is_null()
    };
    wait_until("the pull is written", is_written);
    appliance.ok(&["cache", "pin", "app"]);
    let checks = ["cache_limit_below_use", "cache_pins", "cache_small"];
    for check in checks {
        assert_eq!(findings(&appliance, check), [""; 0], "{check}");
    }

    appliance.stop();
    let config = fs::read_to_string(appliance.config()).unwrap();
    let limited = config.replacen("[cache]", "[cache]\nmax_size = '250kB'", 1);
    fs::write(appliance.config(), limited).unwrap();
    let cache = rusqlite::Connection::open(appliance.data().join("cache.sqlite")).unwrap();
    let now = Timestamp::now().0;
    let text =
        "INSERT INTO state (key, value) VALUES ('evicted_at', ?1), ('evicted_pulled_at', ?2)";
    cache
        .execute(text, [now - 3600, now - 3600 - 5 * 3600])
        .unwrap();
    drop(cache);
    appliance.restart();
    for (check, sentence) in checks.into_iter().zip([
        "were pulled within a week, and the cache may take 244.1 KiB (cache.max_size)",
        "of 244.1 KiB (cache.max_size): little is left for what is pulled otherwise",
        "images go for want of room that were pulled 5 hours before",
    ]) {
        let found = findings(&appliance, check);
        assert!(
            found.len() == 1 && found[0].contains(sentence),
            "{check}: {found:?}"
        );
    }
}
