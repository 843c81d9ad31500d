//! The table of faults: what a receiver can do, and what becomes of the events.

use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use breakwater::store::{Actor, EventFilter, NoticeKind, Store, Visibility, WebhookChanges};
use breakwater::webhooks::Pace;

use super::receiver::{Answer, Receiver};
use super::{Stage, numbers};

#[test]
fn whatever_a_receiver_does_an_event_is_tried_until_it_is_taken_and_order_holds() {
    let receiver = Receiver::start();
    let stage = Stage::new();
    let (_, secret) = stage.hook(&receiver.url("/x"));
    let elsewhere = Receiver::start();
    receiver.next([
        Answer::Status(500),
        Answer::Status(404),
        Answer::Close,
        Answer::Garbage,
        Answer::Redirect(elsewhere.url("/")),
        Answer::Status(429),
        Answer::Status(100),
    ]);
    for number in 0..5 {
        stage.tell(number);
    }
    let posts = receiver.wait(5);
    assert_eq!(numbers(&posts), [0, 1, 2, 3, 4]);
    assert!(receiver.tries() >= 11, "{}", receiver.tries());
    assert_eq!(elsewhere.tries(), 0, "no redirect is followed");
    let mut ids: Vec<_> = posts
        .iter()
        .map(|post| {
            post.assert_signed(&secret);
            assert_eq!(post.header("Content-Type"), "application/json");
            post.header("webhook-id").to_owned()
        })
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 5, "each event has an id of its own");
    stage.wait(|store| {
        let state = &store.audit.receivers().unwrap()[0];
        state.queued == 0 && state.delivered_at.is_some() && state.failing_since.is_none()
    });
}

#[test]
fn a_receiver_that_is_away_gets_everything_in_order_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let stage = Stage::new();
    stage.hook(&format!("http://{address}/x"));
    for number in 0..10 {
        stage.tell(number);
    }
    stage.wait(|store| {
        let receivers = store.audit.receivers().unwrap();
        let error = receivers.first().and_then(|one| one.last_error.clone());
        error.is_some_and(|error| error.contains("connection refused"))
    });
    let receiver = Receiver::on(TcpListener::bind(address).unwrap());
    assert_eq!(numbers(&receiver.wait(10)), (0..10).collect::<Vec<_>>());
}

#[test]
fn receivers_that_hang_delay_no_other() {
    let stage = Stage::new();
    let hanging: Vec<_> = (0..3).map(|_| Receiver::start()).collect();
    for receiver in &hanging {
        receiver.always(Some(Answer::Hang(Duration::from_secs(30))));
        stage.hook(&receiver.url("/x"));
    }
    let good = Receiver::start();
    stage.hook(&good.url("/x"));
    stage.tell(0);
    for receiver in &hanging {
        receiver.wait_tries(1);
    }
    let begun = Instant::now();
    for number in 1..10 {
        stage.tell(number);
    }
    good.wait(10);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    // A try ends after ten seconds, and the next one follows.
    hanging[0].wait_tries(2);
    let took = begun.elapsed();
    assert!(
        took > Duration::from_secs(5) && took < Duration::from_secs(30),
        "{took:?}"
    );
    stage.wait(|store| {
        let receivers = store.audit.receivers().unwrap();
        let mut errors = receivers.iter().filter_map(|one| one.last_error.as_deref());
        errors.any(|error| error == "did not answer within 10 s")
    });
}

