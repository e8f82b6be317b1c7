//! Every known agent's file, without its client: what may be left on the host, what is kept, what is told.

use crate::support::{Ran, World, host_path};
use aca::agents::{self, MergeFormat};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// By agent, what its client on the host would execute, load, obey as the user's own word, or take for consent.
const OBEYED: &[(&str, &[&str])] = &[
    (
        "aider",
        &[
            ".aider.conf.yml",
            ".aider.model.settings.yml",
            ".aider/oauth-keys.env",
            ".aider/caches/help/index",
        ],
    ),
    (
        "amp",
        &[
            ".config/amp/settings.json",
            ".config/amp/settings.jsonc",
            ".config/amp/plugins/p.ts",
            ".config/amp/tools/t",
            ".config/amp/skills/s/SKILL.md",
            ".config/amp/AGENTS.md",
            ".config/AGENTS.md",
            ".amp/bin/amp",
        ],
    ),
    (
        "claude",
        &[
            ".claude/settings.json",
            ".claude/hooks/h",
            ".claude/plugins/p",
            ".claude/commands/c.md",
            ".claude/skills/s/SKILL.md",
            ".claude/agents/a.md",
            ".claude/CLAUDE.md",
            ".claude/shell-snapshots/s.sh",
            ".claude/file-history/f",
            ".claude/jobs/j",
        ],
    ),
    (
        "cline",
        &[
            ".cline/data/settings/cline_mcp_settings.json",
            ".cline/data/settings/global-settings.json",
            ".cline/data/db/cron.db",
            ".cline/hooks/PreToolUse",
            ".cline/plugins/p.js",
            ".cline/rules/r.md",
            ".cline/cron/c.cron.md",
            ".cline/schedules/s",
            ".cline/tasks/t",
            "Documents/Cline/Hooks/PreToolUse",
        ],
    ),
    (
        "codex",
        &[
            ".codex/config.toml",
            ".codex/hooks.json",
            ".codex/rules/r.rules",
            ".codex/skills/s/SKILL.md",
            ".codex/prompts/p.md",
            ".codex/plugins/p",
            ".codex/AGENTS.md",
            ".codex/memories/.git/hooks/post-commit",
            ".codex/sqlite/queue_1.sqlite",
            ".codex/queue_1.sqlite",
            ".codex/state_5.sqlite",
            ".codex/tmp/arg0-linux/apply_patch",
            ".codex/shell_snapshots/s.sh",
            ".codex/packages/standalone/codex",
        ],
    ),
    (
        "copilot",
        &[
            ".copilot/settings.json",
            ".copilot/mcp-config.json",
            ".copilot/lsp-config.json",
            ".copilot/permissions-config.json",
            ".copilot/hooks/h.json",
            ".copilot/installed-plugins/p",
            ".copilot/agents/a.md",
            ".copilot/skills/s/SKILL.md",
            ".copilot/copilot-instructions.md",
            ".copilot/session-state/s/workspace.yaml",
            ".cache/copilot/pkg/linux-x64/app.js",
        ],
    ),
    (
        "cursor-agent",
        &[
            ".cursor/mcp.json",
            ".cursor/hooks.json",
            ".cursor/hooks/h.sh",
            ".cursor/sandbox.json",
            ".cursor/permissions.json",
            ".cursor/rules/r.mdc",
            ".cursor/plugins/p",
            ".cursor/skills/s/SKILL.md",
            ".cursor/extensions/e/main.js",
            ".cursor/projects/p/mcp-approvals.json",
            ".local/share/cursor-agent/versions/v/cursor-agent",
        ],
    ),
    (
        "gemini",
        &[
            ".gemini/settings.json",
            ".gemini/trustedFolders.json",
            ".gemini/trusted_hooks.json",
            ".gemini/commands/c.toml",
            ".gemini/extensions/e/gemini-extension.json",
            ".gemini/skills/s/SKILL.md",
            ".gemini/policies/p.toml",
            ".gemini/GEMINI.md",
            ".gemini/.env",
            ".gemini/system.md",
            ".gemini/tmp/bin/rg",
            ".gemini/history/p/.git/config",
            ".gemini/projects.json",
            ".gemini/bin/litert/l",
        ],
    ),
    (
        "goose",
        &[
            ".config/goose/config.yaml",
            ".config/goose/permission.yaml",
            ".config/goose/permissions/tool_permissions.json",
            ".config/goose/recipes/r.yaml",
            ".config/goose/.goosehints",
            ".config/goose/custom_providers/p.json",
            ".local/share/goose/schedule.json",
            ".local/share/goose/scheduled_recipes/r.yaml",
            ".local/share/goose/sessions/sessions.db",
            ".agents/plugins/p/hooks/hooks.json",
        ],
    ),
    (
        "opencode",
        &[
            ".config/opencode/opencode.json",
            ".config/opencode/opencode.jsonc",
            ".config/opencode/plugin/p.js",
            ".config/opencode/plugins/p.js",
            ".config/opencode/tool/t.ts",
            ".config/opencode/command/c.md",
            ".config/opencode/agent/a.md",
            ".config/opencode/node_modules/@opencode-ai/plugin/index.js",
            ".config/opencode/AGENTS.md",
            ".local/share/opencode/opencode.db",
            ".local/share/opencode/db/opencode.db",
            ".local/share/opencode/bin/gopls",
            ".local/share/opencode/snapshot/p/config",
            ".local/state/opencode/plugin-meta.json",
        ],
    ),
];

