//! Who shares a token and a fetch, who waits how long, and what is forgotten.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn key(scope: &str) -> TokenKey {
    TokenKey {
        realm: "https://r/t".to_owned(),
        service: None,
        scope: scope.to_owned(),
    }
}

fn issued(token: &str) -> Result<Issued, Fault> {
    Ok(Issued {
        token: token.into(),
        life: Duration::from_secs(300),
    })
}

#[test]
fn concurrent_requests_share_one_fetch() {
    let (cache, fetches, barrier) = (
        TokenCache::new("registry.example".to_owned()),
        AtomicUsize::new(0),
        Barrier::new(8),
    );
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                let token = cache.get(&key("a"), None, None, || {
                    fetches.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(100));
                    issued("t")
                });
                assert_eq!(&*token.unwrap(), "t");
            });
        }
    });
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    assert_eq!(cache.cached("a", Instant::now()).as_deref(), Some("t"));
    assert_eq!(cache.cached("b", Instant::now()), None);
    let later = Instant::now() + Duration::from_secs(271);
    assert_eq!(
        cache.cached("a", later),
        None,
        "half a minute before it expires"
    );
}

#[test]
fn a_rejected_token_is_fetched_again_once() {
    let cache = TokenCache::new("registry.example".to_owned());
    cache.get(&key("a"), None, None, || issued("old")).unwrap();
    let new = cache.get(&key("a"), Some("old"), None, || issued("new"));
    assert_eq!(&*new.unwrap(), "new");
    // Another thread that was refused with the old one finds the new one.
    let found = cache.get(&key("a"), Some("old"), None, || issued("never"));
    assert_eq!(&*found.unwrap(), "new");
    cache.forget("new");
    assert_eq!(cache.cached("a", Instant::now()), None);
}

#[test]
fn a_failed_or_panicking_fetch_leaves_nobody_waiting() {
    let cache = Arc::new(TokenCache::new("registry.example".to_owned()));
    let fault = || Err(Fault::new(FaultKind::Denied, "no"));
    let failed = cache.get(&key("a"), None, None, fault).unwrap_err();
    assert_eq!(failed.kind, FaultKind::Denied);
    let dead = std::thread::spawn({
        let cache = Arc::clone(&cache);
        move || {
            cache
                .get(&key("a"), None, None, || panic!("dies"))
                .map(|_| ())
        }
    });
    assert!(dead.join().is_err());
    assert_eq!(
        &*cache.get(&key("a"), None, None, || issued("t")).unwrap(),
        "t"
    );
}

#[test]
fn who_waits_keeps_its_deadline() {
    let cache = Arc::new(TokenCache::new("registry.example".to_owned()));
    let (started, release) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let slow = std::thread::spawn({
        let (cache, started, release) = (
            Arc::clone(&cache),
            Arc::clone(&started),
            Arc::clone(&release),
        );
        move || {
            cache.get(&key("a"), None, None, || {
                started.wait();
                release.wait();
                issued("t")
            })
        }
    });
    started.wait();
    let soon = Some(Deadline::after(Duration::from_millis(50)));
    let waited = cache.get(&key("a"), None, soon, || issued("never"));
    assert_eq!(waited.unwrap_err().kind, FaultKind::TimedOut);
    release.wait();
    assert!(slow.join().unwrap().is_ok());
}

#[test]
fn tokens_are_bounded_in_number() {
    let cache = TokenCache::new("registry.example".to_owned());
    for n in 0..MOST_TOKENS + 50 {
        cache
            .get(&key(&n.to_string()), None, None, || issued("t"))
            .unwrap();
    }
    assert!(cache.tokens.lock().kept.len() <= MOST_TOKENS);
    let last = (MOST_TOKENS + 49).to_string();
    assert!(cache.cached(&last, Instant::now()).is_some());
}
