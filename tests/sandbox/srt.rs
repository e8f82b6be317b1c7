//! Settings of sandbox-runtime (`srt`), imported and enforced: each row of what its files, reads and writes mean.
#![expect(clippy::disallowed_methods, reason = "a test looks at files as they are")]

use super::shell::Shell;
use super::support::{Ran, World};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;

/// Settings with these file lists; without a network.
fn files(lists: &Value) -> Value {
    let mut filesystem = json!({"denyRead": [], "allowWrite": [], "denyWrite": []});
    for (key, value) in lists.as_object().unwrap() {
        filesystem[key] = value.clone();
    }
    json!({"network": {"allowedDomains": [], "deniedDomains": []}, "filesystem": filesystem})
}

fn save(world: &World, settings: &Value) -> String {
    let path = world.outside.join("srt.json");
    fs::write(&path, serde_json::to_string_pretty(settings).unwrap()).unwrap();
    world.give(&path);
    path.to_str().unwrap().to_owned()
}

/// Runs under the settings as they are.
fn under(world: &World, settings: &Value, script: &str) -> Ran {
    world.run(&["--srt-settings", &save(world, settings)], script)
}

fn import(world: &World, arguments: &[&str]) -> Ran {
    Ran::from_output(&world.aca(&[&["import"], arguments].concat()).output().unwrap())
}

/// Runs under the settings, and under the configuration that they are imported as: both must do the same.
#[track_caller]
fn both(world: &World, lists: &Value, script: &str) -> Ran {
    let settings = files(lists);
    let ran = under(world, &settings, script);
    let imported = import(world, &["srt", &save(world, &settings)]);
    let toml = world.outside.join("imported.toml");
    fs::write(&toml, imported.ok()).unwrap();
    world.give(&toml);
    let again = world.run(&["--config", toml.to_str().unwrap()], script);
    assert_eq!(
        (&ran.code, &ran.out, &ran.err),
        (&again.code, &again.out, &again.err),
        "{}",
        imported.out
    );
    ran
}

/// A run that must not begin: the settings ask for what can't be enforced.
#[track_caller]
fn refused(world: &World, lists: &Value, what: &str) {
    let settings = files(lists);
    let ran = under(world, &settings, "echo RAN");
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(
        ran.err.contains(what) && ran.err.contains("srt.json:"),
        "{}",
        ran.err
    );
    assert!(!ran.out.contains("RAN"), "{ran:?}");
    let path = save(world, &settings);
    let imported = import(world, &["srt", &path]);
    assert_eq!((imported.code, imported.out.as_str()), (1, ""), "{imported:?}");
    assert!(
        imported.err.contains("RESTRICTION LOST") && imported.err.contains(what),
        "{imported:?}"
    );
    assert!(
        import(world, &["srt", "--lenient", &path])
            .ok()
            .contains("# Not carried over")
    );
}

#[test]
fn everything_is_read_and_nothing_written_by_default() {
    let world = World::new();
    world.file("../notes", "offen");
    world.file("x", "offen");
    let ran = both(
        &world,
        &json!({}),
        "cat ~/notes x /etc/hostname > /dev/null && echo read; echo a > x; echo a > new; echo a > ~/new; \
         echo a > /usr/new; echo a > /tmp/own && echo own",
    );
    assert_eq!(ran.out, "read\nown\n", "{ran:?}");
    assert_eq!(fs::read_to_string(world.project.join("x")).unwrap(), "offen");
    assert!(!world.project.join("new").exists() && !world.home.join("new").exists());
}

#[test]
fn a_deny_and_an_allow_within_it() {
    let world = World::new();
    world.file("secret/key", "geheim");
    world.file("secret/pub/doc", "offen");
    world.file("secret/pub/inner/key", "geheim");
    world.file("secret/pub/one", "geheim");
    let ran = both(
        &world,
        &json!({
            "denyRead": ["./secret", "secret/pub/inner", "secret/pub/one"],
            "allowRead": ["secret/pub/"],
            "allowWrite": ["."],
        }),
        "cat secret/pub/doc; cat secret/key secret/pub/inner/key secret/pub/one; ls secret; echo x > secret/new",
    );
    assert_eq!(ran.out, "offenpub\n", "{ran:?}");
    assert!(!world.project.join("secret/new").exists());
}

