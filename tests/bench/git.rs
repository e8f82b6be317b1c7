//! Git over https through aca, side by side with git outside: a clone and a push of a repository that doesn't pack, from a
//! real `git http-backend` on loopback, in turn, several rounds.
//!
//! Both ends have their objects in packs, as a forge and a used clone do, and nothing looks for deltas: else git's own
//! compressing (some 8 s of two cores for these files) is most of what is timed, on both sides.
//!
//! Each is done twice: straight on loopback, where client, server and gate share the cores and nothing is waited for, and over
//! a line that carries 100 Mbit/s each way, which the bench makes between both sides' client and the server.
//!
//! `cargo bench --bench git` prints the table: medians of the rounds' own ratios, and the most memory that the supervisor had.
//! It judges nothing: a shared machine is no place for a timed test.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a bench may stop"
)]

mod world;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use world::{World, median};

const ROUNDS: usize = 3;
/// Files, and bytes of each, that can't be packed: 200 MiB in all.
const FILES: u64 = 50;
const BYTES: u64 = 4 << 20;
/// Commits all that is there, and packs it.
const COMMIT: &str = "git config core.bigFileThreshold 1m; git config core.looseCompression 0; git add -A; git commit -q -m more; git repack -dq";
/// What the slow line carries a second, in bytes.
const RATE: f64 = 100e6 / 8.0;
const SERVER: &str = include_str!("../git/forge.js");

struct Forge {
    server: Child,
    port: u16,
    directory: PathBuf,
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

fn run(world: &World, directory: &str, script: &str) {
    let mut command = world.command(directory, &["sh", "-ec", script]);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
}

/// Makes the files.
fn filling() -> String {
    format!("i=0; while [ $i -lt {FILES} ]; do i=$((i+1)); head -c {BYTES} /dev/urandom > big$i; done")
}

impl Forge {
    fn start(world: &World) -> Self {
        let directory = world.root.join("forge");
        fs::write(directory.join("server.js"), SERVER).unwrap();
        run(
            world,
            "forge",
            "ec='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
             openssl req -x509 $ec -days 3 -keyout ca.key -out ca.pem -subj '/CN=forge authority' 2>&1
             openssl req $ec -keyout key.pem -out leaf.csr -subj '/CN=leaf' 2>&1
             printf 'subjectAltName=DNS:forge.test\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' > ext
             openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem 2>&1
             mkdir -p srv/acme work; git init -q --bare -b main srv/acme/app.git
             git -C srv/acme/app.git config uploadpack.allowFilter true
             git -C srv/acme/app.git config receive.unpackLimit 1
             git -C srv/acme/app.git config core.bigFileThreshold 1m; cd work; git init -q -b main .
             git config user.name a; git config user.email a@a.test",
        );
        let fill = format!(
            "cd work; {}; {COMMIT}; git push -q ../srv/acme/app.git main",
            filling()
        );
        run(world, "forge", &fill);
        let mut server = world
            .command("forge", &["node", "server.js", "h1", "srv"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = server.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        Self {
            server,
            port: line.trim().parse().unwrap(),
            directory,
        }
    }
}

/// A line to a port of this machine; gives the port of its other end.
fn line(port: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let own = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else {
                continue;
            };
            for (from, to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                std::thread::spawn(move || carry(from, to));
            }
        }
    });
    own
}

/// One way of it.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let (mut buffer, mut free) = ([0; 16 << 10], Instant::now());
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(buffer.get(..count).unwrap()).is_err() {
            break;
        }
        free = free.max(Instant::now()) + Duration::from_secs_f64(count as f64 / RATE);
        std::thread::sleep(free.saturating_duration_since(Instant::now()));
    }
    to.shutdown(Shutdown::Write).ok();
    from.shutdown(Shutdown::Read).ok();
}

/// Runs it; gives seconds, and the most memory of the process itself in MiB.
fn timed(command: &mut Command) -> (f64, f64) {
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0_f64;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        peak = peak.max(kib.unwrap_or(0.0) / 1024.0);
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let seconds = start.elapsed().as_secs_f64();
    assert!(ended.success());
    (seconds, peak)
}

