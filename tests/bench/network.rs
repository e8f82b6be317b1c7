//! The gate of the network, side by side with no sandbox and with other ones, in one run: one client and one server on
//! loopback, in turn, several rounds.
//!
//! `cargo bench --bench network` prints the table; a word after `--` picks the rows that have it in their name. Figures
//! are medians of rounds in turn, and ratios are medians of the rounds' own ratios, since machines drift. Client, server
//! and gate share the cores, so a ratio holds for the machine that it was taken on. Started as root it drops to an
//! ordinary user. It judges nothing: a shared machine is no place for a timed test.
//!
//! `ACA_BENCH_BEFORE=PATH` measures an earlier build in the same rounds. Others are measured where they are installed: `bwrap` with the host's network, and Anthropic's sandbox-runtime, whose
//! `srt` is looked for in `PATH` (`npm i @anthropic-ai/sandbox-runtime@0.0.83`; it wants bwrap, socat, ripgrep, and
//! node of at least 22).
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a bench may stop"
)]

mod web;
mod world;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use web::{Client, NAME, Via};
use world::{World, median};

const ROUNDS: usize = 9;
const TUNNELS: usize = 1000;
/// Bytes of a small answer.
const SMALL: usize = 100;
/// Where aca's proxies are inside.
const PROXIES: (&str, &str) = ("198.18.255.254:3128", "198.18.255.254:1080");
/// The name of the plain server; the one with TLS is [`NAME`].
const PLAIN: &str = "b.test";

/// A row.
struct Work {
    name: &'static str,
    does: Does,
    tls: bool,
    /// How much of it: MiB, connections or requests.
    count: usize,
    client: Program,
    server: Server,
}

/// Who answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    /// [`web::serve`].
    Own,
    /// Node's, as many development servers are.
    Node,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    /// One large answer.
    Bulk,
    /// A connection for each request.
    New,
    /// So many connections, each with its share of the requests.
    Kept(usize),
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    /// [`web::Client`]: next to nothing but the connection is timed.
    Own,
    /// curl(1), as people do.
    Curl,
}

const fn work(name: &'static str, does: Does, tls: bool, count: usize, client: Program) -> Work {
    Work {
        name,
        does,
        tls,
        count,
        client,
        server: Server::Own,
    }
}

/// The same rows that sandboxes' proxies are compared by elsewhere: curl, and a server in Node.
const fn usual(name: &'static str, does: Does, tls: bool, count: usize) -> Work {
    Work {
        name,
        does,
        tls,
        count,
        client: Program::Curl,
        server: Server::Node,
    }
}

const WORK: &[Work] = &[
    work("bulk, TLS, MiB/s", Does::Bulk, true, 512, Program::Own),
    work("bulk, plain, MiB/s", Does::Bulk, false, 512, Program::Own),
    work("new connections, TLS", Does::New, true, 400, Program::Own),
    work("new connections, plain", Does::New, false, 800, Program::Own),
    work(
        "requests kept alive, TLS",
        Does::Kept(1),
        true,
        4000,
        Program::Own,
    ),
    work(
        "requests kept alive, plain",
        Does::Kept(1),
        false,
        4000,
        Program::Own,
    ),
    work(
        "requests in four threads, TLS",
        Does::Kept(4),
        true,
        4000,
        Program::Own,
    ),
    work("curl: bulk, TLS, MiB/s", Does::Bulk, true, 512, Program::Curl),
    work("curl: new connections, TLS", Does::New, true, 300, Program::Curl),
    work(
        "curl: requests kept alive, TLS",
        Does::Kept(1),
        true,
        2000,
        Program::Curl,
    ),
    work(
        "curl: requests kept alive, plain",
        Does::Kept(1),
        false,
        2000,
        Program::Curl,
    ),
    usual("curl to node: bulk, TLS, MiB/s", Does::Bulk, true, 512),
    usual("curl to node: new connections, TLS", Does::New, true, 300),
    usual(
        "curl to node: requests kept alive, TLS",
        Does::Kept(1),
        true,
        2000,
    ),
    usual(
        "curl to node: requests kept alive, plain",
        Does::Kept(1),
        false,
        2000,
    ),
];

