//! The topic `webhooks` of the manual: its table of events is what is sent, and its script checks a real delivery.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use breakwater::store::{EvictedFor, Notice, NoticeKind, TokenId, Told};
use breakwater::time::{Timestamp, parse_moment};
use breakwater::webhooks::body;
use serde_json::Value;

use super::Stage;
use super::receiver::{Post, Receiver};

const MANUAL: &str = include_str!("../../../src/help/webhooks.md");

fn notices() -> Vec<(Notice, Option<&'static str>)> {
    let at = |text: &str| parse_moment(text).unwrap();
    let (digest, acme) = ("sha256:…".to_owned(), Some("acme"));
    let went = EvictedFor {
        images: 12,
        bytes: 734_003_200,
    };
    let deleted = Notice::ImageDeleted {
        repository: "acme/api".to_owned(),
        reference: Some("v1".to_owned()),
        tags: None,
        by: "alice (token 7)".to_owned(),
    };
    vec![
        (
            Notice::ImageFilled {
                image: "docker.io/library/alpine:3.20".to_owned(),
                digest: digest.clone(),
                media_type: "application/vnd.oci.image.index.v1+json",
                bytes: 527,
            },
            acme,
        ),
        (
            Notice::ImagePushed {
                repository: "acme/api".to_owned(),
                digest: digest.clone(),
                tags: vec!["v1".to_owned()],
                tag_count: 1,
                by: "alice (token 7)".to_owned(),
            },
            acme,
        ),
        (deleted, acme),
        (
            Notice::CacheEvicted {
                day: "2027-01-31".to_owned(),
                images: went.images,
                bytes: went.bytes,
                reasons: BTreeMap::from([("max_size".to_owned(), went)]),
            },
            None,
        ),
        (
            Notice::PullRefused {
                path: "/v2/acme/api/manifests/v1".to_owned(),
                status: 403,
                why: Some("the token lacks read_registry".to_owned()),
                by: "bob (token 9)".to_owned(),
                address: "10.1.2.3".to_owned(),
            },
            acme,
        ),
        (
            Notice::UpstreamDown {
                upstream: "docker.io".to_owned(),
                state: "open",
                why: Some("docker.io did not answer within 30 s".to_owned()),
            },
            None,
        ),
        (
            Notice::UpstreamUp {
                upstream: "docker.io".to_owned(),
            },
            None,
        ),
        (
            Notice::TokenExpiring {
                id: TokenId(7),
                name: "ci".to_owned(),
                kind: "group",
                expires_at: at("2027-02-14T00:00:00Z"),
            },
            acme,
        ),
        (
            Notice::DiskShort {
                free_bytes: 4 << 30,
                needed_bytes: 5 << 30,
                size_bytes: 100 << 30,
            },
            None,
        ),
        (
            Notice::ScrubDamaged {
                blob: digest,
                images: "docker.io/library/alpine".to_owned(),
                pushed: false,
            },
            None,
        ),
        (
            Notice::EventsSummed {
                of: NoticeKind::PullRefused,
                count: 312,
                since: at("2027-01-31T12:00:03Z"),
                until: at("2027-01-31T12:00:59Z"),
            },
            None,
        ),
        (Notice::Ping { webhook_id: 1 }, None),
    ]
}

#[test]
fn the_manual_shows_each_event_as_it_is_sent() {
    let mut shown: Vec<&str> = Vec::new();
    for (notice, group) in notices() {
        let kind: &str = notice.kind().into();
        let told = Told {
            notice,
            group: None,
            at: Timestamp(1_800_000_000),
        };
        let body: Value = serde_json::from_str(&body(&told, group)).unwrap();
        assert_eq!(
            (body["type"].as_str(), &body["timestamp"]),
            (Some(kind), &"2027-01-15T08:00:00Z".into())
        );
        let row = MANUAL
            .lines()
            .find(|line| line.starts_with(&format!("| `{kind}` |")));
        let row = row.unwrap_or_else(|| panic!("the manual has no {kind}"));
        let data = &body["data"];
        assert!(row.ends_with(&format!(" | `{data}` |")), "{row}\n{data}");
        shown.push(kind);
    }
    let mut all = <NoticeKind as strum::VariantNames>::VARIANTS.to_vec();
    all.sort_unstable();
    shown.sort_unstable();
    assert_eq!(shown, all);
}

/// Runs the manual's script on a post; whether it believes it, and what it says.
fn verify(post: &Post, secret: &str, body: &str) -> (bool, String) {
    let script = MANUAL.split("<<'END'\n").nth(1).unwrap();
    let script = script.split("END\n").next().unwrap();
    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let mut python = Command::new("python3")
        .args(["-c", script])
        .args(headers.map(|name| post.header(name)))
        .env("SECRET", secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python
        .stdin
        .take()
        .unwrap()
        .write_all(body.as_bytes())
        .unwrap();
    let output = python.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn the_script_of_the_manual_believes_what_was_signed_and_nothing_else() {
    let receiver = Receiver::start();
    let stage = Stage::new();
    let (_, secret) = stage.hook(&receiver.url("/x"));
    stage.tell(1);
    let post = &receiver.wait(1)[0];
    assert_eq!(
        verify(post, &secret, &post.body),
        (true, "it is from Breakwater\n".to_owned())
    );
    let (_, other) = stage.hook(&receiver.url("/y"));
    let wrong = (false, "the signature is wrong\n".to_owned());
    assert_eq!(verify(post, &other, &post.body), wrong);
    assert_eq!(verify(post, &secret, &post.body.replace('1', "2")), wrong);
}
