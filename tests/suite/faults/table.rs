//! The table: what clients get, for each way in which an upstream misbehaves, whether the image is kept or
//! not, by tag or by digest, and whether the caller may fill or only read.
//!
//! It is printed as Markdown, and src/help/faults.md has a copy of it, which must be the same:
//! `cargo test --test suite faults::table -- --nocapture`.

use breakwater::oci::Digest;

use super::client::{self, Reply};
use super::{add_readers, assert_clean, is_kept};
use crate::support::appliance::Appliance;
use crate::support::fake_upstream::{Answer, FakeUpstream, Image};

const HEAD: &str = "\
| the upstream | kept, by tag | kept, by digest, and its blobs | not kept: manifest | not kept: blob |
|---|---|---|---|---|
";
const UNAVAILABLE: &str = "503, `Retry-After`";
const LIMITED: &str = "429, `Retry-After: 30`";
const ABSENT: &str = "404";
const CUT: &str = "cut before its last byte";
const REFUSES: &str = "refuses the box's username and password";
const STALE: &str = "it, `stale`";
const HIT: &str = "it, `hit`";

/// A way to misbehave, and what clients get then: a kept image by tag, a manifest that is not kept, a blob
/// that is not kept.
struct Case {
    upstream: &'static str,
    misbehave: fn(&FakeUpstream),
    expected: [&'static str; 3],
}

fn always(fake: &FakeUpstream, answer: Answer) {
    fake.on("*", "/v2/").always(answer);
}

fn cases() -> Vec<Case> {
    let case = |upstream, expected, misbehave| Case {
        upstream,
        misbehave,
        expected,
    };
    let absent = [STALE, ABSENT, ABSENT];
    let away = [STALE, UNAVAILABLE, UNAVAILABLE];
    vec![
        case("says 401 to every token", absent, |fake| {
            let challenge = format!("Bearer realm=\"{}/token\",service=\"fake\"", fake.url());
            always(
                fake,
                Answer::status(401).header("WWW-Authenticate", &challenge),
            );
        }),
        case(REFUSES, away, |fake| fake.require_basic("ann", "right")),
        case("says 403", absent, |fake| always(fake, Answer::status(403))),
        case("says 404", absent, |fake| always(fake, Answer::status(404))),
        case("says 408", away, |fake| always(fake, Answer::status(408))),
        case(
            "says 429, `Retry-After: 30`",
            [STALE, LIMITED, LIMITED],
            |fake| {
                always(fake, Answer::too_many(Some("30")));
            },
        ),
        case("says 500", away, |fake| always(fake, Answer::status(500))),
        case("says 502", away, |fake| always(fake, Answer::status(502))),
        case("says 503", away, |fake| always(fake, Answer::status(503))),
        case("redirects in a circle", away, |fake| {
            always(fake, Answer::redirect("{path}"));
        }),
        case(
            "sends garbage for JSON",
            [STALE, UNAVAILABLE, CUT],
            |fake| {
                let media_type = "application/vnd.oci.image.manifest.v1+json";
                always(
                    fake,
                    Answer::body(200, media_type, "{\"schemaVersion\": tru"),
                );
            },
        ),
        case("compresses unasked", away, |fake| {
            always(fake, Answer::good().header("Content-Encoding", "gzip"));
        }),
        // HEAD of a kept tag is answered well: its digest says that it has not moved.
        case(
            "sends less than there is",
            ["it, `revalidated`", UNAVAILABLE, CUT],
            |fake| always(fake, Answer::good().length_off_by(-7)),
        ),
        case("refuses connections", away, FakeUpstream::stop),
        case("hangs", away, |fake| always(fake, Answer::silence())),
    ]
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Tag,
    Digest,
    Blob,
}

/// One cell: an upstream of its own, so that no breaker and no memory of absence is shared.
struct Cell {
    host: String,
    row: usize,
    kept: bool,
    what: What,
    fills: bool,
    image: Image,
}

impl Cell {
    fn path(&self, fills: bool) -> String {
        let root = if fills {
            format!("/v2/{}", self.host)
        } else {
            format!("/v2/readers/dependency_proxy/containers/{}", self.host)
        };
        match self.what {
            What::Tag => format!("{root}/app/manifests/{}", self.tag()),
            What::Digest => format!("{root}/app/manifests/{}", self.image.digest()),
            What::Blob => format!("{root}/app/blobs/{}", self.image.layer_digest(0)),
        }
    }

    fn tag(&self) -> String {
        self.host.replace('.', "-")
    }

    fn content(&self) -> &[u8] {
        match self.what {
            What::Blob => &self.image.layers[0],
            What::Tag | What::Digest => &self.image.manifest,
        }
    }

    fn name(&self, upstream: &str) -> String {
        let kept = if self.kept { "kept" } else { "not kept" };
        let who = if self.fills { "filler" } else { "reader" };
        format!("the upstream {upstream}, {kept}, {:?}, {who}", self.what)
    }

