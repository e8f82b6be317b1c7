//! Git over the user's own ssh, against a real server of OpenSSH's.

use super::support::{Ran, World};
use super::yard::{Yard, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn aca(world: &World, arguments: &[&str]) -> Ran {
    Ran::from_output(&world.aca(arguments).output().unwrap())
}

/// Git says why, ends at once, and the server was never asked.
#[track_caller]
fn refused(yard: &Yard, ran: &Ran, why: &str) {
    assert_eq!(ran.code, 128, "{ran:?}");
    assert!(ran.err.contains(why), "{ran:?}");
    for ugly in ["hung up", "roken pipe", "unexpected disconnect", "protocol error"] {
        assert!(!ran.err.contains(ugly), "{ran:?}");
    }
    assert_eq!(yard.asked(), [""; 0], "{ran:?}");
}

/// A name of the user's configuration, at a port that isn't 22: p58. No agent and no key inside: p57 (see `Yard::run`).
#[test]
fn g01_g57_g58_clone_fetch_and_pull_of_what_is_listed() {
    let Some(yard) = Yard::new() else { return };
    for flags in [&[][..], &["--config", "ports"]] {
        yard.world.file("ports", "network.capture = 'ports'\n");
        let ran = yard.run(
            flags,
            "git clone -q git@forge:acme/app.git /tmp/c && cat /tmp/c/README && \
             git clone -q ssh://git@forge/acme/app /tmp/d && git ls-remote origin | cut -f2 && \
             git fetch -q origin && git pull -q origin main && git reset -q --hard && cat README; \
             ssh-add -l 2>&1 | grep -c agent",
        );
        assert_eq!(
            ran.out, "this is acme/app\nHEAD\nrefs/heads/main\nthis is acme/app\n1\n",
            "{ran:?}"
        );
        assert_eq!(ran.err, "");
        let requests = yard.requests();
        assert_eq!(requests.len(), 5, "{requests:?}");
        for (operation, repository, denied) in requests {
            assert_eq!(
                (operation.as_str(), repository.as_str(), denied.as_str()),
                ("fetch", "git@forge:acme/app", "")
            );
        }
    }
    let asked = yard.asked();
    assert_eq!(asked[0], "git-upload-pack 'acme/app.git' [version=2]");
    assert_eq!(asked[1], "git-upload-pack '/acme/app' [version=2]");
    let log = aca(&yard.world, &["log"]);
    assert!(log.ok().contains("fetch git@forge:acme/app"), "{log:?}");
}

#[test]
fn g02_g10_what_no_rule_names_is_refused_with_the_reason() {
    let Some(yard) = Yard::new() else { return };
    let reason = "remote error: aca: git fetch of git@forge:other/secret is not allowed: no rule names this repository";
    let ran = yard.run(&[], "git clone -q git@forge:other/secret.git /tmp/c");
    refused(&yard, &ran, reason);
    assert!(
        ran.err.contains("may be fetched: git@forge:acme/app\n"),
        "{ran:?}"
    );
    let flag = "--git-fetch git@forge:other/secret";
    assert!(ran.err.contains(flag), "{ran:?}");
    // What is advised helps.
    let words: Vec<&str> = flag.split(' ').collect();
    let ran = yard.run(
        &words,
        "git clone -q git@forge:other/secret.git /tmp/c && cat /tmp/c/README",
    );
    assert_eq!(ran.ok(), "this is other/secret");
    let why = aca(
        &yard.world,
        &["why", "git fetch ssh://git@forge/other/secret.git"],
    );
    assert_eq!(why.code, 1);
    assert!(
        why.out.contains("no rule names this repository") && why.out.contains(flag),
        "{why:?}"
    );
    let why = aca(&yard.world, &["why", "git clone git@forge:acme/app"]);
    assert!(why.ok().contains("the project's own remotes"), "{why:?}");
    // The user is a part of the rule, and so is the port.
    for url in [
        "root@forge:acme/app",
        "ssh://git@forge:22/acme/app",
        "git@127.0.0.1:acme/app",
    ] {
        let ran = yard.run(&[], &format!("git ls-remote {url}"));
        assert!(ran.code == 128 && ran.err.contains("no rule names"), "{ran:?}");
    }
    assert_eq!(yard.asked().len(), 1);
}

#[test]
fn rules_of_the_user_add_up_a_no_wins_and_a_project_only_narrows() {
    let Some(yard) = Yard::new() else { return };
    let world = &yard.world;
    let file = world.file(
        world.home.join(".config/aca/config.toml"),
        "[[git.repository]]\nurl = ['git@forge:acme/lib', 'git@elsewhere:x/y']\n[[git.repository]]\nurl = ['forge:acme/app']\nfetch = false\n",
    );
    let script = "git ls-remote git@forge:acme/lib | wc -l; git ls-remote origin";
    let ran = yard.run(&[], script);
    assert_eq!(ran.out, "2\n", "{ran:?}");
    assert!(
        ran.err
            .contains("git@forge:acme/app is not allowed: denied by a rule"),
        "{ran:?}"
    );
    assert!(
        ran.err.contains("`forge:acme/app`") && ran.err.contains("config.toml:4"),
        "{ran:?}"
    );
    let config = aca(world, &["config"]);
    assert!(
        config
            .ok()
            .contains("git.repository.fetch = \"git@forge:acme/lib\""),
        "{config:?}"
    );
    assert!(
        config.out.contains("git.repository.deny = \"forge:acme/app\""),
        "{config:?}"
    );
    fs::remove_file(file).unwrap();
    let ran = yard.run(&["--deny", "forge"], "git ls-remote origin");
    assert!(ran.err.contains("a rule denies its host"), "{ran:?}");
    world.file(
        ".aca.toml",
        "[[git.repository]]\nurl = ['git@forge:other/secret']\n[[git.repository]]\nurl = ['git@forge:acme/app']\nfetch = false\n",
    );
    let ran = yard.run(&[], "git ls-remote git@forge:other/secret; git ls-remote origin");
    assert!(ran.err.contains("1 setting of it waits"), "{ran:?}");
    // Nothing is allowed any more, so that git isn't told of the way.
    assert!(ran.code != 0 && yard.asked().len() == 1, "{ran:?}");
    let wrong = world.file(
        world.home.join("wrong.toml"),
        "[[git.repository]]\nurl = ['ftp://a.test/x']\n",
    );
    let ran = aca(world, &["config", "check", wrong.to_str().unwrap()]);
    assert!(
        ran.err.contains("wrong.toml:2:8") && ran.err.contains("ssh form"),
        "{ran:?}"
    );
}

/// Without a rule nothing is there: no program, no variable, and nobody listens.
#[test]
fn the_absence_of_a_rule_bites() {
    let Some(yard) = Yard::new() else { return };
    let script = "echo [$GIT_SSH_COMMAND]; ls /.aca/ssh; git ls-remote origin";
    for flags in [["--net", "listed"], ["--net", "none"]] {
        let ran = yard.run(&flags, script);
        assert!(ran.code != 0 && ran.out == "[]\n", "{ran:?}");
    }
    let ran = yard.run(&["--net", "listed", "--git-fetch", "git@forge:acme/app"], script);
    assert!(ran.ok().starts_with("[/.aca/ssh]\n/.aca/ssh\n"), "{ran:?}");
    // What isn't started from inside is refused the same: by the policy, not by the program.
    let aca = yard.world.aca.display().to_string();
    let script = format!(
        "cp {aca} /tmp/aca; exec -a /.aca/ssh /tmp/aca git@forge \"git-upload-pack 'acme/app'\" < /dev/null"
    );
    let ran = yard.run(
        &["--net", "listed", "--read", &aca],
        &format!("bash -c {}", shell_quoted(&script)),
    );
    assert_eq!(ran.code, 128, "{ran:?}");
    assert!(
        ran.out
            .contains("ERR aca: git fetch of git@forge:acme/app is not allowed"),
        "{ran:?}"
    );
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[test]
fn g05_g59_every_version_of_the_protocol_and_none_but_those() {
    let Some(yard) = Yard::new() else { return };
    let ran = yard.run(
        &[],
        "for v in 0 1 2; do git -c protocol.version=$v ls-remote origin main | cut -f2; \
         git -c protocol.version=$v clone -q --depth 1 git@forge:acme/app /tmp/c$v && cat /tmp/c$v/README; done; \
         for junk in version=3 version=2:x 'a b' '$(id)'; do \
         GIT_PROTOCOL=\"$junk\" /.aca/ssh -o SendEnv=GIT_PROTOCOL git@forge \"git-upload-pack 'acme/app'\" < /dev/null | head -c 4; echo; done",
    );
    let one = "refs/heads/main\nthis is acme/app\n".repeat(3);
    assert!(ran.out.starts_with(&one), "{ran:?}");
    let seen: Vec<String> = yard
        .asked()
        .iter()
        .map(|line| line.rsplit_once(' ').unwrap().1.to_owned())
        .collect();
    let expected = [
        "[]",
        "[]",
        "[version=1]",
        "[version=1]",
        "[version=2]",
        "[version=2]",
        "[]",
        "[]",
        "[]",
        "[]",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn g40_a_push_is_refused_and_git_says_why() {
    let Some(yard) = Yard::new() else { return };
    for arguments in [
        "git@forge:acme/lib HEAD:agent/x",
        "--force git@forge:acme/lib HEAD:main",
        "--mirror git@forge:acme/lib",
    ] {
        let ran = yard.run(
            &["--git-fetch", "git@forge:acme/lib"],
            &format!("git -c user.name=a -c user.email=a@a.test commit -q --allow-empty -m x; git push -q {arguments}"),
        );
        refused(
            &yard,
            &ran,
            "remote error: aca: git push of git@forge:acme/lib is not allowed: no rule",
        );
        assert_eq!(yard.requests()[0].0, "push");
    }
    let why = aca(&yard.world, &["why", "git push git@forge:acme/lib"]);
    assert_eq!(why.code, 1, "{why:?}");
    let why = aca(&yard.world, &["why", "--session", "last"]);
    assert!(why.out.contains("push git@forge:acme/lib"), "{why:?}");
}

#[test]
fn g54_g55_nothing_but_what_git_writes_is_taken() {
    let Some(yard) = Yard::new() else { return };
    let script = r#"
        try() { /.aca/ssh "$@" < /dev/null; echo "$?"; }
        try git@forge id
        try git@forge
        try git@forge "git-upload-pack 'acme/app'; id"
        try git@forge "git-upload-pack 'acme/app' 'x'"
        try -o ProxyCommand=id git@forge "git-upload-pack 'acme/app'"
        try -F /tmp/c git@forge "git-upload-pack 'acme/app'"
        try -- git@forge "git-upload-pack 'acme/app'"
        try -oProxyCommand=id "git-upload-pack 'acme/app'"
        try git@-oProxyCommand=id "git-upload-pack 'acme/app'"
        try -G git@forge
        try run "git-upload-pack 'acme/app'"
        try git@forge "git-lfs-authenticate acme/app upload"
        try git@forge "git-lfs-transfer acme/app upload"
        try git@forge "git-upload-archive 'acme/app'"
        try git@forge "git-upload-pack '../../etc'"
        try "$(printf 'a\nb')" x
        try "$(printf '\377')" x
        try "$(head -c 20000 /dev/zero | tr '\0' x)" x
    "#;
    let ran = yard.run(&[], script);
    let codes: Vec<&str> = ran.out.lines().filter(|line| line.len() == 3).collect();
    assert_eq!(codes, ["128"; 18], "{ran:?}");
    assert!(
        ran.err.contains("what it answers is a credential (LFS over ssh)"),
        "{ran:?}"
    );
    assert!(ran.err.contains("the option `-F` isn't taken"), "{ran:?}");
    assert!(ran.err.contains("`git-upload-archive` isn't carried"), "{ran:?}");
    assert_eq!(yard.asked(), [""; 0]);
}

#[test]
fn g56_a_host_that_is_not_known_fails_readably() {
    let Some(yard) = Yard::new() else { return };
    let ran = yard.run(
        &["--git-fetch", "git@stranger:acme/app"],
        "git clone -q git@stranger:acme/app /tmp/c",
    );
    assert_eq!(ran.code, 128, "{ran:?}");
    assert!(ran.err.contains("Host key verification failed"), "{ran:?}");
    assert!(
        ran.err.contains("see there what `ssh -T stranger` says"),
        "{ran:?}"
    );
    assert_eq!(yard.world.events_of("git_request")[0]["code"], 255);
}

/// Ssh outside, by what it was started with.
pub(crate) fn programs(yard: &Yard) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let variables = fs::read(entry.path().join("environ")).unwrap_or_default();
        let home = format!("HOME={}\0", yard.world.home.display());
        let holds = |text: &str| variables.windows(text.len()).any(|part| part == text.as_bytes());
        if words.starts_with(b"ssh\0-T\0") && holds(&home) {
            found.push(pid);
        }
    }
    found
}

/// The server says nothing: whoever ends first, nothing of it is left.
#[test]
fn g44_no_ssh_outlives_git_nor_the_session() {
    let Some(yard) = Yard::new() else { return };
    fs::write(yard.repositories.join("slow"), "").unwrap();
    let world = &yard.world;
    // Git is killed; the session goes on.
    let mut command = world.aca(&["run", "--", "sh", "-c"]);
    command.arg("git ls-remote origin & sleep 2; pkill -KILL git; pkill -KILL ssh; touch killed; while ! [ -e go ]; do sleep 0.1; done");
    let mut session = command.spawn().unwrap();
    assert_eq!(
        until(|| Some(programs(&yard)).filter(|all| !all.is_empty())).len(),
        1
    );
    until(|| world.project.join("killed").exists().then_some(()));
    until(|| programs(&yard).is_empty().then_some(()));
    world.file("go", "");
    session.wait().unwrap();
    fs::remove_file(world.project.join("go")).unwrap();
    // The session ends, by a signal, or by one that nobody can take.
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::KILL] {
        let mut session = world
            .aca(&["run", "--", "git", "ls-remote", "origin"])
            .spawn()
            .unwrap();
        until(|| Some(programs(&yard)).filter(|all| !all.is_empty()));
        let pid = rustix::process::Pid::from_child(&session);
        rustix::process::kill_process(pid, signal).unwrap();
        session.wait().unwrap();
        until(|| programs(&yard).is_empty().then_some(()));
    }
}

/// Ssh as it is started: nothing of aca's is open in it, it has no terminal, and few variables.
#[test]
fn ssh_outside_has_what_it_needs_and_nothing_else() {
    let Some(yard) = Yard::new() else { return };
    fs::write(yard.repositories.join("slow"), "").unwrap();
    let mut command = yard.world.aca(&["run", "--", "git", "ls-remote", "origin"]);
    command
        .env("SECRET", "x")
        .env("GIT_SSH_COMMAND", "false")
        .env("SSH_ASKPASS", "/bin/false");
    let mut session = command.spawn().unwrap();
    let pid = until(|| programs(&yard).first().copied());
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    // Its own pipes and sockets alone, once it is connected.
    let names: Vec<String> = read("environ")
        .split_terminator('\0')
        .map(|pair| pair.split('=').next().unwrap().to_owned())
        .collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["GIT_PROTOCOL", "HOME", "LANG", "PATH"]);
    let open: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.display().to_string())
        .filter(|target| {
            !target.starts_with("pipe:") && !target.starts_with("socket:") && target != "/dev/null"
        })
        .collect();
    assert_eq!(open, [""; 0]);
    assert_eq!(
        fs::read_link(format!("/proc/{pid}/cwd"))
            .unwrap()
            .display()
            .to_string(),
        "/"
    );
    let status = read("status");
    for line in ["SigBlk:\t0000000000000000", "NSsid:"] {
        assert!(status.contains(line), "{status}");
    }
    let stat = read("stat");
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // proc_pid_stat(5): the process group, the session, and no terminal.
    assert_eq!(
        (fields[2], fields[3], fields[4]),
        (&*pid.to_string(), &*pid.to_string(), "0")
    );
    session.kill().unwrap();
    session.wait().unwrap();
    until(|| programs(&yard).is_empty().then_some(()));
}

