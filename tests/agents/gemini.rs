//! Gemini CLI.

use crate::npm::{Client, Package};

const GEMINI: Package = Package {
    name: "gemini",
    npm: "@google/gemini-cli",
    version: "0.61.0",
    variable: "ACA_TEST_GEMINI",
};

const SETTINGS: &str = r#"{"security":{"auth":{"selectedType":"gemini-api-key"}}}"#;

fn client() -> Option<Client> {
    let mut client = Client::new(&GEMINI)?;
    client.environment = vec![
        ("GEMINI_API_KEY", "the-key-of-the-model".into()),
        ("GOOGLE_GEMINI_BASE_URL", "http://model.test".into()),
    ];
    let settings = client.world.home.join(".gemini/settings.json");
    client.world.file(settings, SETTINGS);
    Some(client)
}

#[test]
fn it_does_a_task_and_goes_on_with_it() {
    let Some(client) = client() else { return };
    client.does_a_task_twice(
        &[],
        &["--skip-trust", "-y", "-p"],
        &["--skip-trust", "-y", "--resume", "latest", "-p"],
    );
    // Conversations lie beside programs that it downloads, so they are the sandboxes' own.
    assert_eq!(client.left_in(".gemini"), ["settings.json"]);
    let settings = client.world.home.join(".gemini/settings.json");
    assert_eq!(std::fs::read_to_string(settings).unwrap(), SETTINGS);
    assert!(client.store().join(".gemini/projects.json").is_file());
}

/// A container around all of it can't be had inside; without the switch the client would end before it begins.
#[test]
fn settings_that_want_a_container_are_overruled() {
    let Some(client) = client() else { return };
    let settings = r#"{"security":{"auth":{"selectedType":"gemini-api-key"}},"tools":{"sandbox":"docker"}}"#;
    client
        .world
        .file(client.world.home.join(".gemini/settings.json"), settings);
    let prompt = Client::prompt("echo done");
    let arguments = ["--skip-trust", "-y", "-p", &prompt];
    assert!(client.run(&[], &arguments).ok().contains("done"));
    client.run(&["--own-sandbox", "keep"], &arguments).refused();
}

#[test]
fn its_full_screen_works() {
    let Some(client) = client() else { return };
    let world = &client.world;
    let trusted = serde_json::json!({ world.project.to_str().unwrap(): "TRUST_FOLDER" });
    world.file(
        world.home.join(".gemini/trustedFolders.json"),
        trusted.to_string(),
    );
    client.works_on_a_full_screen(&[], &["-y"], "Type your message", "/quit");
}
