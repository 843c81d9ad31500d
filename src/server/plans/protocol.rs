//! The registry protocol, asked for everything that it has: a push, what can be read of it, and deletions.

use base64::Engine as _;

use super::{Caller, ask};
use crate::http::{Body, Method};
use crate::oci::Digest;
use crate::server::Appliance;

/// A JWT for all that is asked of the registry protocol.
pub(super) fn login(appliance: &Appliance, caller: &Caller) -> String {
    let basic = base64::engine::general_purpose::STANDARD
        .encode(format!("{}:{}", caller.name, caller.secret));
    let scopes = [
        "repository:acme/app:pull,push,delete",
        "repository:acme/app/x:pull,push,delete",
        "repository:acme/app/y:pull,push,delete",
        "repository:acme/dependency_proxy/containers/x/y:pull,push",
        "registry:catalog:*",
    ]
    .map(|scope| format!("&scope={scope}"));
    let path = format!("/jwt/auth?service=container_registry{}", scopes.concat());
    let answer = ask(
        appliance,
        Method::Get,
        &path,
        &format!("Basic {basic}"),
        "",
        b"",
    );
    let Body::Bytes(answer) = answer.body else {
        panic!("the token endpoint answers JSON");
    };
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    format!("Bearer {}", answer["token"].as_str().unwrap())
}

/// Pushes an image by the registry protocol, with all that comes after it.
pub(super) fn registry(appliance: &Appliance, caller: &Caller) {
    let login = login(appliance, caller);
    let blob = b"{}";
    let digest = Digest::of(blob);
    let config = format!(
        r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":2}}"#
    );
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let image =
        format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[]}}"#);
    let of_image = Digest::of(image.as_bytes());
    let subject = format!(
        r#"{{"mediaType":"{kind}","digest":"{of_image}","size":{}}}"#,
        image.len()
    );
    let about = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[],"subject":{subject}}}"#
    );
    let of_about = Digest::of(about.as_bytes());
    let root = "/v2/acme/app";
    let steps = [
        (
            Method::Post,
            format!("{root}/blobs/uploads/?digest={digest}"),
            "application/octet-stream",
            &blob[..],
            201,
        ),
        (
            Method::Post,
            format!("{root}/blobs/uploads/"),
            "application/octet-stream",
            b"",
            202,
        ),
        (
            Method::Post,
            format!("{root}/x/blobs/uploads/?mount={digest}&from=acme/app"),
            "",
            b"",
            201,
        ),
        (
            Method::Post,
            format!("{root}/y/blobs/uploads/?mount={digest}"),
            "",
            b"",
            201,
        ),
        (Method::Head, format!("{root}/blobs/{digest}"), "", b"", 200),
        (
            Method::Put,
            format!("{root}/manifests/latest"),
            kind,
            image.as_bytes(),
            201,
        ),
        (
            Method::Put,
            format!("{root}/manifests/{of_about}"),
            kind,
            about.as_bytes(),
            201,
        ),
        (
            Method::Get,
            format!("{root}/manifests/latest"),
            "",
            b"",
            200,
        ),
        (
            Method::Get,
            format!("{root}/manifests/{of_image}"),
            "",
            b"",
            200,
        ),
        (Method::Get, format!("{root}/blobs/{digest}"), "", b"", 200),
        (
            Method::Get,
            format!("{root}/tags/list?n=1&last=a"),
            "",
            b"",
            200,
        ),
        (
            Method::Get,
            "/v2/_catalog?n=1&last=acme/ap".to_owned(),
            "",
            b"",
            200,
        ),
        (
            Method::Get,
            format!("{root}/referrers/{of_image}"),
            "",
            b"",
            200,
        ),
        (
            Method::Get,
            format!("{root}/referrers/{of_image}?artifactType=x/y"),
            "",
            b"",
            200,
        ),
        (
            Method::Delete,
            format!("{root}/manifests/{of_about}"),
            "",
            b"",
            202,
        ),
        (
            Method::Delete,
            format!("{root}/x/blobs/{digest}"),
            "",
            b"",
            202,
        ),
    ];
    for (method, path, kind, body, expected) in steps {
        let answer = ask(appliance, method, &path, &login, kind, body);
        assert_eq!(answer.status, expected, "{} {path}", caller.name);
    }
}
