//! `upstream/` against the fake upstream, over real sockets: a test for each way in which a registry can
//! behave, badly for the most part.

mod answers;
mod blobs;
mod certificates;
mod dance;
mod fake;
mod faults;
mod health;
mod redirects;
mod settings;
mod time;
mod ways;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use breakwater::oci::{Reference, RegistryHost, RepositoryName};
use breakwater::spool::{Content, Owner, Spool, Spools, TemporaryFile};
use breakwater::upstream::{Credentials, Fault, Proxies, Settings, Timeouts, Upstream};

use crate::support::fake_upstream::{FakeUpstream, Image};

const DEADLINE: Duration = Duration::from_secs(20);

/// Patient where a test is not about time, so that a busy machine fails no test.
pub(crate) fn settings(url: &str) -> Settings {
    Settings {
        name: RegistryHost::parse("registry.example").unwrap(),
        url: url.to_owned(),
        credentials: None,
        auth_realm: None,
        ca: None,
        allow_private_addresses: true,
        timeouts: Timeouts {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(10),
            tries: 3,
            pause: (Duration::from_millis(1), Duration::from_millis(4)),
        },
    }
}

fn impatient(url: &str) -> Settings {
    let mut settings = settings(url);
    settings.timeouts.silence = Duration::from_millis(300);
    settings
}

fn with_password(mut settings: Settings) -> Settings {
    settings.credentials = Some(Credentials {
        username: "ann".to_owned(),
        password: "pass:word".to_owned(),
    });
    settings
}

fn make(settings: Settings) -> Upstream {
    let offline = Arc::new(AtomicBool::new(false));
    Upstream::with_proxies(settings, offline, Proxies::default()).unwrap()
}

fn upstream(fake: &FakeUpstream) -> Upstream {
    make(settings(fake.url()))
}

fn repository() -> RepositoryName {
    RepositoryName::parse("library/alpine").unwrap()
}

fn latest() -> Reference {
    Reference::parse("latest").unwrap()
}

/// A fake with one image under `library/alpine:latest`; its only layer has 100,000 bytes.
fn stage() -> (FakeUpstream, Image) {
    let fake = FakeUpstream::start();
    let image = Image::oci(1, &[100_000]);
    fake.put_image("library/alpine", "latest", &image);
    (fake, image)
}

fn get(upstream: &Upstream) -> Result<Vec<u8>, Fault> {
    let fetched = upstream.get_manifest(&repository(), &latest(), spool)?;
    Ok(bytes_of(&fetched.content))
}

/// For an answer.
fn spool() -> Spool {
    let owner = Owner::Upstream("registry.example".to_owned());
    let open = || {
        Ok(TemporaryFile {
            file: tempfile::tempfile().unwrap(),
            let_in: Box::new(|_| Ok(())),
        })
    };
    Spools::new(open).spool(owner)
}

fn bytes_of(content: &Content) -> Vec<u8> {
    content.read().unwrap().into_owned()
}

/// Reads a blob to its end, whatever that is.
fn drain(mut reader: impl std::io::Read) -> (Vec<u8>, std::io::Result<()>) {
    let mut bytes = Vec::new();
    let end = reader.read_to_end(&mut bytes).map(|_| ());
    (bytes, end)
}

const PASSWORD: &str = "Basic YW5uOnBhc3M6d29yZA==";
