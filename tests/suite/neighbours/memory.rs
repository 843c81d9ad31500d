//! However much clients ask for, push, or leave unread, the box stays small: what waits for somebody lies in files,
//! and what is worked on in memory is worked on one at a time.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use breakwater::oci::{Digest, MediaType};
use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::Neighbours;
use crate::support::appliance::Appliance;
use crate::support::client::{Client, Streaming, connect, read_head};
use crate::support::fake_upstream::Answer as Upstream;
use crate::support::pushing::{
    EMPTY_JSON, OCI_INDEX, OCI_MANIFEST, image, must_push_blob, push_image, put_manifest,
};

/// Close to the most that a manifest may have.
const LARGE: usize = 4_190_000;
/// For so long a silent reader is silent.
const SILENCE: Duration = Duration::from_millis(1_500);
/// Between two of very many requests, which are about memory and not about time.
const PAUSE: Duration = Duration::from_millis(10);
/// The largest list that is taken from an upstream.
const LARGEST_LIST: usize = 16 << 20;

/// An index with as many references as fit into a manifest.
fn index_of_many(seed: usize) -> Vec<u8> {
    let entry = |n: usize| {
        let digest = format!("{:032x}{n:032x}", seed);
        format!(r#"{{"digest":"sha256:{digest}","size":1}}"#)
    };
    let mut text = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":["#);
    text.push_str(&entry(0));
    let mut n = 1;
    while text.len() < LARGE {
        text.push(',');
        text.push_str(&entry(n));
        n += 1;
    }
    text.push_str("]}");
    text.into_bytes()
}

/// A box whose workers are more than the silent readers: with fewer, whoever comes from their address waits 50 ms.
fn with_many_workers() -> Neighbours {
    Neighbours::of(Appliance::builder().toml("[server]\nworkers = 2000"))
}

/// Opens the path `count` times, reads the heads, and nothing more for a while; how many were let in. Who was not is
/// told when to come again.
fn silent_readers(
    client: &Client,
    count: usize,
    path: impl Fn(usize) -> String + Sync,
) -> Vec<Streaming> {
    let opened = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..count {
            std::thread::sleep(PAUSE);
            let (opened, path) = (&opened, &path);
            scope.spawn(move || {
                let reader = client.open(&path(number));
                opened.lock().unwrap().push(reader);
            });
        }
    });
    std::thread::sleep(SILENCE);
    let mut readers = opened.into_inner().unwrap();
    readers.retain(|reader| {
        let answer = &reader.answer;
        let is_served = answer.status == 200;
        if !is_served {
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.field("Retry-After").is_some(), "{answer:?}");
        }
        is_served
    });
    println!("{} of {count} were served", readers.len());
    readers
}

/// A connection into which hardly anything fits that is not read.
fn narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

/// The body that one of them gets in the end.
fn body_of_one(mut readers: Vec<Streaming>) -> Vec<u8> {
    let answer = readers.pop().expect("somebody was served").finish();
    assert!(answer.complete);
    answer.body
}

/// An image of the attacker's whose config is empty JSON.
fn push_empty_config(client: &Client) {
    must_push_blob(client, "evil/app", b"{}");
}

/// A referrer of `subject` with annotations of about this many bytes.
fn referrer(subject: &Digest, seed: usize, length: usize) -> Vec<u8> {
    let more = json!({
        "artifactType": "application/vnd.example",
        "subject": { "mediaType": OCI_MANIFEST, "digest": subject.as_str(), "size": 1 },
        "annotations": { "seed": seed.to_string(), "text": "x".repeat(length) },
    });
    let mut manifest: serde_json::Value = serde_json::from_slice(&image(b"{}", &[], more)).unwrap();
    manifest["config"]["mediaType"] = json!(EMPTY_JSON);
    manifest.to_string().into_bytes()
}

