//! Images on the page: who sees which, and what its forms do.

use super::{Browser, password, ready, user};
use crate::cached::pull;
use crate::support::appliance::Appliance;
use crate::support::client::Client;
use crate::support::fake_upstream::{FakeUpstream, Image};
use crate::support::pushing::{Hosted, push_image};

const HOSTILE: &str = "<script>alert(1)</script>\"'&";

/// A box with two cached images and two pushed ones, and people of each kind.
struct Place {
    _fake: FakeUpstream,
    hosted: Hosted,
    client: Client,
}

impl Place {
    fn start() -> Self {
        let fake = FakeUpstream::start();
        let appliance = Appliance::builder().upstream(fake.url()).start();
        let client = Client::of(&appliance);
        for (seed, name) in [(1, "org/kept"), (2, "org/other")] {
            let image = Image::oci(seed, &[10_000]);
            fake.put_image(name, "1", &image);
            pull(&client, name, "1", &[&image]);
        }
        let hosted = Hosted::of(appliance);
        let pusher = hosted.client(&["acme/api"]);
        for tag in ["v1", "same", "v2"] {
            let layer: &[u8] = if tag == "v2" { b"two" } else { b"one" };
            push_image(&pusher, "acme/api", tag, &[layer]);
        }
        for (name, level) in [
            ("alice", Some("owner")),
            ("bob", Some("developer")),
            ("carol", Some("guest")),
            ("mallory", None),
        ] {
            user(&hosted.appliance, name);
            if let Some(level) = level {
                let add = ["member", "add", "acme", name, "--level", level];
                hosted.appliance.ok(&add);
            }
        }
        Self {
            _fake: fake,
            hosted,
            client,
        }
    }

    fn browser(&self, name: &str) -> Browser {
        match name {
            "root" => Browser::root(&self.hosted.appliance),
            name => Browser::sign_in(&self.hosted.appliance, name, &password(name)),
        }
    }

    fn images(&self) -> Vec<String> {
        let images = self.hosted.appliance.json(&["cache", "list", "--json"]);
        let images = images.as_array().unwrap().iter();
        let names = images.map(|image| image["repository"].as_str().unwrap().to_owned());
        names.collect()
    }

