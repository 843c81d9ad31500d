//! Reverse proxies on this machine that pass requests on to the box: read from their configuration, line by line,
//! without understanding more of it than where it names the box. Judges what the box thinks of them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::configurations::configuration;
use super::machine::Listeners;
use super::{Finding, Severity};
use crate::cli::workplace::Workplace;

/// A program that passes requests on, and how it is configured.
struct Program {
    name: &'static str,
    /// Where its configuration lies.
    directories: &'static [&'static str],
    naming: Naming,
}

/// Whether a program says for whom it asks.
enum Naming {
    /// By itself.
    Always,
    /// Where its configuration holds one of these words, in lower case.
    If(&'static [&'static str]),
    /// It cannot: it knows no HTTP.
    Never,
}

const PROGRAMS: [Program; 7] = [
    Program {
        name: "nginx",
        directories: &["/etc/nginx", "/usr/local/nginx/conf", "/etc/angie"],
        naming: Naming::If(&["x-forwarded-for"]),
    },
    Program {
        name: "haproxy",
        directories: &["/etc/haproxy"],
        naming: Naming::If(&["forwardfor", "x-forwarded-for"]),
    },
    Program {
        name: "caddy",
        directories: &["/etc/caddy"],
        naming: Naming::Always,
    },
    Program {
        name: "traefik",
        directories: &["/etc/traefik"],
        naming: Naming::Always,
    },
    Program {
        name: "apache",
        directories: &["/etc/apache2", "/etc/httpd"],
        naming: Naming::Always,
    },
    Program {
        name: "envoy",
        directories: &["/etc/envoy"],
        naming: Naming::Always,
    },
    Program {
        name: "stunnel",
        directories: &["/etc/stunnel"],
        naming: Naming::Never,
    },
];

impl Program {
    /// Whether it says for whom it asks where `file` passes a request on: by that file itself, by one that it includes,
    /// or by the program's main one. Distributions install files with the word in them that nobody includes.
    fn names_clients(&self, file: &Path, texts: &[(PathBuf, String)]) -> bool {
        let words = match self.naming {
            Naming::Always => return true,
            Naming::If(words) => words,
            Naming::Never => &[],
        };
        let own = texts.iter().find(|(path, _)| path == file);
        let own = own.map_or("", |(_, text)| text);
        let holds_there = |path: &Path| {
            let is_main = path.file_stem().is_some_and(|stem| stem == self.name);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            path == file || is_main || includes(own, &name)
        };
        let mut texts = texts.iter().filter(|(path, _)| holds_there(path));
        texts.any(|(_, text)| {
            let text = lines(text).collect::<Vec<_>>().join("\n");
            let text = text.to_ascii_lowercase();
            words.iter().any(|word| text.contains(word))
        })
    }
}

/// Whether a file includes one of this name.
fn includes(text: &str, name: &str) -> bool {
    lines(text).any(|line| {
        let mut words = line.split(|c: char| c.is_ascii_whitespace() || ";{}/\"'".contains(c));
        let is_include = |word: &str| word.eq_ignore_ascii_case("include");
        words.any(is_include) && words.any(|word| word == name)
    })
}

/// Where a configuration names the box.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mention {
    file: PathBuf,
    /// Where it connects to. Its connections come from there too, for they do not leave the machine.
    address: SocketAddr,
}

pub(super) fn find(place: &Workplace, listeners: &Listeners) -> Vec<Finding> {
    let is_box = |address: SocketAddr| listeners.are_at(address);
    let is_trusted = |address: IpAddr| {
        let mut proxies = place.config.server.trusted_proxies.iter();
        proxies.any(|network| network.contains(&address))
    };
    let of_program = |program: &Program| {
        let texts = configuration(program.directories.iter().map(Path::new));
        judge(program, &texts, is_box, is_trusted)
    };
    PROGRAMS.iter().flat_map(of_program).collect()
}