/// A way from the client to the server.
struct Column {
    name: &'static str,
    /// What stands before the client's own words.
    before: Vec<String>,
    via: &'static str,
    /// Whether the client dials the server's own address.
    dials: bool,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().map(String::as_str) == Some("inner") {
        return inner(&arguments[1..]);
    }
    if arguments.iter().any(|argument| argument == "--test") {
        println!("bench only");
        return;
    }
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
    let world = World::new(&["empty"]);
    raise_descriptors();
    web::certify(&world.root);
    let ports = web::serve(&world.root);
    let own = columns(&world, ports);
    let node = web::serve_by_node(&world.root);
    let by_node = node.as_ref().map(|node| columns(&world, node.ports));
    if node.is_none() {
        println!("node is not installed: no rows with its server");
    }
    println!("the network, {ROUNDS} rounds in turn: median, and over no sandbox");
    let names: Vec<&str> = own.iter().map(|column| column.name).collect();
    println!(
        "| work | {} |\n|---|{}",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for (
        row,
        Work {
            name, tls, server, ..
        },
    ) in WORK.iter().enumerate()
    {
        let (columns, ports) = match (server, &node, &by_node) {
            (Server::Own, ..) => (&own, ports),
            (Server::Node, Some(node), Some(columns)) => (columns, node.ports),
            (Server::Node, ..) => continue,
        };
        if wanted.is_none_or(|word| name.contains(word.as_str())) {
            let port = if *tls { ports.1 } else { ports.0 };
            println!("| {name} | {} |", cells(&world, columns, row, port).join(" | "));
        }
    }
    if wanted.is_none_or(|word| word == "memory") {
        memory(&world, ports);
    }
    fs::remove_dir_all(&world.root).unwrap();
}

fn columns(world: &World, ports: (u16, u16)) -> Vec<Column> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let column = |name, before, via, dials| Column {
        name,
        before,
        via,
        dials,
    };
    let aca_before = std::env::var_os("ACA_BENCH_BEFORE").map(|path| {
        let copy = world.root.join("aca-before");
        fs::copy(path, &copy).unwrap();
        aca(world, &copy, ports)
    });
    let aca = aca(world, &world.aca, ports);
    let mut columns = vec![
        column("no sandbox", Vec::new(), "direct", true),
        column("aca", aca.clone(), "direct", false),
        column("aca's HTTP proxy", aca.clone(), "http", false),
        column("aca's SOCKS5 proxy", aca, "socks", false),
    ];
    if let Some(before) = aca_before {
        columns.push(column("aca before", before, "direct", false));
    }
    if is_there("bwrap") {
        let bwrap = words(&[
            "bwrap",
            "--dev-bind",
            "/",
            "/",
            "--unshare-all",
            "--share-net",
            "--die-with-parent",
        ]);
        columns.push(column("bwrap, the host's network", bwrap, "direct", true));
    } else {
        println!("bubblewrap is not installed: no comparison");
    }
    if is_there("srt") {
        let settings = world.root.join("srt.json");
        let all = format!(
            r#"{{"network": {{"allowedDomains": ["127.0.0.1", "localhost"], "deniedDomains": []}},
            "filesystem": {{"denyRead": [], "allowWrite": ["{}"], "denyWrite": []}}}}"#,
            world.root.display()
        );
        fs::write(&settings, all).unwrap();
        // Its own node, and what else it starts, may be anywhere.
        let path = format!("PATH={}", std::env::var("PATH").unwrap());
        let srt = words(&["env", &path, "srt", "-s", &settings.display().to_string(), "--"]);
        columns.push(column("sandbox-runtime", srt, "environment", true));
    } else {
        println!("sandbox-runtime (srt) is not installed: no comparison");
    }
    columns
}

fn is_there(program: &str) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|output| output.status.success())
}

/// `aca run` with the two names led to the two servers.
fn aca(world: &World, program: &Path, (plain, tls): (u16, u16)) -> Vec<String> {
    let root = world.root.display().to_string();
    let mut words = vec![program.display().to_string()];
    words.extend(["run", "--net", "agent", "--read", &root].map(String::from));
    for (name, port) in [(NAME, tls), (PLAIN, plain)] {
        words.extend(["--resolve".into(), format!("{name}=127.0.0.1:{port}")]);
    }
    words.push("--".into());
    words
}

