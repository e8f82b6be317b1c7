//! Pushes over https, with the user's own credential.

use super::forge::Forge;
use super::pushes::{Place, pushes};
use super::support::Ran;

impl Place for Forge {
    fn url(&self, name: &str) -> String {
        format!("https://forge.test/{name}")
    }

    fn run(&self, flags: &[&str], script: &str) -> Ran {
        Self::run(self, flags, script)
    }
}

pushes! {
    Forge::new();
    g17_g18_g19_g38_what_goes_forward
    g20_to_g24_what_no_rule_lets
    g25_g26_g27_g28_all_or_nothing
    g29_g30_how_much
    g31_g32_secrets_stay
    g33_g34_g35_what_runs_on_the_forge
    g33_who_vouches
    g39_what_this_session_created
    g40_a_repository_that_is_read_only
    g42_objects_by_another_hash
    g43_the_server_refuses
    g06_history_that_is_not_here
}

/// As git asks over https: what there is, and then the push. What isn't answered as git understands it is an error.
const WAY: &str = r#"['sh', '-c', "curl -sS -m 50 'https://forge.test/acme/app.git/info/refs?service=git-receive-pack' | tail -c +36; \
code=$(curl -sS -m 50 -o /tmp/answer -w '%{http_code}' --data-binary @- -H 'Content-Type: application/x-git-receive-pack-request' \
https://forge.test/acme/app.git/git-receive-pack); [ $code = 200 ] && exec cat /tmp/answer; cat /tmp/answer >&2; exit 1"]"#;

#[test]
fn g45_g46_g47_g48_g49_g50_a_client_that_lies() {
    let Some(forge) = Forge::new() else { return };
    // A request ends before it is answered.
    let (checks, _) = super::pushes::P45_TO_P50
        .split_once("# A side that stays open")
        .unwrap();
    super::pushes::raw(&forge, WAY, checks);
}

#[test]
fn g41_g51_packs_that_are_made_to_break_who_reads_them() {
    let Some(forge) = Forge::new() else { return };
    super::pushes::raw(&forge, WAY, super::pushes::P41_P51);
}

/// JGit packs what it pushes once more; git never does. What isn't whole, isn't packed or grows too large is refused.
#[test]
fn a_push_that_is_packed_once_more() {
    let Some(forge) = Forge::new() else { return };
    if !super::support::has("python3") {
        return;
    }
    let way = WAY.replace("-H 'Content-Type", "-H 'Content-Encoding: gzip' -H 'Content-Type");
    let checks = r#"
import gzip
plain = talk
def talk(request, close=True): return plain(PACKED(request), close)
command = f'{ZERO} {HEAD} refs/heads/agent/jgit'
def says(text, out): assert text in out, (text, out)
for broken in [lambda b: gzip.compress(b)[:-9], lambda b: b, lambda b: gzip.compress(b) + b'more', lambda b: b'']:
    PACKED = broken
    code, out, err = talk(pkt(command + '\0' + CAPS) + b'0000' + pack(HEAD))
    assert code != 0 and b'aca: ' in err, (code, out, err)
PACKED = gzip.compress
says(b'more than', push(command, body=pack(HEAD) + b'\0' * 60_000_000))
says(b'no rule lets', push(f'{ZERO} {HEAD} refs/heads/x', body=pack(HEAD)))
says(b'ok refs/heads/agent/jgit', push(command, body=pack(HEAD)))
"#;
    let text = format!("WAY = {way}\n{}\n{checks}\nprint('done')\n", super::pushes::EVIL);
    forge.world.file("evil.py", text);
    let ran = forge.run(
        &[],
        "set -e; git config --global user.name a; git config --global user.email a@a.test; git fetch -q origin; \
         git reset -q --hard origin/main; git commit -q --allow-empty -m x; python3 evil.py",
    );
    assert_eq!(ran.ok(), "done", "{ran:?}");
    let bare = forge.repositories.join("acme/app.git");
    let there = forge.world.git(
        &bare,
        &["for-each-ref", "--format=%(refname)", "refs/heads/agent"],
    );
    assert_eq!(there, "refs/heads/agent/jgit");
    let asked = forge.asked();
    let sent = asked
        .iter()
        .filter(|line| line.starts_with("POST /acme/app.git/git-receive-pack"));
    let sent: Vec<_> = sent.collect();
    assert!(sent.len() == 1 && !sent[0].ends_with("gzip"), "{asked:?}");
}

/// A hook on the server that prints what the server was told, and an advertisement and a report that hold it: nothing of
/// it gets inside.
#[test]
fn what_the_server_was_told_is_not_seen_in_what_it_says() {
    let Some(forge) = Forge::new() else { return };
    let bare = forge.repositories.join("acme/app.git");
    let hook = forge.world.file(
        bare.join("hooks/pre-receive"),
        "#!/bin/sh\necho 'you are alice:s3cr3t'; echo 'Authorization: Basic YWxpY2U6czNjcjN0' >&2\n\
         echo 'in hex 733363723374'; printf 'cut s3c'; sleep 0.3; printf 'r3t in two\\n'\n",
    );
    let update = forge.world.file(
        bare.join("hooks/update"),
        "#!/bin/sh\necho \"no s3cr3t for $1\"; case $1 in *no) exit 1;; esac\n",
    );
    for hook in [hook, update] {
        std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let begin = "git config --global user.name a; git config --global user.email a@a.test; git fetch -q origin; \
                 git reset -q --hard origin/main; git commit -q --allow-empty -m x; ";
    let ran = forge.run(
        &[],
        &format!("{begin} git push origin HEAD:agent/x; git push origin HEAD:agent/no"),
    );
    for text in [
        "remote: you are alice:******",
        "remote: Authorization: Basic YWxpY2U6********",
        "remote: in hex ************",
        "remote: cut ****** in two",
        "remote: no ****** for refs/heads/agent/x",
        "remote: no ****** for refs/heads/agent/no",
    ] {
        assert!(ran.err.contains(text), "{text}: {ran:?}");
    }
    // A branch of that name, which somebody else made.
    forge.world.git(&bare, &["branch", "s3cr3t-branch", "main"]);
    let ran = forge.run(&[], "git ls-remote origin; git -c protocol.version=0 ls-remote origin; git push -q --dry-run origin HEAD:agent/y");
    assert_eq!(ran.out.matches("refs/heads/******-branch").count(), 2, "{ran:?}");
    // What isn't told who asks says as it is.
    forge.world.git(
        &forge.repositories.join("public/tool.git"),
        &["branch", "s3cr3t-branch", "main"],
    );
    let ran = forge.run_anyhow(&[], "git ls-remote https://forge.test/public/tool");
    assert!(ran.out.contains("refs/heads/s3cr3t-branch"), "{ran:?}");
    // A pack is as the server has it.
    let work = forge.world.outside.join("work/acme/app");
    forge.world.file(work.join("note"), "the word is s3cr3t\n");
    forge.world.git(&work, &["add", "-A"]);
    forge.world.git(&work, &["commit", "-q", "-m", "note"]);
    forge
        .world
        .git(&work, &["push", "-q", bare.to_str().unwrap(), "HEAD:noted"]);
    let ran = forge.run_anyhow(
        &[],
        "git fetch -q origin noted && git cat-file blob FETCH_HEAD:note; git clone -q -b noted https://forge.test/acme/app /tmp/c",
    );
    assert!(ran.out.starts_with("the word is s3cr3t\n"), "{ran:?}");
}

/// The user's own password, which aca holds, is in no push.
#[test]
fn g31_what_aca_holds_is_not_pushed() {
    let Some(forge) = Forge::new() else { return };
    forge.store("https://alice:s3cr3t-and-longer@forge.test\n");
    forge.mode("longer");
    for written in [
        "s3cr3t-and-longer",
        "$(printf s3cr3t-and-longer | base64)",
        "$(printf x:s3cr3t-and-longer | base64)",
    ] {
        // It is put together inside, where it is known by chance alone.
        let script = format!(
            "git config --global user.name a; git config --global user.email a@a.test; git fetch -q origin && \
             git reset -q --hard origin/main && echo \"password {written}\" > note && git add note && git commit -q -m x && \
             git push -q origin HEAD:agent/x"
        );
        let ran = forge.run_anyhow(&[], &script);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(
            ran.err.contains("[remote rejected]") && ran.err.contains("secret"),
            "{ran:?}"
        );
    }
    let bare = forge.repositories.join("acme/app.git");
    assert_eq!(forge.world.git(&bare, &["for-each-ref", "refs/heads/agent"]), "");
}

/// A push asks the server anew what it has, and is sent as it was judged: over HTTP/2, to a server that ends connections,
/// and past a question in the middle.
#[test]
fn a_push_reaches_every_kind_of_server() {
    for (kind, mode) in [("h2", ""), ("h1", "close")] {
        let Some(forge) = Forge::of(kind) else { return };
        forge.store("https://alice:s3cr3t@forge.test\n");
        forge.mode(mode);
        let ran = forge.run(
            &[],
            "git config --global user.name a; git config --global user.email a@a.test; \
             git fetch -q origin && git reset -q --hard origin/main && head -c 3000000 /dev/urandom > big && git add big && \
             git commit -q -m big && git push -q origin HEAD:agent/x && git rev-parse HEAD",
        );
        let bare = forge.repositories.join("acme/app.git");
        let there = forge.world.git(&bare, &["rev-parse", "refs/heads/agent/x"]);
        assert_eq!(ran.ok(), there, "{ran:?}");
        let asked = forge.asked();
        let pushes = asked
            .iter()
            .filter(|line| line.starts_with("POST /acme/app.git/git-receive-pack"));
        assert_eq!(pushes.count(), 1, "the trial isn't the server's: {asked:?}");
    }
}

/// The server leads from one name to another: what may be pushed is what the rules say of the second.
#[test]
fn a_push_to_what_moved_is_judged_by_where_it_goes() {
    let Some(forge) = Forge::new() else { return };
    let flags = ["--git-push", "https://forge.test/moved/app#main"];
    let push = |to: &str| {
        forge.run(
            &flags,
            &format!(
                "git config --global user.name a; git config --global user.email a@a.test; git fetch -q origin && \
                 git reset -q --hard origin/main && git commit -q --allow-empty -m x && \
                 git push -q https://forge.test/moved/app.git HEAD:{to}"
            ),
        )
    };
    let bare = forge.repositories.join("acme/app.git");
    let before = forge.world.git(&bare, &["for-each-ref"]);
    let ran = push("main");
    assert!(
        ran.code != 0 && ran.err.contains("a default branch is pushed to only"),
        "{ran:?}"
    );
    assert_eq!(forge.world.git(&bare, &["for-each-ref"]), before);
    push("agent/x").ok();
    assert_ne!(forge.world.git(&bare, &["for-each-ref"]), before);
}

/// Over https git tells of its own end besides (`die` in git's transport-helper.c).
#[test]
fn g36_g37_options_and_signatures() {
    let Some(forge) = Forge::new() else { return };
    let begin = "git config --global user.name a; git config --global user.email a@a.test; git fetch -q origin; \
                 git reset -q --hard origin/main; git commit -q --allow-empty -m x";
    let ran = forge.run(&[], &format!("{begin}; git push -o ci.skip origin HEAD:agent/x"));
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("does not support push options"), "{ran:?}");
    let ran = forge.run(
        &[],
        &format!("{begin}; git push -q --signed=if-asked origin HEAD:agent/x"),
    );
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// What it comes to hold while a push comes in isn't pushed either.
#[test]
fn g31_what_aca_comes_to_hold_meanwhile_is_not_pushed() {
    let Some(forge) = Forge::new() else { return };
    if !super::support::has("python3") {
        return super::support::skip(
            "g31_what_aca_comes_to_hold_meanwhile_is_not_pushed",
            "there is no python3",
        );
    }
    let helper = forge.program(
        "two",
        "[ \"$1\" = get ] || exit 0; word=s3cr3t; while read line; do case $line in path=other/*) word=s3cr3t-and-longer;; esac; done; \
         printf 'username=alice\\npassword=%s\\n' $word",
    );
    forge.gitconfig(&format!(
        "[credential]\n\tuseHttpPath = true\n\thelper = \"!{}\"\n",
        helper.display()
    ));
    forge.config(
        "[[git.repository]]\nurl = ['https://forge.test/acme/app', 'https://forge.test/other/secret']\n",
    );
    let script = r#"
import subprocess, time
def git(*words, **more): return subprocess.run(['git', *words], check=True, capture_output=True, **more).stdout
def pkt(text): return b'%04x' % (len(text) + 4) + text.encode()
for words in ['config user.name a', 'config user.email a@a.test', 'fetch -q origin', 'reset -q --hard origin/main']: git(*words.split())
open('note', 'w').write('-'.join(['s3cr3t', 'and', 'longer']))
git('add', 'note'); git('commit', '-q', '-m', 'x')
head = git('rev-parse', 'HEAD').decode().strip()
pack = git('pack-objects', '--revs', '--stdout', '-q', input=b'HEAD\n^origin/main\n')
request = pkt(f'{"0" * 40} {head} refs/heads/agent/x\0report-status') + b'0000' + pack
way = ['curl', '-sS', '-m', '50', '-T', '-', '-X', 'POST', '-H', 'Content-Type: application/x-git-receive-pack-request']
push = subprocess.Popen(way + ['https://forge.test/acme/app.git/git-receive-pack'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
push.stdin.write(request[:-10]); push.stdin.flush(); time.sleep(1)
git('ls-remote', 'https://forge.test/other/secret')
push.stdin.write(request[-10:]); push.stdin.close()
print(push.stdout.read().decode())
"#;
    let inside = forge.world.project.join("late.py");
    forge.world.file(&inside, script);
    forge.mode("two");
    let ran = forge.run_anyhow(&[], "python3 late.py");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out
            .contains("ng refs/heads/agent/x aca policy: it holds what looks like a secret"),
        "{ran:?}"
    );
    let used = forge.world.events_of("credential_used");
    assert!(used.len() > 1, "{used:?}");
}