fn main() {
    let world = World::new(&["project", "forge"]);
    let forge = Forge::start(&world);
    let trusted = forge.directory.join("ca.pem");
    let home = world.root.join("home");
    fs::write(home.join(".git-credentials"), "https://alice:s3cr3t@forge.test\n").unwrap();
    fs::write(home.join(".gitconfig"), "[credential]\n\thelper = store\n").unwrap();
    fs::create_dir_all(home.join(".config/aca")).unwrap();
    fs::write(
        home.join(".config/aca/config.toml"),
        "[[git.repository]]\nurl = ['https://forge.test/acme/app']\npush = { max_pack = '400MiB' }\n",
    )
    .unwrap();
    world.give(&home);
    let aca = world.aca.to_str().unwrap().to_owned();
    let inside = |port: u16, script: &str| {
        let resolve = format!("forge.test=127.0.0.1:{port}");
        let words = [
            aca.as_str(),
            "run",
            "--resolve",
            &resolve,
            "--",
            "sh",
            "-ec",
            script,
        ];
        let mut command = world.command("project", &words);
        command.env("SSL_CERT_FILE", &trusted);
        command
    };
    let outside = |port: u16, script: &str| {
        let script = script.replace("https://forge.test/", &format!("https://forge.test:{port}/"));
        let mut command = world.command("project", &["sh", "-ec", &script]);
        command
            .env("GIT_SSL_CAINFO", &trusted)
            .env("GIT_CONFIG_COUNT", "2")
            .env("GIT_CONFIG_KEY_0", "http.curloptResolve")
            .env("GIT_CONFIG_VALUE_0", format!("forge.test:{port}:127.0.0.1"))
            .env("GIT_CONFIG_KEY_1", "http.extraHeader")
            .env("GIT_CONFIG_VALUE_1", "Authorization: Basic YWxpY2U6czNjcjN0");
        command
    };
    // One branch: what the rounds pushed isn't got with it.
    let clone = "git clone -q --no-checkout --single-branch https://forge.test/acme/app clone";
    // What is pushed comes after what the server has, and nothing of its files is there yet.
    let prepare = format!(
        "rm -rf push; git clone -q --no-checkout --single-branch ../forge/srv/acme/app.git push; cd push; git config user.name a; \
         git config user.email a@a.test; {}; {COMMIT}",
        filling()
    );
    let push = "cd push; git push -q https://forge.test/acme/app HEAD:refs/heads/agent/$(git rev-parse HEAD)";
    let slow = line(forge.port);
    let mut rows = [
        ("clone, 200 MiB, loopback", clone, forge.port),
        ("push, 200 MiB, loopback", push, forge.port),
        ("clone, 200 MiB, 100 Mbit/s", clone, slow),
        ("push, 200 MiB, 100 Mbit/s", push, slow),
    ]
    .map(|(name, script, port)| (name, script, port, Vec::new(), [Vec::new(), Vec::new()], 0.0_f64));
    for round in 0..ROUNDS {
        for (_, script, port, ratios, seconds, most) in &mut rows {
            let mut times = [0.0; 2];
            for side in 0..2 {
                let before = if *script == push { &prepare } else { "rm -rf clone" };
                run(&world, "project", before);
                // In turn, so that neither is always first.
                let is_inside = (side + round) % 2 == 0;
                let mut command = if is_inside {
                    inside(*port, script)
                } else {
                    outside(*port, script)
                };
                let (time, peak) = timed(&mut command);
                times[usize::from(is_inside)] = time;
                seconds[usize::from(is_inside)].push(time);
                if is_inside {
                    *most = most.max(peak);
                }
            }
            ratios.push(times[1] / times[0]);
        }
    }
    println!("| work | no sandbox, s | aca, s | over no sandbox | supervisor at most, MiB |");
    println!("|---|---|---|---|---|");
    for (name, _, _, ratios, [outside, inside], peak) in rows {
        println!(
            "| {name} | {:.2} | {:.2} | {:.2} | {peak:.1} |",
            median(outside),
            median(inside),
            median(ratios)
        );
    }
}