fn known() -> impl Iterator<Item = &'static str> {
    agents::names().filter(|name| *name != agents::GENERIC)
}

#[test]
fn every_agent_has_its_list() {
    let listed: Vec<&str> = OBEYED.iter().map(|(name, _)| *name).collect();
    assert_eq!(known().collect::<Vec<_>>(), listed);
}

/// Whatever the client obeys is neither bound read-write nor carried back as it is.
#[test]
fn what_a_client_obeys_is_not_shared() {
    for (name, paths) in OBEYED {
        let state = agents::load(name).unwrap().state;
        for path in paths.iter().map(Path::new) {
            for shared in &state.share {
                assert!(!path.starts_with(shared.as_path()), "{name}: {}", path.display());
            }
            for file in state.merge.iter().filter(|file| !file.own) {
                assert_ne!(file.path.as_path(), path, "{name}");
            }
        }
        // A file that a client writes whole holds what it signed in with; all else passes a sieve or only grows.
        for file in state.merge.iter().filter(|file| !file.own) {
            let sieved = file.format == MergeFormat::Json && !file.host_keeps.is_empty();
            let grows = file.format == MergeFormat::Append;
            let name = file.path.as_path().file_name().unwrap().to_string_lossy();
            let credentials = ["auth", "cred", "oauth", "account", "secret"];
            assert!(
                sieved || grows || credentials.iter().any(|word| name.contains(word)),
                "{name}"
            );
        }
    }
}

/// Writes each of the paths, and tells which of them hold that then.
fn plant(paths: &[&str]) -> String {
    let mut script = String::new();
    for path in paths {
        let directory = Path::new(path).parent().unwrap().display().to_string();
        script.push_str(&format!(
            "mkdir -p ~/'{directory}'; echo '{{\"planted\":1}}' > ~/'{path}'; cat ~/'{path}';"
        ));
    }
    script + "true"
}

#[test]
fn what_a_client_obeys_is_not_planted() {
    for (name, paths) in OBEYED {
        for home in ["private", "host"] {
            let world = World::new();
            let script = plant(paths);
            let ran = world.run(&["--agent", name, "--home", home, "--net", "none"], &script);
            if home == "private" {
                assert_eq!(ran.ok().lines().count(), paths.len(), "{name}: {ran:#?}");
            }
            for path in *paths {
                assert!(!world.home.join(path).exists(), "{name}, home = {home}: {path}");
            }
            assert_eq!(
                world.events_of("state_not_kept"),
                [] as [serde_json::Value; 0],
                "{name}"
            );
        }
        // What is there is seen, and stays what it was.
        let world = World::new();
        for path in *paths {
            world.file(world.home.join(path), "the user's\n");
        }
        world.run(&["--agent", name, "--net", "none"], &plant(paths)).ok();
        for path in *paths {
            let text = fs::read_to_string(world.home.join(path)).unwrap();
            assert_eq!(text, "the user's\n", "{name}: {path}");
        }
    }
}

