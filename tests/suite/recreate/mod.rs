//! Gzip streams made again: against digests of what the real compressors wrote, against the real programs where they
//! are installed, and against streams that are damaged.

mod contents;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use breakwater::recreate::{Examined, MODELS, Recipe, Refusal, examine, recreate};
use sha2::{Digest, Sha256};

use contents::content;

/// A header as Go writes it.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

fn checksum(content: &[u8]) -> u32 {
    !content.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 * (sum & 1))
        })
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `golden.txt` has of a model: kind, size and seed of a content, and what the compressor made of it.
fn golden(model: &str, version: u32) -> Vec<(String, usize, u64, u64, String)> {
    let lines = include_str!("golden.txt").lines();
    let wanted = format!("{model} {version} ");
    lines
        .filter_map(|line| line.strip_prefix(&wanted))
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [kind, size, seed, length, sha256] = words[..] else {
                panic!("{line}");
            };
            (
                kind.to_owned(),
                size.parse().unwrap(),
                seed.parse().unwrap(),
                length.parse().unwrap(),
                sha256.to_owned(),
            )
        })
        .collect()
}

/// Compresses all contents of `golden.txt` as the model does.
fn as_the_real_one(model: &str, version: u32, least: usize) {
    let golden = golden(model, version);
    assert!(golden.len() >= least, "{} contents", golden.len());
    for (kind, size, seed, length, sha256) in golden {
        let content = content(&kind, size, seed);
        let recipe = Recipe {
            model: model.to_owned(),
            version,
            header: HEADER.to_vec(),
            size: length + 18,
            plain_size: size as u64,
            checksum: checksum(&content),
        };
        let mut gzip = Vec::new();
        let name = format!("{model} {version}: {kind} {size} {seed}");
        recreate(&recipe, &content[..], &mut gzip)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let compressed = &gzip[10..gzip.len() - 8];
        assert_eq!(hex(&Sha256::digest(compressed)), sha256, "{name}");
    }
}

#[test]
fn go_at_level_6() {
    as_the_real_one("go-6", 1, 35);
}

#[test]
fn go_at_level_1() {
    as_the_real_one("go-1", 1, 35);
}

#[test]
fn klauspost_at_level_1() {
    as_the_real_one("klauspost-1", 1, 35);
    as_the_real_one("klauspost-1", 2, 35);
}

#[test]
fn klauspost_at_level_5() {
    as_the_real_one("klauspost-5", 1, 35);
    as_the_real_one("klauspost-5", 2, 35);
}

#[test]
fn klauspost_at_level_6() {
    as_the_real_one("klauspost-6", 1, 35);
    as_the_real_one("klauspost-6", 2, 35);
}

#[test]
fn pgzip_with_blocks_of_1_mib() {
    as_the_real_one("pgzip-5-1m", 1, 4);
    as_the_real_one("pgzip-5-1m", 2, 4);
}

#[test]
fn pgzip_with_blocks_of_256_kib() {
    as_the_real_one("pgzip-5-256k", 1, 35);
    as_the_real_one("pgzip-5-256k", 2, 35);
}

#[test]
fn each_model_has_contents_of_the_real_compressor() {
    for model in &MODELS {
        assert!(
            !golden(model.name, model.version).is_empty(),
            "{}",
            model.name
        );
    }
}

/// Examines a stream, makes it again, and compares.
fn there_and_back(gzip: &[u8]) -> (Vec<u8>, Examined) {
    let mut plain = Vec::new();
    let examined = examine(gzip, &mut plain).unwrap();
    if let Examined::Recipe(recipe) = &examined {
        let told = serde_json::to_string(recipe).unwrap();
        let recipe: Recipe = serde_json::from_str(&told).unwrap();
        let mut again = Vec::new();
        recreate(&recipe, &plain[..], &mut again).unwrap();
        assert!(again == gzip, "{recipe:?} makes another stream");
    }
    (plain, examined)
}

/// A stream of a content, as the model writes it.
fn compressed(model: &str, version: u32, content: &[u8]) -> Vec<u8> {
    let recipe = Recipe {
        model: model.to_owned(),
        version,
        header: HEADER.to_vec(),
        size: u64::MAX,
        plain_size: content.len() as u64,
        checksum: checksum(content),
    };
    let mut gzip = Vec::new();
    let error = recreate(&recipe, content, &mut gzip).unwrap_err();
    assert!(error.what().contains("makes less"), "{error}");
    gzip
}

