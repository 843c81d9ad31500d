//! `breakwater client check`: says on the machine of a client whether it can pull through a box, and if not, why. Reads
//! no configuration of a box, and changes nothing.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::Outcome;
use crate::cli::output::{print, print_json};
use crate::cli::reached::{self, Reached};
use crate::error::{Error, Kind, Result, excerpt};
use crate::time::{Timestamp, parse_moment};
use crate::upstream::{Ca, Look, Seen, Unseen, look};

/// Where clients keep the authorities of single registries, each in a directory of the registry's name.
const DIRECTORIES: [&str; 4] = [
    "/etc/docker/certs.d",
    "/etc/containers/certs.d",
    "/etc/containerd/certs.d",
    "/etc/buildkit/certs.d",
];
/// Where docker reads its mirrors.
const DAEMON: &str = "/etc/docker/daemon.json";
/// So many characters of what the box says are shown: longer is no message of a box.
const MESSAGE: usize = 1000;
/// The clocks of two machines may differ by so many seconds.
const APART: u64 = 60;

/// Say whether this machine can pull through a box, and if not, why; exit status 1 if it cannot
///
/// Run it on the machine of a client. It needs no data directory and no login, sends no password, and pulls nothing.
/// Where the program is not installed, the box has a script: curl -fsS http://10.0.0.5:5000/-/client-check | sh
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  breakwater client check https://box.example:5443
  breakwater client check http://10.0.0.5:5000 --json")]
pub(super) struct Check {
    /// The box [default: the first of registry-mirrors in /etc/docker/daemon.json]
    url: Option<String>,
    /// An authority to trust, in PEM [default: ca.crt of the box where docker, podman or containerd look for it]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Step {
    /// A word for programs.
    check: &'static str,
    ok: bool,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Step {
    fn fine(check: &'static str, what: impl Into<String>) -> Self {
        Self {
            check,
            ok: true,
            what: what.into(),
            remedy: None,
        }
    }

    fn wrong(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            ok: false,
            what: what.into(),
            remedy: Some(remedy.into()),
        }
    }
}

impl Check {
    pub(super) fn run(&self) -> Result<Outcome> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => first_mirror(Path::new(DAEMON))?,
        };
        let reached = reached::given(&url)?;
        let ca = self.ca.clone().or_else(|| known_ca(&reached));
        let steps = steps(&reached, ca.map(Ca::File).as_ref())?;
        let ok = steps.iter().all(|step| step.ok);
        if self.json {
            print_json(&json!({ "url": reached.url, "ok": ok, "checks": steps }))?;
        } else {
            for step in &steps {
                print(&match &step.remedy {
                    Some(remedy) => format!("wrong: {} ({remedy})", step.what),
                    None => format!("fine: {}", step.what),
                })?;
            }
        }
        Ok(if ok { Outcome::Done } else { Outcome::Bad })
    }
}

/// In the order in which a pull meets them; the first that is wrong is the last.
fn steps(at: &Reached, ca: Option<&Ca>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let base = match look(&format!("{}/v2/", at.url), ca)? {
        Look::Seen(seen) => seen,
        Look::Unseen(unseen) => return Ok(vec![unreachable(at, &unseen)]),
    };
    let how = match (at.is_tls(), ca) {
        (true, Some(Ca::File(file))) => format!(", trusted by {}", file.display()),
        _ => String::new(),
    };
    steps.push(Step::fine("reachable", format!("{} answers{how}", at.url)));
    if !is_breakwater(&base) {
        steps.push(Step::wrong(
            "breakwater",
            format!("what answers at {} is no Breakwater", at.url),
            "use the URL that `breakwater client docker` prints on the box",
        ));
        return Ok(steps);
    }
    steps.push(Step::fine("breakwater", "it is a Breakwater"));
    let clock = base.header("Date").and_then(parse_date);
    if let Some(step) = clock.map(|theirs| compare_clocks(theirs, Timestamp::now())) {
        let is_wrong = !step.ok;
        steps.push(step);
        if is_wrong {
            return Ok(steps);
        }
    }
    let scope = "service=dependency_proxy&scope=repository:library/alpine:pull";
    let token = match look(&format!("{}/jwt/auth?{scope}", at.url), ca)? {
        Look::Seen(seen) => judge_token(at, &seen),
        Look::Unseen(unseen) => unreachable(at, &unseen),
    };
    steps.push(token);
    Ok(steps)
}

/// By its challenge, which names the token endpoint and the service.
fn is_breakwater(seen: &Seen) -> bool {
    let challenge = seen.header("WWW-Authenticate").unwrap_or_default();
    seen.status == 401
        && challenge.contains("/jwt/auth\"")
        && challenge.contains("service=\"dependency_proxy\"")
}

fn judge_token(at: &Reached, seen: &Seen) -> Step {
    let answer: Value = serde_json::from_str(&seen.body).unwrap_or_default();
    let message = answer
        .pointer("/errors/0/message")
        .and_then(Value::as_str)
        .map_or_else(
            || excerpt(&seen.body),
            |message| message.chars().take(MESSAGE).collect(),
        );
    match seen.status {
        200 => Step::fine(
            "trusted",
            "this machine may pull through the mirror without a login",
        ),
        401 => Step::wrong(
            "trusted",
            format!("this machine may not use the mirror without a login: {message}"),
            format!(
                "the command is for the box; or log in with `docker login {}`, and pull by the path of a group",
                at.place()
            ),
        ),
        status => Step::wrong(
            "trusted",
            format!("the box gives no token for the mirror: {status}: {message}"),
            "look into the log of the box",
        ),
    }
}