#[test]
fn a_file_s_deny_is_lifted_by_its_own_name_alone() {
    let world = World::new();
    world.file("a/one", "geheim");
    world.file("a/two", "offen");
    let lists =
        |allow: &str| json!({"denyRead": ["a/one", "a/two"], "allowRead": [allow], "allowWrite": ["."]});
    let ran = both(&world, &lists("a"), "cat a/one a/two");
    assert_eq!(ran.out, "", "{ran:?}");
    let ran = both(&world, &lists("a/two"), "cat a/one a/two");
    assert_eq!(ran.out, "offen", "{ran:?}");
}

#[test]
fn a_link_planted_at_an_allowed_path_opens_nothing() {
    let world = World::new();
    world.file("secret/key", "geheim");
    world.file("../other/key", "geheim");
    world.directory("secret/pub");
    for target in ["key", "../../other"] {
        drop(fs::remove_dir(world.project.join("secret/pub")));
        drop(fs::remove_file(world.project.join("secret/pub")));
        symlink(target, world.project.join("secret/pub")).unwrap();
        let ran = both(
            &world,
            &json!({"denyRead": ["secret", "~/other"], "allowRead": ["secret/pub"], "allowWrite": ["."]}),
            "cat secret/pub secret/pub/key secret/key ~/other/key; true",
        );
        assert!(!ran.out.contains("geheim"), "{ran:?}");
        assert_eq!(ran.code, 0);
    }
}

#[test]
fn credentials_are_closed_whatever_is_allowed() {
    let world = World::new();
    world.file("../tokens/a", "geheim");
    world.file("token", "geheim");
    let mut settings = files(&json!({"allowRead": ["~/tokens/a", "token"], "allowWrite": [".", "~/tokens"]}));
    settings["credentials"] = json!({
        "files": [{"path": "~/tokens/a", "mode": "deny"}, {"path": "token", "mode": "mask", "injectHosts": ["a.test"]}],
        "envVars": [{"name": "MY_TOKEN", "mode": "deny"}],
    });
    let ran = under(
        &world,
        &settings,
        "cat ~/tokens/a token; echo x > ~/tokens/a; echo x > ~/tokens/b && echo wrote",
    );
    assert_eq!(ran.out, "wrote\n", "{ran:?}");
    assert_eq!(fs::read_to_string(world.home.join("tokens/a")).unwrap(), "geheim");
    // A variable that goes inside anyway can't be taken away.
    settings["credentials"]["envVars"][0]["name"] = "PATH".into();
    let ran = under(&world, &settings, "true");
    assert!(
        ran.code == 125 && ran.err.contains("keeps this variable"),
        "{ran:?}"
    );
}

#[test]
fn a_deny_of_writing_wins_from_above_too() {
    let world = World::new();
    world.file("a/b/c/x", "alt");
    let ran = both(
        &world,
        &json!({"allowWrite": [".", "a/b/c"], "denyWrite": ["a/b"]}),
        "echo neu > a/b/c/x; echo neu > a/b/new; echo neu > a/x && echo wrote; cat a/b/c/x; mv a/b a/d; mv a e",
    );
    assert_eq!(ran.out, "wrote\nalt", "{ran:?}");
    assert!(world.project.join("a/b/c/x").exists());
    let ran = both(
        &world,
        &json!({"allowWrite": ["/", "."], "denyWrite": ["/"]}),
        "echo neu > a/b/c/x; cat a/b/c/x",
    );
    assert_eq!(ran.out, "alt", "{ran:?}");
    let ran = both(
        &world,
        &json!({"allowWrite": ["."], "denyWrite": ["."]}),
        "echo neu > x; ls x",
    );
    ran.refused();
}