#[test]
fn what_each_model_writes_is_examined_and_made_again() {
    for model in &MODELS {
        for (kind, size) in [
            ("zeros", 0),
            ("text", 40),
            ("mixed", 150_000),
            ("random", 70_000),
        ] {
            let content = content(kind, size, 9);
            let gzip = compressed(model.name, model.version, &content);
            let (plain, examined) = there_and_back(&gzip);
            assert!(plain == content, "{} {kind}", model.name);
            let Examined::Recipe(recipe) = examined else {
                panic!("{} {kind}: {examined:?}", model.name);
            };
            assert_eq!(recipe.size, gzip.len() as u64);
            if kind == "mixed" {
                // Short of a block, both sizes of pgzip's blocks are the same; and so are headers that need all codes.
                let family = |name: &str| name.replace("256k", "1m");
                assert_eq!(family(&recipe.model), family(model.name));
            }
        }
    }
}

#[test]
fn a_header_with_everything_is_kept_as_it_is() {
    let gzip = compressed("go-6", 1, b"some content");
    let mut header = vec![0x1f, 0x8b, 8, 2 | 4 | 8 | 16, 1, 2, 3, 4, 2, 3];
    header.extend(b"\x03\x00abcname\0comment\0\x12\x34");
    let mut stream = header.clone();
    stream.extend(&gzip[10..]);
    let (plain, examined) = there_and_back(&stream);
    assert_eq!(plain, b"some content");
    assert!(matches!(examined, Examined::Recipe(recipe) if recipe.header == header));

    let mut long = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 255];
    long.resize(5000, b'a');
    let (_, examined) = there_and_back(&long);
    assert_eq!(examined, Examined::Refused(Refusal::LongHeader));
}

#[test]
fn what_is_not_as_it_should_be_is_refused() {
    let content = content("mixed", 30_000, 4);
    let gzip = compressed("go-1", 1, &content);
    let refused = |stream: &[u8]| match there_and_back(stream).1 {
        Examined::Refused(refusal) => refusal,
        Examined::Recipe(recipe) => panic!("{recipe:?}"),
    };
    assert_eq!(refused(b""), Refusal::NotGzip);
    assert_eq!(refused(b"PK\x03\x04"), Refusal::NotGzip);
    assert_eq!(refused(&gzip[..7]), Refusal::Truncated);
    assert_eq!(refused(&gzip[..gzip.len() - 3]), Refusal::Truncated);
    assert_eq!(refused(&gzip[..gzip.len() / 2]), Refusal::Truncated);
    let mut other = gzip.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    assert_eq!(refused(&other), Refusal::Checksum);
    let twice = [&gzip[..], &gzip].concat();
    assert_eq!(refused(&twice), Refusal::Trailing);
    // An empty block before: nobody writes it.
    let mut empty = HEADER.to_vec();
    empty.extend([0, 0, 0, 0xff, 0xff]);
    empty.extend(&gzip[10..]);
    assert_eq!(refused(&empty), Refusal::Unknown);
}

#[test]
fn a_recipe_that_does_not_fit_is_an_error() {
    let content = content("text", 30_000, 4);
    let gzip = compressed("go-1", 1, &content);
    let Examined::Recipe(good) = there_and_back(&gzip).1 else {
        panic!("no recipe");
    };
    let attempt = |recipe: &Recipe, content: &[u8]| {
        let mut gzip = Vec::new();
        let error = recreate(recipe, content, &mut gzip).unwrap_err();
        assert!(gzip.len() as u64 <= recipe.size);
        error.to_string()
    };
    let bad = |change: fn(&mut Recipe)| {
        let mut recipe = good.clone();
        change(&mut recipe);
        attempt(&recipe, &content)
    };
    assert!(bad(|recipe| recipe.version = 99).contains("not known here"));
    assert!(bad(|recipe| recipe.model = "zlib".into()).contains("not known here"));
    assert!(bad(|recipe| recipe.size -= 1).contains("makes more"));
    assert!(bad(|recipe| recipe.size += 1).contains("makes less"));
    assert!(bad(|recipe| recipe.plain_size -= 1).contains("for less content"));
    assert!(bad(|recipe| recipe.plain_size += 1).contains("for more content"));
    assert!(bad(|recipe| recipe.checksum ^= 1).contains("for other content"));
    assert!(bad(|recipe| recipe.header = vec![0; 5000]).contains("header"));
    let mut other = content.clone();
    other[100] ^= 1;
    assert!(attempt(&good, &other).contains("for other content"));
}