    /// What the client got, in the table's words. Whatever came of the body must be right.
    fn seen(&self, reply: &Reply, name: &str) -> String {
        let came_whole = reply.body == self.content();
        match (reply.status, reply.complete) {
            (200, true) => {
                assert!(came_whole, "{name}: other bytes");
                format!("it, `{}`", reply.cache())
            }
            (200, false) => {
                assert!(!came_whole, "{name}: the last byte came");
                CUT.to_owned()
            }
            (status, _) => match reply.header("Retry-After") {
                // Of an outage it is a guess, of a limit it is the upstream's word.
                Some(seconds) if status == 429 => format!("429, `Retry-After: {seconds}`"),
                Some(_) => format!("{status}, `Retry-After`"),
                None => status.to_string(),
            },
        }
    }
}

fn cells(rows: usize) -> Vec<Cell> {
    let mut cells = Vec::new();
    for row in 0..rows {
        for kept in [true, false] {
            for what in [What::Tag, What::Digest, What::Blob] {
                for fills in [true, false] {
                    let number = cells.len();
                    cells.push(Cell {
                        host: format!("c{number}.test"),
                        row,
                        kept,
                        what,
                        fills,
                        // Large enough that a cut can be seen.
                        image: Image::oci(number as u64, &[200_000]),
                    });
                }
            }
        }
    }
    cells
}

#[test]
fn what_clients_get_is_what_the_manual_says() {
    let cases = cases();
    let cells = cells(cases.len());
    let fakes: Vec<_> = cases.iter().map(|_| FakeUpstream::start()).collect();
    let password = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password.path(), "wrong").unwrap();
    let mut toml = "[cache]\ntag_ttl = \"0s\"\nrevalidate_timeout = \"1s\"\n".to_owned();
    for cell in &cells {
        let fake = &fakes[cell.row];
        fake.put_image("app", &cell.tag(), &cell.image);
        let (host, url) = (&cell.host, fake.url());
        toml.push_str(&format!("[upstreams.\"{host}\"]\nurl = \"{url}\"\n"));
        if cases[cell.row].upstream == REFUSES {
            let file = password.path().display();
            toml.push_str(&format!("username = \"ann\"\npassword_file = \"{file}\"\n"));
        }
    }
    let appliance = Appliance::builder().toml(&toml).start();
    add_readers(&appliance);
    for cell in cells.iter().filter(|cell| cell.kept) {
        if cell.what != What::Blob {
            // An image of which a part is missing is refused where the rest cannot be had.
            for blob in cell.image.blobs() {
                let path = format!("/v2/{}/app/blobs/{}", cell.host, Digest::of(blob));
                assert_eq!(client::get(appliance.address(), &path).status, 200);
            }
        }
        let reply = client::get(appliance.address(), &cell.path(true));
        assert_eq!((reply.status, reply.cache()), (200, "miss"));
        assert!(reply.complete && reply.body == cell.content());
    }
    for (case, fake) in cases.iter().zip(&fakes) {
        fake.forget_requests();
        (case.misbehave)(fake);
    }
    let table = std::thread::scope(|scope| {
        let ask = |cell: &Cell| client::get(appliance.address(), &cell.path(cell.fills));
        let asked: Vec<_> = cells
            .iter()
            .map(|cell| scope.spawn(move || ask(cell)))
            .collect();
        let replies = asked.into_iter().map(|thread| thread.join().unwrap());
        let replies: Vec<_> = replies.collect();
        check(&appliance, &cases, &cells, &replies)
    });
    // One silence each, not one for every try: clients wait.
    let hanging = fakes.last().unwrap();
    assert_eq!(hanging.count("GET", ""), 6, "{:?}", hanging.requests());
    assert_clean(&appliance);
    println!("{table}");
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/src/help/faults.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let copy = manual
        .split_once("<!-- table: faults -->\n")
        .and_then(|(_, rest)| rest.split_once("<!-- end -->"))
        .map(|(copy, _)| copy)
        .expect("src/help/faults.md has the table between its markers");
    assert_eq!(
        copy, table,
        "the copy in src/help/faults.md is not what happens"
    );
}

/// Compares every cell with what it should be; the table.
fn check(appliance: &Appliance, cases: &[Case], cells: &[Cell], replies: &[Reply]) -> String {
    let mut wrong = Vec::new();
    for (cell, reply) in cells.iter().zip(replies) {
        let case = &cases[cell.row];
        let name = cell.name(case.upstream);
        let expected = match (cell.kept, cell.what) {
            (true, What::Tag) => case.expected[0],
            (true, What::Digest | What::Blob) => HIT,
            (false, What::Tag | What::Digest) => case.expected[1],
            (false, What::Blob) => case.expected[2],
        };
        let mut seen = cell.seen(reply, &name);
        if expected == CUT && seen == UNAVAILABLE {
            // The whole of a small blob may be there, and be found wrong, before the head has left.
            CUT.clone_into(&mut seen);
        }
        if seen != expected {
            let text = if reply.status == 200 {
                String::new()
            } else {
                reply.text()
            };
            wrong.push(format!("{name}: {seen} instead of {expected} {text}"));
        }
        let digest = match cell.what {
            What::Blob => cell.image.layer_digest(0),
            What::Tag | What::Digest => cell.image.digest(),
        };
        if is_kept(appliance, &digest) != cell.kept {
            wrong.push(format!("{name}: kept is {}", !cell.kept));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut table = HEAD.to_owned();
    for Case {
        upstream, expected, ..
    } in cases
    {
        let [tag, manifest, blob] = expected;
        table.push_str(&format!(
            "| {upstream} | {tag} | {HIT} | {manifest} | {blob} |\n"
        ));
    }
    table
}
