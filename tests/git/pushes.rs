//! Pushes of real git, by the numbers of the acceptance scenarios: the same over each transport.

use super::account::Account;
use super::support::Ran;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;

/// A user with repositories `acme/app`, `acme/lib` and `other/secret` on a server, of which `acme/app` is the project's
/// remote `origin`.
pub(crate) trait Place: Sync + Deref<Target = Account> {
    /// The name of one inside.
    fn url(&self, name: &str) -> String;
    /// `aca run`; asserts that no credential is seen inside, printed, or pushed.
    fn run(&self, flags: &[&str], script: &str) -> Ran;
}

/// What every script begins with: the project is as the remote is.
const BEGIN: &str = "set -e; git config --global user.name a; git config --global user.email a@a.test; \
    git fetch -q origin; git reset -q --hard origin/main; commit() { echo \"$1\" >> file; git add file; git commit -q -m \"$1\"; }; ";

/// Runs it; gives what a refused push must be, whatever git says.
fn script(place: &dyn Place, flags: &[&str], script: &str) -> Ran {
    let ran = place.run(flags, &format!("{BEGIN}{script}"));
    for ugly in [
        "hung up",
        "roken pipe",
        "unexpected disconnect",
        "protocol error",
        "RPC failed",
    ] {
        assert!(!ran.err.contains(ugly), "{ran:?}");
    }
    ran
}

fn server(place: &dyn Place, name: &str, arguments: &[&str]) -> String {
    place
        .world
        .git(&place.repositories.join(format!("{name}.git")), arguments)
}

/// The refs of the server's `acme/app`.
fn refs(place: &dyn Place) -> BTreeMap<String, String> {
    let listed = server(
        place,
        "acme/app",
        &["for-each-ref", "--format=%(refname) %(objectname)"],
    );
    listed
        .lines()
        .map(|line| {
            let (name, id) = line.split_once(' ').unwrap();
            (name.to_owned(), id.to_owned())
        })
        .collect()
}

/// A push that is refused, of refs that stay as they were.
#[track_caller]
fn refused(place: &dyn Place, flags: &[&str], push: &str, why: &str) -> Ran {
    let before = refs(place);
    let ran = script(place, flags, push);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains(why), "{why}: {ran:?}");
    assert_eq!(refs(place), before, "{ran:?}");
    let events = place.world.events_of("git_request");
    let denied = events.iter().rfind(|event| event["operation"] == "push").unwrap();
    assert!(!denied["denied"].is_null(), "{denied}");
    ran
}

/// Refs on the server that this session has nothing to do with.
fn others(place: &dyn Place, names: &[&str]) {
    for name in names {
        server(place, "acme/app", &["update-ref", name, "refs/heads/main"]);
    }
}