/// Nothing comes out, however much goes in.
#[test]
fn empty_blocks_without_end_are_refused_in_little_memory() {
    let header = &HEADER[..];
    let mut plain = Vec::new();
    let blocks = Repeated(&[0, 0, 0, 0xff, 0xff], 0);
    let examined = examine(header.chain(blocks), &mut plain).unwrap();
    assert_eq!(examined, Examined::Refused(Refusal::Unknown));
    assert!(plain.is_empty());
}

/// The same bytes again and again.
struct Repeated(&'static [u8], usize);

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in &mut *buffer {
            *byte = self.0[self.1 % self.0.len()];
            self.1 += 1;
        }
        Ok(buffer.len())
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn any_bytes_are_refused_or_made_again(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        there_and_back(&bytes);
        there_and_back(&[&HEADER[..], &bytes].concat());
    }

    #[test]
    fn any_damage_is_refused_or_made_again(
        model in 0..MODELS.len(),
        seed in 1_u64..1000,
        size in 0_usize..3000,
        at in proptest::num::usize::ANY,
        bit in 0..8,
        cut in proptest::bool::ANY,
    ) {
        let content = content("mixed", size, seed);
        let mut gzip = compressed(MODELS[model].name, MODELS[model].version, &content);
        let at = at % gzip.len();
        if cut {
            gzip.truncate(at);
        } else {
            gzip[at] ^= 1_u8 << bit;
        }
        there_and_back(&gzip);
    }
}

/// The real programs, where they are installed: gzip's own compressor is not known, so its streams are refused; those
/// of Go, umoci and skopeo are made again.
#[test]
fn streams_of_installed_programs_are_refused_or_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let content = content("tar", 600_000, 3);
    fs::write(path("content"), &content).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let command = command.args(arguments).current_dir(directory.path());
        let output = command.env("GO111MODULE", "off").output();
        let output = output.ok().filter(|output| output.status.success());
        output.map(|output| output.stdout)
    };
    for program in ["gzip", "pigz"] {
        if let Some(gzip) = run(program, &["-c", "content"]) {
            let (_, examined) = there_and_back(&gzip);
            assert_eq!(examined, Examined::Refused(Refusal::Unknown), "{program}");
        }
    }
    fs::write(path("compress.go"), include_str!("compress.go")).unwrap();
    for level in ["1", "6"] {
        if let Some(gzip) = run("go", &["run", "compress.go", level, "content"]) {
            let (plain, examined) = there_and_back(&gzip);
            assert!(plain == content && matches!(examined, Examined::Recipe(_)));
        }
    }
    let umoci = [
        &["init", "--layout", "image"][..],
        &["new", "--image", "image:a"],
        &[
            "insert",
            "--rootless",
            "--image",
            "image:a",
            "content",
            "/content",
        ],
    ];
    if umoci
        .iter()
        .all(|arguments| run("umoci", arguments).is_some())
    {
        layers(&path("image/blobs/sha256"), "pgzip-5-256k");
        let copy = |from: &str, to: &str, how: &str| {
            run("skopeo", &["--insecure-policy", "copy", how, from, to]).is_some()
        };
        if copy("oci:image:a", "dir:plain", "--dest-decompress")
            && copy("dir:plain", "dir:again", "--dest-compress")
        {
            layers(&path("again"), "pgzip-5-1m");
        }
    }
}

/// All layers of a directory are made again, by that model.
fn layers(directory: &Path, model: &str) {
    let files = fs::read_dir(directory).unwrap();
    let files = files.map(|file| fs::read(file.unwrap().path()).unwrap());
    let mut count = 0;
    for gzip in files.filter(|file| file.starts_with(&[0x1f, 0x8b])) {
        let (_, examined) = there_and_back(&gzip);
        assert!(
            matches!(&examined, Examined::Recipe(recipe) if recipe.model == model),
            "{examined:?}"
        );
        count += 1;
    }
    assert!(count > 0, "no layer");
}
