//! How certificates are replaced while the box serves: by whatever renews them, one file after the other, by
//! rename, by a symbolic link that is swapped, with files that are broken and certificates that have expired.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::doctor_surroundings::{assert_found, doctor, found};
use super::tls::{get, tls_address};
use crate::observe::{Scrape, eventually};
use crate::support::appliance::Appliance;
use crate::support::certificates::{Authority, Issued};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ENDS: &str = "breakwater_tls_certificate_expiry_timestamp_seconds";
const REFUSED: &str = "breakwater_tls_certificate_reload_failed";

/// A box whose files are in `live`, a link to a directory beside it, as certbot and kubelet have them.
struct Renewed {
    directory: tempfile::TempDir,
    authority: Authority,
    appliance: Appliance,
}

impl Renewed {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        fs::create_dir(directory.path().join("first")).unwrap();
        symlink("first", directory.path().join("live")).unwrap();
        let live = directory.path().join("live");
        let (certificate, key) = authority.issue(100 * DAY).write(&live);
        let appliance = Appliance::builder()
            .toml(&format!(
                "[tls]\ncertificate = {certificate:?}\nkey = {key:?}\nlisten = [\"127.0.0.1:0\"]"
            ))
            .start();
        Self {
            directory,
            authority,
            appliance,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// Asks on a new connection.
    fn answers(&self) -> bool {
        let config = Arc::new(self.authority.client(rustls::ALL_VERSIONS));
        let answer = get(tls_address(&self.appliance), &config, "/-/liveness");
        answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Waits until new connections get the certificate that ends so many days from now.
    fn await_end(&self, what: &str, days: u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let expected = (now + DAY * u32::try_from(days).unwrap()).as_secs_f64();
        let scrape = eventually(&self.appliance, what, |scrape| {
            (scrape.get(ENDS) - expected).abs() < DAY.as_secs_f64() / 2.0
        });
        assert_eq!(scrape.get(REFUSED), 0.0, "{what}");
        assert!(self.answers(), "{what}");
    }
}

#[test]
fn files_are_replaced_one_after_the_other_by_rename_and_by_a_link() {
    let box_ = Renewed::start();
    box_.await_end("the first", 100);

    let next = box_.authority.issue(110 * DAY);
    fs::write(box_.path("live/server.crt"), &next.certificate).unwrap();
    // The new chain lies beside the old key; who connects gets the old pair.
    assert!(box_.answers());
    std::thread::sleep(Duration::from_secs(1));
    assert!(box_.answers());
    fs::write(box_.path("live/server.key"), &next.key).unwrap();
    box_.await_end("one after the other", 110);

    let next = box_.authority.issue(120 * DAY);
    for (name, text) in [("server.crt", &next.certificate), ("server.key", &next.key)] {
        let aside = box_.path("live").join(format!("{name}.new"));
        fs::write(&aside, text).unwrap();
        fs::rename(&aside, box_.path("live").join(name)).unwrap();
    }
    box_.await_end("by rename", 120);

    fs::create_dir(box_.path("second")).unwrap();
    box_.authority.issue(130 * DAY).write(&box_.path("second"));
    swap(&box_.path("live"), "second");
    box_.await_end("by a link", 130);
    assert!(
        !box_.appliance.log().contains("of no use"),
        "{}",
        box_.appliance.log()
    );
    assert_eq!(found(&mut doctor(&box_.appliance), "tls_certificate"), []);
}

/// Puts another link in the place of one, in one step.
fn swap(link: &Path, target: &str) {
    let aside = link.with_extension("new");
    symlink(target, &aside).unwrap();
    fs::rename(aside, link).unwrap();
}

/// The old pair is served; the log, the metric and the doctor say why, and say so no more when that is mended.
#[test]
fn broken_files_leave_the_old_pair_and_are_told_everywhere() {
    let box_ = Renewed::start();
    let write = |issued: &Issued| issued.write(&box_.path("live"));
    let good = box_.authority.issue(110 * DAY);
    let other = box_.authority.issue(120 * DAY);
    let mismatch = Issued {
        certificate: good.certificate.clone(),
        key: other.key.clone(),
    };
    write(&mismatch);
    let scrape = eventually(&box_.appliance, "it is told", |scrape| {
        scrape.get(REFUSED) == 1.0
    });
    let end = scrape.get(ENDS);
    assert!(box_.answers(), "the old pair is served");
    box_.appliance
        .wait_for_log("the new certificate is of no use: the old one stays");
    assert_found(
        &mut doctor(&box_.appliance),
        "tls_certificate",
        "error",
        "a running server goes on with the one from before",
    );
    fs::remove_file(box_.path("live/server.crt")).unwrap();
    assert_found(
        &mut doctor(&box_.appliance),
        "tls_certificate",
        "error",
        "No such file",
    );
    assert_eq!(Scrape::of(&box_.appliance).get(ENDS), end);
    assert!(box_.answers());

    write(&good);
    box_.await_end("mended", 110);
    assert_eq!(found(&mut doctor(&box_.appliance), "tls_certificate"), []);
}

/// An expired one is loaded all the same: clients say more about it than about a port that is closed.
#[test]
fn an_expired_certificate_is_served_and_told_everywhere() {
    let box_ = Renewed::start();
    let long_ago = SystemTime::now() - 400 * DAY;
    let expired = box_.authority.issue_between(long_ago, long_ago + DAY);
    expired.write(&box_.path("live"));
    let end = (long_ago + DAY).duration_since(UNIX_EPOCH).unwrap();
    eventually(&box_.appliance, "it is loaded", |scrape| {
        (scrape.get(ENDS) - end.as_secs_f64()).abs() <= 1.0 && scrape.get(REFUSED) == 0.0
    });
    assert!(!box_.answers(), "a client that verifies refuses it");
    box_.appliance
        .wait_for_log("the certificate has expired: clients refuse it");
    assert_found(
        &mut doctor(&box_.appliance),
        "tls_expiry",
        "error",
        "expired at",
    );
}
