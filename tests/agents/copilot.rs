//! GitHub Copilot CLI, with a provider of the user's own.

use crate::npm::{Client, Package};
use crate::support::World;

const COPILOT: Package = Package {
    name: "copilot",
    npm: "@github/copilot",
    version: "1.0.102",
    variable: "ACA_TEST_COPILOT",
};

fn client() -> Option<Client> {
    let mut client = Client::new(&COPILOT)?;
    client.environment = vec![
        ("COPILOT_PROVIDER_BASE_URL", "http://model.test/v1".into()),
        ("COPILOT_PROVIDER_TYPE", "openai".into()),
        ("COPILOT_PROVIDER_API_KEY", "the-key-of-the-model".into()),
        ("COPILOT_MODEL", "gpt-5".into()),
        ("COPILOT_OFFLINE", "true".into()),
    ];
    Some(client)
}

#[test]
fn it_does_a_task_and_goes_on_with_it() {
    let Some(client) = client() else { return };
    client.does_a_task_twice(&[], &["--allow-all", "-p"], &["--allow-all", "--continue", "-p"]);
    // What it notes of itself; sessions are the sandboxes' own.
    assert_eq!(client.left_in(".copilot"), ["config.json"]);
    assert!(client.store().join(".copilot/session-state").is_dir());
}

/// It unpacks its own code and runs that: into the sandboxes' cache, and not the host's.
#[test]
fn the_code_that_it_unpacks_is_not_the_hosts() {
    let Some(client) = client() else { return };
    client
        .run(&[], &["--allow-all", "-p", &Client::prompt("echo done")])
        .ok();
    let World { home, .. } = &client.world;
    assert!(!home.join(".cache/copilot").exists());
    let unpacked = home.join(".local/share/aca/stores/cache/copilot/pkg");
    assert!(unpacked.is_dir(), "{}", unpacked.display());
}
