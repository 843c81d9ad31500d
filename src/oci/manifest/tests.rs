//! What is taken for a manifest, from an upstream and from who pushes.

use strum::VariantNames as _;

use super::*;

fn descriptor(content: &[u8]) -> String {
    format!(
        r#"{{"mediaType":"x/y","digest":"{}","size":{}}}"#,
        Digest::of(content),
        content.len()
    )
}

#[test]
fn every_media_type_is_read_back() {
    for name in MediaType::VARIANTS {
        let read = MediaType::parse(&format!("{name}; charset=utf-8"));
        assert_eq!(read.map(MediaType::as_str), Some(*name));
    }
    assert_eq!(
        MediaType::parse("application/vnd.docker.distribution.manifest.v1+prettyjws"),
        None
    );
}

#[test]
fn an_image_refers_to_config_and_layers_and_an_index_to_manifests() {
    let (config, layer) = (descriptor(b"c"), descriptor(b"l"));
    let image =
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}],"subject":{layer}}}"#);
    let image = Manifest::parse(image.as_bytes(), None).unwrap();
    assert_eq!(image.media_type, MediaType::OciManifest);
    assert_eq!(image.blobs.len(), 2);
    assert_eq!(image.subject.unwrap().digest, Digest::of(b"l"));

    let index = format!(r#"{{"schemaVersion":2,"manifests":[{layer}]}}"#);
    let index = Manifest::parse(index.as_bytes(), Some(MediaType::DockerList)).unwrap();
    assert_eq!(index.media_type, MediaType::DockerList);
    assert_eq!(index.manifests[0].size, 1);
}

