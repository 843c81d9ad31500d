//! Redirects, and addresses that are not to be connected to.

use breakwater::upstream::FaultKind;

use super::{drain, get, make, repository, settings, stage, upstream};
use crate::support::fake_upstream::{Answer, Bearer, FakeUpstream};

#[test]
fn redirects_are_followed_and_authorization_stays_behind() {
    let (fake, image) = stage();
    let cdn = FakeUpstream::start_on("127.0.0.2");
    cdn.put_image("library/alpine", "latest", &image);
    fake.require_bearer(Bearer::default());
    let away = format!("{}{{path}}?X-Signature=SECRET", cdn.url());
    fake.on("GET", "/blobs/").always(Answer::redirect(&away));
    let upstream = upstream(&fake);
    let digest = image.layer_digest(0);
    let blob = upstream
        .get_blob(&repository(), &digest, 10, Some("\"x\""))
        .unwrap();
    assert_eq!(blob.offset, 0, "If-Range went along and did not fit");
    let (bytes, end) = drain(blob.reader);
    end.unwrap();
    assert!(bytes == image.layers[0]);
    let asked = &cdn.requests()[0];
    assert_eq!(asked.query, "X-Signature=SECRET");
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(asked.header("range"), Some("bytes=10-"));
    // What goes wrong there is told with both names, and without the signature.
    for answer in [
        Answer::status(403),
        Answer::hang_up(),
        Answer::good().truncate_at(9),
    ] {
        cdn.on("GET", "/blobs/").always(answer);
        let said = match upstream.get_blob(&repository(), &digest, 0, None) {
            Err(fault) => fault.message,
            Ok(blob) => drain(blob.reader).1.unwrap_err().to_string(),
        };
        let names = format!("registry.example: {}", cdn.address());
        assert!(said.contains(&names) && !said.contains("SECRET"), "{said}");
    }
    let status = serde_json::to_string(&upstream.status()).unwrap();
    assert!(
        status.contains("127.0.0.2") && !status.contains("SECRET"),
        "{status}"
    );
    // Sent away and home again, the token is not brought back. (A new client: the breaker of the other
    // has seen too much.)
    let upstream = super::upstream(&fake);
    let home = format!("{}/v2/library/alpine/manifests/home", fake.url());
    cdn.on("GET", "/manifests/").always(Answer::redirect(&home));
    fake.on("GET", "/manifests/latest")
        .always(Answer::redirect(&away));
    assert_eq!(get(&upstream).unwrap_err().kind, FaultKind::Denied);
    let came_home = fake.requests_for("GET", "/manifests/home");
    assert!(!came_home.is_empty());
    for request in came_home {
        assert_eq!(request.header("authorization"), None);
    }
}

#[test]
fn redirects_within_the_upstream_keep_authorization() {
    let (fake, image) = stage();
    fake.require_bearer(Bearer::default());
    fake.on("GET", "/manifests/").next([
        Answer::redirect("latest?again"),
        Answer::redirect("/v2/library/alpine/manifests/latest?and=again"),
    ]);
    assert_eq!(get(&upstream(&fake)).unwrap(), image.manifest);
    let queries: Vec<_> = fake
        .requests_for("GET", "/manifests/")
        .into_iter()
        .map(|r| r.query)
        .collect();
    assert_eq!(queries, ["", "", "again", "and=again"]);
}

#[test]
fn redirects_that_lead_nowhere_are_protocol_faults() {
    for (what, answers, requests) in [
        ("to itself", vec![Answer::redirect("{path}")], 1),
        (
            "in a circle",
            vec![
                Answer::redirect("{path}?a"),
                Answer::redirect("{path}?b"),
                Answer::redirect("{path}?a"),
            ],
            3,
        ),
        (
            "six",
            (0..6)
                .map(|n| Answer::redirect(&format!("{{path}}?{n}")))
                .collect(),
            6,
        ),
        (
            "without Location",
            vec![Answer::redirect("").without_header("Location")],
            1,
        ),
        ("to a file", vec![Answer::redirect("file:///etc/passwd")], 1),
        (
            "with a password",
            vec![Answer::redirect("http://u:p@127.0.0.1/")],
            1,
        ),
        ("300", vec![Answer::status(300)], 1),
        ("304", vec![Answer::status(304).empty()], 1),
    ] {
        let (fake, _) = stage();
        fake.on("GET", "/manifests/").next(answers);
        let upstream = upstream(&fake);
        let fault = get(&upstream).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Protocol, "{what}: {fault}");
        assert_eq!(fake.count("*", ""), requests, "{what}");
        assert_eq!(upstream.status().failures_in_a_row, 0, "{what}");
    }
    let (fake, image) = stage();
    let five = (0..5).map(|n| Answer::redirect(&format!("{{path}}?{n}")));
    fake.on("GET", "/manifests/").next(five);
    assert_eq!(get(&upstream(&fake)).unwrap(), image.manifest);
}

#[test]
fn private_addresses_are_refused_before_a_connection_is_made() {
    let (fake, _) = stage();
    let port = fake.address().port();
    for url in [
        fake.url().to_owned(),
        format!("http://localhost:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        format!("http://127.1:{port}"),
        "http://169.254.169.254".to_owned(),
        "http://10.0.0.1".to_owned(),
    ] {
        let mut settings = settings(&url);
        settings.allow_private_addresses = false;
        let fault = get(&make(settings)).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Protocol, "{url}: {fault}");
        assert!(fault.message.contains("not public"), "{url}: {fault}");
    }
    assert_eq!(fake.connections(), 0);
}