pub(crate) fn g17_g18_g19_g38_what_goes_forward(place: &dyn Place) {
    let ran = script(
        place,
        &[],
        "commit one; git push -q origin HEAD:agent/x; \
         commit two; git push -q -u origin HEAD:agent/x; git rev-parse HEAD; \
         git push -q origin HEAD~1:refs/heads/agent/y; git push -q origin HEAD:agent/y; \
         git push origin HEAD:agent/x 2>&1; git push -q origin HEAD:agent/deep/er HEAD:aca/z",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let (head, rest) = ran.out.split_once('\n').unwrap();
    assert_eq!(rest.trim(), "Everything up-to-date");
    let refs = refs(place);
    for name in ["agent/x", "agent/y", "agent/deep/er", "aca/z"] {
        assert_eq!(refs[&format!("refs/heads/{name}")], head, "{name}");
    }
    // The log tells of each.
    let events = place.world.events_of("git_request");
    let told: Vec<String> = events
        .iter()
        .filter(|event| event["operation"] == "push")
        .flat_map(|event| event["refs"].as_array().cloned().unwrap_or_default())
        .map(|told| format!("{} {} {}", told["change"], told["name"], told["outcome"]).replace('"', ""))
        .collect();
    assert_eq!(told[0], "create refs/heads/agent/x taken");
    assert_eq!(told[1], "update refs/heads/agent/x taken");
    assert_eq!(told.len(), 6, "{told:?}");
}

pub(crate) fn g20_to_g24_what_no_rule_lets(place: &dyn Place) {
    others(
        place,
        &["refs/heads/agent/theirs", "refs/heads/feature", "refs/tags/v0"],
    );
    let rewrite = "git fetch -q origin agent/theirs; git commit -q --amend -m rewritten; git push --force origin HEAD:agent/theirs";
    refused(
        place,
        &[],
        rewrite,
        "(aca policy: non-fast-forward: no rule lets this ref be moved back)",
    );
    for (push, why) in [
        (
            "commit x; git push origin HEAD:main",
            "a default branch is pushed to only where a rule names it exactly",
        ),
        (
            "git push origin --delete agent/theirs",
            "no rule lets this ref be deleted",
        ),
        ("git push origin :feature", "no rule lets this ref be deleted"),
        (
            "git tag v1; git push origin v1",
            "no rule lets this ref be created",
        ),
        ("git push origin --delete v0", "no rule lets this ref be deleted"),
        (
            "git notes add -m x; git push origin refs/notes/commits",
            "no rule lets this ref be created",
        ),
        (
            "commit x; git push origin HEAD:refs/for/main",
            "no rule lets this ref be created",
        ),
        (
            "commit x; git push origin HEAD:refs/pull/1/head",
            "no rule lets this ref be created",
        ),
        (
            "commit x; git push origin HEAD:feature",
            "no rule lets this ref be updated",
        ),
        (
            "commit x; git push origin HEAD:refs/agent/x",
            "no rule lets this ref be created",
        ),
    ] {
        let ran = refused(place, &[], push, why);
        assert!(ran.err.contains("! [remote rejected]"), "{ran:?}");
        assert!(
            ran.err.contains("remote: aca: may be pushed: agent/**, aca/**"),
            "{ran:?}"
        );
        assert!(ran.err.contains("nothing was sent to the server"), "{ran:?}");
    }
    // What is advised helps.
    let flag = format!("{}#feature", place.url("acme/app"));
    let ran = script(
        place,
        &["--git-push", &flag],
        "commit x; git push -q origin HEAD:feature HEAD:agent/x",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    // A default branch by a flag that names it, and by none that only fits.
    let all = format!("{}#**", place.url("acme/app"));
    refused(
        place,
        &["--git-push", &all],
        "commit x; git push origin HEAD:main",
        "a default branch",
    );
    let main = format!("{}#main", place.url("acme/app"));
    let ran = script(
        place,
        &["--git-push", &main],
        "commit x; git push -q origin HEAD:main",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
}

pub(crate) fn g25_g26_g27_g28_all_or_nothing(place: &dyn Place) {
    refused(
        place,
        &[],
        "commit x; git branch agent/x; git push --mirror origin",
        "remote rejected",
    );
    let ran = refused(
        place,
        &[],
        "commit x; git push origin HEAD:agent/x HEAD:main",
        "remote rejected",
    );
    assert!(
        ran.err.contains("another ref of this push was refused"),
        "{ran:?}"
    );
    refused(
        place,
        &[],
        "commit x; git push --atomic origin HEAD:agent/x HEAD:main",
        "rejected",
    );
    let ran = script(
        place,
        &[],
        "commit x; git push -q --atomic origin HEAD:agent/x HEAD:agent/y",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = script(
        place,
        &[],
        "commit y; git push --porcelain origin HEAD:main; true",
    );
    assert!(
        ran.out
            .contains("!\tHEAD:refs/heads/main\t[remote rejected] (aca policy: "),
        "{ran:?}"
    );
}

pub(crate) fn g29_g30_how_much(place: &dyn Place) {
    let big = "head -c 3000000 /dev/urandom > big; git add big; git commit -q -m big; ";
    let ran = script(place, &[], &format!("{big} git push -q origin HEAD:agent/big"));
    assert_eq!(ran.code, 0, "{ran:?}");
    let table = place.world.file(
        place.world.home.join("small.toml"),
        format!(
            "[[git.repository]]\nurl = ['{}']\npush = {{ max_pack = '1M', max_commits = 2 }}\n",
            place.url("acme/app")
        ),
    );
    let flags = ["--config", table.to_str().unwrap()];
    let ran = refused(
        place,
        &flags,
        &format!("{big} git push origin HEAD:agent/other"),
        "more than 1048576",
    );
    assert!(ran.err.contains("HEAD -> agent/other"), "{ran:?}");
    let many = "commit a; commit b; commit c; git push origin HEAD:agent/other";
    refused(place, &flags, many, "3 commits in one push, 2 are allowed");
}

pub(crate) fn g31_g32_secrets_stay(place: &dyn Place) {
    let token = "printf 'ghp_%s%s' 16C7e42F292c6912E7 710c838347Ae178B4a";
    for push in [
        format!("{token} > config; git add config; git commit -q -m x; git push origin HEAD:agent/x"),
        format!("git commit -q --allow-empty -m \"token $({token})\"; git push origin HEAD:agent/x"),
        // In history alone.
        format!(
            "{token} > config; git add config; git commit -q -m x; git rm -q config; git commit -q -m y; git push origin HEAD:agent/x"
        ),
    ] {
        let ran = refused(place, &[], &push, "it holds what looks like a secret");
        assert!(!ran.err.contains("16C7e42F292c6912E7"), "{ran:?}");
    }
    let events = place.world.events_of("git_request");
    assert!(
        events
            .iter()
            .any(|event| event["findings"].as_array().is_some_and(|all| !all.is_empty()))
    );
}

pub(crate) fn g33_g34_g35_what_runs_on_the_forge(place: &dyn Place) {
    // Not in the work tree: there it can't be written.
    let workflow = "git update-index --add --cacheinfo 100644,$(echo 'on: push' | git hash-object -w --stdin),.github/workflows/x.yml; \
        git commit -q -m ci; ";
    let why = "it changes a protected path";
    refused(
        place,
        &[],
        &format!("{workflow} git push origin HEAD:agent/x"),
        why,
    );
    refused(
        place,
        &[],
        &format!(
            "{workflow} git update-index --force-remove .github/workflows/x.yml; git commit -q -m back; git push origin HEAD:agent/x"
        ),
        why,
    );
    // Somebody's pull request, that the server has already.
    let work = place.world.outside.join("work/acme/app");
    place
        .world
        .file(work.join(".github/workflows/y.yml"), "on: pull_request_target\n");
    let git = |arguments: &[&str]| place.world.git(&work, arguments);
    git(&["checkout", "-q", "-b", "fork"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "from a fork"]);
    let bare = place.repositories.join("acme/app.git");
    git(&["push", "-q", bare.to_str().unwrap(), "HEAD:refs/pull/7/head"]);
    refused(
        place,
        &[],
        "git fetch -q origin refs/pull/7/head; git push origin FETCH_HEAD:refs/heads/agent/pwn",
        why,
    );
    // Beside it.
    let ran = script(
        place,
        &[],
        "mkdir -p .github; echo x > .github/CODEOWNERS; git add .github; git commit -q -m x; git push -q origin HEAD:agent/x",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// What an agent pushed once doesn't vouch for what is pushed next: neither a branch that agents push to, nor what this
/// session made of another.
pub(crate) fn g33_who_vouches(place: &dyn Place) {
    let work = place.world.outside.join("work/acme/app");
    let bare = place.repositories.join("acme/app.git");
    let git = |arguments: &[&str]| place.world.git(&work, arguments);
    // Protected where it is pushed, and a file like any other in the project.
    place.world.file(work.join("cloudbuild.yaml"), "steps: []\n");
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "a build"]);
    git(&[
        "push",
        "-q",
        bare.to_str().unwrap(),
        "HEAD:refs/heads/agent/theirs",
    ]);
    let more = "git fetch -q origin agent/theirs; git push -q origin FETCH_HEAD:refs/heads/agent/more";
    let ran = refused(place, &[], more, "it changes a protected path");
    assert!(
        ran.err.contains("cloudbuild.yaml") && ran.err.contains("rebase onto"),
        "{ran:?}"
    );
    // On that branch it is as it was; with another at the same time it isn't.
    let on = "git fetch -q origin agent/theirs; git reset -q --hard FETCH_HEAD; commit on; git push -q origin HEAD:agent/theirs";
    refused(
        place,
        &[],
        &format!("{on} HEAD:agent/more"),
        "it changes a protected path",
    );
    let ran = script(place, &[], on);
    assert_eq!(ran.code, 0, "{ran:?}");
    // A branch of somebody else's vouches.
    git(&["push", "-q", bare.to_str().unwrap(), "HEAD:refs/heads/topic"]);
    let ran = script(place, &[], more);
    assert_eq!(ran.code, 0, "{ran:?}");
    server(place, "acme/app", &["update-ref", "-d", "refs/heads/topic"]);
    // One that this session moves vouches with what it was before.
    git(&["push", "-q", bare.to_str().unwrap(), "HEAD:refs/heads/main"]);
    let main = format!("{}#main", place.url("acme/app"));
    let ran = script(
        place,
        &["--git-push", &main],
        "commit m; git push -q origin HEAD:main; commit n; git push -q origin HEAD:agent/after",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
}

pub(crate) fn g36_g37_options_and_signatures(place: &dyn Place) {
    let ran = script(place, &[], "commit x; git push -o ci.skip origin HEAD:agent/x");
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("does not support push options"), "{ran:?}");
    let ran = script(place, &[], "git push -q --signed=if-asked origin HEAD:agent/x");
    assert_eq!(ran.code, 0, "{ran:?}");
}

pub(crate) fn g39_what_this_session_created(place: &dyn Place) {
    others(place, &["refs/heads/agent/theirs"]);
    let ran = script(
        place,
        &[],
        "commit x; git push -q origin HEAD:agent/x; git commit -q --amend -m other; git push -q --force origin HEAD:agent/x; \
         git push -q origin HEAD:agent/y; git push -q origin --delete agent/y; \
         ! git push -q --force origin $(git commit-tree -m o HEAD^{tree}):refs/heads/agent/theirs && ! git push -q origin --delete agent/theirs; git rev-parse HEAD",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let now = refs(place);
    assert_eq!(
        now["refs/heads/agent/x"],
        ran.out.trim(),
        "{ran:?} {:?}",
        place.world.events_of("git_request")
    );
    assert!(!now.contains_key("refs/heads/agent/y"));
    assert_eq!(now["refs/heads/agent/theirs"], now["refs/heads/main"]);
    // The next session didn't create it, nor did this one once somebody else moved it.
    refused(
        place,
        &[],
        "commit z; git push --force origin HEAD:agent/x",
        "moved back",
    );
    let moved = "commit z; git push -q origin HEAD:agent/z; touch ready; while [ -e ready ]; do sleep 0.1; done; \
        git fetch -q origin; git commit -q --amend -m w; git push --force origin HEAD:agent/z";
    let world = &place.world;
    let ready = world.project.join("ready");
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            super::yard::until(|| ready.exists().then_some(()));
            let git = |arguments: &[&str]| {
                let identity = ["-c", "user.name=s", "-c", "user.email=s@s.test"];
                server(place, "acme/app", &[&identity, arguments].concat())
            };
            let aside = git(&["commit-tree", "-m", "theirs", "main^{tree}"]);
            git(&["update-ref", "refs/heads/agent/z", &aside]);
            fs::remove_file(&ready).unwrap();
        });
        script(place, &[], moved)
    });
    assert!(ran.err.contains("moved back"), "{ran:?}");
}

pub(crate) fn g40_a_repository_that_is_read_only(place: &dyn Place) {
    let lib = place.url("acme/lib");
    let flags = ["--git-fetch", &lib];
    let ran = script(place, &flags, &format!("commit x; git push {lib} HEAD:agent/x"));
    assert_eq!(ran.code, 128, "{ran:?}");
    assert!(
        ran.err.contains("remote error: aca: ") && ran.err.contains("read-only"),
        "{ran:?}"
    );
    assert!(ran.err.contains(&format!("--git-push {lib}")), "{ran:?}");
    let ran = script(
        place,
        &["--git-push", &lib],
        &format!("commit x; git push -q {lib} HEAD:agent/x"),
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    // A no of the user's or the project's wins.
    place.world.file(
        ".aca.toml",
        format!(
            "[[git.repository]]\nurl = ['{}']\npush = false\n",
            place.url("acme/app")
        ),
    );
    let ran = script(place, &[], "commit x; git push origin HEAD:agent/x");
    assert!(ran.err.contains("denied by a rule"), "{ran:?}");
}

pub(crate) fn g42_objects_by_another_hash(place: &dyn Place) {
    let world = &place.world;
    let bare = world.directory(place.repositories.join("acme/new.git"));
    world.git(
        &bare,
        &["init", "-q", "--bare", "-b", "main", "--object-format=sha256"],
    );
    let url = place.url("acme/new");
    let script = format!(
        "set -e; git init -q --object-format=sha256 -b main /tmp/n; cd /tmp/n; git config user.name a; git config user.email a@a.test; \
         echo x > x; git add x; git commit -q -m x; git push -q {url} HEAD:agent/x; \
         git clone -q -b agent/x {url} /tmp/c; cd /tmp/c; git config user.name a; git config user.email a@a.test; \
         git commit -q --allow-empty -m y; git push -q origin HEAD:agent/x; git rev-parse HEAD"
    );
    let ran = place.run(&["--git-push", &url], &script);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(world.git(&bare, &["rev-parse", "agent/x"]), ran.out.trim());
}

/// Somebody else is first, after the server said where the ref is.
pub(crate) fn g43_the_server_refuses(place: &dyn Place) {
    others(place, &["refs/heads/agent/theirs"]);
    let hook = place.world.file(
        place.repositories.join("acme/app.git/hooks/pre-receive"),
        "#!/bin/sh\nunset GIT_QUARANTINE_PATH\nother=$(git -c user.name=s -c user.email=s@s.test commit-tree -p main -m other main^{tree})\ngit update-ref refs/heads/agent/theirs $other\nprintf 'a \\033[31mred word\\n' >&2\n",
    );
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = script(place, &[], "commit x; git push origin HEAD:agent/theirs");
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(
        ran.err
            .contains("! [remote rejected] HEAD -> agent/theirs (failed to update ref)")
            || ran.err.contains("cannot lock ref")
            || ran.err.contains("fetch first"),
        "{ran:?}"
    );
    assert!(ran.err.contains("remote: a ?[31mred word"), "{ran:?}");
    let events = place.world.events_of("git_request");
    let event = events.last().unwrap();
    assert!(
        event["denied"].is_null() && event["refs"][0]["outcome"] == "not-taken",
        "{event}"
    );
}

/// A clone that knows little of the history, in a place that isn't seen outside: it is loaded, or git says what to do.
pub(crate) fn g06_history_that_is_not_here(place: &dyn Place) {
    let work = place.world.outside.join("work/acme/app");
    let git = |arguments: &[&str]| place.world.git(&work, arguments);
    for number in 0..5 {
        git(&["commit", "-q", "--allow-empty", "-m", &format!("more {number}")]);
    }
    let bare = place.repositories.join("acme/app.git");
    git(&[
        "push",
        "-q",
        bare.to_str().unwrap(),
        "HEAD:main",
        "HEAD~4:refs/heads/agent/old",
    ]);
    server(place, "acme/app", &["config", "uploadpack.allowFilter", "true"]);
    let push = format!(
        "git clone -q --depth 1 --no-single-branch {} /tmp/s; cd /tmp/s; git push --force origin HEAD:agent/old",
        place.url("acme/app")
    );
    let ran = script(place, &[], &push);
    assert_eq!(ran.code, 0, "{ran:?}");
    let now = refs(place);
    assert_eq!(now["refs/heads/agent/old"], now["refs/heads/main"]);
    // Nothing of it stays.
    let history = place.world.home.join(".local/state/aca/history");
    assert_eq!(fs::read_dir(history).map_or(0, Iterator::count), 0);
    // What is aside is so with loaded history as well.
    let aside = git(&["commit-tree", "-p", "HEAD~4", "-m", "aside", "HEAD^{tree}"]);
    git(&[
        "push",
        "-q",
        "--force",
        bare.to_str().unwrap(),
        &format!("{aside}:refs/heads/agent/old"),
    ]);
    let ran = script(place, &[], &push);
    assert!(ran.err.contains("non-fast-forward"), "{ran:?}");
}

/// One test for each of them, over one transport.
macro_rules! pushes {
    ($place:expr; $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let Some(place) = $place else { return };
                $crate::pushes::$name(&place);
            }
        )*
    };
}
pub(crate) use pushes;

