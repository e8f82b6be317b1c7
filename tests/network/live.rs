//! Rules that change while a session runs, by a second process.

use super::control::{Shell, sockets, until};
use super::servers::Server;
use super::support::{Ran, World, has};
use super::{assert_refused, connections, refused_names};

fn aca(world: &World, arguments: &[&str]) -> Ran {
    Ran::from_output(&world.aca(arguments).output().unwrap())
}

/// What the shell prints for a script, once it is done.
pub(crate) fn done(world: &World, shell: &mut Shell, script: &str) -> String {
    let whole = world.project.join("out");
    std::fs::remove_file(&whole).ok();
    shell.tell(&format!("({script}) > out.part 2>&1; mv out.part out"));
    until(|| std::fs::read_to_string(&whole).ok())
}

const GET: &str = "curl -sS -m 20 http://a.test:8080/";

#[test]
fn what_is_allowed_and_denied_counts_at_once() {
    if !has("curl") {
        return;
    }
    let (world, server) = (World::new(), Server::http());
    let mut shell = Shell::start(
        &world,
        &["--net", "listed", "--resolve", &server.resolve("a.test")],
    );
    assert!(done(&world, &mut shell, GET).contains("no rule allows it"));
    let ran = aca(&world, &["allow", "a.test:8080"]);
    assert!(ran.ok().contains("allowed from now on: `a.test:8080`"), "{ran:?}");
    assert!(done(&world, &mut shell, GET).contains("ok a.test"));
    let id = shell.id().to_owned();
    aca(&world, &["deny", "**.test", "--session", &id]).ok();
    assert!(done(&world, &mut shell, GET).contains("resolve host"));
    // A deny wins: that of another pattern must go by itself.
    let ran = aca(&world, &["allow", "a.test:8080"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.out
            .contains("stays denied: a deny wins (`**.test`, this session, aca deny)"),
        "{ran:?}"
    );
    aca(&world, &["allow", "**.test"]).ok();
    assert!(done(&world, &mut shell, GET).contains("ok a.test"));
    shell.end().ok();
    assert_eq!(world.events_of("rules_changed").len(), 4);
    assert_refused(&world, &[("a.test:8080", "no rule allows it")]);
    // Asked before and answered: that it is denied now is news.
    assert_eq!(refused_names(&world), ["a.test"]);
    let why = aca(&world, &["why", "--session", "last"]);
    assert!(why.out.contains("this session, aca deny"), "{why:?}");
    let log = aca(&world, &["log"]);
    assert!(
        log.ok()
            .contains("allowed from now on: `a.test:8080` (this session, aca allow)"),
        "{log:?}"
    );
}

#[test]
fn what_is_open_is_cut_when_asked_and_only_then() {
    if !has("python3") {
        return;
    }
    let (world, server) = (World::new(), Server::echo("hello\n"));
    let both = [server.resolve("a.test"), server.resolve("b.test")];
    let mut shell = Shell::start(
        &world,
        &[
            "--net",
            "listed",
            "--resolve",
            &both[0],
            "--resolve",
            &both[1],
            "--allow",
            "*.test:9000",
        ],
    );
    world.file(
        "x.py",
        "import os, socket, sys\n\
         c = {n: socket.create_connection((n, 9000), 20) for n in ['a.test', 'b.test']}\n\
         for s in c.values(): assert s.recv(9) == b'hello\\n'\n\
         os.rename('x.py', 'y.py')\n\
         sys.stdin.readline()\n\
         for n, s in c.items():\n\
         \x20   try: s.sendall(b'x'); print(n, s.recv(9))\n\
         \x20   except OSError as e: print(n, type(e).__name__)\n",
    );
    shell.tell("python3 x.py > out.part 2>&1; mv out.part out");
    until(|| std::fs::metadata(world.project.join("y.py")).ok());
    aca(&world, &["deny", "a.test"]).ok();
    assert_eq!(connections(&world), [], "nothing ended");
    let ran = aca(&world, &["deny", "--cut", "c.test"]);
    assert!(ran.ok().ends_with("1 connection was ended"), "{ran:?}");
    shell.tell("go on");
    let out = until(|| std::fs::read_to_string(world.project.join("out")).ok());
    assert_eq!(out, "a.test ConnectionResetError\nb.test b'x'\n");
    shell.end().ok();
    assert_refused(&world, &[("a.test:9000", "denied by a rule")]);
}

#[test]
fn of_several_sessions_one_is_named() {
    let world = World::new();
    assert!(
        aca(&world, &["allow", "a.test"])
            .refused()
            .err
            .contains("no session is running")
    );
    let (one, other) = (
        Shell::start(&world, &[]),
        Shell::start(&world, &["--net", "none"]),
    );
    let ran = aca(&world, &["allow", "a.test"]);
    assert!(ran.refused().err.contains("2 sessions could be meant"), "{ran:?}");
    aca(&world, &["allow", "a.test", "--session", one.id()]).ok();
    let ran = aca(&world, &["allow", "a.test", "--session", other.id()]);
    assert!(
        ran.refused().err.contains("the network of this session is off"),
        "{ran:?}"
    );
    // Of one in another project the one of this is meant.
    let elsewhere = world.directory("../elsewhere");
    let mut command = world.aca(&["deny", "a.test"]);
    let ran = Ran::from_output(&command.current_dir(&elsewhere).output().unwrap());
    assert!(ran.refused().err.contains("2 sessions could be meant"), "{ran:?}");
    // One that was killed is none.
    let id = one.id().to_owned();
    one.kill();
    let ran = aca(&world, &["allow", "a.test", "--session", &id]);
    assert!(ran.refused().err.contains("is running"), "{ran:?}");
    assert_eq!(sockets(&world).len(), 1, "what it left is gone");
    other.end().ok();
    let mut inside = world.aca(&["run", "--", "./aca", "allow", "a.test"]);
    std::fs::copy(&world.aca, world.project.join("aca")).unwrap();
    world.give(&world.project.join("aca"));
    let ran = Ran::from_output(&inside.output().unwrap());
    assert!(ran.refused().err.contains("the inside of a run"), "{ran:?}");
    inside = world.aca(&["run", "--", "env", "-u", "ACA", "./aca", "allow", "a.test"]);
    let ran = Ran::from_output(&inside.output().unwrap());
    assert!(ran.refused().err.contains("no session is running"), "{ran:?}");
}