/// What lies in the project could have been put there from inside: neither a program nor a configuration of it is taken.
#[test]
fn what_was_planted_is_not_started() {
    let Some(yard) = Yard::new() else { return };
    let world = &yard.world;
    let planted = world.file(
        "bin/ssh",
        format!("#!/bin/sh\ntouch {}/escaped\n", world.outside.display()),
    );
    fs::set_permissions(&planted, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        planted.parent().unwrap().display(),
        super::support::host_path()
    );
    let mut command = world.aca(&["run", "--", "git", "ls-remote", "origin", "main"]);
    let ran = Ran::from_output(&command.env("PATH", path).output().unwrap());
    assert!(ran.ok().contains("refs/heads/main"), "{ran:?}");
    let ssh = world.home.join(".ssh");
    let ran = yard
        .world
        .run(&["--write", ssh.to_str().unwrap()], "git ls-remote origin");
    assert!(
        ran.err.contains("written inside, so what it says isn't obeyed"),
        "{ran:?}"
    );
    assert!(!world.outside.join("escaped").exists());
    // What the user's configuration leads to counts as well; the home is the user database's and the variable's.
    let config = world.home.join(".ssh/config");
    let before = fs::read_to_string(&config).unwrap();
    let touch = format!("touch {}/escaped", world.outside.display());
    world.file("planted", format!("Match exec \"{touch}\"\n"));
    for line in [
        "Include ~/project/planted".to_owned(),
        format!("Match exec \"sh {}/project/x\"", world.home.display()),
    ] {
        world.file(&config, format!("{line}\n{before}"));
        for home in [&world.home, &world.outside] {
            let mut command = world.aca(&["run", "--project"]);
            command
                .arg(&world.project)
                .args(["--", "git", "ls-remote", "origin"])
                .env("HOME", home);
            let ran = Ran::from_output(&command.output().unwrap());
            assert!(
                ran.err.contains("your configuration of ssh isn't obeyed"),
                "{ran:?}"
            );
        }
    }
    assert!(!world.outside.join("escaped").exists());
}