#[test]
fn the_way_to_what_can_not_be_written_stays() {
    let world = World::new();
    for path in ["d/a/b/x", "../data/a/b/x", "node_modules/a/b/x", "[e]/a/b/x"] {
        world.file(path, "alt");
    }
    let ran = both(
        &world,
        &json!({
            "allowWrite": [".", "~/data"],
            "denyWrite": ["d/a/b", "~/data/a/b", "node_modules/a/b", {"path": "[e]/a/b", "literal": true}],
        }),
        "for d in d ~/data node_modules '[e]'; do mv $d/a $d/away; rm -rf $d/a; mv $d $d.away; mkdir -p $d/a/b; \
         echo neu > $d/a/b/x; echo neu > $d/a/new && echo wrote; cat $d/a/b/x; done",
    );
    assert_eq!(ran.out, "wrote\naltwrote\naltwrote\naltwrote\nalt", "{ran:?}");
}

#[test]
fn a_deny_is_one_of_what_a_link_leads_to() {
    let world = World::new();
    world.file("real/key", "geheim");
    world.file("kept/x", "alt");
    world.file("../far/key", "geheim");
    symlink("real", world.project.join("link")).unwrap();
    symlink("kept/x", world.project.join("file")).unwrap();
    symlink("../far/key", world.project.join("out")).unwrap();
    let ran = both(
        &world,
        &json!({"allowWrite": ["."], "denyRead": ["link", "out"], "denyWrite": ["file"]}),
        "cat link/key real/key out ~/far/key; echo neu > file; echo neu > kept/x; cat kept/x",
    );
    assert_eq!(ran.out, "alt", "{ran:?}");
}

#[test]
fn a_deny_of_writing_opens_nothing() {
    let world = World::new();
    world.file("secret/inner/key", "geheim");
    world.file(".env", "geheim");
    let ran = both(
        &world,
        &json!({"allowWrite": ["."], "denyRead": ["secret"], "denyWrite": ["secret/inner", ".env", "secret/inner/key"]}),
        "cat secret/inner/key .env; ls secret",
    );
    assert_eq!(ran.out, "", "{ran:?}");
}

#[test]
fn mandatory_protections_come_last() {
    let world = World::with_repository();
    for file in [
        ".bashrc",
        ".mcp.json",
        ".vscode/tasks.json",
        ".idea/x",
        ".claude/commands/x",
        "sub/.zshrc",
    ] {
        world.file(file, "alt");
    }
    let ran = both(
        &world,
        &json!({"allowWrite": [
            ".", ".git", ".git/hooks", ".git/config", ".bashrc", ".mcp.json", ".vscode", ".vscode/tasks.json",
            ".claude/commands", "sub/.zshrc", ".idea/x",
        ]}),
        "for f in .git/config .bashrc .mcp.json .vscode/tasks.json .idea/x .claude/commands/x sub/.zshrc .git/hooks/pre-commit; do \
         echo evil >> $f && echo WROTE $f; done; echo x > ok",
    );
    // Git's are the run's own.
    let config = fs::read(world.project.join(".git/config")).unwrap();
    let own = "WROTE .git/config\nWROTE .git/hooks/pre-commit\n";
    assert_eq!((ran.code, ran.out.as_str()), (0, own), "{ran:?}");
    assert!(!String::from_utf8_lossy(&config).contains("evil"));
    assert!(!world.project.join(".git/hooks/pre-commit").exists());
    // Though nothing else can be written there.
    let ran = both(
        &world,
        &json!({"allowWrite": [".git", ".git/hooks", ".bashrc"]}),
        "echo evil >> .bashrc; echo evil >> .git/hooks/post-commit; echo evil >> .git/config; echo x > y; ls y .git/hooks/post-commit",
    );
    assert_eq!(ran.out, "", "{ran:?}");
    assert_eq!(fs::read_to_string(world.project.join(".bashrc")).unwrap(), "alt");
}