/// The client of `evil.py`, for a program that is started as git starts ssh.
pub(crate) const EVIL: &str = include_str!("evil.py");

/// Runs checks of a raw client over the way that `words` are; the server's refs stay as they are.
pub(crate) fn raw(place: &dyn Place, words: &str, checks: &str) {
    if !super::support::has("python3") {
        return;
    }
    others(place, &["refs/heads/agent/theirs"]);
    let text = format!("WAY = {words}\n{EVIL}\n{checks}\nprint('done')\n");
    place.world.file("evil.py", text);
    let before = refs(place);
    let ran = place.run(&[], &format!("{BEGIN} commit x; python3 evil.py"));
    assert_eq!(ran.ok(), "done", "{ran:?}");
    assert_eq!(refs(place), before, "{ran:?}");
}

/// What a ref was is a lie, names are none, numbers don't fit, bytes follow.
pub(crate) const P45_TO_P50: &str = r#"
NEW = HEAD
OLD = git('rev-parse', 'HEAD~1').decode().strip()
body = pack(NEW, '^' + OLD)
def says(text, out): assert text in out, (text, out)
# 45: a rewind, and a lie of what it is; 46: created where it is.
says(b'fetch first', push(f'{NEW} {OLD} refs/heads/agent/theirs', body=EMPTY))
says(b'fetch first', push(f'{ZERO} {NEW} refs/heads/agent/theirs', body=body))
says(b'fetch first', push(f'{OLD} {NEW} refs/heads/agent/none', body=body))
says(b'fetch first', push(f'{OLD} {ZERO} refs/heads/agent/none', body=b''))
# 47: names.
for name in ['HEAD', 'refs/heads/agent/a..b', 'refs/heads/agent/a\nok refs/heads/x', 'refs/heads/agent/a\0b', 'refs/heads/agent/x.lock', 'refs/heads/agent//x', 'refs/heads/agent/x/', '../x', 'agent/x', 'refs/heads/agent/\u202ex']:
    out = push(f'{ZERO} {NEW} {name}', body=body)
    assert b'understood' in out or b'refused' in out, (name, out)
