//! opencode.

use crate::npm::{Client, Package};
use serde_json::json;

const OPENCODE: Package = Package {
    name: "opencode",
    npm: "opencode-ai",
    version: "1.18.33",
    variable: "ACA_TEST_OPENCODE",
};

fn client() -> Option<Client> {
    let mut client = Client::new(&OPENCODE)?;
    let settings = json!({
        "$schema": "https://opencode.ai/config.json", "autoupdate": false, "share": "disabled", "permission": "allow",
        "model": "model/model", "small_model": "model/model",
        "provider": { "model": {
            "npm": "@ai-sdk/openai-compatible", "name": "model",
            "options": { "baseURL": "http://model.test/v1", "apiKey": "the-key-of-the-model" },
            "models": { "model": { "name": "model", "tool_call": true, "limit": { "context": 100_000, "output": 8000 } } },
        } },
    });
    client.environment = vec![
        ("OPENCODE_CONFIG_CONTENT", settings.to_string()),
        ("OPENCODE_DISABLE_MODELS_FETCH", "1".into()),
    ];
    Some(client)
}

#[test]
fn it_does_a_task_and_goes_on_with_it() {
    let Some(client) = client() else { return };
    client.does_a_task_twice(&[], &["run"], &["run", "--continue"]);
    // All that it keeps is the sandboxes' own.
    assert_eq!(client.left_in(".local/share/opencode"), [] as [String; 0]);
    assert_eq!(client.left_in(".config/opencode"), [] as [String; 0]);
    let database = client.store().join(".local/share/opencode/db/opencode.db");
    assert!(database.is_file(), "{}", database.display());
}

/// Sign-in goes back, but for an entry that is named by an address, from which the host's client would take settings.
#[test]
fn credentials_go_back_without_what_names_an_address() {
    let Some(client) = client() else { return };
    let stored = client.world.home.join(".local/share/opencode/auth.json");
    client.world.file(
        &stored,
        r#"{"anthropic":{"type":"oauth","refresh":"old","access":"a","expires":1}}"#,
    );
    let refreshed = r#"{"anthropic":{"type":"oauth","refresh":"new","access":"b","expires":2},"https://evil.test":{"type":"wellknown","key":"K","token":"T"}}"#;
    client.world.file("refreshed.json", refreshed);
    client
        .run(
            &[],
            &[
                "run",
                &Client::prompt("cp refreshed.json ~/.local/share/opencode/auth.json"),
            ],
        )
        .ok();
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&stored).unwrap()).unwrap();
    assert_eq!(
        kept,
        json!({ "anthropic": { "type": "oauth", "refresh": "new", "access": "b", "expires": 2 } })
    );
}

#[test]
fn its_full_screen_works() {
    let Some(client) = client() else { return };
    client.works_on_a_full_screen(&[], &[], "Ask anything", "/exit");
}