/// Sends what no program of git's does.
#[test]
fn hostile_frames_lead_nowhere_and_end() {
    let Some(yard) = Yard::new() else { return };
    if !super::support::has("python3") {
        return;
    }
    yard.world.file(
        "hostile.py",
        r#"
import socket, struct
def frame(kind, payload): return struct.pack('>BI', kind, len(payload)) + payload
hello = frame(9, b"version=2\0git@forge\0git-upload-pack 'acme/app'\0")
def talk(*parts):
    s = socket.create_connection(('198.18.255.254', 22)); s.settimeout(30)
    try:
        for part in parts: s.sendall(part)
        total = b''
        while True:
            got = s.recv(65536)
            if not got: break
            total += got
        return total
    except ConnectionError: return b''
for begin in [b'\xff' * 100, frame(0, b'x'), frame(9, b'\xff\0'), struct.pack('>BI', 9, 0xffffffff), struct.pack('>BI', 9, 16385) + b'x' * 16385, b'SSH-2.0-x\r\n', b'GET / HTTP/1.1\r\n\r\n']:
    assert talk(begin) == b'', begin
for next in [frame(9, b'x\0'), frame(1, b'x'), struct.pack('>BI', 0, 65537), struct.pack('>BI', 4, 1) + b'x', frame(4, b'') + frame(0, b'x'), b'\xee' * 5]:
    assert talk(hello, next)[-6:] == frame(3, bytes([128])), next
assert talk(hello, frame(4, b''))[-6:-1] == frame(3, b'x')[:5]
s = socket.create_connection(('fd61:6361::1', 22)); s.sendall(hello); assert s.recv(5)[0] == 1; s.close()
print('done')
"#,
    );
    let ran = yard.run(&[], "python3 hostile.py");
    assert_eq!(ran.ok(), "done", "{ran:?}");
    until(|| programs(&yard).is_empty().then_some(()));
}