#[test]
fn what_is_not_what_it_says_is_refused() {
    let config = descriptor(b"c");
    let oci = MediaType::OciManifest.as_str();
    for (body, announced) in [
        ("".to_owned(), None),
        ("<html>".to_owned(), None),
        ("[]".to_owned(), None),
        (r#"{"schemaVersion":1}"#.to_owned(), None),
        (r#"{"schemaVersion":2}"#.to_owned(), None),
        (
            r#"{"schemaVersion":2,"config":{"digest":"sha256:0","size":1}}"#.to_owned(),
            None,
        ),
        (
            r#"{"schemaVersion":2,"config":{"digest":5,"size":-1}}"#.to_owned(),
            None,
        ),
        (
            format!(r#"{{"schemaVersion":2,"mediaType":"text/html","config":{config}}}"#),
            None,
        ),
        (
            format!(r#"{{"schemaVersion":2,"mediaType":"{oci}","config":{config}}}"#),
            Some(MediaType::DockerManifest),
        ),
        (
            format!(r#"{{"schemaVersion":2,"config":{config}}}"#),
            Some(MediaType::OciIndex),
        ),
    ] {
        assert!(
            Manifest::parse(body.as_bytes(), announced).is_err(),
            "{body}"
        );
    }
}

/// What a manifest with these fields beside its schemaVersion is.
fn document(fields: &str) -> String {
    format!(r#"{{"schemaVersion":2,{fields}}}"#)
}

#[test]
fn what_the_clients_push_is_taken() {
    let config = descriptor(b"c");
    let digest = Digest::of(b"l");
    let (oci, index) = (
        MediaType::OciManifest.as_str(),
        MediaType::OciIndex.as_str(),
    );
    let (docker, list) = (
        MediaType::DockerManifest.as_str(),
        MediaType::DockerList.as_str(),
    );
    let child =
        |more: &str| format!(r#"{{"mediaType":"{oci}","digest":"{digest}","size":7{more}}}"#);
    struct Case {
        of: &'static str,
        fields: String,
    }
    let cases = [
        Case {
            of: "docker",
            fields: format!(r#""mediaType":"{docker}","config":{config},"layers":[{config}]"#),
        },
        Case {
            of: "docker manifest",
            fields: format!(
                r#""mediaType":"{list}","manifests":[{}]"#,
                child(
                    r#","platform":{"architecture":"arm","os":"windows","os.version":"10.0.1","os.features":["win32k"],"variant":"v7","features":["sse4"]}"#
                )
            ),
        },
        Case {
            of: "buildkit, with an attestation",
            fields: format!(
                r#""mediaType":"{index}","manifests":[{},{}]"#,
                child(r#","platform":{"architecture":"amd64","os":"linux"}"#),
                child(
                    r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"},"platform":{"architecture":"unknown","os":"unknown"}"#
                )
            ),
        },
        Case {
            of: "podman and buildah, without a mediaType, and empty lists of Go",
            fields: format!(
                r#""config":{config},"layers":null,"manifests":null,"annotations":null,"subject":null"#
            ),
        },
        Case {
            of: "cosign",
            fields: format!(
                r#""mediaType":"{oci}","config":{config},"layers":[{}]"#,
                child(
                    r#","annotations":{"dev.cosignproject.cosign/signature":"MEUC\u0000\ud83d\ude00\n","Size":"1"}"#
                )
            ),
        },
        Case {
            of: "oras, with data in a descriptor",
            fields: format!(
                r#""mediaType":"{oci}","artifactType":"application/x","config":{},"layers":[],"subject":{},"annotations":{{"a":"b","A":""}}"#,
                child(
                    r#","data":"e30=","artifactType":"application/y","urls":["https://example.com"]"#
                ),
                child("")
            ),
        },
        Case {
            of: "helm",
            fields: format!(
                r#""config":{config},"layers":[{config}],"annotations":{{"org.opencontainers.image.created":"2026-01-01T00:00:00Z"}}"#
            ),
        },
        Case {
            of: "somebody with fields of his own",
            fields: format!(
                r#""config":{config},"layers":[],"com.example":{{"Size":-1.5e3,"size":[null,true]}},"Über":1"#
            ),
        },
    ];
    for case in cases {
        let text = format!(" {}\n", document(&case.fields));
        let parsed = Manifest::parse_pushed(text.as_bytes(), None);
        assert!(parsed.is_ok(), "{}: {parsed:?}: {text}", case.of);
    }
}

/// What is refused from who pushes, and whether it is from an upstream as well.
struct Hostile {
    what: &'static str,
    text: String,
    from_upstream: Fetched,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetched {
    /// It is odd, and nothing is made of what is odd in it.
    Passes,
    Refused,
}

fn hostile() -> Vec<Hostile> {
    use Fetched::{Passes, Refused};
    let config = descriptor(b"c");
    let digest = Digest::of(b"l");
    let image = |more: &str| document(&format!(r#""config":{config},"layers":[]{more}"#));
    let with_layer = |fields: &str| {
        document(&format!(
            r#""config":{config},"layers":[{{"digest":"{digest}",{fields}}}]"#
        ))
    };
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let case = |what, text, from_upstream| Hostile {
        what,
        text,
        from_upstream,
    };
    vec![
        case(
            "a number beyond all",
            image(r#","annotations":{"a":1e999}"#),
            Passes,
        ),
        case(
            "half a surrogate pair",
            image(r#","annotations":{"a":"\ud800"}"#),
            Passes,
        ),
        case(
            "half a pair as a name",
            image(r#","annotations":{"\udfff":""}"#),
            Passes,
        ),
        case(
            "deep annotations",
            image(&format!(r#","annotations":{{"a":{deep}}}"#)),
            Passes,
        ),
        case(
            "annotations that are no texts",
            image(r#","annotations":{"a":1}"#),
            Passes,
        ),
        case(
            "annotations that are a list",
            image(r#","annotations":[]"#),
            Passes,
        ),
        case(
            "a deep field of its own",
            image(&format!(r#","x":{deep}"#)),
            Passes,
        ),
        case(
            "a number beyond all, elsewhere",
            image(r#","x":[1e999]"#),
            Passes,
        ),
        case(
            "an annotation twice",
            image(r#","annotations":{"a":"1","\u0061":"2"}"#),
            Passes,
        ),
        case(
            "annotations twice",
            image(r#","annotations":{},"annotations":{}"#),
            Refused,
        ),
        case(
            "config twice",
            image(&format!(r#","config":{config}"#)),
            Refused,
        ),
        case("layers in capitals", image(r#","Layers":[]"#), Passes),
        case(
            "manifests with a long s",
            image(r#","manifeſts":[]"#),
            Passes,
        ),
        case("layers and manifests", image(r#","manifests":[]"#), Refused),
        case(
            "an index with layers",
            document(r#""manifests":[],"layers":[]"#),
            Refused,
        ),
        case(
            "an index with a config",
            document(&format!(r#""manifests":[],"config":{config}"#)),
            Refused,
        ),
        case(
            "schema 1 beside schema 2",
            image(r#","fsLayers":[]"#),
            Passes,
        ),
        case("a history", image(r#","history":[]"#), Passes),
        case(
            "a size beyond all",
            with_layer(r#""size":9223372036854775807"#),
            Passes,
        ),
        case(
            "a size of 2^53",
            with_layer(r#""size":9007199254740992"#),
            Passes,
        ),
        case(
            "a size beyond 64 bits",
            with_layer(r#""size":18446744073709551616"#),
            Refused,
        ),
        case("a size below nothing", with_layer(r#""size":-1"#), Refused),
        case("a broken size", with_layer(r#""size":1.5"#), Refused),
        case("no size", with_layer(r#""mediaType":"x/y""#), Refused),
        case("two sizes", with_layer(r#""size":1,"size":2"#), Refused),
        case(
            "two sizes, one in capitals",
            with_layer(r#""size":1,"Size":2"#),
            Passes,
        ),
        case(
            "a descriptor with wrong annotations",
            with_layer(r#""size":1,"annotations":{"a":{}}"#),
            Passes,
        ),
        case(
            "a wrong platform",
            with_layer(r#""size":1,"platform":{"os":["linux"]}"#),
            Passes,
        ),
        case("wrong places", with_layer(r#""size":1,"urls":[1]"#), Passes),
        case("wrong data", with_layer(r#""size":1,"data":{}"#), Passes),
        case(
            "a wrong subject",
            image(r#","subject":{"digest":"sha256:0","size":1}"#),
            Refused,
        ),
        case(
            "a long artifactType",
            image(&format!(r#","artifactType":"{}""#, "a".repeat(256))),
            Passes,
        ),
        case(
            "another schemaVersion",
            format!(r#"{{"schemaVersion":3,"config":{config}}}"#),
            Refused,
        ),
        case(
            "a schemaVersion in words",
            format!(r#"{{"schemaVersion":"2","config":{config}}}"#),
            Refused,
        ),
        case("something behind it", format!("{}{{}}", image("")), Refused),
        case(
            "a byte order mark",
            format!("\u{feff}{}", image("")),
            Refused,
        ),
    ]
}

#[test]
fn what_harms_other_readers_is_refused_from_who_pushes() {
    for case in hostile() {
        let pushed = Manifest::parse_pushed(case.text.as_bytes(), None);
        assert!(pushed.is_err(), "{}: {}", case.what, case.text);
        let said = pushed.unwrap_err().to_string();
        assert!(said.len() < 600, "{}: {said}", case.what);
        let fetched = Manifest::parse(case.text.as_bytes(), None);
        let expected = case.from_upstream == Fetched::Passes;
        assert_eq!(fetched.is_ok(), expected, "{}: {fetched:?}", case.what);
    }
    let broken = [br#"{"schemaVersion":2,"x":""#.as_slice(), b"\xff\"}"].concat();
    assert!(Manifest::parse_pushed(&broken, None).is_err());
}

#[test]
fn many_names_are_looked_through_in_time_and_found_when_one_is_there_twice() {
    let names: Vec<String> = (0..200_000).map(|name| format!(r#""{name}":"""#)).collect();
    let with = |more: &str| {
        let annotations = format!(r#""annotations":{{{}{more}}}"#, names.join(","));
        document(&format!(
            r#""config":{},"layers":[],{annotations}"#,
            descriptor(b"c")
        ))
    };
    assert!(Manifest::parse_pushed(with("").as_bytes(), None).is_ok());
    assert!(Manifest::parse_pushed(with(r#","77":"""#).as_bytes(), None).is_err());
}

mod whatever_is_pushed {
    use super::*;
    use proptest::prelude::*;

    /// Pieces of JSON, right and wrong, of which documents are made.
    fn piece() -> impl Strategy<Value = String> {
        let plain = prop::sample::select(vec![
            "1e999",
            "-1",
            "0",
            "9223372036854775807",
            "1.5",
            "null",
            "true",
            "[]",
            "{}",
            "[[",
            "\"\\ud800\"",
            "\"\\u0000\"",
            "\"x/y\"",
            "{\"a\":\"b\"}",
            "{\"a\":1}",
            "{\"a\":\"1\",\"a\":\"2\"}",
            "\u{feff}",
            "[1e999]",
        ]);
        prop_oneof![
            4 => plain.prop_map(str::to_owned),
            2 => Just(descriptor(b"c")),
            1 => (1..300_usize).prop_map(|n| format!("{}{}", "[".repeat(n), "]".repeat(n))),
            1 => any::<String>(),
        ]
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            6 => prop::sample::select(vec![
                "layers", "manifests", "subject", "annotations", "mediaType", "artifactType", "Config", "size", "x",
            ]).prop_map(str::to_owned),
            1 => "[a-zA-Z]{1,4}",
        ]
    }

    proptest! {
        #[test]
        fn is_refused_or_read_by_everybody(fields in prop::collection::vec((name(), piece()), 0..5)) {
            let more: String = fields.iter().map(|(name, value)| format!(r#","{name}":{value}"#)).collect();
            let text = document(&format!(r#""config":{}{more}"#, descriptor(b"c")));
            let Ok(manifest) = Manifest::parse_pushed(text.as_bytes(), None) else {
                return Ok(());
            };
            prop_assert!(Manifest::parse(text.as_bytes(), None).is_ok(), "{text}");
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
            if let Some(annotations) = manifest.annotations {
                let texts = serde_json::from_str::<std::collections::BTreeMap<String, String>>(annotations.get());
                prop_assert!(texts.is_ok(), "{text}");
            }
            prop_assert!(manifest.blobs.iter().all(|blob| blob.size <= MAX_CONTENT_SIZE), "{text}");
            prop_assert!(manifest.blobs.is_empty() || manifest.manifests.is_empty(), "{text}");
        }
    }
}