#[test]
fn masks_stay_on_top() {
    let world = World::new();
    world.file(".env", "geheim");
    world.file("../.aws/credentials", "geheim");
    world.file("../.ssh/known_hosts", "geheim");
    let lists = json!({
        "denyRead": ["~/.ssh"],
        "allowRead": [".env", "~/.aws", "~/.ssh/known_hosts"],
        "allowWrite": [".env", "~/.aws/credentials", "."],
    });
    let ran = both(
        &world,
        &lists,
        "cat .env ~/.aws/credentials ~/.ssh/known_hosts; echo x > ~/.aws/credentials",
    );
    assert!(ran.out.is_empty(), "{ran:?}");
    let told = import(&world, &["srt", &save(&world, &files(&lists))]);
    assert!(
        told.err.matches("aca masks it as a secret").count() >= 4,
        "{told:?}"
    );
    assert!(told.out.contains("masks of secrets"), "{told:?}");
}

#[test]
fn default_write_places() {
    let world = World::new();
    let ran = both(
        &world,
        &json!({"allowWrite": ["/tmp", "/dev/null"]}),
        "echo a > /dev/null && (echo a > /dev/stdout) | cat && mkdir -p /tmp/claude && echo b > /tmp/claude/x && \
         cat /tmp/claude/x",
    );
    assert_eq!(ran.ok(), "a\nb");
    assert!(
        !std::path::Path::new("/tmp/claude/x").exists(),
        "it is the sandbox's own"
    );
}

#[test]
fn what_can_not_be_granted_is_left_out_and_said() {
    let world = World::new();
    symlink(&world.outside, world.project.join("link")).unwrap();
    let lists = json!({"allowWrite": ["link", "absent", "~", "~/../home"], "allowRead": ["absent2"]});
    let ran = both(
        &world,
        &lists,
        "echo x > link/x; mkdir absent; echo x > ~/x; true",
    );
    assert_eq!(ran.ok(), "");
    assert!(!world.outside.join("x").exists() && !world.home.join("x").exists());
    let told = import(&world, &["srt", &save(&world, &files(&lists))]);
    for what in [
        "a symbolic link leads from it",
        "nothing is there",
        "it holds the home",
    ] {
        assert!(told.err.contains(what), "{told:?}");
    }
}

#[test]
fn spellings_of_a_path() {
    let world = World::new();
    world.file("../a/x", "alt");
    world.file("b/x", "alt");
    world.file("c/d/x", "alt");
    let absolute = format!("/{}//./b/", world.project.display());
    let ran = both(
        &world,
        &json!({"allowWrite": ["~/a", absolute, "c/./e/../d/**"], "denyRead": ["./c//nothing"]}),
        "for f in ~/a/x b/x c/d/x; do echo neu > $f && echo wrote; done; echo neu > c/x; echo neu > x",
    );
    assert_eq!(ran.out, "wrote\nwrote\nwrote\n", "{ran:?}");
    // From a directory in the project the lists count from there.
    world.directory("sub");
    let settings = save(&world, &files(&json!({"allowWrite": ["."]})));
    let output = world
        .aca(&[
            "run",
            "--srt-settings",
            &settings,
            "--",
            "sh",
            "-c",
            "echo x > ok && echo wrote; echo x > ../no",
        ])
        .current_dir(world.project.join("sub"))
        .output()
        .unwrap();
    assert_eq!(Ran::from_output(&output).out, "wrote\n");
}

#[test]
fn patterns_of_reads() {
    let world = World::new();
    world.file("x.geh", "geheim");
    world.file("a/y.geh", "geheim");
    world.file("a/z.geh", "offen");
    world.file("a/build/x", "geheim");
    world.file("node_modules/p/x.geh", "geheim");
    let lists =
        json!({"denyRead": ["**/*.geh", "**/build/**"], "allowRead": ["a/z.geh", "a"], "allowWrite": ["."]});
    let ran = both(
        &world,
        &lists,
        "cat x.geh a/y.geh a/z.geh a/build/x node_modules/p/x.geh; echo x > a/build/n",
    );
    assert_eq!(ran.out, "offen", "{ran:?}");
    // What appears later as well.
    let settings = save(&world, &files(&lists));
    let mut shell = Shell::start(&world, &["--srt-settings", &settings]);
    world.file("new.geh", "geheim");
    shell.until_refused("cat new.geh", "Permission denied");
}