/// As many as come at once; those beyond the bound wait their turn.
#[test]
fn more_at_once_than_there_are_places() {
    let Some(yard) = Yard::new() else { return };
    let ran = yard.run(
        &[],
        "for i in $(seq 24); do git ls-remote origin main > out.$i & done; wait; cat out.* | wc -l",
    );
    assert_eq!(ran.ok(), "24", "{ran:?}");
}

/// A budget holds for what git sends as well.
#[test]
fn a_budget_ends_it() {
    let Some(yard) = Yard::new() else { return };
    let ran = yard.run(
        &["--max-egress", "10"],
        "git ls-remote origin; git ls-remote origin",
    );
    assert_eq!(ran.code, 128, "{ran:?}");
    assert!(
        ran.err.contains("limits.egress") || ran.err.contains("max-egress") || ran.err.contains("no more"),
        "{ran:?}"
    );
    assert!(
        yard.requests().iter().all(|(_, _, denied)| !denied.is_empty()),
        "{ran:?}"
    );
}

/// The key is in an agent outside alone, whose socket isn't seen inside.
#[test]
fn g57_an_agent_outside_signs() {
    let Some(yard) = Yard::new() else { return };
    if !["ssh-agent", "ssh-add"].into_iter().all(super::support::has) {
        return;
    }
    let world = &yard.world;
    let (socket, key) = (world.home.join("agent"), world.home.join(".ssh/id_test"));
    let mut agent = world
        .command("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until(|| socket.exists().then_some(()));
    let mut add = world.command("ssh-add");
    let output = add
        .arg("-q")
        .arg(&key)
        .env("SSH_AUTH_SOCK", &socket)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::remove_file(&key).unwrap();
    let script = "git ls-remote origin main; echo [$SSH_AUTH_SOCK]; ls ~/agent";
    let asked = |socket: Option<&std::path::Path>| {
        let mut command = world.aca(&["run", "--", "sh", "-c", script]);
        command.envs(socket.map(|socket| ("SSH_AUTH_SOCK", socket)));
        Ran::from_output(&command.output().unwrap())
    };
    let (ran, without) = (asked(Some(&socket)), asked(None));
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(ran.out.ends_with("\trefs/heads/main\n[]\n"), "{ran:?}");
    assert!(
        without.err.contains("Permission denied (publickey"),
        "{without:?}"
    );
}

/// A rule that comes while git is at it ends it, and what ends with the session is told too.
#[test]
fn what_is_denied_while_it_runs_is_cut() {
    let Some(yard) = Yard::new() else { return };
    fs::write(yard.repositories.join("slow"), "").unwrap();
    let world = &yard.world;
    let mut command = world.aca(&["run", "--", "git", "ls-remote", "origin"]);
    let session = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    until(|| Some(programs(&yard)).filter(|all| !all.is_empty()));
    aca(world, &["deny", "forge", "--cut"]).ok();
    let ran = Ran::from_output(&session.wait_with_output().unwrap());
    assert!(
        ran.code == 128 && ran.err.contains("a rule denies its host"),
        "{ran:?}"
    );
    assert_eq!(yard.requests()[0].2, "a rule denies its host");
    until(|| programs(&yard).is_empty().then_some(()));
    let script = "git ls-remote origin & while ! [ -e go ]; do sleep 0.1; done";
    let mut session = world.aca(&["run", "--", "sh", "-c", script]).spawn().unwrap();
    until(|| Some(programs(&yard)).filter(|all| !all.is_empty()));
    world.file("go", "");
    session.wait().unwrap();
    assert_eq!(yard.requests().len(), 1);
    assert_eq!(world.events_of("connection").len(), 0);
    until(|| programs(&yard).is_empty().then_some(()));
}
