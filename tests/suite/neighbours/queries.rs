//! Queries that read much and changes that remove much: whoever asks for them, and hangs up, holds nobody else.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::Neighbours;
use crate::support::client::{Client, connect};
use crate::support::pushing::put_manifest;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// As many descriptors as fit into the largest manifest.
const REFERENCES: usize = 44_618;
/// A push sets at most a hundred.
const TAGS: [usize; 2] = [20, 100];

/// Puts the largest index that there can be under two thousand tags of `evil/app`.
fn push_heavy_index(attacker: &Client) {
    let manifests: Vec<String> = (0..REFERENCES)
        .map(|number| format!(r#"{{"digest":"sha256:{number:064x}","size":1}}"#))
        .collect();
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{}]}}"#,
        manifests.join(",")
    );
    for push in 0..TAGS[0] {
        let tags: Vec<String> = (0..TAGS[1])
            .map(|tag| format!("tag=t{push}-{tag}"))
            .collect();
        let reference = format!("t{push}-0?{}", tags.join("&"));
        let put = put_manifest(
            attacker,
            "evil/app",
            &reference,
            OCI_INDEX,
            index.as_bytes(),
        );
        assert_eq!(put.status, 201, "{put:?}");
    }
}

/// The path of the repository `evil/app` in the REST API.
fn repository(rest: &Client) -> String {
    let repositories = "/api/v4/projects/evil%2Fapp/registry/repositories";
    let id = &rest.get(repositories).json()[0]["id"];
    format!("{repositories}/{id}")
}

/// Sends a request, and does not wait for the answer.
fn ask(neighbours: &Neighbours, client: &Client, path: &str) -> TcpStream {
    let mut stream = connect(neighbours.appliance.address());
    let head = client.head_of("GET", path);
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    stream
}

#[test]
fn lists_that_are_hung_up_and_the_deletion_of_what_they_list_hold_nobody_up() {
    let mut neighbours = Neighbours::start();
    let attacker = neighbours.attacker(&["evil/app"]);
    push_heavy_index(&attacker);
    // What pushing took is not what listing takes.
    neighbours.appliance.restart();
    let rest = neighbours.attacker_rest();
    let repository = repository(&rest);
    let tags = format!("{repository}/tags?per_page=1");
    neighbours.unharmed_by("eight lists at once, hung up", || {
        for _ in 0..5 {
            let asked: Vec<_> = (0..8).map(|_| ask(&neighbours, &rest, &tags)).collect();
            drop(asked);
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    neighbours.unharmed_by("forty lists of one address, and the deletion", || {
        let asked: Vec<_> = (0..40).map(|_| ask(&neighbours, &rest, &tags)).collect();
        let begun = Instant::now();
        // The address has as many lists waiting as it may, so that it may be told to come again.
        let deleted = loop {
            let answer = rest.request("DELETE", &repository, b"");
            if answer.status != 503 {
                break answer;
            }
            assert!(answer.field("Retry-After").is_some(), "{answer:?}");
            std::thread::sleep(Duration::from_millis(200));
        };
        println!("deleted in {:?}", begun.elapsed());
        assert_eq!(deleted.status, 202, "{deleted:?}");
        drop(asked);
    });
}
