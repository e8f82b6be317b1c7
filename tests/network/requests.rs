//! Rules on requests, without TLS: each is judged by its method and path, and none that can't be.

use super::servers::Server;
use super::support::World;
use super::{assert_refused, connections};

/// Requests as told: method, URL, and why it was denied.
pub(super) fn told(world: &World) -> Vec<(String, Option<String>)> {
    world
        .events_of("request")
        .iter()
        .map(|event| {
            let line = format!(
                "{} {}",
                event["method"].as_str().unwrap(),
                event["url"].as_str().unwrap()
            );
            (line, event["denied"]["reason"].as_str().map(str::to_owned))
        })
        .collect()
}

const STATUS: &str = "s() { curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' --path-as-is \"$@\"; }; ";

#[test]
fn a_request_is_judged_by_method_and_path() {
    let (world, server) = (World::new(), Server::http());
    let script = format!(
        "{STATUS} s http://a.test/repos/acme/x?q=secret; s -X POST http://a.test/repos/acme/x; \
         s http://a.test/repos/other; s -I http://a.test/repos/acme; curl -sS -m 20 http://a.test/user; \
         s http://a.test/repos/acme/1 -o /dev/null http://a.test/user -o /dev/null http://a.test/repos/acme/2"
    );
    let ran = world.run(
        &[
            "--net",
            "open",
            "--allow",
            "GET http://a.test/repos/acme/**",
            "--resolve",
            &server.resolve("a.test"),
        ],
        &script,
    );
    assert!(
        ran.out.starts_with(
            "200\n403\n403\n200\naca: the sandbox denied GET http://a.test/user: no rule allows it\n"
        ),
        "{ran:?}"
    );
    assert!(
        ran.out
            .contains("aca run --allow 'GET http://a.test/user'\n200\n403\n200\n"),
        "{ran:?}"
    );
    assert_eq!(
        server.seen(),
        [
            "GET /repos/acme/x?q=secret a.test",
            "HEAD /repos/acme a.test",
            "GET /repos/acme/1 a.test",
            "GET /repos/acme/2 a.test"
        ]
    );
    let told = told(&world);
    assert_eq!(told[0], ("GET http://a.test/repos/acme/x".to_owned(), None));
    assert_eq!(
        told[1],
        (
            "POST http://a.test/repos/acme/x".to_owned(),
            Some("no rule allows it".to_owned())
        )
    );
    assert_eq!(told.iter().filter(|(_, denied)| denied.is_some()).count(), 4);
    // A denial is told once.
    assert_refused(&world, &[]);
    assert!(!connections(&world).is_empty());
}

#[test]
fn a_denied_request_leaves_the_others() {
    let (world, server) = (World::new(), Server::http());
    let script = format!(
        "{STATUS} s -X DELETE http://a.test/Repos/x; s -X GET http://a.test/repos/x; s -X DELETE http://a.test/other; \
         s -X delete http://a.test/other"
    );
    let ran = world.run(
        &[
            "--net",
            "open",
            "--deny",
            "DELETE https://a.test/repos/**",
            "--resolve",
            &server.resolve("a.test"),
        ],
        &script,
    );
    assert_eq!(ran.out, "403\n200\n200\n403\n", "{ran:?}");
    assert_eq!(server.seen(), ["GET /repos/x a.test", "DELETE /other a.test"]);
}

#[test]
fn a_path_that_servers_read_differently_is_refused() {
    let (world, server) = (World::new(), Server::http());
    let tricks = [
        "/repos/acme/../other",
        "/repos/acme/%2e%2e/other",
        "/repos/acme/.%2E/other",
        "/repos/acme//../other",
        "/repos/acme//x",
        "/repos/acme/..%2fother",
        "/repos/acme/%5c..%5cother",
        "/repos/acme/..;/other",
        "/repos/acme/%252e%252e/other",
        "/repos/acme/x%00",
        "/repos/acme/%c0%ae%c0%ae/other",
    ];
    let all: Vec<String> = tricks
        .iter()
        .map(|path| format!("s 'http://a.test{path}';"))
        .collect();
    let script = format!(
        "{STATUS} {} s --request-target '/repos/acme/\\..\\other' http://a.test/; s --request-target '*' -X OPTIONS http://a.test/; \
         s -H 'X-HTTP-Method-Override: DELETE' http://a.test/repos/acme/x; s -H 'x_original_url: /other' http://a.test/repos/acme/x",
        all.concat()
    );
    let flags = [
        "--net",
        "open",
        "--allow",
        "GET,OPTIONS http://a.test/repos/acme/**",
        "--resolve",
        &server.resolve("a.test"),
    ];
    let ran = world.run(&flags, &script);
    assert_eq!(ran.out, "403\n".repeat(tricks.len() + 4), "{ran:?}");
    assert_eq!(server.seen(), Vec::<String>::new());
    // Without such a rule they are the server's business.
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        &format!("{STATUS} s http://a.test/repos/acme/../other"),
    );
    assert_eq!(ran.out, "200\n");
}

#[test]
fn what_is_no_request_is_refused_where_requests_are_judged() {
    let (world, echo) = (World::new(), Server::echo(""));
    world.file(
        "x.py",
        "import socket, sys\n\
         for first in [b'SSH-2.0-x\\r\\n', b'\\0\\0\\0\\x08', b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n', b'HELO x\\r\\n']:\n\
         \x20   s = socket.create_connection(('a.test', 8080), 20)\n\
         \x20   s.sendall(first)\n\
         \x20   try: print(s.recv(100))\n\
         \x20   except OSError as e: print(type(e).__name__)\n",
    );
    let flags = [
        "--net",
        "open",
        "--allow",
        "GET http://a.test:8080/x",
        "--resolve",
        &echo.resolve("a.test"),
    ];
    let ran = world.run(&flags, "python3 x.py");
    assert_eq!(ran.out, "ConnectionResetError\n".repeat(4), "{ran:?}");
    assert_eq!(echo.seen(), Vec::<String>::new());
    assert_eq!(connections(&world).len(), 4);
}

#[test]
fn a_proxy_that_is_asked_judges_requests_too() {
    let (world, server) = (World::new(), Server::http());
    let script = format!(
        "{STATUS} for proxy in http://198.18.255.254:3128 socks5h://198.18.255.254:1080; do \
         s -x $proxy http://a.test/x/1; s -x $proxy http://a.test/y; s -p -x $proxy http://a.test/y; done"
    );
    let ran = world.run(
        &[
            "--net",
            "open",
            "--allow",
            "GET http://a.test/x/*",
            "--resolve",
            &server.resolve("a.test"),
        ],
        &script,
    );
    assert_eq!(ran.out, "200\n403\n403\n".repeat(2), "{ran:?}");
    assert_eq!(server.seen(), ["GET /x/1 a.test"; 2]);
}