#[test]
fn lists_of_referrers_with_large_annotations_are_not_held_in_memory() {
    let neighbours = Neighbours::start();
    let eve = neighbours.attacker(&["evil/app"]);
    push_empty_config(&eve);
    let subject = Digest::of(b"what the referrers are about");
    for seed in 0..3 {
        let manifest = referrer(&subject, seed, LARGE - 2_000);
        let digest = Digest::of(&manifest);
        let answer = put_manifest(&eve, "evil/app", digest.as_str(), OCI_MANIFEST, &manifest);
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    neighbours.unharmed_by("24 lists of referrers", || {
        let path = format!("/v2/evil/app/referrers/{subject}");
        let body = body_of_one(silent_readers(&eve, 24, |_| path.clone()));
        let list: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let text = list["manifests"][0]["annotations"]["text"].as_str();
        assert_eq!(text.map(str::len), Some(LARGE - 2_000));
    });
}

#[test]
fn silent_readers_of_a_large_pushed_manifest_hold_no_memory() {
    let neighbours = with_many_workers();
    let eve = neighbours.attacker(&["evil/app"]);
    let index = index_of_many(1);
    let answer = put_manifest(&eve, "evil/app", "large", OCI_INDEX, &index);
    assert_eq!(answer.status, 201, "{answer:?}");
    neighbours.unharmed_by("200 silent readers of a pushed manifest", || {
        let readers = silent_readers(&eve, 200, |_| "/v2/evil/app/manifests/large".to_owned());
        assert_eq!(readers.len(), 200, "a kept file costs nothing");
        assert!(body_of_one(readers) == index);
    });
}

#[test]
fn silent_readers_of_a_large_cached_manifest_hold_no_memory() {
    let neighbours = with_many_workers();
    let index = index_of_many(2);
    let (upstream, media_type) = (&neighbours.upstream, MediaType::OciIndex);
    upstream.put_manifest("library/large", "latest", media_type, &index);
    let repository = "evil/dependency_proxy/containers/large";
    let eve = neighbours.attacker(&[repository]);
    let path = format!("/v2/{repository}/manifests/latest");
    assert_eq!(eve.get(&path).status, 200);
    neighbours.unharmed_by("200 silent readers of a cached manifest", || {
        let readers = silent_readers(&eve, 200, |_| path.clone());
        assert_eq!(readers.len(), 200, "a kept file costs nothing");
        assert!(body_of_one(readers) == index);
    });
}

#[test]
fn silent_readers_of_a_large_list_of_an_upstream_hold_no_memory() {
    let neighbours = Neighbours::start();
    let name = "evil/dependency_proxy/containers/large";
    let tags = vec!["t".repeat(120); LARGEST_LIST / 124];
    let list = json!({ "name": "library/large", "tags": tags }).to_string();
    assert!(list.len() < LARGEST_LIST && list.len() > LARGEST_LIST - LARGEST_LIST / 10);
    let rule = neighbours.upstream.on("GET", "library/large/tags/list");
    rule.always(Upstream::body(200, "application/json", list.clone()));
    let eve = neighbours.attacker(&[name]);
    neighbours.unharmed_by("40 silent readers of an upstream's list", || {
        let readers = silent_readers(&eve, 40, |n| format!("/v2/{name}/tags/list?page={n}"));
        assert!(body_of_one(readers) == list.as_bytes());
    });
}

#[test]
fn large_manifests_that_come_at_once_are_taken_one_at_a_time() {
    let neighbours = Neighbours::start();
    let eve = neighbours.attacker(&["evil/app"]);
    let indexes: Vec<_> = (0..12).map(index_of_many).collect();
    neighbours.unharmed_by("12 pushes of large indexes", || {
        std::thread::scope(|scope| {
            let pushes: Vec<_> = indexes
                .iter()
                .enumerate()
                .map(|(number, index)| {
                    let tag = format!("t{number}");
                    let eve = &eve;
                    scope.spawn(move || put_manifest(eve, "evil/app", &tag, OCI_INDEX, index))
                })
                .collect();
            let answers = pushes.into_iter().map(|push| push.join().unwrap());
            let mut taken = 0;
            for answer in answers {
                match answer.status {
                    201 => taken += 1,
                    503 => assert!(answer.field("Retry-After").is_some(), "{answer:?}"),
                    _ => panic!("{answer:?}"),
                }
            }
            println!("{taken} of {} were taken", indexes.len());
            assert!(taken > 0);
        });
    });
}

#[test]
fn manifests_that_are_long_in_coming_hold_no_memory() {
    let neighbours = Neighbours::start();
    let eve = neighbours.attacker(&["evil/app"]);
    let index = index_of_many(3);
    neighbours.unharmed_by("40 manifests that are long in coming", || {
        let mut stalled: Vec<TcpStream> = (0..40)
            .map(|_| connect(neighbours.appliance.address()))
            .collect();
        std::thread::scope(|scope| {
            for stream in &mut stalled {
                let head = eve
                    .with("Content-Type", OCI_INDEX)
                    .head_of("PUT", "/v2/evil/app/manifests/slow");
                let head = format!("{head}Content-Length: {}\r\n\r\n", index.len());
                let index = &index;
                scope.spawn(move || {
                    stream.write_all(head.as_bytes()).unwrap();
                    // Who comes too much is refused before all of it was sent.
                    let _ = stream.write_all(&index[..index.len() - 10]);
                });
            }
        });
        std::thread::sleep(SILENCE);
        let mut taken = 0;
        for stream in &mut stalled {
            // Who was refused cannot go on.
            let _ = stream.write_all(&index[index.len() - 10..]);
            if let Ok((answer, _)) = read_head(stream) {
                taken += usize::from(answer.status == 201);
                assert!(matches!(answer.status, 201 | 503), "{answer:?}");
            }
        }
        println!("{taken} of 40 were taken");
        assert!(taken > 0);
    });
}

#[test]
fn silent_readers_of_long_pages_hold_no_memory() {
    let neighbours = with_many_workers();
    let eve = neighbours.attacker(&["evil/app"]);
    let (_, manifest) = push_image(&eve, "evil/app", "first", &[b"layer"]);
    for hundred in 0..10 {
        let tags: Vec<_> = (0..100)
            .map(|n| format!("tag={}{hundred:03}{n:03}", "t".repeat(120)))
            .collect();
        let reference = format!("{}?{}", Digest::of(&manifest), tags.join("&"));
        let answer = put_manifest(&eve, "evil/app", &reference, OCI_MANIFEST, &manifest);
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let path = "/v2/evil/app/tags/list?n=1000";
    let list = eve.get(path).json();
    assert_eq!(list["tags"].as_array().map(Vec::len), Some(1_000));
    neighbours.unharmed_by("900 silent readers of a page of tags", || {
        let request = format!("{}\r\n", eve.head_of("GET", path));
        let ask = |_| {
            let mut stream = narrow(neighbours.appliance.address());
            stream.write_all(request.as_bytes()).unwrap();
            stream
        };
        let silent: Vec<TcpStream> = (0..900)
            .inspect(|_| std::thread::sleep(PAUSE))
            .map(ask)
            .collect();
        std::thread::sleep(SILENCE);
        drop(silent);
    });
}