/// One row's cells.
fn cells(world: &World, columns: &[Column], row: usize, port: u16) -> Vec<String> {
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); columns.len()];
    for round in 0..=ROUNDS {
        for (column, rates) in columns.iter().zip(&mut rates) {
            // curl alone follows the environment to a proxy that wants a password.
            if column.via == "environment" && WORK[row].client == Program::Own {
                continue;
            }
            let rate = rate(world, column, row, port);
            // The first round only warms up.
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    rates
        .iter()
        .map(|own| {
            if own.is_empty() {
                return "–".to_owned();
            }
            let ratios = own.iter().zip(&rates[0]).map(|(own, direct)| own / direct);
            format!("{:.0} ({:.2})", median(own.clone()), median(ratios.collect()))
        })
        .collect()
}

fn rate(world: &World, column: &Column, row: usize, port: u16) -> f64 {
    let (host, port) = match (column.dials, WORK[row].tls) {
        (true, _) => ("127.0.0.1", port),
        (false, true) => (NAME, 443),
        (false, false) => (PLAIN, 80),
    };
    let mut words: Vec<String> = column.before.clone();
    words.extend([world.own.display().to_string(), "inner".into(), row.to_string()]);
    words.extend([column.via.into(), host.into(), port.to_string()]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    world.output("empty", &words).trim().parse().unwrap()
}

/// The client: does a row's work and prints how much of it was done in a second.
fn inner(arguments: &[String]) {
    let [row, via, host, port] = arguments else {
        return idle(arguments[0].parse().unwrap());
    };
    let work = &WORK[row.parse::<usize>().unwrap()];
    let port = port.parse().unwrap();
    let via = match via.as_str() {
        "http" => Via::Http(PROXIES.0.parse().unwrap()),
        "socks" => Via::Socks(PROXIES.1.parse().unwrap()),
        _ => Via::Direct,
    };
    let start;
    if work.client == Program::Curl {
        let mut command = curl(work, &via, host, port);
        start = Instant::now();
        assert!(command.status().unwrap().success());
    } else {
        let client = Client::new(via, host, port, work.tls.then(certificate).as_deref());
        start = Instant::now();
        match work.does {
            Does::Bulk => client.connect().get(work.count << 20),
            Does::New => (0..work.count).for_each(|_| client.connect().get(SMALL)),
            Does::Kept(connections) => std::thread::scope(|scope| {
                for _ in 0..connections {
                    scope.spawn(|| {
                        let mut connection = client.connect();
                        (0..work.count / connections).for_each(|_| connection.get(SMALL));
                    });
                }
            }),
        }
    }
    let count = u32::try_from(work.count).unwrap();
    println!("{}", f64::from(count) / start.elapsed().as_secs_f64());
}

/// One curl for all of it; the server's name is the certificate's in no column but aca's.
fn curl(work: &Work, via: &Via, host: &str, port: u16) -> Command {
    let scheme = if work.tls { "https" } else { "http" };
    let path = match work.does {
        Does::Bulk => (work.count << 20).to_string(),
        Does::New | Does::Kept(_) => format!("[1-{}]/{SMALL}", work.count),
    };
    let mut command = Command::new("curl");
    command.args(["--silent", "--fail", "--insecure", "--http1.1", "--no-sessionid"]);
    command.args(["--noproxy", "", "--output", "/dev/null"]);
    match via {
        Via::Direct => {}
        Via::Http(proxy) => drop(command.args(["--proxy", &format!("http://{proxy}")])),
        Via::Socks(proxy) => drop(command.args(["--proxy", &format!("socks5h://{proxy}")])),
    }
    if work.does == Does::New {
        command.args(["--header", "Connection: close"]);
    }
    command.arg(format!("{scheme}://{host}:{port}/{path}"));
    command
}

/// Beside the bench's own copy.
fn certificate() -> std::path::PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap_or(Path::new("/")).join("cert.pem")
}

/// Opens tunnels, says so, and keeps them until its input ends.
fn idle(tunnels: usize) {
    raise_descriptors();
    let client = Client::new(Via::Direct, NAME, 443, Some(&certificate()));
    let mut open = Vec::new();
    for _ in 0..tunnels {
        let mut connection = client.connect();
        connection.get(SMALL);
        open.push(connection);
    }
    println!("ready");
    std::io::stdin().lines().count();
}

fn memory(world: &World, ports: (u16, u16)) {
    println!("\nmemory of aca's own processes (MiB)\n| | resident | proportional (PSS) |\n|---|---|---|");
    for tunnels in [1, TUNNELS] {
        let mut words = aca(world, &world.aca, ports);
        words.extend([
            world.own.display().to_string(),
            "inner".into(),
            tunnels.to_string(),
        ]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut child: Child = world
            .command("empty", &words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        let (resident, proportional) = world::memory(child.id(), "bench");
        println!("| idle tunnels: {tunnels} | {resident:.1} | {proportional:.1} |");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}

/// The soft limit of open files is a thousand on most machines.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let new = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, new).unwrap();
}
