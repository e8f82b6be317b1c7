//! Ordinary git inside says and leaves what it says and leaves outside, in both modes.

use super::support::World;
use std::fs;

/// What is done, line by line, in a work tree with three commits on `main`, a branch `old`, a tag and a change in the stash.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/git/fidelity.sh");

/// Everything by which two runs of the same could differ is fixed.
const SURROUNDINGS: &str = "export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.test GIT_COMMITTER_NAME=A \
    GIT_COMMITTER_EMAIL=a@example.test GIT_AUTHOR_DATE='1700000000 +0100' GIT_COMMITTER_DATE='1700000000 +0100' \
    GIT_CONFIG_GLOBAL=/dev/null GIT_PAGER=cat GIT_EDITOR=true LC_ALL=C.UTF-8 TZ=UTC; unset GIT_SSH_COMMAND GIT_SSH_VARIANT;\n";

fn begin() -> World {
    let world = World::new();
    let script = format!(
        "{SURROUNDINGS} set -e; git init -q -b main .; git config user.name A; git config user.email a@example.test; \
         printf '1\\n2\\n3\\n' > f; mkdir d; echo d > d/d; git add -A; git commit -qm first; git tag -a v0 -m zero; \
         git branch old; echo 4 >> f; git commit -qam second; echo x > x; git add x; git commit -qm third; \
         echo stashed >> x; git stash push -qm before; git init -q --bare -b main ../server.git; mkdir -p server; \
         git init -q --bare -b main server/up.git; printf '/server/\\n/left/\\n' >> .git/info/exclude"
    );
    let output = world.command("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    world
}

/// The script with each command shown, and its status behind what it says. Lines with `@` write the configuration.
fn script(configuration: bool) -> String {
    let mut text = SURROUNDINGS.to_owned();
    for line in fs::read_to_string(SCRIPT).unwrap().lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (line, writes) = line.strip_prefix('@').map_or((line, false), |line| (line, true));
        if writes && !configuration {
            continue;
        }
        let quoted = line.replace('\'', "'\\''");
        text.push_str(&format!(
            "printf '%s\\n' '$ {quoted}'; eval '{quoted}' 2>&1; echo \"[$?]\"\n"
        ));
    }
    text
}

fn normal(world: &World, text: &str) -> String {
    text.replace(&world.root().display().to_string(), "ROOT")
}

/// What is there outside, afterwards.
fn after(world: &World) -> String {
    let commands = [
        "git fsck --strict --no-dangling",
        "git status --porcelain --branch",
        "git for-each-ref",
        "git stash list",
        "git log --all --format='%H %T %s' --date-order",
        "git diff",
        "git diff --cached --stat",
        "git ls-files -s",
        "git symbolic-ref HEAD",
        "git worktree list --porcelain",
        "git -C left/wt status --porcelain=v2 --branch",
        "git -C left/wt ls-files -s",
        "git -C left/wt submodule status",
        "git -C left/moved status --porcelain --branch",
        "git -C left/loose log -1 --format=%H",
        "git submodule status",
        "git -C sub status --porcelain",
        "git -C sub for-each-ref refs/heads",
        "git -C sub ls-files -s",
        "git -C sub fsck --strict --no-dangling",
    ];
    let text: String = commands
        .iter()
        .map(|command| format!("echo '$ {}'; {command} 2>&1; ", command.replace('\'', "")))
        .collect();
    let output = world
        .command("sh")
        .args(["-c", &format!("{SURROUNDINGS}{text}")])
        .output()
        .unwrap();
    normal(world, &String::from_utf8_lossy(&output.stdout))
}

#[track_caller]
fn same(what: &str, outside: &str, inside: &str) {
    let mut last = "";
    for (line, other) in outside.lines().zip(inside.lines()) {
        if line.starts_with("$ ") {
            last = line;
        }
        assert_eq!(line, other, "{what}, after {last}");
    }
    assert_eq!(outside.lines().count(), inside.lines().count(), "{what}");
}

fn compare(mode: &str, configuration: bool) {
    let script = script(configuration);
    assert!(
        script.matches("eval ").count() >= 150,
        "{}",
        script.matches("eval ").count()
    );
    let outside = begin();
    let output = outside.command("sh").args(["-c", &script]).output().unwrap();
    let said = normal(&outside, &String::from_utf8_lossy(&output.stdout));
    let world = begin();
    let ran = world.run(&["--git-mode", mode], &script);
    same(mode, &said, &normal(&world, &ran.out));
    same(&format!("{mode}, outside"), &after(&outside), &after(&world));
}

#[test]
fn git_in_a_private_directory_does_what_it_does_outside() {
    compare("isolated", true);
}

/// The configuration stays as it is there.
#[test]
fn git_in_the_hosts_directory_does_what_it_does_outside() {
    compare("direct", false);
}