#[test]
fn patterns_that_can_not_be_enforced_refuse() {
    let world = World::new();
    world.file("x.kee", "alt");
    for pattern in ["/**/*.pem", "~/.config/*/token", "[ab].txt", "**/*.{a,b}"] {
        refused(
            &world,
            &json!({"denyRead": [pattern]}),
            pattern.trim_start_matches("~/"),
        );
    }
    // New files of such names can be made: there is no pattern that keeps them from it.
    refused(
        &world,
        &json!({"allowWrite": ["."], "denyWrite": ["**/*.kee"]}),
        "*.kee",
    );
    // Where nothing can be written, nothing is lost.
    assert_eq!(
        both(
            &world,
            &json!({"denyWrite": ["**/*.kee"]}),
            "echo x > y.kee; cat x.kee"
        )
        .out,
        "alt"
    );
    // Patterns that would open something are merely left out.
    let ran = both(
        &world,
        &json!({"allowWrite": ["*.log"], "allowRead": ["**/*.x"]}),
        "echo x > a.log; ls a.log",
    );
    ran.refused();
    let told = import(
        &world,
        &["srt", &save(&world, &files(&json!({"allowWrite": ["*.log"]})))],
    );
    assert!(
        told.code == 0 && told.err.contains("a pattern opens nothing"),
        "{told:?}"
    );
}

#[test]
fn names_that_look_like_patterns() {
    let world = World::new();
    world.file("src/[id]/page", "geheim");
    world.file("src/i/page", "geheim");
    // The other reading can't be enforced.
    refused(&world, &json!({"denyRead": ["src/[id]"]}), "[id]");
    let ran = both(
        &world,
        &json!({"denyRead": [{"path": "src/[id]", "literal": true}], "allowWrite": ["."]}),
        "cat 'src/[id]/page' src/i/page",
    );
    assert_eq!(ran.out, "geheim", "the other one's: {ran:?}");
    refused(
        &world,
        &json!({"denyRead": [{"path": "a*", "literal": true}]}),
        "a*",
    );
}

#[test]
fn what_is_not_there_yet() {
    let world = World::new();
    // Nothing keeps it from being made, and no placeholder is put on the host.
    refused(
        &world,
        &json!({"allowWrite": ["."], "denyWrite": ["later.txt"]}),
        "later.txt",
    );
    let ran = both(
        &world,
        &json!({"denyWrite": ["later.txt"]}),
        "echo x > later.txt; ls",
    );
    assert_eq!(ran.out, "", "{ran:?}");
    let settings = save(
        &world,
        &files(&json!({"allowWrite": ["."], "denyRead": ["later.key2"]})),
    );
    let mut shell = Shell::start(&world, &["--srt-settings", &settings]);
    world.file("later.key2", "geheim");
    shell.until_refused("cat later.key2", "Permission denied");
}

#[test]
fn a_home_that_can_not_be_read() {
    let world = World::new();
    world.file("../notes", "geheim");
    world.file("../.cargo/bin/tool", "geheim");
    world.file("../shown/doc", "offen");
    world.file("x", "offen");
    let lists = json!({"denyRead": ["~"], "allowRead": [".", "~/shown"], "allowWrite": ["."]});
    let ran = both(
        &world,
        &lists,
        "cat x ~/shown/doc; cat ~/notes ~/.cargo/bin/tool; echo y > y && echo x > ~/shown/no; ls ~/shown",
    );
    assert_eq!(ran.out, "offenoffendoc\n", "{ran:?}");
    assert!(world.project.join("y").exists());
    let parent = world.home.parent().unwrap().to_str().unwrap().to_owned();
    let ran = both(
        &world,
        &json!({"denyRead": [parent], "allowRead": ["."]}),
        "cat x; cat ~/shown/doc",
    );
    assert_eq!(ran.out, "offen", "{ran:?}");
    let ran = both(
        &world,
        &json!({"denyRead": ["/"], "allowRead": ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "."]}),
        "cat x; cat /etc/passwd ~/notes; ls /opt /sys",
    );
    assert_eq!(ran.out, "offen/opt:\n\n/sys:\n", "{ran:?}");
    refused(&world, &json!({"denyRead": ["~"]}), "it hides the project itself");
}