/// The same outside, to see that the script does plant.
#[test]
fn without_the_sandbox_it_is_planted() {
    let world = World::new();
    for (_, paths) in OBEYED {
        let mut command = world.command("sh");
        command.args(["-c", &plant(paths)]);
        Ran::from_output(&command.output().unwrap()).ok();
        for path in *paths {
            assert!(world.home.join(path).exists(), "{path}");
        }
    }
}

/// What later runs go on with: beneath a shared directory the host has it too, beneath one of the sandboxes' own it has not,
/// and one agent's is not another's.
#[test]
fn state_is_kept() {
    for name in known() {
        let state = agents::load(name).unwrap().state;
        let world = World::new();
        let mut write = String::from("true");
        let mut read = String::from("true");
        for path in state.share.iter().chain(&state.own) {
            write.push_str(&format!("; echo kept > ~/'{path}'/f"));
            read.push_str(&format!("; cat ~/'{path}'/f"));
        }
        for file in state.merge.iter().filter(|file| file.own) {
            write.push_str(&format!("; echo '{{\"kept\":1}}' > ~/'{}'", file.path));
            read.push_str(&format!("; grep -o kept ~/'{}'", file.path));
        }
        let flags = ["--agent", name, "--net", "none"];
        // In a real home there is a place for it where the client's directories are.
        let host = ["--agent", name, "--net", "none", "--home", "host"];
        let client_was_there = World::new();
        for path in state.private.iter().chain(&state.own) {
            client_was_there.directory(path.within(&client_was_there.home));
        }
        client_was_there.run(&host, &write).ok();
        world.run(&flags, &write).ok();
        let count = state.share.len() + state.own.len() + state.merge.iter().filter(|file| file.own).count();
        assert!(count > 0, "{name} keeps nothing");
        assert_eq!(
            world.run(&flags, &read).ok(),
            vec!["kept"; count].join("\n"),
            "{name}"
        );
        let read_in_a_real_home = client_was_there.run(&host, &read);
        assert_eq!(read_in_a_real_home.ok(), vec!["kept"; count].join("\n"), "{name}");
        for world in [&world, &client_was_there] {
            for path in &state.share {
                assert!(path.within(&world.home).join("f").is_file(), "{name}: {path}");
            }
            for path in &state.own {
                assert!(!path.within(&world.home).join("f").exists(), "{name}: {path}");
            }
        }
        let other = if name == "codex" { "goose" } else { "codex" };
        let seen = world.run(
            &["--agent", other, "--net", "none"],
            "grep -rl kept ~ 2>/dev/null; true",
        );
        assert_eq!(seen.ok(), "", "{name}'s state is seen by {other}");
    }
}

/// Settings that a client insists on writing are a copy: changed inside, and never outside.
#[test]
fn copied_settings_may_be_written_and_stay() {
    for name in known() {
        let copies = agents::load(name).unwrap().state.copy;
        let world = World::new();
        let mut script = String::from("true");
        for path in &copies {
            world.file(path.within(&world.home), "the user's\n");
            // In place, and by rename as most clients do it.
            script.push_str(&format!(
                "; cd ~; cat '{path}'; echo inside >> '{path}' && sed -i 's/inside/renamed/' '{path}' && tail -1 '{path}'"
            ));
        }
        let flags = ["--agent", name, "--net", "none"];
        let expected = vec!["the user's\nrenamed"; copies.len()].join("\n");
        assert_eq!(world.run(&flags, &script).ok(), expected, "{name}");
        for path in &copies {
            let text = fs::read_to_string(path.within(&world.home)).unwrap();
            assert_eq!(text, "the user's\n", "{name}: {path}");
        }
        assert_eq!(
            world.run(&flags, &script).ok(),
            expected,
            "{name}: a later run begins anew"
        );
    }
}

