//! Webhooks, below the paths where GitLab has its hooks: `/hooks` for administrators, who see those of groups too, and
//! `/groups/:id/hooks` for owners.

use super::table::{Role, Table};
use crate::admin::{
    AddWebhook, GetWebhook, ListWebhooks, RemoveWebhook, RotateWebhook, SetWebhook, TestWebhook,
};
use crate::store::Level;

/// `/hooks` and `/groups/:id/hooks`.
pub(super) fn endpoints(table: &mut Table) {
    let places = [
        ("", Role::Administrator),
        ("/groups/:id", Role::Group(Some(Level::Owner))),
    ];
    for (place, role) in places {
        let path = |method: &str, rest: &str| format!("{method} {place}/hooks{rest}");
        let (list, add) = match place {
            "" => (
                "All webhooks, with how their receivers are",
                "Tell a receiver what happens on the box; its secret is shown once",
            ),
            _ => (
                "The webhooks of a group, with how their receivers are",
                "Tell a receiver what happens in a group and those below it; its secret is shown once",
            ),
        };
        table.page::<_, ListWebhooks>(&path("GET", ""), role, list);
        table.one::<GetWebhook>(&path("GET", "/:hook_id"), role, "One webhook");
        table.one::<AddWebhook>(&path("POST", ""), role, add);
        table.one::<SetWebhook>(&path("PUT", "/:hook_id"), role, "Change a webhook");
        let summary = "Remove a webhook, with what waits to be delivered to it";
        table.nothing::<RemoveWebhook>(&path("DELETE", "/:hook_id"), role, summary);
        let summary = "Post the event ping now, and tell what came back";
        let tests = table.one::<TestWebhook>(&path("POST", "/:hook_id/test"), role, summary);
        tests.gives.0 = 200;
        let summary = "Give a webhook another secret, which is shown once; for a time events are signed with both";
        let rotates = table.one::<RotateWebhook>(&path("POST", "/:hook_id/rotate"), role, summary);
        rotates.gives.0 = 200;
    }
}
