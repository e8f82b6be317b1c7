//! Codex CLI, with its own sandbox and without.

use crate::npm::{Client, Package};
use crate::support::World;
use serde_json::Value;

const CODEX: Package = Package {
    name: "codex",
    npm: "@openai/codex",
    version: "0.169.0",
    variable: "ACA_TEST_CODEX",
};

/// Points it at the model; what follows are the arguments of `codex`.
const PROVIDER: [&str; 12] = [
    "-c",
    "model_provider=model",
    "-c",
    "model_providers.model.name=model",
    "-c",
    "model_providers.model.base_url=http://model.test/v1",
    "-c",
    "model_providers.model.wire_api=responses",
    "-c",
    "model_providers.model.env_key=OPENAI_API_KEY",
    "-m",
    "gpt-5-codex",
];

fn client() -> Option<Client> {
    let mut client = Client::new(&CODEX)?;
    client.environment = vec![("OPENAI_API_KEY", "the-key-of-the-model".into())];
    Some(client)
}

fn with<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    PROVIDER.iter().chain(arguments).copied().collect()
}

/// It puts links to itself into its home and refuses to where that lies in a directory for temporary files, as tests' do.
const ELSEWHERE: [&str; 2] = ["--env", "TMPDIR=/var/tmp"];

/// What the log says was taken away for the run.
fn degraded(client: &Client) -> String {
    client.world.events_of("session_start")[0]["degraded"].to_string()
}

#[test]
fn it_works_within_its_own_sandbox() {
    let Some(client) = client() else { return };
    client.does_a_task_twice(
        &ELSEWHERE,
        &with(&["exec", "-s", "workspace-write", "--skip-git-repo-check"]),
        &with(&[
            "exec",
            "-s",
            "workspace-write",
            "resume",
            "--last",
            "--skip-git-repo-check",
        ]),
    );
    assert!(degraded(&client).contains("codex brings a sandbox of its own"));
    // Shared, merged and nothing else: no placeholder for what isn't there.
    assert_eq!(
        client.left_in(".codex"),
        ["archived_sessions", "sessions", "thread-writer-locks"]
    );
    assert!(client.store().join(".codex/sqlite/state_5.sqlite").is_file());
}

#[test]
fn it_works_without_its_own_sandbox() {
    let Some(client) = client() else { return };
    let flags: Vec<&str> = ELSEWHERE
        .iter()
        .copied()
        .chain(["--own-sandbox", "off"])
        .collect();
    client.does_a_task_twice(
        &flags,
        &with(&["exec", "--skip-git-repo-check"]),
        &with(&["exec", "resume", "--last", "--skip-git-repo-check"]),
    );
    assert!(!degraded(&client).contains("sandbox of its own"));
}

/// Kept, its sandbox stands around each command: a filter more, no network, no writing beside the project, and the leave to
/// make namespaces, which is its price. Switched off, both are gone.
#[test]
fn its_own_sandbox_is_there_when_it_is_kept_and_only_then() {
    let look = "grep Seccomp_filters /proc/self/status; echo x > ~/beside; echo wrote=$?; unshare -Ur true; echo unshare=$?; \
                grep -c . /proc/net/route";
    for (choice, filters, wrote, makes) in [("keep", "2", "wrote=2", true), ("off", "1", "wrote=0", false)] {
        let Some(client) = client() else { return };
        let flags: Vec<&str> = ELSEWHERE
            .iter()
            .copied()
            // Held names have a filter of their own, which would be counted too.
            .chain(["--own-sandbox", choice, "--open-names"])
            .collect();
        let prompt = Client::prompt(look);
        let ran = client.run(
            &flags,
            &with(&[
                "exec",
                "-c",
                "sandbox_workspace_write.exclude_slash_tmp=true",
                "--skip-git-repo-check",
                &prompt,
            ]),
        );
        ran.ok();
        let results = client.model.tool_results();
        assert!(
            results[0].contains(&format!("Seccomp_filters:\t{filters}\n")),
            "{choice}: {results:#?}"
        );
        assert!(results[0].contains(wrote), "{choice}: {results:#?}");
        assert_eq!(results[0].contains("unshare=0"), makes, "{choice}: {results:#?}");
        let start = &client.world.events_of("session_start")[0];
        let argv = start["argv"].as_array().unwrap();
        let added = argv
            .iter()
            .any(|word| word == "sandbox_mode=\"danger-full-access\"");
        assert_eq!(added, choice == "off", "{argv:#?}");
    }
}

/// The WebSocket that it tries first on its provider's own service is answered with 426, and it goes on.
#[test]
fn it_goes_on_without_a_websocket() {
    let Some(client) = client() else { return };
    let prompt = Client::prompt("echo done");
    let ran = client.run(
        &ELSEWHERE,
        &with(&[
            "exec",
            "-c",
            "model_providers.model.supports_websockets=true",
            "--skip-git-repo-check",
            &prompt,
        ]),
    );
    ran.ok();
    assert!(client.model.upgrades() > 0, "it tried none");
    assert!(client.model.tool_results()[0].contains("done"));
    assert_eq!(client.denials(), [] as [Value; 0]);
}

/// What it signed in with is there and goes back when it was refreshed; settings are read and stay.
#[test]
fn stored_credentials_and_settings_are_used_and_kept() {
    let Some(client) = client() else { return };
    let home = client.world.home.clone();
    let world = &client.world;
    let auth = world.file(home.join(".codex/auth.json"), r#"{"OPENAI_API_KEY":"stored"}"#);
    let settings = trusting(world);
    let file = world.file(home.join(".codex/config.toml"), &settings);
    world.directory(home.join(".codex/skills"));
    let prompt = Client::prompt(
        "cd ~/.codex; sed -i s/stored/refreshed/ auth.json; cat auth.json; echo evil >> config.toml; echo evil > hooks.json; \
         echo evil > skills/evil; cat hooks.json",
    );
    let flags: Vec<&str> = ELSEWHERE
        .iter()
        .copied()
        .chain(["--own-sandbox", "off"])
        .collect();
    client
        .run(&flags, &["exec", "--skip-git-repo-check", &prompt])
        .ok();
    let result = &client.model.tool_results()[0];
    assert!(result.contains(r#"{"OPENAI_API_KEY":"refreshed"}"#), "{result}");
    // Both streams come as they come: what the file holds is the last.
    assert!(
        result.trim_end().ends_with("evil"),
        "the test plants nothing: {result}"
    );
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&auth), r#"{"OPENAI_API_KEY":"refreshed"}"#);
    assert_eq!(read(&file), settings);
    assert_eq!(client.left_in(".codex/skills"), [] as [String; 0]);
    assert!(!home.join(".codex/hooks.json").exists());
}

/// Settings with the model as the provider, and the project trusted.
fn trusting(world: &World) -> String {
    format!(
        "model_provider = \"model\"\nmodel = \"gpt-5-codex\"\n[model_providers.model]\nname = \"model\"\n\
         base_url = \"http://model.test/v1\"\nwire_api = \"responses\"\nenv_key = \"OPENAI_API_KEY\"\n[projects.\"{}\"]\n\
         trust_level = \"trusted\"\n",
        world.project.display()
    )
}

#[test]
fn its_full_screen_works() {
    let Some(client) = client() else { return };
    let world = &client.world;
    world.file(world.home.join(".codex/config.toml"), trusting(world));
    client.works_on_a_full_screen(&ELSEWHERE, &[], "Ask Codex", "/quit");
}
