//! What the box remembers of one tenant's upstream decides nothing for another tenant: absences, sizes, lists,
//! fetches and calls in progress, refusals, limits, and who is away.

use breakwater::oci::Digest;

use super::Neighbours;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, assert_sound};
use crate::support::fake_upstream::{Answer, FakeUpstream, Gate, Image};

/// What both tenants call their upstream, and the repository there.
const NAME: &str = "registry.test";
const REPOSITORY: &str = "app";

/// How a tenant's own upstream misbehaves.
struct Misdeed {
    what: &'static str,
    method: &'static str,
    part: &'static str,
    answer: Answer,
}

fn misdeeds() -> Vec<Misdeed> {
    let misdeed = |what, method, part, answer| Misdeed {
        what,
        method,
        part,
        answer,
    };
    let lists = r#"{"name":"app","tags":[]}"#;
    let empty = r#"{"schemaVersion":2,"manifests":[]}"#;
    vec![
        misdeed(
            "it announces an absurd length",
            "GET",
            "/blobs/",
            Answer::good().length_off_by(1 << 60),
        ),
        misdeed("it has nothing", "*", "/v2/", Answer::status(404)),
        misdeed("it denies all", "*", "/v2/", Answer::status(403)),
        misdeed("it asks for a password", "*", "/v2/", Answer::status(401)),
        misdeed("it is broken", "*", "/v2/", Answer::status(500)),
        misdeed("it hangs up", "*", "/v2/", Answer::hang_up()),
        misdeed(
            "it limits the rate",
            "*",
            "/v2/",
            Answer::too_many(Some("3600")),
        ),
        misdeed("it lies", "GET", "/v2/", Answer::good().wrong_bytes()),
        misdeed(
            "it has no tags",
            "GET",
            "/tags/",
            Answer::body(200, "application/json", lists),
        ),
        misdeed(
            "it has no referrers",
            "GET",
            "/referrers/",
            Answer::body(200, "application/vnd.oci.image.index.v1+json", empty),
        ),
        misdeed(
            "it sends somebody to a place where nobody is",
            "GET",
            "/v2/",
            Answer::redirect("http://127.0.0.1:9{path}"),
        ),
    ]
}

/// A tenant: a group whose only member fills it, with an upstream of its own.
struct Tenant {
    client: Client,
    path: String,
}

impl Tenant {
    fn new(appliance: &Appliance, group: &str, upstream: &FakeUpstream) -> Self {
        appliance.ok(&["group", "add", group]);
        let secret = appliance.token(group, &["read_registry", "write_registry"]);
        appliance.ok(&["member", "add", group, group, "--level", "guest"]);
        appliance.ok(&[
            "upstream",
            "add",
            NAME,
            upstream.url(),
            "--group",
            group,
            "--allow-private-addresses",
        ]);
        let repository = format!("{group}/dependency_proxy/containers/{NAME}/{REPOSITORY}");
        let scope = format!("repository:{repository}:pull");
        let token = Client::of(appliance).basic(group, &secret).token(&[&scope]);
        Self {
            client: Client::of(appliance).bearer(&token),
            path: format!("/v2/{repository}"),
        }
    }

    /// Asks for everything that there is of an image; what it came from and what it was.
    fn pull(&self, tag: &str, image: &Image) -> Vec<(u16, String, Vec<u8>)> {
        let mut paths = vec![
            format!("manifests/{tag}"),
            format!("manifests/{}", image.digest()),
            "tags/list".to_owned(),
            format!("referrers/{}", image.digest()),
        ];
        paths.extend(
            image
                .blobs()
                .map(|blob| format!("blobs/{}", Digest::of(blob))),
        );
        let answers = paths.iter().map(|path| {
            let answer = self.client.get(&format!("{}/{path}", self.path));
            (answer.status, answer.cache().to_owned(), answer.body)
        });
        answers.collect()
    }
}

#[test]
fn what_one_tenants_upstream_does_is_nothing_to_another_tenant() {
    let appliance = Appliance::start();
    let (evil, good) = (FakeUpstream::start(), FakeUpstream::start());
    let [attacker, victim] =
        [("evil", &evil), ("good", &good)].map(|(name, fake)| Tenant::new(&appliance, name, fake));
    for (number, misdeed) in (1..).zip(misdeeds()) {
        let (what, tag) = (misdeed.what, format!("{number}"));
        let image = Image::oci(number, &[20_000]);
        for fake in [&evil, &good] {
            fake.put_image(REPOSITORY, &tag, &image);
            put_referrer(fake, &image);
        }
        evil.on(misdeed.method, misdeed.part).always(misdeed.answer);
        // Often enough for whatever counts.
        for _ in 0..4 {
            attacker.pull(&tag, &image);
        }
        let expected = |cache: &[&str]| {
            let bodies = [
                image.manifest.clone(),
                image.manifest.clone(),
                good_list(&good, "/tags/list"),
                good_list(&good, &format!("/referrers/{}", image.digest())),
            ];
            let bodies = bodies.into_iter().chain(image.blobs().cloned());
            let answers = bodies.zip(cache);
            answers
                .map(|(body, cache)| (200, (*cache).to_owned(), body))
                .collect::<Vec<_>>()
        };
        let cold = victim.pull(&tag, &image);
        assert!(
            cold == expected(&["miss", "hit", "miss", "miss", "miss", "miss"]),
            "{what}: {:?}",
            shown(&cold)
        );
        let warm = victim.pull(&tag, &image);
        assert!(
            warm == expected(&["hit", "hit", "miss", "miss", "hit", "hit"]),
            "{what}: {:?}",
            shown(&warm)
        );
        evil.behave();
    }
    assert_sound(&appliance);
}

