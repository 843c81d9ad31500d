//! Webhooks: real sockets, a receiver that hangs, refuses and lies, and the box as a process.

mod access;
mod crash;
mod events;
mod faults;
mod manual;
pub(crate) mod receiver;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use breakwater::auth::seal::{Owner, SealingKeys};
use breakwater::store::{Actor, GroupId, NewWebhook, Notice, NoticeKind, Store, WebhookId};
use breakwater::time::Timestamp;
use breakwater::webhooks::{Pace, Webhooks, new_secret};

use crate::support::appliance::Appliance;
use receiver::Receiver;

/// The queue and its deliveries alone, with short pauses, on threads of this process.
struct Stage {
    webhooks: Arc<Webhooks>,
    store: Arc<Store>,
    offline: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    _directory: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        Self::patient(Duration::from_secs(3600))
    }

    /// Events are given up when they are older than this.
    fn patient(give_up: Duration) -> Self {
        Self::with(Pace {
            first: Duration::from_millis(20),
            longest: Duration::from_millis(100),
            give_up,
        })
    }

    fn with(pace: Pace) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::create(&directory.path().join("data")).unwrap());
        let offline = Arc::new(AtomicBool::new(false));
        let webhooks = Webhooks::new(Arc::clone(&store), Arc::clone(&offline), pace).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (own, own_store) = (Arc::clone(&webhooks), Arc::clone(&store));
        let is_ended = Arc::clone(&ended);
        std::thread::spawn(move || {
            while !is_ended.load(Ordering::SeqCst) {
                let worked = own.work(Timestamp::now());
                worked.or_else(in_the_way).unwrap();
                own_store.audit.notices.wait(Duration::from_millis(10));
            }
        });
        Self {
            webhooks,
            store,
            offline,
            ended,
            _directory: directory,
        }
    }

    /// A webhook for all events of the box; its id and secret.
    fn hook(&self, url: &str) -> (WebhookId, String) {
        self.hook_for(url, None, &[], true)
    }

    fn hook_for(
        &self,
        url: &str,
        group: Option<GroupId>,
        events: &[NoticeKind],
        allow_private: bool,
    ) -> (WebhookId, String) {
        let secret = new_secret().unwrap();
        let uid = format!("uid-{}", &secret[6..20]);
        let keys = SealingKeys::find_or_make(self.store.directory()).unwrap();
        let new = NewWebhook {
            group,
            url: url.to_owned(),
            events: events.to_vec(),
            enabled: true,
            allow_private,
            secret: keys.seal(&Owner::webhook(&uid), &secret).unwrap(),
            old_secret: None,
            uid,
        };
        let actor = Actor::on_the_box(None);
        let added = self.store.access.add_webhook(&actor, &new).unwrap();
        self.webhooks.work(Timestamp::now()).unwrap();
        (added.id, secret)
    }

    /// Runs statements on a database of the data directory, beside the box.
    fn sql(&self, database: &str, text: &str) {
        let path = self.store.directory().join(database);
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.busy_timeout(receiver::PATIENCE).unwrap();
        connection.execute_batch(text).unwrap();
    }

    /// Tells of a push with this number.
    fn tell(&self, number: i64) {
        self.tell_of(None, number);
    }

    fn tell_of(&self, group: Option<GroupId>, number: i64) {
        self.store
            .audit
            .notices
            .tell(group, || Notice::ImageDeleted {
                repository: "acme/api".to_owned(),
                reference: None,
                tags: Some(number),
                by: "alice".to_owned(),
            });
    }

    /// Waits until what was told is queued.
    fn queued(&self, count: u64) {
        self.wait(|store| {
            let receivers = store.audit.receivers().unwrap();
            receivers
                .iter()
                .map(|receiver| receiver.queued)
                .sum::<u64>()
                == count
        });
    }

    fn wait(&self, is_so: impl Fn(&Store) -> bool) {
        let begun = std::time::Instant::now();
        while !is_so(&self.store) {
            assert!(
                begun.elapsed() < receiver::PATIENCE,
                "{:?}",
                self.store.audit.receivers()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What a test puts in the way of writes to a database, by `RAISE`, is no failure of the test.
fn in_the_way(error: breakwater::error::Error) -> breakwater::error::Result<()> {
    match error.to_string().contains("in the way") {
        true => Ok(()),
        false => Err(error),
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = self.webhooks.stop(Timestamp::now());
    }
}

/// The numbers of [`Stage::tell`] in the order in which they arrived.
fn numbers(posts: &[receiver::Post]) -> Vec<i64> {
    let number = |post: &receiver::Post| post.json()["data"]["tags"].as_i64().unwrap();
    posts.iter().map(number).collect()
}

/// Adds a webhook to the box by command; its secret.
fn add(appliance: &Appliance, receiver: &Receiver, options: &[&str]) -> String {
    let url = receiver.url("/hook");
    let arguments = [
        &["webhook", "add", url.as_str(), "--allow-private"],
        options,
    ];
    appliance.ok(&arguments.concat()).trim_end().to_owned()
}
