//! Who is let in, whose turn it is, and what a flood of logins does.

use super::*;

fn attempt(password: &str) -> Attempt<'_> {
    Attempt {
        account: "alice",
        password,
        address: "192.0.2.1".parse().unwrap(),
    }
}

#[test]
fn only_the_right_password_of_a_known_user_matches() {
    let verifier = Verifier::new().unwrap();
    let stored = hash("correct horse").unwrap();
    assert!(stored.starts_with("$argon2id$"));
    assert!(
        verifier
            .verify(&attempt("correct horse"), Some(&stored))
            .unwrap()
    );
    assert!(
        verifier
            .verify(&attempt("correct horse"), Some(&stored))
            .unwrap(),
        "remembered"
    );
    let changed = hash("battery staple").unwrap();
    assert!(
        !verifier
            .verify(&attempt("correct horse"), Some(&changed))
            .unwrap(),
        "changed since"
    );
    assert!(
        !verifier
            .verify(&attempt("wrong horse"), Some(&stored))
            .unwrap()
    );
    assert!(
        !verifier
            .verify(&attempt("a decoy, not a password"), None)
            .unwrap()
    );
    assert!(
        !verifier
            .verify(&attempt(&"é".repeat(100_000)), Some(&stored))
            .unwrap()
    );
    assert!(hash("short").is_err() && hash(&"x".repeat(257)).is_err());
}

#[test]
fn one_is_checked_few_wait_and_the_rest_is_turned_away_at_once() {
    let (started, starts) = mpsc::channel();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let verifier = {
        let gate = Arc::clone(&gate);
        Verifier::checking_by(move |password, _| {
            started.send(password.to_owned()).unwrap();
            drop(gate.lock());
            Ok(false)
        })
    };
    let verifier = verifier.unwrap();
    let queue = |name: &str| verifier.queue_up(&attempt(name), "");
    let first = queue("first");
    assert_eq!(starts.recv().unwrap(), "first");
    let waiting: Vec<_> = (0..WAITING).map(|_| queue("waiting")).collect();
    for _ in 0..100 {
        let kind = verifier.verify(&attempt("late"), None).unwrap_err().kind();
        assert!(matches!(kind, Kind::TooManyRequests { .. }), "{kind:?}");
    }
    assert!(starts.try_recv().is_err(), "one at a time");
    drop(closed);
    for answered in [first].into_iter().chain(waiting) {
        assert!(!answered.recv().unwrap().unwrap());
    }
    assert!(
        !verifier.verify(&attempt("later"), None).unwrap(),
        "places are given back"
    );
}

/// A whole IPv6 /48 at an attacker's hands fills the queue, and two users come from elsewhere: one for the first
/// time, one who logged in before.
#[test]
fn a_flood_from_one_site_turns_nobody_else_away() {
    let gate = Arc::new(Mutex::new(()));
    let (started, starts) = mpsc::channel();
    let verifier = {
        let gate = Arc::clone(&gate);
        Verifier::checking_by(move |password, _| {
            started.send(password.to_owned()).unwrap();
            drop(gate.lock());
            Ok(password != "wrong")
        })
    };
    let verifier = verifier.unwrap();
    let from = |account, address: &str, password| Attempt {
        account,
        password,
        address: address.parse().unwrap(),
    };
    let stored = |name: &str| format!("the hash of {name}");
    let known = from("known", "198.51.100.1", "right");
    assert!(verifier.verify(&known, Some(&stored("known"))).unwrap());
    assert_eq!(starts.recv().unwrap(), "right");
    let closed = gate.lock();
    let floods: Vec<_> = (0..100)
        .map(|number| {
            let address = format!("2001:db8:1:{number:x}::1");
            verifier.queue_up(&from("root", &address, "wrong"), "")
        })
        .collect();
    assert_eq!(starts.recv().unwrap(), "wrong");
    let new = verifier.queue_up(&from("new", "192.0.2.1", "new"), "");
    let known = from("known", "198.51.100.1", "changed");
    let known = verifier.queue_up(&known, "");
    drop(closed);
    assert_eq!(starts.recv().unwrap(), "changed");
    assert_eq!(starts.recv().unwrap(), "new");
    assert!(new.recv().unwrap().unwrap() && known.recv().unwrap().unwrap());
    let checked = floods.iter().filter(|flood| flood.recv().unwrap().is_ok());
    assert!(checked.count() <= 1 + WAITING - 2);
}

#[test]
fn an_unknown_user_costs_one_check_of_the_same_kind() {
    let (checked, checks) = mpsc::channel();
    let verifier = Verifier::checking_by(move |_, stored| {
        checked.send(stored.to_owned()).unwrap();
        Ok(true)
    });
    let verifier = verifier.unwrap();
    let stored = hash("correct horse").unwrap();
    assert!(
        verifier
            .verify(&attempt("correct horse"), Some(&stored))
            .unwrap()
    );
    assert_eq!(checks.recv().unwrap(), stored);
    // Even were the decoy's password guessed, nobody is let in, and it is not remembered either.
    for _ in 0..2 {
        assert!(!verifier.verify(&attempt("correct horse"), None).unwrap());
        let decoy = checks.recv().unwrap();
        let parameters = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(parameters(&decoy), parameters(&stored));
    }
    assert!(checks.try_recv().is_err());
}

#[test]
fn a_panic_ends_one_login_and_no_other() {
    let verifier = Verifier::checking_by(|password, _| {
        assert_ne!(password, "panic");
        Ok(false)
    });
    let verifier = verifier.unwrap();
    assert_eq!(
        verifier.verify(&attempt("panic"), None).unwrap_err().kind(),
        Kind::Internal
    );
    assert!(!verifier.verify(&attempt("other"), None).unwrap());
}