fn unreachable(at: &Reached, unseen: &Unseen) -> Step {
    let (place, url) = (at.place(), &at.url);
    let clock = "compare the clock of this machine (`date`) with the right time; if it is right, renew the certificate on the box: `breakwater tls self-signed`";
    match unseen {
        Unseen::NoAddress => Step::wrong(
            "reachable",
            format!("{place} has no address"),
            "use a name that this machine can resolve, or an address",
        ),
        Unseen::Unreachable(why) => Step::wrong(
            "reachable",
            format!("{url} cannot be reached: {why}"),
            "see on the box that it runs and listens beyond loopback (`breakwater doctor`; server.listen, tls.listen), and that no firewall is in between",
        ),
        Unseen::Silent => Step::wrong(
            "reachable",
            format!("{url} does not answer"),
            "see that no firewall is in between, and that the box runs",
        ),
        Unseen::UnknownAuthority => Step::wrong(
            "tls",
            format!("the authority of the certificate of {place} is not known on this machine"),
            format!(
                "put it there with what `breakwater client docker` prints on the box (for docker /etc/docker/certs.d/{place}/ca.crt), or name it with --ca"
            ),
        ),
        Unseen::OtherName(names) => Step::wrong(
            "tls",
            format!("the certificate is not for {place}, but for {names}"),
            "use one of these names, or make one for this name on the box: `breakwater tls self-signed --name NAME`",
        ),
        Unseen::Expired => Step::wrong("tls", "the certificate has ended", clock),
        Unseen::NotYetValid => Step::wrong("tls", "the certificate does not hold yet", clock),
        Unseen::NotTls => Step::wrong(
            "tls",
            format!("what answers at {place} speaks no TLS"),
            format!("write http://{place}, or the port of tls.listen"),
        ),
        Unseen::OtherTls(why) => Step::wrong(
            "tls",
            format!("TLS with {place} failed: {why}"),
            "see what listens there",
        ),
        Unseen::NotHttp => Step::wrong(
            "reachable",
            format!("what answers at {place} speaks no HTTP"),
            format!("if it is the port of tls.listen, write https://{place}"),
        ),
    }
}

fn compare_clocks(theirs: Timestamp, own: Timestamp) -> Step {
    let apart = own.0.abs_diff(theirs.0);
    if apart <= APART {
        return Step::fine("clock", "the clocks agree");
    }
    Step::wrong(
        "clock",
        format!("the clock of this machine says {own}, that of the box {theirs}"),
        "set the wrong one, with NTP for example: tokens and certificates hold for a time",
    )
}

/// `Mon, 30 Nov 2026 04:22:40 GMT` (RFC 9110 section 5.6.7).
fn parse_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_ascii_whitespace().skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = (1..).zip(MONTHS).find(|(_, name)| *name == month)?.0;
    parse_moment(&format!("{year}-{month:02}-{day}T{time}Z"))
}

/// The file that docker, podman or containerd trust for this box.
fn known_ca(at: &Reached) -> Option<PathBuf> {
    if !at.is_tls() {
        return None;
    }
    let files = DIRECTORIES.map(|directory| Path::new(directory).join(at.place()).join("ca.crt"));
    files.into_iter().find(|file| file.is_file())
}

fn first_mirror(daemon: &Path) -> Result<String> {
    let none = |why: String| {
        let remedy = "name the box: breakwater client check http://HOST:PORT";
        Error::new(Kind::Usage, why).remedy(remedy)
    };
    let text = std::fs::read_to_string(daemon).map_err(|error| {
        none(format!(
            "no box is named, and {} cannot be read",
            daemon.display()
        ))
        .because(error)
    })?;
    let settings: Value = serde_json::from_str(&text)
        .map_err(|error| none(format!("{} is no JSON", daemon.display())).because(error))?;
    let mirror = settings
        .pointer("/registry-mirrors/0")
        .and_then(Value::as_str);
    let mirror = mirror.map(str::to_owned);
    mirror.ok_or_else(|| {
        none(format!(
            "no box is named, and {} has no registry-mirrors",
            daemon.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_may_differ_by_a_minute() {
        let date = parse_date("Mon, 30 Nov 2026 04:22:40 GMT").unwrap();
        assert_eq!(date.to_string(), "2026-11-30T04:22:40Z");
        for text in ["", "Mon", "Mon, 30 Foo 2026 04:22:40 GMT", "a b c d e"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
        for (apart, ok) in [(0, true), (60, true), (61, false), (-61, false)] {
            let own = Timestamp(date.0 + apart);
            assert_eq!(compare_clocks(date, own).ok, ok, "{apart}");
        }
    }

    #[test]
    fn the_box_is_the_first_mirror_of_docker() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("daemon.json");
        let why = || first_mirror(&file).unwrap_err().to_string();
        assert!(why().contains("no box is named"), "{}", why());
        std::fs::write(&file, "{}").unwrap();
        assert!(why().contains("has no registry-mirrors"), "{}", why());
        std::fs::write(&file, r#"{"registry-mirrors": ["http://10.0.0.5:5000"]}"#).unwrap();
        assert_eq!(first_mirror(&file).unwrap(), "http://10.0.0.5:5000");
    }
}
