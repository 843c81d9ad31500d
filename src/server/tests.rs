//! Warm pulls make no query about who may what: they only ask, once each, whether the access database has changed.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use base64::Engine as _;

use super::*;
use crate::config::Options;
use crate::http::{Body, Headers, Method, RequestBody, Scheme};
use crate::oci::Digest;
use crate::store::{Level, NewToken, TokenKind, UserId, Visibility, record::take_ran};

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const IMAGE: &str = "acme/dependency_proxy/containers/x/y";
const BLOB: &[u8] = b"{}";

fn manifest() -> String {
    let descriptor = |kind: &str| {
        let digest = Digest::of(BLOB);
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":2}}"#
        )
    };
    let (config, layer) = (descriptor("config.v1+json"), descriptor("layer.v1.tar"));
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST_TYPE}","config":{config},"layers":[{layer}]}}"#
    )
}

/// An upstream that has one image and is asked a few times: its address.
fn upstream() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |mut stream: TcpStream| {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let (kind, body) = match head.contains("/blobs/") {
            true => ("application/octet-stream", BLOB.to_vec()),
            false => (MANIFEST_TYPE, manifest().into_bytes()),
        };
        let digest = Digest::of(&body);
        let length = body.len();
        let head_of_answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nDocker-Content-Digest: {digest}\r\nConnection: close\r\n\r\n"
        );
        let _ = stream.write_all(head_of_answer.as_bytes());
        if head.starts_with("GET") {
            let _ = stream.write_all(&body);
        }
    };
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    address
}

pub(super) fn request(path: &str, query: Option<&str>, authorization: &str) -> Request {
    let headers: Headers = [("Authorization", authorization), ("Accept", MANIFEST_TYPE)]
        .into_iter()
        .collect();
    Request {
        method: Method::Get,
        path: path.to_owned(),
        query: query.map(str::to_owned),
        headers,
        host: "box".to_owned(),
        peer: "192.0.2.1:1".parse().unwrap(),
        scheme: Scheme::Http,
        is_http_1_0: false,
        body: RequestBody::from(Vec::new()),
    }
}

/// Who makes the stage.
pub(super) fn by() -> Actor {
    Actor::on_the_box(None)
}

/// A box whose group `acme` has the guest `alice`; her token's secret, and its user.
pub(super) fn stage(directory: &Path) -> (Arc<Appliance>, String, UserId) {
    let file = directory.join("breakwater.toml");
    let url = upstream();
    let toml =
        format!("[cache]\ntag_ttl = \"1h\"\n[upstreams.\"docker.io\"]\nurl = \"http://{url}\"\n");
    std::fs::write(&file, toml).unwrap();
    let options = Options {
        file: Some(file.clone()),
        data: Some(directory.join("data")),
        listen: Vec::new(),
    };
    let config = Config::from_sources(&options, Vec::new(), &file).unwrap();
    let store = Arc::new(Store::create(&config.data).unwrap());
    let access = &store.access;
    let alice = access
        .create_user(&by(), "alice", false, true, None)
        .unwrap();
    let acme = access
        .create_group(&by(), "acme", Visibility::Private)
        .unwrap();
    access.set_member(&by(), acme, alice, Level::Guest).unwrap();
    let secret = crate::auth::secret::Secret::mint(TokenKind::Personal).unwrap();
    let token = NewToken {
        kind: TokenKind::Personal,
        name: "t".into(),
        digest: secret.digest(),
        scopes: vec!["read_registry".into(), "write_registry".into()],
        user_id: Some(alice),
        group_id: None,
        project_id: None,
        username: None,
        access_level: None,
        expires_at: None,
        maker: crate::store::Maker::on_the_box(),
    };
    access.create_token(&by(), &token).unwrap();
    let appliance = Appliance::new(&config, store).unwrap();
    (appliance, secret.expose().to_owned(), alice)
}

#[test]
fn warm_pulls_ask_no_database() {
    let directory = tempfile::tempdir().unwrap();
    let (appliance, secret, alice) = stage(directory.path());
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("alice:{secret}"));
    let scope = format!("service=dependency_proxy&scope=repository:{IMAGE}:pull");
    let mut login = request("/jwt/auth", Some(&scope), &format!("Basic {basic}"));
    let Body::Bytes(answer) = appliance.handle(&mut login).body else {
        panic!("the token endpoint answers JSON");
    };
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let bearer = format!("Bearer {}", answer["token"].as_str().unwrap());
    let paths = [
        "manifests/latest".to_owned(),
        format!("manifests/{}", Digest::of(manifest().as_bytes())),
        format!("blobs/{}", Digest::of(BLOB)),
    ];
    let pull = |word: Option<&str>| {
        for path in &paths {
            let mut request = request(&format!("/v2/{IMAGE}/{path}"), None, &bearer);
            let response = appliance.handle(&mut request);
            assert_eq!(response.status, 200, "{path}");
            if let Some(word) = word {
                assert_eq!(response.get("X-Cache"), Some(word), "{path}");
            }
            // A fill is done when its bytes have been read.
            std::io::copy(&mut response.body.into_reader(), &mut std::io::sink()).unwrap();
        }
    };
    pull(None);
    pull(Some("hit"));
    take_ran();
    for _ in 0..50 {
        pull(Some("hit"));
    }
    assert_eq!(take_ran(), Vec::<&str>::new());
    // They do as soon as something has changed.
    appliance
        .store
        .access
        .set_blocked(&by(), alice, true)
        .unwrap();
    take_ran();
    let latest = format!("/v2/{IMAGE}/manifests/latest");
    let status = || {
        let mut request = request(&latest, None, &bearer);
        appliance.handle(&mut request).status
    };
    assert_eq!(status(), 401);
    assert!(take_ran().contains(&"find user"));
    let access = &appliance.store.access;
    access.set_blocked(&by(), alice, false).unwrap();
    assert_eq!(status(), 200);
    access.set_blocked(&by(), alice, true).unwrap();
    assert_eq!(status(), 401);
}