/// A real home hides what agents sign in with, but not from the agent itself.
#[test]
fn a_login_reaches_its_own_agent_in_a_real_home() {
    for (name, path) in [
        ("aider", ".aider.conf.yml"),
        ("amp", ".local/share/amp/secrets.json"),
        ("claude", ".claude/.credentials.json"),
        ("cline", ".cline/data/settings/providers.json"),
        ("codex", ".codex/auth.json"),
        ("copilot", ".copilot/config.json"),
        ("cursor-agent", ".config/cursor/auth.json"),
        ("gemini", ".gemini/oauth_creds.json"),
        ("goose", ".config/goose/secrets.yaml"),
        ("opencode", ".local/share/opencode/auth.json"),
    ] {
        let world = World::new();
        world.file(world.home.join(path), "{\"the-login\":1}");
        for (home, agent, seen) in [
            ("host", name, true),
            ("private", name, true),
            ("host", "generic", false),
            ("private", "generic", false),
        ] {
            let script = format!("cat ~/'{path}' 2>/dev/null; true");
            let ran = world.run(&["--agent", agent, "--home", home, "--net", "none"], &script);
            assert_eq!(
                ran.ok().contains("the-login"),
                seen,
                "{agent} {path} home = {home}"
            );
        }
    }
}

fn agents_command(world: &World, arguments: &[&str]) -> Ran {
    let mut command = world.aca(&["agents"]);
    command.args(arguments);
    let path = format!("{}:{}", world.home.join("programs").display(), host_path());
    Ran::from_output(&command.env("PATH", path).output().unwrap())
}