    fn tags(&self) -> Vec<String> {
        let show = ["repository", "show", "acme/api", "--json"];
        let shown = self.hosted.appliance.json(&show);
        let tags = shown["tags"].as_array().unwrap().iter();
        tags.map(|tag| tag["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[test]
fn everybody_sees_on_the_page_what_rest_shows_them_and_nothing_else() {
    let place = Place::start();
    let tag = "/projects/acme%2Fapi/registry/repositories/1/tags/v1/image";
    for name in ["root", "alice", "bob", "carol", "mallory"] {
        let browser = place.browser(name);
        let token = place.hosted.appliance.token(name, &["api"]);
        let asking = place.client.with("PRIVATE-TOKEN", &token);
        let rest = |path: &str| asking.get(&format!("/api/v4{path}")).status;
        for (page, path) in [
            (
                "/images/show?image=docker.io/org/kept:1",
                "/cache/image?image=docker.io/org/kept:1",
            ),
            ("/images/pins", "/cache/pins"),
            ("/repositories/1", "/registry/repositories/1"),
            ("/repositories/1/tags/v1", tag),
            (
                "/repositories/1/tags/none",
                "/projects/acme%2Fapi/registry/repositories/1/tags/none",
            ),
            ("/repositories/999", "/registry/repositories/999"),
            ("/repositories", "/registry/repositories"),
        ] {
            let answer = browser.get(page);
            assert_eq!(answer.status, rest(path), "{name} {page}");
            let text = answer.text();
            if answer.status == 404 {
                for hidden in ["org/kept", "acme", "sha256:"] {
                    assert!(!text.contains(hidden), "{name} {page} tells {hidden}");
                }
            }
        }
        for page in ["/images/next", "/images/purge"] {
            let expected = if name == "root" { 200 } else { 404 };
            assert_eq!(browser.get(page).status, expected, "{name} {page}");
        }
        let listed = browser.page("/images");
        assert_eq!(listed.contains("org/kept"), name == "root", "{name}");
        let pushed = browser.page("/repositories");
        assert_eq!(pushed.contains("acme/api"), name != "mallory", "{name}");
    }
}

#[test]
fn a_page_about_an_image_tells_what_it_consists_of_and_why_it_stays() {
    let place = Place::start();
    let root = place.browser("root");
    let page = "/images/show?image=docker.io/org/kept:1";
    let text = root.page(page);
    for said in [
        "layer",
        "config",
        "mirror",
        "Pin this image",
        "When room is needed",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let when = root.page(&format!("{page}&when=yes"));
    assert!(
        when.contains("pulled or fetched in the last minutes"),
        "{when}"
    );
    let pushed = root.page("/images/show?image=hosted:acme/api:v1");
    assert!(pushed.contains("</time> by dev"), "{pushed}");
    let tag = root.page("/repositories/1/tags/v1");
    assert!(tag.contains("<code>same</code>"), "{tag}");
    let found = root.page("/images?search=kept&sort=pulled&group=mirror");
    assert!(
        found.contains("org/kept") && !found.contains("org/other"),
        "{found}"
    );
    let none = root.page("/images?search=nothing");
    assert!(
        none.contains("No image that is cached is called so."),
        "{none}"
    );
    let far = root.page("/images?search=kept&page=501");
    assert!(far.contains("Only the first 500 pages are shown"), "{far}");
    assert!(far.contains("href=\"/images?search=kept\""), "{far}");
}

#[test]
fn a_pin_and_a_purge_are_made_by_plain_forms_and_shown_before_they_are_done() {
    let place = Place::start();
    let root = place.browser("root");
    let pin = [("_method", "POST"), ("pattern", "docker.io/org/kept:1")];
    assert_eq!(root.post("/act/cache/pins", &pin).status, 303);
    let text = root.page("/images/show?image=docker.io/org/kept:1");
    assert!(text.contains("Never: it is pinned by"), "{text}");
    let pins = ready(&root, "/images/pins?counted=yes").text();
    assert!(
        pins.contains("docker.io/org/kept:1") && pins.contains("1 image, "),
        "{pins}"
    );
    let next = ready(&root, "/images/next?asked=yes&to=0").text();
    assert!(next.contains("Pinned, or part of what is pinned"), "{next}");
    let when = "/images/show?image=docker.io/org/other:1&when=yes";
    let when = ready(&root, when).text();
    assert!(
        when.contains("Next, as soon as room is needed.")
            || when.contains("Not now: it was pulled or fetched"),
        "{when}"
    );
    let would = ready(&root, "/images/purge?image=docker.io/org/*").text();
    assert!(would.contains("docker.io/org/other:1"), "{would}");
    assert!(would.contains("Stays, because it is pinned"), "{would}");
    assert_eq!(place.images().len(), 2, "a look purges nothing");
    let purge = [("_method", "DELETE"), ("image", "docker.io/org/*")];
    assert_eq!(root.post("/act/cache/images", &purge).status, 303);
    assert_eq!(place.images(), ["org/kept"]);
    let unpin = [("_method", "DELETE"), ("pattern", "docker.io/org/kept:1")];
    assert_eq!(root.post("/act/cache/pins", &unpin).status, 303);
    assert!(root.page("/images/pins").contains("Nothing is pinned yet"));
    let pins = ready(&root, "/images/pins?counted=yes").text();
    assert!(pins.contains("Nothing is pinned yet"), "{pins}");
    let again = ready(&root, "/images/purge?image=docker.io/org/*").text();
    assert!(!again.contains("docker.io/org/other:1"), "{again}");
    let absent = ready(&root, "/images/purge?image=absent").text();
    assert!(absent.contains("role=\"alert\""), "{absent}");
}

#[test]
fn a_tag_is_deleted_by_who_may_and_by_no_foreign_form() {
    let place = Place::start();
    let delete = [("_method", "DELETE")];
    let path = "/act/projects/1/registry/repositories/1/tags/v1";
    for name in ["carol", "mallory"] {
        let browser = place.browser(name);
        assert_ne!(browser.post(path, &delete).status, 303, "{name}");
        let shown = browser.get("/repositories/1/tags/v1").text();
        assert!(!shown.contains("Delete the tag"), "{name}");
    }
    let alice = place.browser("alice");
    let foreign = [("_method", "DELETE"), ("_csrf", "0")];
    assert_eq!(alice.post_alone(path, &foreign).status, 403);
    assert_eq!(place.tags().len(), 3);
    let shown = alice.page("/repositories/1/tags/v1");
    assert!(
        shown.contains("The image stays, and nothing is freed, because these tags have the same digest: <code>same</code>"),
        "{shown}"
    );
    let frees = |name: &str| {
        let shown = place.browser(name).page("/repositories/1/tags/v2");
        let (_, rest) = shown.split_once("collected as garbage. ").unwrap();
        rest.split_once("</p>").unwrap().0.to_owned()
    };
    let (to_root, to_alice) = (frees("root"), frees("alice"));
    assert!(to_root.starts_with("Then <span"), "{to_root}");
    assert!(to_alice.starts_with("Then at most <span"), "{to_alice}");
    // The config is that of the other image too.
    let bytes = |text: &str| -> u64 {
        let (_, rest) = text.split_once("title=\"").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    assert!(bytes(&to_root) < bytes(&to_alice), "{to_root} {to_alice}");
    assert_eq!(place.tags().len(), 3, "a look removes nothing");
    for (name, is_offered) in [("alice", true), ("bob", false)] {
        let shown = place.browser(name).page("/repositories/1");
        assert_eq!(shown.contains("Delete all images"), is_offered, "{name}");
    }
    let back = [("_method", "DELETE"), ("_back", "/repositories/1")];
    let answer = alice.post(path, &back);
    assert_eq!(
        (answer.status, answer.field("Location")),
        (303, Some("/repositories/1"))
    );
    assert_eq!(place.tags().len(), 2);
    let all = "/act/projects/1/registry/repositories/1";
    assert_eq!(alice.post(all, &delete).status, 303);
    let left = alice.page("/repositories");
    assert!(left.contains("Nothing was pushed yet"), "{left}");
}

#[test]
fn a_project_with_many_repositories_leads_to_all_of_them() {
    let hosted = Hosted::start();
    let names: Vec<_> = (0..21)
        .map(|number| format!("acme/api/n{number}"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let pusher = hosted.client(&names);
    let root = Browser::root(&hosted.appliance);
    let all = "href=\"/repositories?project=1\"";
    for (number, name) in names.iter().enumerate() {
        if number == 20 {
            assert!(!root.page("/projects/1").contains(all));
        }
        push_image(&pusher, name, "v1", &[b"one"]);
    }
    let text = root.page("/projects/1");
    assert!(text.contains(all), "{text}");
    assert_eq!(text.matches("href=\"/repositories/").count(), 20);
}

#[test]
fn what_is_searched_for_is_text_and_nothing_else() {
    let place = Place::start();
    let root = place.browser("root");
    let encoded: String = form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    let long = "x".repeat(255);
    for value in [encoded.as_str(), &long] {
        for page in [
            format!("/images?search={value}"),
            format!("/images?search=x&group={value}"),
            format!("/images/show?image={value}"),
            format!("/images/next?asked=yes&to={value}"),
            format!("/images/purge?image={value}&group=x"),
            format!("/repositories?search={value}"),
            format!("/repositories/1/tags/{value}"),
        ] {
            let answer = root.get(&page);
            assert_ne!(answer.status, 500, "{page}");
            assert!(!answer.text().contains("<script>a"), "{page}");
        }
    }
}