out = push(f'{ZERO} {NEW} refs/heads/agent/a', f'{ZERO} {NEW} refs/heads/agent/a', body=body)
says(b'twice', out)
out = push(f'{ZERO} {NEW} refs/heads/agent/a', f'{ZERO} {NEW} refs/heads/agent/b\0push-options', body=body)
says(b'understood', out)
# 48: lengths that are none, certificates, capabilities.
for begin in [b'zzzz', b'0003', b'fff1', b'-001', b'00', b'0001', b'0002', b'00a']:
    code, out, err = talk(begin + b'x' * 50)
    assert code != 0, (begin, out, err)
says(b'push-cert', talk(pkt('push-cert\0' + CAPS) + b'0000')[2])
says(b'push-options', push(f'{ZERO} {NEW} refs/heads/agent/a', caps=CAPS + ' push-options', body=body))
# 49: what follows a pack; at once, or where none should be.
says(b'bytes behind its end', push(f'{ZERO} {NEW} refs/heads/agent/a', body=body + b'0000'))
says(b'bytes behind its end', push(f'{ZERO} {NEW} refs/heads/agent/a', body=body + body))
# 50: another hash.
says(b'object format', push(f'{ZERO} {NEW} refs/heads/agent/a', caps=' report-status object-format=sha256', body=body))
says(b'understood', push(f'{"0" * 64} {"1" * 64} refs/heads/agent/a', body=body))
# Without a report nothing can be told, and nothing goes.
says(b'refused by the sandbox', push(f'{ZERO} {NEW} refs/heads/main', caps=' quiet', body=body))
# A side that stays open.
says(b'ng refs/heads/agent/theirs', push(f'{NEW} {OLD} refs/heads/agent/theirs', close=False))
"#;