#[test]
fn a_fetch_that_one_tenants_upstream_does_not_end_holds_nobody_elses() {
    let appliance = Appliance::start();
    let (evil, good) = (FakeUpstream::start(), FakeUpstream::start());
    let [attacker, victim] =
        [("evil", &evil), ("good", &good)].map(|(name, fake)| Tenant::new(&appliance, name, fake));
    let image = Image::oci(1, &[20_000]);
    for fake in [&evil, &good] {
        fake.put_image(REPOSITORY, "1", &image);
        put_referrer(fake, &image);
    }
    let gate = Gate::new();
    for part in ["/manifests/", "/blobs/"] {
        evil.on("GET", part)
            .always(Answer::good().wait_at(10, &gate));
    }
    std::thread::scope(|scope| {
        let held = scope.spawn(|| attacker.pull("1", &image));
        gate.await_arrival();
        let pulled = victim.pull("1", &image);
        assert!(
            pulled.iter().all(|(status, ..)| *status == 200),
            "{:?}",
            shown(&pulled)
        );
        gate.open();
        let late = held.join().unwrap();
        assert!(
            late.iter().all(|(status, ..)| *status == 200),
            "{:?}",
            shown(&late)
        );
    });
}

#[test]
fn what_a_shared_upstream_fails_for_one_tenant_closes_it_to_nobody_else() {
    let neighbours = Neighbours::start();
    let names = ["broken", "hanging", "gone"];
    let groups = names.map(|name| format!("evil/dependency_proxy/containers/{name}"));
    let eve = neighbours.attacker(&groups.each_ref().map(String::as_str));
    let upstream = &neighbours.upstream;
    let failures = [
        Answer::redirect("http://127.0.0.1:9{path}"),
        Answer::hang_up(),
        Answer::reset(),
        Answer::status(503),
        Answer::good().truncate_at(10),
    ];
    for (number, name) in names.iter().enumerate() {
        upstream.put_blob(&format!("library/{name}"), &[number as u8; 1_000]);
    }
    for round in 0..failures.len() {
        let image = Image::oci(100 + round as u64, &[10]);
        upstream.put_image("library/alpine", &format!("cold-{round}"), &image);
    }
    neighbours.unharmed_by("asking for what the upstream fails", || {
        for (round, failure) in failures.into_iter().enumerate() {
            for name in names {
                let part = format!("library/{name}/");
                upstream.on("GET", &part).always(failure.clone());
            }
            // Three tries each, and more than it takes.
            for (number, group) in groups.iter().enumerate() {
                let digest = Digest::of(&[number as u8; 1_000]);
                let failed = eve.get(&format!("/v2/{group}/blobs/{digest}"));
                assert!(!failed.complete || failed.status == 503, "{failed:?}");
                let group = "good/dependency_proxy/containers/alpine";
                let path = format!("/v2/{group}/manifests/cold-{round}");
                let answer = neighbours.victim.get(&path);
                let expected = if number == 0 { "miss" } else { "hit" };
                assert_eq!((answer.status, answer.cache()), (200, expected), "{round}");
            }
        }
    });
    let status = neighbours.appliance.json(&["upstream", "status", "--json"]);
    assert_eq!(status[0]["breaker"], "closed", "{status:#}");
}

fn put_referrer(fake: &FakeUpstream, image: &Image) {
    let subject = image.digest();
    let descriptor = serde_json::json!({"digest": subject.as_str()});
    fake.put_referrer(REPOSITORY, &subject, descriptor);
}

/// What the upstream itself answers.
fn good_list(fake: &FakeUpstream, list: &str) -> Vec<u8> {
    let path = format!("/v2/{REPOSITORY}{list}");
    Client::at(fake.address()).get(&path).body
}

/// Without the bodies.
fn shown(answers: &[(u16, String, Vec<u8>)]) -> Vec<String> {
    let answers = answers.iter();
    answers
        .map(|(status, cache, body)| format!("{status} {cache} {} bytes", body.len()))
        .collect()
}
