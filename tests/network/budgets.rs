//! How much may be sent: `[limits] egress` and `egress_per_host`. A budget holds for the sum of all connections, whatever
//! they speak and whichever way they come.

use super::connections;
use super::servers::{Server, Sink};
use super::support::{World, has, installed};

/// Sends as much as it can over each of several connections at once, and prints how they ended.
const FLOOD: &str = r"
import resource, socket, sys, threading
count, size, host, port = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
threading.stack_size(64 << 10)
address = (socket.gethostbyname(host), port)
ready, ends, data = threading.Barrier(count, timeout=100), [], b'x' * (128 << 10)
def one():
    try:
        s = socket.create_connection(address, 100)
        ready.wait()
        for _ in range(size // len(data)): s.sendall(data)
        s.shutdown(socket.SHUT_WR); ends.append('all' if s.recv(1) == b'' else 'odd')
    except OSError: ends.append('cut')
    except threading.BrokenBarrierError: ends.append('late')
threads = [threading.Thread(target=one) for _ in range(count)]
for t in threads: t.start()
for t in threads: t.join()
print(*sorted(set(ends)), len(ends))
";

#[test]
fn a_session_s_budget_is_never_exceeded_by_one_connection() {
    let (world, sink) = (World::new(), Sink::start());
    world.file("x.py", FLOOD);
    let flags = [
        "--net",
        "agent",
        "--allow",
        "a.test:9999",
        "--resolve",
        &sink.resolve("a.test"),
    ];
    // Nothing is cut where nothing is bounded.
    let ran = world.run(&flags, &format!("python3 x.py 1 {} a.test 9999", 8 << 20));
    assert_eq!(ran.ok(), "all 1");
    assert_eq!(sink.taken(), 8 << 20);
    assert!(world.events_of("budget_reached").is_empty());
    let bounded = [&flags[..], &["--max-egress", "4M"]].concat();
    let ran = world.run(
        &bounded,
        &format!(
            "python3 x.py 1 {} a.test 9999; python3 x.py 1 131072 a.test 9999",
            8 << 20
        ),
    );
    assert_eq!(ran.ok(), "cut 1\ncut 1", "{ran:?}");
    let taken = sink.taken() - (8 << 20);
    let [event] = world.events_of("budget_reached").try_into().unwrap();
    assert_eq!(
        (&event["host"], &event["key"], &event["limit"]),
        (
            &serde_json::Value::Null,
            &"limits.egress".into(),
            &(4 << 20).into()
        ),
        "{event}"
    );
    let sent = event["sent"].as_u64().unwrap();
    assert!(
        ((4 << 20) - (512 << 10)..=4 << 20).contains(&sent) && taken <= sent,
        "{taken}: {event}"
    );
    let refused = connections(&world);
    assert_eq!(refused.len(), 2, "{refused:?}");
    for event in world.events_of("connection") {
        let denied = &event["denied"];
        assert_eq!(denied["rule"], format!("limits.egress = {}", 4 << 20), "{event}");
        assert_eq!(
            denied["origin"]["Flag"],
            format!("--max-egress {}", 4 << 20),
            "{event}"
        );
        assert_eq!(
            denied["allow_with"],
            format!("--max-egress {}", 8 << 20),
            "{event}"
        );
    }
    let why = world.aca(&["why", "--session", "last"]).output().unwrap();
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(
        why.contains("limits.egress") && why.contains("used up") && why.contains("--max-egress"),
        "{why}"
    );
}

#[test]
fn two_thousand_connections_together_do_not_exceed_it() {
    let (world, sink) = (World::new(), Sink::start());
    world.file("x.py", FLOOD);
    let ran = world.run(
        &[
            "--net",
            "agent",
            "--allow",
            "a.test:9999",
            "--resolve",
            &sink.resolve("a.test"),
            "--max-egress",
            "3M",
        ],
        &format!("ulimit -n 4096; python3 x.py 2000 {} a.test 9999", 256 << 10),
    );
    assert!(ran.ok().ends_with("cut 2000"), "{ran:?}");
    assert!(sink.taken() <= 3 << 20, "{}", sink.taken());
    // What was handed on: a reset may overtake some of it.
    let [event] = world.events_of("budget_reached").try_into().unwrap();
    let sent = event["sent"].as_u64().unwrap();
    assert!(
        ((3 << 20) - (64 << 10)..=3 << 20).contains(&sent) && sink.taken() <= sent,
        "{event}"
    );
}

#[test]
fn each_host_has_its_own_on_all_ports_and_by_the_proxies_too() {
    let (world, sink) = (World::new(), Sink::start());
    world.file("x.py", FLOOD);
    world.file(
        world.home.join(".config/aca/config.toml"),
        "[limits]\negress_per_host = \"1M\"\n",
    );
    let ran = world.run(
        &[
            "--net",
            "agent",
            "--allow",
            "a.test:*",
            "--allow",
            "b.test:*",
            "--resolve",
            &sink.resolve("a.test"),
            "--resolve",
            &sink.resolve("b.test"),
        ],
        &format!(
            "python3 x.py 1 {size} a.test 9999; python3 x.py 1 {size} a.test 9998; python3 x.py 1 {half} b.test 9999; \
             curl -sS -m 20 --socks5-hostname 198.18.255.254:1080 http://a.test:9997/ -o /dev/null; echo $?; \
             curl -sS -m 20 -x http://198.18.255.254:3128 -w '%{{http_code}}\\n' -o /dev/null http://a.test/",
            size = 2 << 20,
            half = 512 << 10
        ),
    );
    assert_eq!(ran.ok(), "cut 1\ncut 1\nall 1\n97\n403", "{ran:?}");
    assert!(sink.taken() <= (1 << 20) + (512 << 10), "{}", sink.taken());
    let [event] = world.events_of("budget_reached").try_into().unwrap();
    assert_eq!(event["host"], "a.test");
    let origin = &event["origin"]["File"];
    assert!(
        origin["path"].as_str().unwrap().ends_with("config.toml") && origin["line"] == 2,
        "{event}"
    );
    let denied = connections(&world)
        .into_iter()
        .filter_map(|(name, _, reason)| Some((name, reason?)));
    let denied: Vec<_> = denied.collect();
    assert_eq!(denied.len(), 4, "{denied:?}");
    assert!(
        denied
            .iter()
            .all(|(name, reason)| name == "a.test" && reason.contains("sent to a.test")),
        "{denied:?}"
    );
}

#[test]
fn requests_and_their_bodies_count() {
    let (world, server) = (World::new(), Server::http());
    world.file("body", "y".repeat(3000));
    let flags = [
        "--net",
        "agent",
        "--resolve",
        &server.resolve("a.test"),
        "--max-egress",
        "7K",
    ];
    let ran = world.run(
        &flags,
        "for i in 1 2 3; do curl -sS -m 20 -o /dev/null -w '%{http_code} ' --data-binary @body http://a.test/; echo $?; done",
    );
    let lines: Vec<&str> = ran.ok().lines().collect();
    assert_eq!(lines[..2], ["200 0", "200 0"], "{ran:?}");
    // It is cut in the midst: the head fits, its body doesn't.
    assert!(["000 56", "000 52", "000 55"].contains(&lines[2]), "{ran:?}");
    assert_eq!(server.seen().len(), 2);
    let later = world.run(
        &flags,
        "curl -sS -m 20 -o /dev/null -w '%{http_code}' --data-binary @body http://a.test/",
    );
    assert_eq!(later.ok(), "200", "each run has its own");
}

#[test]
fn a_project_s_file_may_take_some_away_and_give_none() {
    let world = World::new();
    let shown = |text: &str| {
        world.file(".aca.toml", text);
        let output = world.aca(&["config", "--max-egress", "1M"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    world.file(
        world.home.join(".config/aca/config.toml"),
        "[limits]\negress = \"2M\"\negress_per_host = \"1M\"\n",
    );
    let less = shown("[limits]\negress_per_host = \"500K\"\n");
    assert!(
        less.contains(&format!("limits.egress_per_host = {}", 500 << 10)),
        "{less}"
    );
    let more = shown("[limits]\negress_per_host = \"5M\"\n");
    assert!(
        more.contains(&format!("limits.egress_per_host = {}", 1 << 20)),
        "{more}"
    );
    assert!(more.contains(&format!("limits.egress = {}", 1 << 20)), "{more}");
}

#[test]
fn programs_are_told_of_the_proxies_when_it_is_asked_for() {
    if !has("openssl") || !has("python3") {
        return;
    }
    let (world, server) = (World::new(), Server::http());
    let flags = ["--net", "agent", "--resolve", &server.resolve("a.test")];
    let print = "env | grep -i proxy | sort";
    assert_eq!(world.run(&flags, print).out, "");
    let told = [&flags[..], &["--proxy-env"]].concat();
    let ran = world.run(&told, &format!("{print}; curl -sS -m 20 http://a.test/x"));
    let lines: Vec<&str> = ran.ok().lines().collect();
    assert_eq!(
        lines,
        [
            "ALL_PROXY=http://198.18.255.254:3128",
            "HTTPS_PROXY=http://198.18.255.254:3128",
            "HTTP_PROXY=http://198.18.255.254:3128",
            "NODE_USE_ENV_PROXY=1",
            "NO_PROXY=localhost,127.0.0.1,::1",
            "all_proxy=http://198.18.255.254:3128",
            "http_proxy=http://198.18.255.254:3128",
            "https_proxy=http://198.18.255.254:3128",
            "no_proxy=localhost,127.0.0.1,::1",
            "ok a.test GET /x ",
        ]
    );
    // It went to the proxy: nobody asked for the name.
    assert!(world.events_of("lookup").is_empty());
    assert_eq!(connections(&world), [("a.test".into(), 80, None)]);
    if installed("python3").is_some() {
        let httpx = "/usr/bin/python3 -c 'import httpx' 2>/dev/null || exit 0; \
                     /usr/bin/python3 -c 'import httpx; print(httpx.get(\"http://a.test/\", timeout=20).status_code)'";
        assert!(["", "200"].contains(&world.run(&told, httpx).ok()));
    }
    // What the user sets wins, and without a network there is nothing to tell.
    let ran = world.run(
        &[&told[..], &["--env", "HTTP_PROXY=mine"]].concat(),
        "echo $HTTP_PROXY",
    );
    assert_eq!(ran.ok(), "mine");
    assert_eq!(world.run(&["--net", "none", "--proxy-env"], print).out, "");
    world.file(
        world.home.join(".config/aca/config.toml"),
        "[network]\nproxy_env = true\n",
    );
    assert!(world.run(&flags, print).out.contains("NODE_USE_ENV_PROXY=1"));
}
