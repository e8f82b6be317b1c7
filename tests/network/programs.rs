//! Which program made a connection, as the log tells it.

use super::servers::Server;
use super::support::{Ran, World, has};
use serde_json::Value;

/// The program of each connection, by the name that it went to.
fn programs(world: &World) -> Vec<(String, String)> {
    let events = world.events_of("connection");
    let each = events.iter().map(|event| {
        let host = event["name"].as_str().or(event["address"].as_str()).unwrap();
        (
            host.to_owned(),
            event["program"].as_str().unwrap_or("?").to_owned(),
        )
    });
    each.collect()
}

/// The pids of the programs that were started with this name.
fn started(world: &World, program: &str) -> Vec<Value> {
    let mut starts = world.events_of("process_start");
    starts.retain(|start| start["path"].as_str().unwrap().ends_with(program));
    starts.into_iter().map(|start| start["pid"].clone()).collect()
}

#[test]
fn each_connection_tells_its_program_whether_it_is_allowed_or_not() {
    let (world, server) = (World::new(), Server::slow());
    world.file(
        "x.py",
        "import os, urllib.request as u\n\
         # A worker that executes nothing of its own.\n\
         if os.fork() == 0:\n\
         \x20   u.urlopen('http://b.test/').read(); os._exit(0)\n\
         os.wait()\n",
    );
    let (a, b) = (server.resolve("a.test"), server.resolve("b.test"));
    let flags = ["--net", "agent", "--resolve", &a, "--resolve", &b];
    let ran = world.run(
        &flags,
        "curl -sS -m 20 http://a.test/ -o /dev/null; python3 x.py; curl -sS -m 20 -o /dev/null http://192.0.2.1/; \
         curl -sS -m 20 -o /dev/null -x http://198.18.255.254:3128 http://c.test/",
    );
    ran.ok();
    let told = programs(&world);
    let hosts: Vec<&str> = told.iter().map(|(host, _)| host.as_str()).collect();
    assert_eq!(hosts, ["a.test", "b.test", "192.0.2.1", "c.test"]);
    for (host, program) in &told {
        let name = if host == "b.test" { "/python3" } else { "/curl" };
        assert!(program.contains(name), "{told:?}");
    }
    let events = world.events_of("connection");
    let curls = started(&world, "/curl");
    assert_eq!(curls.len(), 3);
    assert_eq!(
        [&events[0]["pid"], &events[2]["pid"], &events[3]["pid"]],
        [&curls[0], &curls[1], &curls[2]]
    );
    assert!(
        !started(&world, "/python3").contains(&events[1]["pid"]),
        "the worker's own"
    );
    let shown = Ran::from_output(&world.aca(&["log"]).output().unwrap());
    assert!(
        shown
            .ok()
            .contains(&format!(" from [{}] {}", curls[0], told[0].1)),
        "{shown:?}"
    );
    let why = Ran::from_output(&world.aca(&["why", "--session", "last"]).output().unwrap());
    assert!(
        why.out.contains("started as") && why.out.contains("/curl"),
        "{why:?}"
    );
    // And what each sent, together.
    let line = shown
        .out
        .lines()
        .find(|line| line.contains("sent in all") && line.contains("/curl"));
    assert!(
        line.is_some_and(|line| line.contains("3 connections") && line.contains("2 denied")),
        "{shown:?}"
    );
}

#[test]
fn a_socket_that_nobody_holds_any_more_tells_of_nobody() {
    if !has("python3") {
        return;
    }
    let (world, server) = (World::new(), Server::echo(""));
    // It ends before anybody could look, a hundred times at once.
    world.file(
        "x.py",
        "import socket\nheld = []\nfor _ in range(300):\n\
         \x20   s = socket.socket(); s.connect(('198.18.0.1', 9999)); s.close()\n\
         import time; time.sleep(1)\n",
    );
    let ran = world.run(
        &[
            "--net",
            "agent",
            "--allow",
            "a.test:9999",
            "--resolve",
            &server.resolve("a.test"),
        ],
        "getent hosts a.test > /dev/null; python3 x.py",
    );
    ran.ok();
    let told = programs(&world);
    // Those that still waited when the run ended were never taken.
    assert!(told.len() > 100, "{}", told.len());
    assert!(
        told.iter()
            .all(|(_, program)| program == "?" || program.contains("/python3")),
        "{told:?}"
    );
    assert!(told.iter().any(|(_, program)| program == "?"), "{told:?}");
}
