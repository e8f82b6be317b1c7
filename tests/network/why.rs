//! `aca why HOST:PORT` against a real connection through the gate: each row must agree.

use super::servers::Server;
use super::support::{Ran, World};
use serde_json::Value;

/// What `aca why` says of a host.
fn why(world: &World, flags: &[&str], target: &str) -> Value {
    let output = world
        .aca(&["why", "--json"])
        .args(flags)
        .arg(target)
        .output()
        .unwrap();
    let ran = Ran::from_output(&output);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        ran.code,
        i32::from(!answer["allowed"].as_bool().unwrap()),
        "{ran:?}"
    );
    answer
}

/// Whether each is reached with these flags.
fn reached(world: &World, flags: &[&str], targets: &[String]) -> Vec<bool> {
    let script = format!(
        "for t in {}; do curl -gsS -m 20 -o /dev/null -w '%{{http_code}}\\n' http://$t/ 2>/dev/null; done; true",
        targets
            .iter()
            .map(|target| format!("'{target}'"))
            .collect::<Vec<_>>()
            .join(" ")
    );
    let ran = world.run(flags, &script);
    let codes: Vec<bool> = ran.ok().lines().map(|code| code == "200").collect();
    assert_eq!(codes.len(), targets.len(), "{ran:?}");
    codes
}

#[test]
fn every_host_is_told_truly() {
    let (world, server) = (World::new(), Server::http());
    let mut flags = vec!["--net".to_owned(), "agent".into()];
    for name in [
        "a.test",
        "api.x.test",
        "evil.x.test",
        "x.test",
        "y.test",
        "q.y.test",
        "odd.test",
    ] {
        flags.extend(["--resolve".into(), server.resolve(name)]);
    }
    for host in [
        "a.test:25",
        "*.x.test:8080",
        "**.y.test:*",
        "n.test",
        "127.0.0.1:8080",
    ] {
        flags.extend(["--allow".into(), host.into()]);
    }
    for host in ["evil.x.test", "odd.test:80"] {
        flags.extend(["--deny".into(), host.into()]);
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let here = server.port;
    let rows: Vec<(String, bool)> = [
        ("a.test:80", true),
        ("A.Test.:80", true),
        ("a.test:25", true),
        ("a.test:8080", false),
        ("sub.a.test:80", false),
        ("api.x.test:8080", true),
        ("api.x.test:8081", false),
        ("x.test:8080", false),
        ("evil.x.test:8080", false),
        ("evil.x.test:80", false),
        ("y.test:9999", true),
        ("q.y.test:7", true),
        ("odd.test:80", false),
        ("unheard.test:80", false),
        ("127.0.0.1:8080", false),
        ("192.0.2.1:80", false),
        ("[::1]:80", false),
        ("198.18.0.99:80", false),
    ]
    .into_iter()
    .map(|(target, expected)| (target.to_owned(), expected))
    .chain([
        (format!("localhost:{here}"), false),
        (format!("127.0.0.1:{here}"), false),
    ])
    .collect();
    let targets: Vec<String> = rows.iter().map(|(target, _)| target.clone()).collect();
    let answers: Vec<Value> = targets.iter().map(|target| why(&world, &flags, target)).collect();
    let really = reached(&world, &flags, &targets);
    for (((target, expected), answer), reached) in rows.iter().zip(&answers).zip(really) {
        assert_eq!(answer["allowed"], reached, "{target}: {answer:#}");
        assert_eq!(reached, *expected, "{target}");
        let judged = &answer["judged"][0];
        assert!(judged["reason"] != "" && judged["origin"] != "", "{target}");
    }
    // What is advised for a name that leads somewhere is really enough.
    let mut followed = 0;
    for (target, answer) in targets
        .iter()
        .zip(&answers)
        .filter(|(target, _)| target.contains("test"))
    {
        let judged = &answer["judged"][0];
        let leads = flags.iter().any(|flag| {
            flag.split_once('=')
                .is_some_and(|(name, _)| *target == format!("{name}:{}", target.rsplit(':').next().unwrap()))
        });
        if let (Some(advice), true) = (judged["allow_with"].as_str(), leads) {
            let with: Vec<&str> = flags.iter().copied().chain(advice.split(' ')).collect();
            assert_eq!(
                reached(&world, &with, std::slice::from_ref(target)),
                [true],
                "{target}: {advice}"
            );
            followed += 1;
        }
    }
    assert_eq!(followed, 3);
}

#[test]
fn what_came_closest_is_named() {
    let world = World::new();
    let flags = [
        "--net",
        "agent",
        "--allow",
        "a.test:22",
        "--allow",
        "*.b.test",
        "--allow",
        "registry.c.test",
        "--allow",
        "GET https://d.test/x",
    ];
    for (target, rule, difference) in [
        ("a.test", "a.test:22", "another port"),
        ("b.test", "*.b.test", "sub-domains alone"),
        ("x.registry.c.test", "registry.c.test", "registry.c.test alone"),
        ("regsitry.c.test", "registry.c.test", "spelt nearly the same"),
        ("d.test:22", "GET https://d.test/x", "requests alone"),
    ] {
        let answer = why(&world, &flags, target);
        let nearest = &answer["judged"][0]["nearest"];
        assert_eq!(nearest["rule"], rule, "{answer:#}");
        assert!(
            nearest["difference"].as_str().unwrap().contains(difference),
            "{answer:#}"
        );
        assert_eq!(nearest["origin"], format!("flag --allow {rule}"));
    }
}

#[test]
fn addresses_that_no_name_may_lead_to_are_told() {
    let world = World::new();
    for (target, word) in [
        ("10.0.0.1:80", "private"),
        ("169.254.169.254:80", "link-local"),
        ("[fd00::1]:80", "private"),
        ("http://168.63.129.16", "metadata"),
    ] {
        let answer = why(&world, &["--net", "open"], target);
        assert_eq!(answer["allowed"], false, "{answer:#}");
        assert!(answer["notes"].to_string().contains(word), "{answer:#}");
    }
    // Written out it is granted, and told as what it is.
    let answer = why(
        &world,
        &["--net", "open", "--allow", "10.0.0.1:80"],
        "10.0.0.1:80",
    );
    assert_eq!(answer["allowed"], true);
    assert!(answer["notes"].to_string().contains("private"), "{answer:#}");
    // A name that is allowed is still held to public addresses, unless one is fixed.
    let name = why(&world, &["--net", "open"], "a.test:443");
    assert!(name["notes"].to_string().contains("isn't public"), "{name:#}");
    let fixed = why(
        &world,
        &["--net", "open", "--resolve", "a.test=127.0.0.1:8443"],
        "a.test:443",
    );
    assert!(fixed["notes"].to_string().contains("127.0.0.1:8443"), "{fixed:#}");
    let off = why(&world, &["--net", "none"], "a.test:443");
    assert_eq!(
        off["judged"][0]["allow_with"], "--net agent --allow a.test",
        "{off:#}"
    );
}
