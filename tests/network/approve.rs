//! `aca approve` on a terminal: what it asks, and what is typed.

use super::asks::{GET, begin, result};
use super::control::{Shell, until};
use super::live::done;
use super::pty::Pty;
use super::servers::Server;
use super::support::{World, has};

const QUESTION: &str = "to let it wait? ";

/// A session that asks, and the terminal of somebody who listens.
fn asking(world: &World, server: &Server) -> (Shell, Pty) {
    let resolve = server.resolve("a.test");
    let mut shell = Shell::start(world, &["--net", "listed", "--ask", "--resolve", &resolve]);
    let terminal = Pty::spawn(world.aca(&["approve", "--follow"]));
    until(|| {
        done(world, &mut shell, "getent ahostsv4 probe.test || :")
            .contains("198.18.")
            .then_some(())
    });
    (shell, terminal)
}

fn get(port: u16) -> String {
    format!("curl -sS -m 50 http://a.test:{port}/")
}

#[test]
fn n29_what_is_typed_answers() {
    if !has("curl") {
        return;
    }
    let (world, server) = (World::new(), Server::http());
    let (mut shell, mut terminal) = asking(&world, &server);
    let mut answered = |port: u16, typed: &str, told: &str| {
        begin(&mut shell, &port.to_string(), &get(port));
        let line = terminal.expect(QUESTION);
        // Which program asks is told with it.
        let shown = format!("a.test:{port}  1 connection of /");
        assert!(line.contains(&shown) && line.contains("curl (process "), "{line}");
        assert!(
            line.contains("(o)nce, for this (s)ession, (a)lways, (n)o"),
            "{line}"
        );
        terminal.type_in(typed);
        terminal.expect(told);
        result(&world, &port.to_string())
    };
    assert!(answered(8080, "o\n", "a.test:8080 may be reached this once").contains("ok a.test"));
    assert!(answered(8080, "once\n", "may be reached this once").contains("ok a.test"));
    assert!(answered(8081, "s\n", "may be reached in this session").contains("ok a.test"));
    assert!(answered(8082, "a\n", "may be reached in this session").contains("ok a.test"));
    assert!(answered(8083, "n\n", "may not be reached in this session").contains("denied by a rule"));
    assert!(answered(8084, " never \n", "may not be reached in this session").contains("denied by a rule"));
    let config = std::fs::read_to_string(world.home.join(".config/aca/config.toml")).unwrap();
    assert_eq!(
        config,
        "[network]\nallow = [\"a.test:8082\"]\ndeny = [\"a.test:8084\"]\n"
    );
    terminal.type_in("\x03");
    assert_eq!(terminal.code(), 130, "{}", terminal.shown());
    shell.end().ok();
}

#[test]
fn n29_nonsense_is_no_answer_and_an_end_or_an_interrupt_leaves_it_waiting() {
    if !has("curl") {
        return;
    }
    let (world, server) = (World::new(), Server::http());
    let (mut shell, mut terminal) = asking(&world, &server);
    // Words that are none, and nothing at all: it waits, and the next one comes up.
    for (number, typed) in [(1, "yes\n"), (2, "\n"), (3, "o; s\n"), (4, "\x1b[A\n")] {
        begin(&mut shell, &number.to_string(), &get(8000 + number));
        terminal.expect(QUESTION);
        terminal.type_in(typed);
        terminal.expect("nothing was said");
    }
    // A line without end is an answer no more than any other.
    begin(&mut shell, "5", GET);
    terminal.expect(QUESTION);
    terminal.type_in("\x04");
    assert_eq!(terminal.code(), 0, "{}", terminal.shown());
    let mut terminal = Pty::spawn(world.aca(&["approve", "--follow"]));
    terminal.expect(QUESTION);
    terminal.type_in("\x03");
    assert_eq!(terminal.code(), 130, "{}", terminal.shown());
    // All of them wait still, and are answered by number.
    let list = super::support::Ran::from_output(&world.aca(&["approve", "--list"]).output().unwrap());
    assert_eq!(list.ok().lines().count(), 5, "{list:?}");
    assert!(world.events_of("answered").is_empty());
    let answer = world.aca(&["approve", "5", "--once"]).output().unwrap();
    super::support::Ran::from_output(&answer).ok();
    assert!(result(&world, "5").contains("ok a.test"));
    shell.tell("exec true");
    shell.end();
}