#[test]
fn a_body_that_never_ends_holds_nothing_up() {
    let receiver = Receiver::start();
    let stage = Stage::new();
    stage.hook(&receiver.url("/x"));
    let stalled = || Answer::Stalled(Duration::from_secs(30));
    receiver.next([Answer::Endless, stalled(), stalled(), Answer::Endless]);
    let begun = Instant::now();
    for number in 0..5 {
        stage.tell(number);
    }
    assert_eq!(numbers(&receiver.wait(5)), [0, 1, 2, 3, 4]);
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_receiver_that_answers_410_is_switched_off_and_the_audit_tells_of_it() {
    let receiver = Receiver::start();
    let stage = Stage::new();
    let (id, _) = stage.hook(&receiver.url("/secret-path"));
    receiver.always(Some(Answer::Status(410)));
    stage.tell(0);
    stage.wait(|store| !store.access.webhook(id).unwrap().unwrap().webhook.enabled);
    stage.tell(1);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(receiver.tries(), 1);
    stage
        .store
        .audit
        .write_notes(breakwater::time::Timestamp::now())
        .unwrap();
    let events = stage.store.audit.events(&EventFilter::default()).unwrap();
    let event = events
        .iter()
        .find(|event| event.kind == "webhook.changed")
        .unwrap();
    assert_eq!(event.details["enabled"], false);
    assert_eq!(event.details["why"], "the receiver answered 410");
    let shown = format!("{events:?}");
    assert!(!shown.contains("secret-path"), "{shown}");
}

#[test]
fn of_a_queue_that_is_full_the_oldest_go_and_the_next_delivery_says_how_many() {
    let receiver = Receiver::start();
    let stage = Stage::new();
    stage.hook_for(&receiver.url("/x"), None, &[], true);
    stage.offline.store(true, Ordering::SeqCst);
    // Kinds count apart, so that nothing is summed up: what is queued here are rows.
    let uid = {
        stage.tell(-1);
        stage.queued(1);
        stage.store.audit.receivers().unwrap()[0].uid.clone()
    };
    let new: Vec<_> = (0..1_005)
        .map(|number| breakwater::store::NewDelivery {
            receiver: uid.clone(),
            message: format!("msg_{number}"),
            created_at: breakwater::time::Timestamp::now(),
            body: format!(r#"{{"type":"x","data":{{"tags":{number}}}}}"#),
        })
        .collect();
    assert_eq!(stage.store.audit.queue_deliveries(&new, 1_000).unwrap(), 6);
    stage.queued(1_000);
    stage.offline.store(false, Ordering::SeqCst);
    let posts = receiver.wait(1_000);
    // The very first stays: it may be on its way.
    let expected: Vec<_> = std::iter::once(-1).chain(6..1_005).collect();
    assert_eq!(numbers(&posts), expected);
    assert_eq!(posts[0].json()["dropped"], 6);
    assert!(posts[1].json().get("dropped").is_none(), "it is said once");
}

#[test]
fn nothing_is_sent_while_the_box_is_offline_and_all_of_it_afterwards() {
    let receiver = Receiver::start();
    let stage = Stage::new();
    stage.hook(&receiver.url("/x"));
    stage.offline.store(true, Ordering::SeqCst);
    for number in 0..5 {
        stage.tell(number);
    }
    stage.queued(5);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(receiver.tries(), 0);
    stage.offline.store(false, Ordering::SeqCst);
    assert_eq!(numbers(&receiver.wait(5)), [0, 1, 2, 3, 4]);
}

#[test]
fn what_is_too_old_is_given_up_and_the_next_is_tried() {
    let receiver = Receiver::start();
    let stage = Stage::patient(Duration::from_secs(1));
    stage.hook(&receiver.url("/x"));
    receiver.always(Some(Answer::Status(500)));
    stage.tell(0);
    stage.queued(1);
    stage.queued(0);
    receiver.always(None);
    stage.tell(1);
    let post = &receiver.wait(1)[0];
    assert_eq!(numbers(std::slice::from_ref(post)), [1]);
    assert_eq!(post.json()["dropped"], 1);
}

#[test]
fn private_addresses_are_refused_when_they_are_connected_to() {
    let receiver = Receiver::start();
    let stage = Stage::new();
    // A name that resolves to loopback, and addresses that are written out.
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{}/x", receiver.port());
        stage.hook_for(&url, None, &[], false);
    }
    // Owners of a group do not learn the address that a name has here.
    let actor = Actor::on_the_box(None);
    let access = &stage.store.access;
    let acme = access.create_group(&actor, "acme", Visibility::Private);
    let acme = acme.unwrap();
    let url = format!("http://localhost:{}/x", receiver.port());
    stage.hook_for(&url, Some(acme), &[], false);
    stage.tell_of(Some(acme), 0);
    stage.wait(|store| {
        let receivers = store.audit.receivers().unwrap();
        let errors = receivers.iter().filter_map(|one| one.last_error.as_deref());
        let told = errors.filter(|error| {
            error.starts_with("has an address that is not public (an administrator")
        });
        let is_refused = |error: &String| error.contains("which is not public");
        let refused = receivers
            .iter()
            .filter(|one| one.last_error.as_ref().is_some_and(is_refused));
        refused.count() == 3 && told.count() == 1
    });
    assert_eq!(receiver.tries(), 0);
}

#[test]
fn an_old_secret_that_cannot_be_opened_keeps_no_event_from_being_signed() {
    let [current, over] = [(); 2].map(|()| Receiver::start());
    let stage = Stage::new();
    let (_, secret) = stage.hook(&current.url("/x"));
    let (_, other) = stage.hook(&over.url("/x"));
    stage.sql(
        "access.sqlite",
        "UPDATE webhooks SET old_secret_sealed = x'00', old_until = unixepoch() + (3 - 2 * id) * 600",
    );
    // They are read again after a change.
    stage.hook_for(&over.url("/y"), None, &[NoticeKind::ImagePushed], true);
    stage.tell(0);
    current.wait(1)[0].assert_signed(&secret);
    over.wait(1)[0].assert_signed(&other);
    // What the current one is sealed with is another matter, of which owners learn no paths.
    let actor = Actor::on_the_box(None);
    let acme = stage
        .store
        .access
        .create_group(&actor, "acme", Visibility::Private);
    let acme = acme.unwrap();
    let text = format!("UPDATE webhooks SET group_id = {} WHERE id = 2", acme.0);
    stage.sql("access.sqlite", &text);
    std::fs::remove_file(stage.store.directory().join("secret.key")).unwrap();
    let add = stage
        .store
        .access
        .create_group(&actor, "other", Visibility::Private);
    add.unwrap();
    stage.tell_of(Some(acme), 1);
    stage.wait(|store| {
        let receivers = store.audit.receivers().unwrap();
        let errors = receivers.into_iter().filter_map(|one| one.last_error);
        let mut said: Vec<String> = errors.collect();
        said.sort();
        let [of_group, of_box] = said.as_slice() else {
            return false;
        };
        of_group == "its events cannot be signed: its secret cannot be opened"
            && of_box.contains("secret.key")
    });
}

#[test]
fn a_webhook_hears_of_its_events_and_of_its_group_and_those_below_it_alone() {
    let stage = Stage::new();
    let access = &stage.store.access;
    let actor = Actor::on_the_box(None);
    let group = |path: &str| {
        access
            .create_group(&actor, path, Visibility::Private)
            .unwrap()
    };
    let (acme, below, other) = (group("acme"), group("acme/below"), group("other"));
    let [all, of_acme, of_below, pushes] = [(); 4].map(|()| Receiver::start());
    stage.hook(&all.url("/x"));
    stage.hook_for(&of_acme.url("/x"), Some(acme), &[], true);
    stage.hook_for(&of_below.url("/x"), Some(below), &[], true);
    stage.hook_for(&pushes.url("/x"), None, &[NoticeKind::ImagePushed], true);
    for (number, group) in [None, Some(acme), Some(below), Some(other)]
        .into_iter()
        .enumerate()
    {
        stage.tell_of(group, i64::try_from(number).unwrap());
    }
    assert_eq!(numbers(&all.wait(4)), [0, 1, 2, 3]);
    assert_eq!(numbers(&of_acme.wait(2)), [1, 2]);
    let post = &of_below.wait(1)[0];
    assert_eq!(post.json()["data"]["group"], "acme/below");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(numbers(&of_acme.posts()), [1, 2]);
    assert_eq!(numbers(&of_below.posts()), [2]);
    assert_eq!(pushes.tries(), 0);
}

#[test]
fn of_a_flood_the_first_are_told_and_the_rest_is_a_number() {
    let receiver = Receiver::start();
    let stage = Stage::new();
    stage.hook(&receiver.url("/x"));
    for number in 0..100 {
        stage.tell(number);
    }
    receiver.wait(20);
    // The end of the minute, or of the process.
    stage
        .webhooks
        .stop(breakwater::time::Timestamp::now())
        .unwrap();
    stage.queued(1);
    let uid = stage.store.audit.receivers().unwrap()[0].uid.clone();
    let sum = stage.store.audit.next_delivery(&uid).unwrap().unwrap();
    let sum: serde_json::Value = serde_json::from_str(&sum.body).unwrap();
    assert_eq!(sum["type"], "events.summed");
    assert_eq!(sum["data"]["of"], "image.deleted");
    assert_eq!(sum["data"]["count"], 80);
    assert_eq!(receiver.posts().len(), 20);
}

#[test]
fn what_was_delivered_and_could_not_be_noted_is_not_sent_again() {
    let receiver = Receiver::start();
    let stage = Stage::new();
    stage.hook(&receiver.url("/x"));
    stage.sql(
        "audit.sqlite",
        "CREATE TRIGGER keeps BEFORE DELETE ON deliveries BEGIN SELECT RAISE(FAIL, 'in the way'); END",
    );
    stage.tell(0);
    receiver.wait(1);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(receiver.tries(), 1);
    stage.queued(1);
    stage.sql("audit.sqlite", "DROP TRIGGER keeps");
    stage.queued(0);
    stage.tell(1);
    assert_eq!(numbers(&receiver.wait(2)), [0, 1]);
    assert_eq!(receiver.tries(), 2);
}

#[test]
fn what_is_queued_is_delivered_while_nothing_more_can_be_queued() {
    let receiver = Receiver::start();
    let stage = Stage::new();
    stage.hook(&receiver.url("/x"));
    stage.offline.store(true, Ordering::SeqCst);
    stage.tell(0);
    stage.queued(1);
    stage.sql(
        "audit.sqlite",
        "CREATE TRIGGER full BEFORE INSERT ON deliveries BEGIN SELECT RAISE(FAIL, 'in the way'); END",
    );
    stage.tell(1);
    stage.offline.store(false, Ordering::SeqCst);
    assert_eq!(numbers(&receiver.wait(1)), [0]);
    stage.sql("audit.sqlite", "DROP TRIGGER full");
    assert_eq!(numbers(&receiver.wait(2)), [0, 1]);
}

#[test]
fn a_webhook_that_was_changed_or_has_taken_a_test_is_tried_at_once() {
    let hour = Duration::from_secs(3600);
    let pace = Pace {
        first: hour,
        longest: hour,
        give_up: hour,
    };
    let stage = Stage::with(pace);
    let [first, second] = [(); 2].map(|()| Receiver::start());
    let (id, _) = stage.hook(&first.url("/x"));
    let is_failing = |store: &Store| {
        let receivers = store.audit.receivers().unwrap();
        receivers[0].queued == 1 && receivers[0].failing_since.is_some()
    };
    first.always(Some(Answer::Status(500)));
    stage.tell(0);
    stage.queued(1);
    stage.wait(is_failing);
    let url = WebhookChanges {
        url: Some(second.url("/x")),
        ..WebhookChanges::default()
    };
    let (access, actor) = (&stage.store.access, Actor::on_the_box(None));
    let uid = access.set_webhook(&actor, id, &url).unwrap().webhook.uid;
    assert_eq!(numbers(&second.wait(1)), [0]);
    stage.queued(0);

    second.always(Some(Answer::Status(500)));
    stage.tell(1);
    stage.queued(1);
    stage.wait(is_failing);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(second.tries(), 2);
    second.always(None);
    stage.store.audit.notices.note_ready(&uid);
    assert_eq!(numbers(&second.wait(2)), [0, 1]);
}

#[test]
fn a_410_of_the_old_url_leaves_the_new_one_on() {
    let stage = Stage::new();
    let [old, new] = [(); 2].map(|()| Receiver::start());
    let (id, _) = stage.hook(&old.url("/x"));
    old.always(Some(Answer::Late(Duration::from_secs(2), 410)));
    stage.tell(0);
    old.wait_tries(1);
    let url = WebhookChanges {
        url: Some(new.url("/x")),
        ..WebhookChanges::default()
    };
    let (access, actor) = (&stage.store.access, Actor::on_the_box(None));
    access.set_webhook(&actor, id, &url).unwrap();
    assert_eq!(numbers(&new.wait(1)), [0]);
    assert!(access.webhook(id).unwrap().unwrap().webhook.enabled);
}
