//! Which names may be reached: N01 to N08, N18.

use super::servers::{Server, Tls};
use super::support::{World, has};
use super::{assert_refused, refused_names};

/// curl's own words for "no such host" and for "too slow".
const NO_SUCH_HOST: &str = "code=6";

#[test]
fn n01_nothing_allowed_fails_at_once() {
    let world = World::new();
    let ran = world.run(
        &["--net", "agent"],
        "curl -sS -m 20 http://b.test/; echo code=$?; curl -sS -m 20 https://b.test/; echo code=$?",
    );
    assert_eq!(ran.ok(), format!("{NO_SUCH_HOST}\n{NO_SUCH_HOST}"), "{ran:?}");
    assert_eq!(refused_names(&world), ["b.test"]);
    let lookup = &world.events_of("lookup")[0];
    assert_eq!(lookup["denied"]["allow_with"], "--allow b.test");
    assert!(ran.err.contains("aca log"), "{ran:?}");
    assert_ne!(world.events_of("session_end")[0]["denied"], 0);
}

#[test]
fn n02_an_allowed_name_works_without_any_proxy_variable() {
    let (world, server) = (World::new(), Server::http());
    let ran = world.run(
        &["--net", "agent", "--resolve", &server.resolve("a.test")],
        "env | grep -i proxy; curl -sS -m 20 http://a.test/x",
    );
    assert_eq!(ran.ok(), "ok a.test GET /x ");
    assert_eq!(server.seen(), ["GET /x a.test"]);
    let events = world.events_of("connection");
    let [event] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((&event["name"], &event["port"]), (&"a.test".into(), &80.into()));
    assert_eq!(
        (&event["protocol"], &event["upstream"]),
        (&"http".into(), &"127.0.0.1".into())
    );
    assert!(event["denied"].is_null() && event["failed"].is_null(), "{event}");
    assert!(
        event["sent"].as_u64().unwrap() > 20 && event["received"].as_u64().unwrap() > 20,
        "{event}"
    );
    assert_eq!(ran.err, "");
}

#[test]
fn n02_tls_passes_untouched() {
    if !has("openssl") || !has("python3") {
        return;
    }
    let (world, server) = (World::new(), Tls::start());
    world.file("ca.pem", &server.certificate);
    let ran = world.run(
        &["--net", "agent", "--resolve", &server.resolve("a.test")],
        "curl -sS -m 20 --cacert ca.pem https://a.test/x",
    );
    assert_eq!(ran.ok(), "tls a.test a.test /x");
    assert_eq!(world.events_of("connection")[0]["protocol"], "tls");
}

#[test]
fn n03_a_name_is_not_its_subdomains() {
    let (world, server) = (World::new(), Server::http());
    let ran = world.run(
        &["--net", "agent", "--resolve", &server.resolve("a.test")],
        "curl -sS -m 20 http://sub.a.test/; echo code=$?",
    );
    assert_eq!(ran.ok(), NO_SUCH_HOST);
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn n04_n05_patterns_and_denies() {
    let (world, server) = (World::new(), Server::http());
    let mut flags = vec![
        "--net".to_owned(),
        "agent".into(),
        "--deny".into(),
        "evil.a.test".into(),
    ];
    for name in ["api.a.test", "evil.a.test"] {
        flags.extend(["--resolve".to_owned(), server.resolve(name)]);
    }
    flags.extend(["--allow".to_owned(), "*.a.test".into()]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let ran = world.run(
        &flags,
        "for h in api.a.test a.test evila.test evil.a.test; do curl -sS -m 20 http://$h/; echo code=$?; done",
    );
    assert_eq!(ran.ok(), "ok api.a.test GET / code=0\ncode=6\ncode=6\ncode=6");
    let denied = world
        .events_of("lookup")
        .into_iter()
        .find(|event| event["name"] == "evil.a.test")
        .unwrap();
    assert_eq!(denied["denied"]["rule"], "evil.a.test");
}

#[test]
fn n06_deny_all_wins() {
    let (world, server) = (World::new(), Server::http());
    let ran = world.run(
        &[
            "--net",
            "agent",
            "--resolve",
            &server.resolve("a.test"),
            "--allow",
            "a.test",
            "--deny",
            "*",
        ],
        "curl -sS -m 20 http://a.test/",
    );
    assert_eq!(ran.code, 6, "{ran:?}");
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn n07_n18_a_rule_means_its_ports() {
    let (world, server) = (World::new(), Server::http());
    let flags = ["--net", "agent", "--resolve", &server.resolve("a.test")];
    let ran = world.run(
        &flags,
        "for p in 80 8443 25; do curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' http://a.test:$p/; done",
    );
    assert_eq!(ran.out, "200\n403\n403\n");
    assert_refused(&world, &[("a.test:8443", "no rule"), ("a.test:25", "no rule")]);
    let named = world.run(
        &[
            "--net",
            "agent",
            "--allow",
            "a.test:25",
            "--resolve",
            &server.resolve("a.test"),
        ],
        "curl -sS -m 20 http://a.test:25/",
    );
    assert_eq!(named.ok(), "ok a.test:25 GET / ");
}

#[test]
fn n08_case_and_a_trailing_dot_make_no_difference() {
    let (world, server) = (World::new(), Server::http());
    let ran = world.run(
        &["--net", "agent", "--resolve", &server.resolve("a.test")],
        "curl -sS -m 20 http://A.TEST/; curl -sS -m 20 http://a.test./",
    );
    assert_eq!(ran.ok().matches("ok ").count(), 2, "{ran:?}");
    let none = world.run(
        &[
            "--net",
            "agent",
            "--resolve",
            &server.resolve("a.test"),
            "--deny",
            "A.test.",
        ],
        "curl -sS -m 20 http://A.TEST/",
    );
    assert_eq!(none.code, 6, "{none:?}");
}

#[test]
fn the_network_can_be_off() {
    let world = World::new();
    let ran = world.run(
        &["--net", "none"],
        "curl -sS -m 20 http://b.test/; echo code=$?; curl -sS -m 20 http://192.0.2.1/; echo code=$?",
    );
    assert_eq!(ran.ok(), "code=6\ncode=7");
}

#[test]
fn n28_a_denial_says_what_why_and_how() {
    let (world, server) = (World::new(), Server::http());
    let ran = world.run(
        &["--net", "agent", "--resolve", &server.resolve("a.test")],
        "curl -sS -m 20 -i http://a.test:8080/",
    );
    for part in [
        "403 Forbidden",
        "a.test:8080",
        "no rule allows it",
        "--allow a.test:8080",
    ] {
        assert!(ran.ok().contains(part), "{part}: {ran:?}");
    }
}
