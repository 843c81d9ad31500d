//! Who may read the page.

use super::*;

/// Everybody else than the trusted networks shows a token, and gets the same 401 without.
#[test]
fn the_page_is_for_trusted_networks_and_for_tokens() {
    let appliance = Appliance::start();
    let client = Client::of(&appliance);
    let reading = appliance.token("watcher", &["read_api"]);
    let pulling = appliance.token("puller", &["read_registry", "write_registry"]);
    let password = appliance.root_password();
    assert_eq!(client.get("/metrics").status, 200);
    assert_eq!(client.head("/metrics").status, 200);
    assert_eq!(client.request("POST", "/metrics", b"x").status, 405);

    let forwarded = client.with("X-Forwarded-For", "127.0.0.1");
    let elsewhere = |client: &Client| client.with("Via", "1.1 somebody");
    let jwt = client.basic("puller", &pulling).token(&[]);
    let table = [
        ("nobody", elsewhere(&client), 401),
        ("forwarded by a stranger", forwarded, 401),
        (
            "read_api, Basic",
            elsewhere(&client.basic("any", &reading)),
            200,
        ),
        ("read_api, Bearer", elsewhere(&client.bearer(&reading)), 200),
        (
            "an administrator",
            elsewhere(&client.basic("root", &password)),
            200,
        ),
        ("read_registry", elsewhere(&client.bearer(&pulling)), 403),
        (
            "a JWT of the registry",
            elsewhere(&client.bearer(&jwt)),
            401,
        ),
        // Trust turns no wrong password into a login.
        (
            "wrong, from a trusted network",
            client.basic("root", "wrong"),
            401,
        ),
        (
            "without the ability, from a trusted network",
            client.bearer(&pulling),
            200,
        ),
    ];
    for (who, client, expected) in table {
        let answer = client.get("/metrics");
        assert_eq!(answer.status, expected, "{who}: {}", answer.text());
        let challenge = answer.field("WWW-Authenticate").is_some();
        assert_eq!(challenge, expected == 401, "{who}: {}", answer.head);
    }
    appliance.ok(&["network", "remove", "127.0.0.0/8"]);
    assert_eq!(client.get("/metrics").status, 401);
    assert_eq!(client.bearer(&reading).get("/metrics").status, 200);
}