/// What is wrong with how the box and a program go together, by the texts of its files.
fn judge(
    program: &Program,
    texts: &[(PathBuf, String)],
    is_box: impl Fn(SocketAddr) -> bool,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Vec<Finding> {
    let mentions = texts
        .iter()
        .flat_map(|(file, text)| mentions(file, text, &is_box));
    let mentions: BTreeSet<Mention> = mentions.collect();
    let (trusted, others): (Vec<&Mention>, Vec<&Mention>) = mentions
        .iter()
        .partition(|mention| is_trusted(mention.address.ip()));
    let unnamed_files: BTreeSet<&Path> = trusted
        .iter()
        .map(|mention| mention.file.as_path())
        .filter(|file| !program.names_clients(file, texts))
        .collect();
    let first_of = |file: &Path| trusted.iter().find(|mention| mention.file == file);
    let silent = unnamed_files.into_iter().filter_map(first_of);
    let silent = silent.map(|mention| unnamed(program.name, mention));
    untrusted(program.name, &others)
        .into_iter()
        .chain(silent)
        .collect()
}

/// A proxy on this machine, as the subject of findings: by the name of its program.
pub(super) fn proxy_subject(program: &str) -> String {
    format!("proxy {program}")
}

/// One finding for all places of a program, as one line mends them. `localhost` alone means two addresses.
fn untrusted(name: &str, mentions: &[&Mention]) -> Option<Finding> {
    let first = mentions.first()?;
    let addresses: BTreeSet<IpAddr> = mentions
        .iter()
        .map(|mention| mention.address.ip())
        .collect();
    let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let quoted: Vec<_> = addresses.iter().map(|ip| format!("\"{ip}\"")).collect();
    let (addresses, are) = match shown.as_slice() {
        [address] => (address.clone(), "is"),
        _ => (shown.join(" and "), "are"),
    };
    let what = format!(
        "{}, and {addresses} {are} not in server.trusted_proxies: everybody who comes through it has that address, and may do what networks allow to it where no mark of a proxy is found",
        first.tell(name)
    );
    let remedy = format!(
        "put {} into server.trusted_proxies, and let {name} set X-Forwarded-For: see `breakwater help proxies`",
        quoted.join(", ")
    );
    let finding = Finding::new(Severity::Warning, "proxy_untrusted", what, remedy);
    Some(finding.about(proxy_subject(name)))
}

fn unnamed(name: &str, mention: &Mention) -> Finding {
    let what = format!(
        "{}, and does not set X-Forwarded-For: everybody who comes through it is taken for {}",
        mention.tell(name),
        mention.address.ip()
    );
    let remedy = format!("let {name} set X-Forwarded-For: see `breakwater help proxies`");
    Finding::new(Severity::Warning, "proxy_unnamed_clients", what, remedy)
}

impl Mention {
    fn tell(&self, name: &str) -> String {
        format!(
            "{name} on this machine passes requests on to this box ({} names {})",
            self.file.display(),
            self.address
        )
    }
}

/// The places of a file that name the box, and not as what the program itself listens on.
fn mentions(file: &Path, text: &str, is_box: impl Fn(SocketAddr) -> bool) -> Vec<Mention> {
    let is_passed_on = |line: &&str| {
        let word = line.split_ascii_whitespace().next().unwrap_or_default();
        !["listen", "bind", "<virtualhost", "accept"].contains(&word.to_ascii_lowercase().as_str())
    };
    let named = lines(text).filter(is_passed_on).flat_map(endpoints);
    named
        .filter(|address| is_box(*address))
        .map(|address| Mention {
            file: file.to_owned(),
            address,
        })
        .collect()
}

/// Lines without comments.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
}