#[test]
fn a_directory_above_the_project_that_can_not_be_read() {
    let world = World::new();
    let project = world.directory(world.home.join("work/p"));
    world.file(world.home.join("work/other/x"), "geheim");
    world.file(project.join("x"), "offen");
    let settings = save(
        &world,
        &files(&json!({"denyRead": ["~/work"], "allowRead": ["."], "allowWrite": ["."]})),
    );
    let output = world
        .aca(&[
            "run",
            "--srt-settings",
            &settings,
            "--",
            "sh",
            "-c",
            "cat x ../other/x; ls ..; echo y > y; cat y",
        ])
        .current_dir(&project)
        .output()
        .unwrap();
    assert_eq!(Ran::from_output(&output).out, "offenp\ny\n", "{output:?}");
}

#[test]
fn the_repository_of_a_linked_work_tree_is_written_when_it_is_named() {
    let world = World::with_repository();
    let tree = world.home.join("tree");
    world.git(&world.project, &["worktree", "add", "-q", tree.to_str().unwrap()]);
    let commit = |lists: &Value| {
        let settings = save(&world, &files(lists));
        let script = "echo x > new && git add new && git commit -q -m new";
        let output = world
            .aca(&["run", "--srt-settings", &settings, "--", "sh", "-c", script])
            .current_dir(&tree)
            .output()
            .unwrap();
        Ran::from_output(&output)
    };
    commit(&json!({"allowWrite": ["."]})).refused();
    let main = world.project.join(".git");
    commit(&json!({"allowWrite": [".", main]})).ok();
}

