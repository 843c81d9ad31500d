//! SIGKILL between the queue and the receiver.

use super::add;
use super::receiver::{Answer, Receiver};
use crate::support::pushing::Hosted;

#[test]
fn what_was_queued_is_delivered_in_order_after_a_kill() {
    let mut hosted = Hosted::start();
    let receiver = Receiver::start();
    receiver.always(Some(Answer::Status(503)));
    let secret = add(&hosted.appliance, &receiver, &["--event", "image.pushed"]);
    let client = hosted.client(&["acme/api"]);
    for number in 0..6 {
        super::events::push(&client, "acme/api", &format!("v{number}"));
    }
    let queued = |hosted: &Hosted| {
        let list = hosted.appliance.json(&["webhook", "list", "--json"]);
        list[0]["queued"].as_u64().unwrap()
    };
    while queued(&hosted) < 6 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    receiver.wait_tries(1);
    hosted.appliance.kill();
    hosted.appliance.restart();
    assert_eq!(queued(&hosted), 6);
    hosted.appliance.kill();
    receiver.always(None);
    hosted.appliance.restart();
    let posts = receiver.wait(6);
    let tags = posts.iter().map(|post| {
        post.assert_signed(&secret);
        post.json()["data"]["tags"][0].as_str().unwrap().to_owned()
    });
    let expected: Vec<_> = (0..6).map(|number| format!("v{number}")).collect();
    assert_eq!(tags.collect::<Vec<_>>(), expected);
    assert_eq!(queued(&hosted), 0);
}
