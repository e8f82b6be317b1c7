//! Pushes through the user's ssh.

use super::pushes::{Place, pushes};
use super::ssh::programs;
use super::support::Ran;
use super::yard::{Yard, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;

impl Place for Yard {
    fn url(&self, name: &str) -> String {
        format!("git@forge:{name}")
    }

    fn run(&self, flags: &[&str], script: &str) -> Ran {
        let ran = Self::run(self, flags, script);
        self.holds_no_key();
        ran
    }
}

pushes! {
    Yard::new();
    g17_g18_g19_g38_what_goes_forward
    g20_to_g24_what_no_rule_lets
    g25_g26_g27_g28_all_or_nothing
    g29_g30_how_much
    g31_g32_secrets_stay
    g33_g34_g35_what_runs_on_the_forge
    g33_who_vouches
    g36_g37_options_and_signatures
    g39_what_this_session_created
    g40_a_repository_that_is_read_only
    g42_objects_by_another_hash
    g43_the_server_refuses
    g06_history_that_is_not_here
}

/// As git starts ssh.
const WAY: &str = r#"['/.aca/ssh', 'git@forge', "git-receive-pack 'acme/app.git'"]"#;

#[test]
fn g45_g46_g47_g48_g49_g50_a_client_that_lies() {
    let Some(yard) = Yard::new() else { return };
    super::pushes::raw(&yard, WAY, super::pushes::P45_TO_P50);
}

#[test]
fn g41_g51_packs_that_are_made_to_break_who_reads_them() {
    let Some(yard) = Yard::new() else { return };
    super::pushes::raw(&yard, WAY, super::pushes::P41_P51);
}

/// Nothing outside outlives a push that is broken off, whoever ends.
#[test]
fn g44_a_push_that_is_broken_off_leaves_nothing() {
    let Some(yard) = Yard::new() else { return };
    let world = &yard.world;
    let hook = world.file(
        yard.repositories.join("acme/app.git/hooks/pre-receive"),
        "#!/bin/sh\nsleep 600\n",
    );
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let begin = "git config --global user.name a; git config --global user.email a@a.test; \
        git commit -q --allow-empty -m x; ";
    let mut command = world.aca(&["run", "--", "bash", "-c"]);
    command.arg(format!(
        "{begin} set -m; git push -q origin HEAD:agent/x & while ! [ -e go ]; do sleep 0.1; done; kill -INT %1; wait; touch ended; \
         while [ -e go ]; do sleep 0.1; done"
    ));
    let mut session = command.spawn().unwrap();
    until(|| Some(programs(&yard)).filter(|all| !all.is_empty()));
    world.file("go", "");
    until(|| world.project.join("ended").exists().then_some(()));
    until(|| programs(&yard).is_empty().then_some(()));
    fs::remove_file(world.project.join("go")).unwrap();
    session.wait().unwrap();
    // The session itself ends.
    let mut session = world
        .aca(&[
            "run",
            "--",
            "sh",
            "-c",
            &format!("{begin} git push -q origin HEAD:agent/y"),
        ])
        .spawn()
        .unwrap();
    until(|| Some(programs(&yard)).filter(|all| !all.is_empty()));
    session.kill().unwrap();
    session.wait().unwrap();
    until(|| programs(&yard).is_empty().then_some(()));
}

/// A rule that comes while a push waits for a place, or for the server, ends it.
#[test]
fn a_push_is_cut_whatever_it_waits_for() {
    let Some(yard) = Yard::new() else { return };
    fs::write(yard.repositories.join("slow"), "").unwrap();
    let world = &yard.world;
    // More than there are places.
    let script = "for i in $(seq 12); do git ls-remote origin 2> err.$i & done; wait; cat err.*";
    let mut command = world.aca(&["run", "--", "sh", "-c", script]);
    let session = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    until(|| Some(programs(&yard)).filter(|all| all.len() == 8));
    std::thread::sleep(std::time::Duration::from_millis(500));
    let deny = world.aca(&["deny", "forge", "--cut"]).output().unwrap();
    assert!(deny.status.success(), "{deny:?}");
    let ran = Ran::from_output(&session.wait_with_output().unwrap());
    assert_eq!(ran.out.matches("a rule denies its host").count(), 12, "{ran:?}");
}

/// A rule that comes while a pack does counts, though the push began before it and nothing is cut: a client could hold one
/// ready, without its last byte, for as long as it likes.
#[test]
fn a_push_that_is_held_open_is_judged_by_what_is_said_at_its_end() {
    let Some(yard) = Yard::new() else { return };
    let world = &yard.world;
    let checks = "\
import os, time
p = subprocess.Popen(WAY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
body = pack(HEAD)
p.stdin.write(pkt(f'{ZERO} {HEAD} refs/heads/agent/x\\0' + CAPS) + b'0000' + body[:-1]); p.stdin.flush()
open('held', 'w').close()
while not os.path.exists('go'): time.sleep(0.05)
out, err = p.communicate(body[-1:], timeout=60)
print(out + err)";
    let text = format!("WAY = {WAY}\n{}\n{checks}\n", super::pushes::EVIL);
    world.file("evil.py", text);
    let script = "git config --global user.name a; git config --global user.email a@a.test; git commit -q --allow-empty -m x; \
                  python3 evil.py";
    let mut command = world.aca(&["run", "--", "sh", "-c", script]);
    let session = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    until(|| world.project.join("held").exists().then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(500));
    let deny = world.aca(&["deny", "forge"]).output().unwrap();
    assert!(deny.status.success(), "{deny:?}");
    world.file("go", "");
    let ran = Ran::from_output(&session.wait_with_output().unwrap());
    assert!(ran.out.contains("a rule denies its host"), "{ran:?}");
    let bare = yard.repositories.join("acme/app.git");
    assert_eq!(world.git(&bare, &["for-each-ref", "refs/heads/agent"]), "");
}

/// Clients that don't read what the server made of their push hold nobody up: what they sent is with the server, and its
/// place is free for others.
#[test]
fn clients_that_do_not_read_their_report_hold_no_place() {
    let Some(yard) = Yard::new() else { return };
    if !super::support::has("python3") {
        return;
    }
    let world = &yard.world;
    // More words than what is between them takes.
    let hook = world.file(
        yard.repositories.join("acme/app.git/hooks/post-receive"),
        "#!/bin/sh\nhead -c 900000 /dev/zero | tr '\\0' x | fold -w 70\n",
    );
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let checks = r#"
import socket, struct
def frame(kind, payload): return struct.pack('>BI', kind, len(payload)) + payload
def exact(s, count):
    out = b''
    while len(out) < count: out += s.recv(count - len(out)) or sys.exit('ended')
    return out
kept = []
for n in range(5):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096); s.settimeout(60)
    s.connect(('198.18.255.254', 22))
    s.sendall(frame(9, b"\0git@forge\0git-receive-pack 'acme/app.git'\0"))
    offered = b''
    while not offered.endswith(b'0000'):
        kind, length = struct.unpack('>BI', exact(s, 5))
        data = exact(s, length)
        if kind == 1: offered += data
    s.sendall(frame(0, pkt(f'{ZERO} {HEAD} refs/heads/agent/n{n}\0' + CAPS) + b'0000' + pack(HEAD)) + frame(4, b''))
    kept.append(s)
    # Its turn comes.
    while f'refs/heads/agent/n{n}'.encode() not in git('ls-remote', 'origin'): pass
print('done')"#;
    let text = format!("WAY = {WAY}\n{}\n{checks}\n", super::pushes::EVIL);
    world.file("evil.py", text);
    let ran = yard.run(
        &[],
        "git config --global user.name a; git config --global user.email a@a.test; git commit -q --allow-empty -m x; \
         timeout 60 python3 evil.py",
    );
    assert_eq!(ran.ok(), "done", "{ran:?}");
}

/// What is sent counts.
#[test]
fn a_pack_draws_on_the_budget() {
    let Some(yard) = Yard::new() else { return };
    let ran = yard.run(
        &["--max-egress", "100K"],
        "git config --global user.name a; git config --global user.email a@a.test; \
         head -c 1000000 /dev/urandom > big; git add big; git commit -q -m big; git push origin HEAD:agent/x",
    );
    assert!(
        ran.code != 0 && ran.err.contains("what this run may send is used up"),
        "{ran:?}"
    );
    let event = yard.world.events_of("git_request").pop().unwrap();
    assert!(event["sent"].as_u64().unwrap() <= 100 << 10, "{event}");
}