/// Every `ADDRESS:PORT` in a line; without an address, and for `localhost`, both of loopback.
fn endpoints(line: &str) -> Vec<SocketAddr> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._-:[]".contains(c);
    let words = line.split(|c| !is_part(c));
    let of_word = |word: &str| {
        let (host, port) = word.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let addresses = match host.trim_start_matches('[').trim_end_matches(']') {
            "" | "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            host => vec![IpAddr::to_canonical(&host.parse().ok()?)],
        };
        Some(
            addresses
                .into_iter()
                .map(move |address| SocketAddr::new(address, port)),
        )
    };
    words.filter_map(of_word).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str) -> &'static Program {
        PROGRAMS
            .iter()
            .find(|program| program.name == name)
            .unwrap()
    }

    #[test]
    fn what_one_line_mends_is_told_once() {
        let site = |name: &str| {
            let text = "proxy_pass http://localhost:5000;".to_owned();
            (PathBuf::from("/etc/nginx").join(name), text)
        };
        let texts = [site("a"), site("b")];
        let is_box = |address: SocketAddr| address.port() == 5000;
        let found = judge(program("nginx"), &texts, is_box, |_| false);
        let [finding] = &found[..] else {
            panic!("{found:?}");
        };
        assert!(
            finding.remedy.contains("\"127.0.0.1\", \"::1\""),
            "{finding:?}"
        );
        // Each file has to name its clients.
        let found = judge(program("nginx"), &texts, is_box, |_| true);
        let checks: Vec<_> = found.iter().map(|finding| finding.check).collect();
        assert_eq!(checks, ["proxy_unnamed_clients"; 2]);
    }

    /// The box listens at 127.0.0.1:5000; which checks have findings.
    fn checks(name: &str, text: &str, trusted: bool) -> Vec<&'static str> {
        let texts = [(PathBuf::from("/etc/x"), text.to_owned())];
        let is_box = |address: SocketAddr| address == (Ipv4Addr::LOCALHOST, 5000).into();
        let found = judge(program(name), &texts, is_box, |_| trusted);
        found.iter().map(|finding| finding.check).collect()
    }

    #[test]
    fn configurations_of_proxies_name_the_box() {
        struct Case {
            program: &'static str,
            text: &'static str,
            names_box: bool,
        }
        let names = |program, text| Case {
            program,
            text,
            names_box: true,
        };
        let not = |program, text| Case {
            program,
            text,
            names_box: false,
        };
        for case in [
            names("nginx", "location / { proxy_pass http://127.0.0.1:5000; }"),
            names(
                "nginx",
                "upstream box {\n  server 127.0.0.1:5000 max_fails=3;\n}",
            ),
            names("nginx", "proxy_pass http://localhost:5000/;"),
            names("nginx", "set $box \"127.0.0.1:5000\";"),
            names("haproxy", "backend b\n  server box 127.0.0.1:5000 check"),
            names("caddy", "box.example {\n\treverse_proxy :5000\n}"),
            names("caddy", "reverse_proxy localhost:5000"),
            names("traefik", "servers:\n  - url: \"http://127.0.0.1:5000\""),
            names(
                "traefik",
                "[[http.services.b.loadBalancer.servers]]\nurl='http://[::ffff:127.0.0.1]:5000/'",
            ),
            names("apache", "ProxyPass / http://127.0.0.1:5000/ nocanon"),
            names("stunnel", "[box]\naccept = 443\nconnect = 127.0.0.1:5000"),
            not("nginx", "# proxy_pass http://127.0.0.1:5000;"),
            not(
                "nginx",
                "proxy_pass http://127.0.0.1:5001; # was 127.0.0.1:5000",
            ),
            not("nginx", "proxy_pass http://127.0.0.1:50000;"),
            not("nginx", "proxy_pass http://10.127.0.0.1:5000;"),
            not("nginx", "proxy_pass http://127.0.0.1;"),
            not("nginx", "listen 127.0.0.1:5000;"),
            not("haproxy", "frontend f\n  bind :5000"),
            not("nginx", ""),
        ] {
            let found = !checks(case.program, case.text, false).is_empty();
            assert_eq!(found, case.names_box, "{}: {}", case.program, case.text);
        }
    }

    #[test]
    fn a_trusted_proxy_has_to_name_its_clients() {
        let bare = "proxy_pass http://127.0.0.1:5000;\n# proxy_set_header X-Forwarded-For";
        let named =
            "proxy_pass http://127.0.0.1:5000;\nproxy_set_header X-Forwarded-For $remote_addr;";
        let haproxy = "option forwardfor\nserver box 127.0.0.1:5000";
        for (name, text, trusted, expected) in [
            ("nginx", bare, false, &["proxy_untrusted"][..]),
            ("nginx", named, false, &["proxy_untrusted"]),
            ("nginx", bare, true, &["proxy_unnamed_clients"]),
            ("nginx", named, true, &[]),
            ("haproxy", haproxy, true, &[]),
            (
                "haproxy",
                "server box 127.0.0.1:5000",
                true,
                &["proxy_unnamed_clients"],
            ),
            ("caddy", "reverse_proxy 127.0.0.1:5000", true, &[]),
            (
                "stunnel",
                "connect = 127.0.0.1:5000",
                true,
                &["proxy_unnamed_clients"],
            ),
        ] {
            assert_eq!(
                checks(name, text, trusted),
                expected,
                "{name} {text} {trusted}"
            );
        }
    }

    #[test]
    fn what_names_the_clients_must_hold_where_the_box_is_named() {
        let site = |text: &str| {
            let site = format!("{text}\nproxy_pass http://127.0.0.1:5000;");
            [
                (PathBuf::from("/etc/nginx/sites-enabled/box"), site),
                (
                    PathBuf::from("/etc/nginx/proxy_params"),
                    "proxy_set_header X-Forwarded-For $remote_addr;".to_owned(),
                ),
            ]
        };
        let names =
            |texts: &[(PathBuf, String)]| program("nginx").names_clients(&texts[0].0, texts);
        // Debian's file is there, and nobody includes it.
        assert!(!names(&site("")));
        assert!(!names(&site("# include proxy_params;")));
        assert!(!names(&site("include my_proxy_params;")));
        assert!(names(&site("location / { include proxy_params; }")));
        assert!(names(&site("include /etc/nginx/proxy_params;")));
        // What stands in the main file holds for all.
        let mut main = site("");
        main[1].0 = "/etc/nginx/nginx.conf".into();
        assert!(names(&main));
    }
}