#[test]
fn the_network_is_what_the_lists_say() {
    let world = World::new();
    let plan = |settings: &Value| -> Value {
        let path = save(&world, settings);
        let output = world
            .aca(&["plan", "--json", "--srt-settings", &path, "claude"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["plan"].clone()
    };
    let mut settings = files(&json!({}));
    // CVE-2025-66479: an empty list is no network.
    assert_eq!(plan(&settings)["network"]["preset"], "none");
    let ran = under(&world, &settings, "cat /proc/net/dev; ls /sys/class/net");
    assert!(!ran.out.contains("eth"), "{ran:?}");
    settings["network"] = json!({
        "allowedDomains": ["a.test", "*.b.test:443", "192.0.2.1", "[2001:db8::1]:80", "localhost:8080"],
        "deniedDomains": ["x.b.test", "*:22"],
        "strictAllowlist": true,
    });
    let plan = plan(&settings);
    assert_eq!(plan["network"]["preset"], "listed");
    let rules: Vec<&str> = plan["network"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule.as_str().unwrap())
        .collect();
    let has = |start: &str| rules.iter().any(|rule| rule.starts_with(start));
    for start in [
        "allow a.test:* (",
        "allow *.b.test:443 (",
        "allow 192.0.2.1:* (",
        "deny x.b.test (",
        "deny *:22 (",
    ] {
        assert!(has(start), "{start}: {rules:#?}");
    }
    // The agent's own hosts aren't on the list.
    assert!(
        !has("allow api.anthropic.com") && !has("allow localhost"),
        "{rules:#?}"
    );
    assert!(rules.iter().any(|rule| rule.contains("srt.json:")), "{rules:#?}");
}

#[test]
fn the_settings_themselves_stay_as_they_are() {
    let world = World::new();
    let text = files(&json!({"allowWrite": ["."]})).to_string();
    let path = world.file("conf/srt.json", &text);
    let ran = world.run(
        &["--srt-settings", "conf/srt.json"],
        "echo {} > conf/srt.json; mv conf away; rm -f conf/srt.json; echo x > conf/new && echo wrote",
    );
    assert_eq!(ran.out, "wrote\n", "{ran:?}");
    assert_eq!(fs::read_to_string(path).unwrap(), text);
}

#[test]
fn what_the_host_runs_is_not_opened_by_an_import() {
    let world = World::new();
    world.file("../.bashrc", "alt");
    world.file("../data/.env", "geheim");
    let lists = json!({"allowWrite": ["~/.bashrc", "~/data/.env", "~/data"], "allowRead": ["~/data/.env"]});
    let ran = both(
        &world,
        &lists,
        "echo evil >> ~/.bashrc; cat ~/data/.env; echo x > ~/data/.env; echo x > ~/data/x && echo wrote",
    );
    assert_eq!(ran.out, "wrote\n", "{ran:?}");
    assert_eq!(fs::read_to_string(world.home.join(".bashrc")).unwrap(), "alt");
}

#[test]
fn bad_settings_are_refused_with_their_place() {
    let world = World::new();
    let path = world.outside.join("srt.json");
    let good = files(&json!({}));
    let mut unknown = good.clone();
    unknown["network"]["allowedDomain"] = json!([]);
    let mut wide = good.clone();
    wide["network"]["allowedDomains"] = json!(["*"]);
    let mut lost = good.clone();
    lost["network"]["deniedResolvedAddresses"] = json!(["192.0.2.0/24"]);
    for (text, what) in [
        (String::new(), "not valid JSON"),
        ("{".into(), "not valid JSON"),
        ("{}".into(), "`network` is missing"),
        ("[".repeat(100_000), "nested"),
        (r#"{"network": {}, "network": {}}"#.into(), "twice"),
        (
            good.to_string().replace("\"denyRead\":[],", ""),
            "`filesystem.denyRead` is missing",
        ),
        (
            good.to_string().replace("\"denyRead\":[]", "\"denyRead\":\"x\""),
            "must be a list",
        ),
        (
            good.to_string()
                .replace("\"denyRead\":[]", "\"denyRead\":[\"/x/*/\"]"),
            "ends with a slash",
        ),
        (unknown.to_string(), "did you mean `allowedDomains`"),
        (wide.to_string(), "every host"),
        (lost.to_string(), "deniedResolvedAddresses"),
    ] {
        fs::write(&path, &text).unwrap();
        world.give(&path);
        let ran = world.run(&["--srt-settings", path.to_str().unwrap()], "echo RAN");
        assert_eq!(ran.code, 125, "{text:.60}: {ran:?}");
        assert!(
            ran.err.contains(what) && ran.err.contains("srt.json:1:"),
            "{text:.60}: {}",
            ran.err
        );
        assert!(!ran.out.contains("RAN"));
    }
    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        &path,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
    )
    .unwrap();
    world.give(&path);
    let ran = world.run(&["--srt-settings", path.to_str().unwrap()], "echo RAN");
    assert!(ran.code == 125 && ran.err.contains("no regular file"), "{ran:?}");
    let ran = world.run(&["--srt-settings", "none.json"], "echo RAN");
    assert!(ran.code == 125 && ran.err.contains("cannot read"), "{ran:?}");
}

#[test]
fn an_import_is_written_to_a_new_file_only() {
    let world = World::new();
    let settings = save(
        &world,
        &files(&json!({"allowWrite": ["."], "denyRead": ["~/x\n[y]"]})),
    );
    let out = world.outside.join("config.toml");
    let output = out.to_str().unwrap();
    world.file(world.home.join("x\n[y]"), "geheim");
    let lost = import(&world, &["srt", &settings, "--output", output]);
    assert!(lost.code == 1 && !out.exists(), "{lost:?}");
    let written = import(&world, &["srt", &settings, "--lenient", "--output", output]);
    assert_eq!((written.code, written.out.as_str()), (0, ""), "{written:?}");
    let before = fs::read_to_string(&out).unwrap();
    assert!(
        before.contains("hide = [\n  \"~/x\\U0000000A[y]\", # filesystem.denyRead[0], line"),
        "{before}"
    );
    let again = import(&world, &["srt", &settings, "--lenient", "--output", output]);
    assert!(
        again.code == 125 && again.err.contains("never written over"),
        "{again:?}"
    );
    symlink(world.outside.join("victim"), world.outside.join("link")).unwrap();
    let link = world.outside.join("link");
    import(
        &world,
        &["srt", &settings, "--lenient", "--output", link.to_str().unwrap()],
    )
    .refused();
    assert!(!world.outside.join("victim").exists());
    assert_eq!(fs::read_to_string(&out).unwrap(), before);
}