#[test]
fn agents_are_listed_with_where_they_are() {
    let world = World::new();
    let program = world.file(world.home.join("programs/goose"), "#!/bin/sh\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // No program, so not installed.
    world.file(world.home.join("programs/amp"), "#!/bin/sh\n");
    let ran = agents_command(&world, &[]);
    let row = |name: &str| {
        let mut lines = ran.ok().lines();
        lines.find(|line| line.split(' ').next() == Some(name)).unwrap()
    };
    assert!(row("goose").ends_with(program.to_str().unwrap()), "{ran:#?}");
    assert!(row("amp").ends_with("not in PATH"), "{ran:#?}");
    assert!(row("codex").contains("keep"), "{ran:#?}");
    assert_eq!(ran.out.lines().count(), known().count() + 1);
    let listed: serde_json::Value = serde_json::from_str(agents_command(&world, &["--json"]).ok()).unwrap();
    let all = listed["agents"].as_array().unwrap();
    assert_eq!(all.len(), known().count());
    let goose = all
        .iter()
        .find(|agent| agent["definition"]["name"] == "goose")
        .unwrap();
    assert_eq!(goose["installed"][0], program.to_str().unwrap());
}

#[test]
fn one_agent_is_shown_in_full() {
    let world = World::new();
    let text = agents_command(&world, &["codex"]);
    for part in [
        "sandbox_mode=\"danger-full-access\"",
        "~/.codex/sessions",
        "~/.codex/auth.json (whole, to the host)",
        "api.openai.com",
        "OPENAI_API_KEY",
        "ab.chatgpt.com",
    ] {
        assert!(text.ok().contains(part), "{part:?} is not in {text:#?}");
    }
    let unknown = agents_command(&world, &["codx"]);
    assert_eq!(unknown.code, 125);
    assert!(unknown.err.contains("did you mean `codex`?"), "{unknown:#?}");
}

/// A command that is no agent is run as one, and that is told with the reason; a near name that isn't there is a hint.
#[test]
fn a_generic_command_is_told_as_one() {
    let world = World::new();
    let mut plan = world.aca(&["plan", "true"]);
    let text = Ran::from_output(&plan.output().unwrap());
    assert!(
        text.ok()
            .contains("agent      generic  # no known agent has a program `true`"),
        "{text:#?}"
    );
    world.run(&[], "true").ok();
    let log = Ran::from_output(&world.aca(&["log"]).output().unwrap());
    assert!(
        log.ok().contains("generic: what follows `--` is a command"),
        "{log:#?}"
    );
    let ran = Ran::from_output(&world.aca(&["run", "--net", "none", "codx"]).output().unwrap());
    assert_eq!(ran.code, 127);
    assert!(ran.err.contains("did you mean the agent `codex`?"), "{ran:#?}");
}

/// The price of a sandbox that an agent brings is named with the agent; switched off, there is none.
#[test]
fn the_price_of_an_own_sandbox_is_in_the_plan() {
    let world = World::new();
    let plan = |arguments: &[&str]| -> serde_json::Value {
        let mut all = vec!["plan", "--json", "--net", "none"];
        all.extend(arguments);
        let ran = Ran::from_output(&world.aca(&all).output().unwrap());
        serde_json::from_str::<serde_json::Value>(ran.ok()).unwrap()["plan"].clone()
    };
    let words = |plan: &serde_json::Value| -> Vec<String> {
        let argv = plan["program"]["argv"].as_array().unwrap();
        argv.iter()
            .map(|word| {
                let bytes = word.as_array().unwrap().iter();
                bytes
                    .map(|byte| char::from(u8::try_from(byte.as_u64().unwrap()).unwrap()))
                    .collect()
            })
            .collect()
    };
    let kept = plan(&["codex", "exec", "x"]);
    assert_eq!(words(&kept), ["codex", "exec", "x"]);
    assert!(
        kept["degraded"]
            .to_string()
            .contains("codex brings a sandbox of its own"),
        "{kept:#}"
    );
    assert!(kept["grants"].to_string().contains("nested-userns"));
    let off = plan(&["--own-sandbox", "off", "codex", "exec", "x"]);
    assert_eq!(
        words(&off),
        ["codex", "-c", "sandbox_mode=\"danger-full-access\"", "exec", "x"]
    );
    assert!(!off["degraded"].to_string().contains("of its own"), "{off:#}");
    assert_eq!(off["grants"], serde_json::json!([]));
    // Another program under the agent's name gets no arguments of the agent's.
    let other = plan(&["--own-sandbox", "off", "--agent", "codex", "--", "sh", "-c", "x"]);
    assert_eq!(words(&other), ["sh", "-c", "x"]);
    // Nothing is granted for one that is off from the start.
    let cursor = plan(&["cursor-agent", "-p", "x"]);
    assert_eq!(words(&cursor), ["cursor-agent", "-p", "x"]);
    assert_eq!(cursor["grants"], serde_json::json!([]));
    assert_eq!(cursor["own_sandbox"]["choice"], "off");
    // The user's file decides for its agent, a flag over it.
    let file = world.file(
        world.home.join(".config/aca/config.toml"),
        "[agents.codex]\nown_sandbox = \"off\"\n",
    );
    assert_eq!(plan(&["codex"])["own_sandbox"]["choice"], "off");
    assert_eq!(
        plan(&["--own-sandbox", "keep", "codex"])["own_sandbox"]["choice"],
        "keep"
    );
    assert_eq!(plan(&["goose"])["own_sandbox"], serde_json::Value::Null);
    fs::remove_file(file).unwrap();
    let mut none = world.aca(&["plan", "--own-sandbox", "keep", "goose"]);
    let refused = Ran::from_output(&none.output().unwrap());
    assert_eq!(refused.code, 125);
    assert!(
        refused.err.contains("`goose` brings no sandbox of its own"),
        "{refused:#?}"
    );
}

/// A file that begins with comments is merged as the rest; what it trusts stays the host's.
#[test]
fn settings_with_comments_are_merged() {
    let world = World::new();
    let file = world.file(
        world.home.join(".copilot/config.json"),
        "// User settings belong in settings.json.\n// This file is managed automatically.\n{ \"trustedFolders\": [] }\n",
    );
    let script = r#"f=~/.copilot/config.json; head -1 $f; printf '// x\n{ "trustedFolders": ["/"], "firstLaunchAt": "now" }' > $f"#;
    let ran = world.run(&["--agent", "copilot", "--net", "none"], script);
    assert_eq!(ran.ok(), "// User settings belong in settings.json.");
    assert_eq!(ran.err, "");
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(
        kept,
        serde_json::json!({ "trustedFolders": [], "firstLaunchAt": "now" })
    );
}
