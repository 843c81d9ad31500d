//! What clients need to pull through the box, beyond GitLab.

use serde_json::json;

use super::answer::{Answer, object};
use super::ask::Ask;
use super::table::{Role, Shape, Table};
use crate::admin::{ClientSetup, Reached, ShowClientSetup};

/// `/client_setups/:name`.
pub(super) fn endpoints(table: &mut Table) {
    let shape = Shape::One(table.view::<ClientSetup>());
    let summary = "What a client needs to pull through the box: docker, containerd, podman, buildkit, gitlab-ci";
    let path = "GET /client_setups/:name";
    table.row::<ShowClientSetup>(path, Role::Anyone, summary, shape, show);
}

fn show(ask: &mut Ask<'_, '_>) -> Answer {
    let request: ShowClientSetup = ask.request()?;
    let url = ask.call.external_url(ask.appliance);
    let address = ask.call.external_host(ask.appliance);
    let is_beyond_loopback = !["localhost", "127.", "[::1]"]
        .iter()
        .any(|own| address.starts_with(own));
    let setup = ask.perform(ShowClientSetup {
        url: Some(Reached {
            url,
            is_beyond_loopback,
        }),
        ..request
    })?;
    object(ask.status(), &json!(setup))
}
