//! A receiver of webhooks whose every answer a test can spoil, and that checks signatures by an HMAC of its own.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// How long an event may take to come on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What is done with a post.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Status(u16),
    Redirect(String),
    /// Nothing is said for so long, and then the connection is closed.
    Hang(Duration),
    /// The connection is closed at once.
    Close,
    /// What is not HTTP.
    Garbage,
    /// 200, and a body that never ends.
    Endless,
    /// 200, and a body that never comes.
    Stalled(Duration),
    /// The status, after so long.
    Late(Duration, u16),
}

/// A post as it came.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Post {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines();
        let found = lines.find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        found.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().expect("a type").to_owned()
    }

    /// Panics unless it was signed with this secret alone, just now.
    pub(crate) fn assert_signed(&self, secret: &str) {
        self.assert_signed_with(&[secret]);
    }

    /// Panics unless it was signed with these secrets in this order, just now.
    pub(crate) fn assert_signed_with(&self, secrets: &[&str]) {
        let (id, at) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let signature = |secret: &&str| {
            let key = secret.strip_prefix("whsec_").unwrap();
            let key = STANDARD.decode(key).unwrap();
            let signature = hmac(&key, format!("{id}.{at}.{}", self.body).as_bytes());
            format!("v1,{}", STANDARD.encode(signature))
        };
        let expected: Vec<_> = secrets.iter().map(signature).collect();
        assert_eq!(self.header("webhook-signature"), expected.join(" "));
        let age = breakwater::time::Timestamp::now().0 - at.parse::<i64>().unwrap();
        assert!((0..300).contains(&age), "{age}");
    }
}

/// RFC 2104 with SHA-256, from its text.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |byte: u8| block.map(|b| b ^ byte).to_vec();
    let inner = Sha256::digest([&pad(0x36)[..], message].concat());
    Sha256::digest([&pad(0x5c)[..], &inner[..]].concat()).to_vec()
}

#[derive(Default)]
struct Seen {
    posts: Vec<Post>,
    /// What came and was not answered well, too.
    tries: usize,
    script: VecDeque<Answer>,
    standing: Option<Answer>,
}

/// It listens until the test ends.
#[derive(Clone)]
pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn on(listener: TcpListener) -> Self {
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
        };
        let own = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (own, Ok(stream)) = (own.clone(), stream) else {
                    return;
                };
                std::thread::spawn(move || own.answer(stream));
            }
        });
        receiver
    }

    /// The next posts are answered so, one each.
    pub(crate) fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.seen.0.lock().unwrap().script.extend(answers);
    }

    /// All that is not scripted is answered so, instead of 204.
    pub(crate) fn always(&self, answer: Option<Answer>) {
        self.seen.0.lock().unwrap().standing = answer;
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What was answered well so far.
    pub(crate) fn posts(&self) -> Vec<Post> {
        self.seen.0.lock().unwrap().posts.clone()
    }

    pub(crate) fn tries(&self) -> usize {
        self.seen.0.lock().unwrap().tries
    }

    /// Waits until so many were answered well.
    pub(crate) fn wait(&self, count: usize) -> Vec<Post> {
        self.wait_until(|seen| seen.posts.len() >= count)
    }

    /// Waits for an event of this type.
    pub(crate) fn wait_for(&self, kind: &str) -> Post {
        let is_it = |post: &Post| post.kind() == kind;
        let posts = self.wait_until(|seen| seen.posts.iter().any(is_it));
        posts.into_iter().find(is_it).unwrap()
    }

    /// Waits until so many have come, however they were answered.
    pub(crate) fn wait_tries(&self, count: usize) {
        self.wait_until(|seen| seen.tries >= count);
    }

    fn wait_until(&self, is_enough: impl Fn(&Seen) -> bool) -> Vec<Post> {
        let (seen, came) = (&self.seen.0, &self.seen.1);
        let (seen, timeout) = came
            .wait_timeout_while(seen.lock().unwrap(), PATIENCE, |seen| !is_enough(seen))
            .unwrap();
        assert!(
            !timeout.timed_out(),
            "after {PATIENCE:?} there are {} posts and {} tries: {:?}",
            seen.posts.len(),
            seen.tries,
            seen.posts.iter().map(|post| &post.body).collect::<Vec<_>>()
        );
        seen.posts.clone()
    }

    fn answer(&self, mut stream: TcpStream) {
        let Some(post) = read(&mut stream) else {
            return;
        };
        let answer = {
            let mut seen = self.seen.0.lock().unwrap();
            let answer = seen.script.pop_front().or(seen.standing.clone());
            seen.tries += 1;
            let answer = answer.unwrap_or(Answer::Status(204));
            if matches!(
                answer,
                Answer::Status(200..=299) | Answer::Endless | Answer::Stalled(_)
            ) {
                seen.posts.push(post);
            }
            self.seen.1.notify_all();
            answer
        };
        let head = |line: &str| format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
        let _ = match answer {
            Answer::Status(status) => stream.write_all(head(&format!("{status} X")).as_bytes()),
            Answer::Redirect(to) => {
                let line = format!("302 Found\r\nLocation: {to}");
                stream.write_all(head(&line).as_bytes())
            }
            Answer::Hang(time) => {
                std::thread::sleep(time);
                Ok(())
            }
            Answer::Close => Ok(()),
            Answer::Garbage => stream.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n"),
            Answer::Endless => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while stream.write_all(&[b'x'; 4096]).is_ok() {}
                Ok(())
            }
            Answer::Stalled(time) => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
                std::thread::sleep(time);
                Ok(())
            }
            Answer::Late(time, status) => {
                std::thread::sleep(time);
                stream.write_all(head(&format!("{status} X")).as_bytes())
            }
        };
    }
}

fn read(stream: &mut TcpStream) -> Option<Post> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let post = Post {
            head: head.to_owned(),
            body: body.to_owned(),
        };
        if post.body.len() >= post.header("Content-Length").parse().unwrap() {
            return Some(post);
        }
    }
}