/// A thin pack though the server takes none, and packs that are made to break who reads them.
pub(crate) const P41_P51: &str = r#"
NEW = HEAD
OLD = git('rev-parse', 'HEAD~1').decode().strip()
command = f'{ZERO} {NEW} refs/heads/agent/a'
def refused(body, *texts):
    out = push(command, body=body)
    assert b'unpack aca: ' in out and b'ng refs/heads/agent/a' in out and any(text in out for text in texts), (texts, out)
# 41
base = b'a line that is long enough to be worth a delta\n' * 200
open('thin', 'wb').write(base); git('add', 'thin'); git('commit', '-qm', 'base')
middle = git('rev-parse', 'HEAD').decode().strip()
open('thin', 'wb').write(base + b'x'); git('add', 'thin'); git('commit', '-qm', 'thin')
thin = pack('HEAD', '^' + middle, thin=True)
assert len(thin) < len(pack('HEAD', '^' + middle))
refused(thin, b'lacks objects')
# 51
refused(EMPTY[:-1] + b'x', b'checksum')
refused(b'PACK\0\0\0\3' + EMPTY[8:], b'no pack')
refused(raw([blob(b'x')], count=2), b'read', b'checksum', b'early')
refused(raw([], count=1 << 31), b'objects: more than')
refused(raw([entry(3, 1 << 40, zlib.compress(b'x'))]), b'more than')
refused(raw([entry(3, 10, zlib.compress(b'\0' * 100_000_000))]), b'read')
bomb = zlib.compress(b'\0' * 60_000_000, 9)
refused(raw([entry(3, 60_000_000, bomb)] * 30), b'more than')
refused(raw([blob(b'x'), entry(7, 5, hashlib.sha1(b'cycle').digest() + zlib.compress(b'\1\1\1x0'))]), b'lacks', b'read')
refused(body := b'', b'early')
"#;
