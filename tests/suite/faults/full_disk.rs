//! A disk without room: what cannot be kept is passed through, whole and checked, and what is kept stays.

use super::{REPOSITORY, assert_clean, staged, wait_until};
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{Answer, FakeUpstream, Image, noise};
use crate::support::small_disk::SmallDisk;

const MIB: usize = 1024 * 1024;

#[test]
fn what_does_not_fit_on_the_disk_is_passed_through() {
    let fake = FakeUpstream::start();
    let mut appliance = Appliance::builder().upstream(fake.url()).prepare();
    let Some(_disk) = SmallDisk::mount(appliance.data(), "24m") else {
        return;
    };
    appliance.restart();
    let client = Client::of(&appliance);
    let image = Image::oci(1, &[100_000]);
    fake.put_image(REPOSITORY, "1", &image);
    let manifest = super::manifest("1");
    assert_eq!(client.get(&manifest).body, image.manifest);
    let kept = super::blob(&image.layer_digest(0));
    assert_eq!(client.get(&kept).cache(), "miss");
    assert_eq!(client.get(&kept).cache(), "hit");

    // The upstream says beforehand that it is too large.
    let large = noise(2, 64 * MIB);
    let path = super::blob(&fake.put_blob(REPOSITORY, &large));
    let whole = client.get(&path);
    assert_eq!(
        (whole.status, whole.cache()),
        (200, "bypass"),
        "{}",
        whole.head
    );
    assert!(whole.complete && whole.body == large);
    let part = client.with("Range", "bytes=70000-70099").get(&path);
    assert_eq!((part.status, part.cache()), (206, "bypass"));
    assert_eq!(part.body, large[70_000..70_100]);
    // Its bytes pass by once: who asks for several parts gets all of it.
    let several = client.with("Range", "bytes=70000-70099,1-2").get(&path);
    assert_eq!((several.status, several.cache()), (200, "bypass"));
    assert!(several.complete && several.body == large);
    // Broken off on the way, it goes on; a lie is not completed.
    fake.on("GET", "/blobs/")
        .next([Answer::good(), Answer::good().truncate_at(9 * MIB)]);
    let resumed = client.get(&path);
    assert!(resumed.complete && resumed.body == large);
    fake.on("GET", "/blobs/")
        .always(Answer::good().wrong_bytes());
    let lie = client.get(&path);
    assert!(
        !lie.complete && lie.body.len() < large.len(),
        "{}",
        lie.head
    );
    fake.behave();

    // It turns out on the way: who is in the middle goes on past the disk, and who comes next begins there.
    let unsized_one = noise(3, 32 * MIB);
    let digest = fake.put_blob(REPOSITORY, &unsized_one);
    fake.on("GET", digest.as_str())
        .always(Answer::good().chunked());
    let past = client.get(&super::blob(&digest));
    assert!(past.complete && past.body == unsized_one, "{}", past.head);
    wait_until("the staged file goes", || staged(&appliance).is_empty());
    let again = client.get(&super::blob(&digest));
    assert_eq!((again.status, again.cache()), (200, "bypass"));
    assert!(again.complete && again.body == unsized_one);

    wait_until("nothing is staged", || staged(&appliance).is_empty());
    assert_eq!(client.get(&kept).cache(), "hit");
    assert_clean(&appliance);
}
