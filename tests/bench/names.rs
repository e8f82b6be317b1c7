//! What it costs to hold names, which is the default: the same work, that makes many, in no sandbox, in one, and in one that
//! holds them, in turns. `npm` and `cargo` are what people wait for; the rows before them do nothing but make names, and are
//! what it costs at worst.
//!
//! `cargo bench --bench names [WORK]`. Figures are medians of rounds, of whole runs with their start; ratios are medians of
//! the rounds' own ratios. Packages are got from their registries once, before anything is timed. Started as root it drops to
//! an ordinary user, who may not reach a compiler of root's. It judges nothing: a shared machine is no place for a timed test.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench may stop"
)]

#[path = "world.rs"]
mod world;

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;
use world::{World, milliseconds, ratio};

const ROUNDS: usize = 5;
const FILES: usize = 20_000;
const FILES_A_DIRECTORY: usize = 50;

/// A kind of work: what it is called, what it needs, and the script, which is run in `work` beside what was prepared.
const TABLE: [(&str, &str, &str); 6] = [
    // Nothing that is made: what the filter costs by itself.
    ("read", "tar", "tar tf ../files.tar | wc -l"),
    ("tar", "tar", "tar xf ../files.tar"),
    ("node", "node", "node ../unpack.js"),
    ("git", "git", "git clone -q --no-local ../repository clone"),
    (
        "npm",
        "npm",
        "cp ../npm/package.json ../npm/package-lock.json . && npm ci --offline --no-audit --no-fund --cache $PWD/../npm/cache",
    ),
    (
        "cargo",
        "cargo",
        "export PATH=$PWD/../toolchain/bin:$PATH && cd ../rust && cargo build -q --offline --target-dir ../work/target",
    ),
];

/// Some 450 packages of 10,000 files.
const NPM: &str = "mkdir npm && cd npm && npm init -y && npm install --no-audit --no-fund --cache $PWD/cache \
                   typescript eslint jest webpack express react @babel/core prettier && rm -r node_modules";
/// Some 30 crates, beside what builds them.
const RUST: &str = "cargo init -q --lib --vcs none --name one rust && cd rust && \
                    cargo add -q serde --features derive && cargo add -q serde_json regex toml clap@4 && mkdir .cargo && \
                    cargo vendor > .cargo/config.toml";

/// As package managers unpack: a directory, a file made beside its name, written, closed, and renamed, several at a time.
const UNPACK: &str = r#"
const fs = require("fs").promises;
async function one(n) {
  const directory = `node_modules/p${Math.floor(n / 20)}/lib`;
  await fs.mkdir(directory, { recursive: true });
  const beside = `${directory}/.f${n}.js-0`;
  const file = await fs.open(beside, "wx", 0o644);
  await file.write(`module.exports = ${n};\n`);
  await file.close();
  await fs.rename(beside, `${directory}/f${n}.js`);
}
(async () => {
  let next = 0;
  const work = async () => { while (next < 5000) await one(next++); };
  await Promise.all(Array.from({ length: 16 }, work));
})();
"#;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        println!("bench only");
        return;
    }
    let only = arguments.iter().find(|argument| !argument.starts_with("--"));
    let world = World::new(&["project/work", "used"]);
    prepare(&world);
    println!("names, {ROUNDS} rounds in turn, medians in ms");
    println!("| work | outside | inside | held | inside over outside | held over inside |");
    println!("|---|---|---|---|---|---|");
    for (name, needs, script) in TABLE {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let is_there = match needs {
            "npm" => has(&world, needs) && is_got(world.command("project", &["sh", "-c", NPM])),
            "cargo" => {
                link_toolchain(&world);
                // By who runs the bench: it is whose registry is at hand.
                let mut command = Command::new("sh");
                command.args(["-c", RUST]).current_dir(world.root.join("project"));
                let is_got = is_got(command);
                world.give(&world.root.join("project/rust"));
                has(&world, needs) && is_got
            }
            _ => has(&world, needs),
        };
        if !is_there {
            println!("| {name} | the user has no {needs}, or no packages | | | | |");
            continue;
        }
        let times = measure(&world, script);
        let [outside, inside, held] = [0, 1, 2].map(|column| milliseconds(&times[column]));
        println!(
            "| {name} | {outside:.1} | {inside:.1} | {held:.1} | {:.2} | {:.2} |",
            ratio(&times[1], &times[0]),
            ratio(&times[2], &times[1])
        );
    }
    fs::remove_dir_all(&world.root).unwrap();
}

fn prepare(world: &World) {
    let project = world.root.join("project");
    for file in 0..FILES {
        let directory = project.join(format!("files/d{}", file / FILES_A_DIRECTORY));
        if file % FILES_A_DIRECTORY == 0 {
            fs::create_dir_all(&directory).unwrap();
        }
        fs::write(directory.join(format!("f{file}.txt")), format!("{file}\n")).unwrap();
    }
    fs::write(project.join("unpack.js"), UNPACK).unwrap();
    world.give(&project);
    let script = "tar cf files.tar files && rm -rf files && mkdir repository && cd repository && git init -q && \
                  tar xf ../files.tar && git add . && git -c user.name=a -c user.email=a@b.test commit -qm one && rm -rf files";
    let _time = world.time("project", &["sh", "-c", script]);
}

/// The compiler that this was built with, for a user who may not reach where it is. Links, and so left to their owner.
fn link_toolchain(world: &World) {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = sysroot.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let place = world.root.join("project/toolchain");
    fs::create_dir_all(&place).unwrap();
    for part in ["bin", "lib"] {
        let from = format!("{}/{part}", sysroot.as_deref().unwrap_or_default());
        // On another file system there is none, and it is said that the user has none.
        let _status = Command::new("cp").args(["-al", &from]).arg(&place).status();
    }
}

/// Runs what gets packages; what it says goes by if it was well.
fn is_got(mut command: Command) -> bool {
    let output = command.stdin(Stdio::null()).output().unwrap();
    if !output.status.success() {
        println!("{}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

fn has(world: &World, program: &str) -> bool {
    let mut command = world.command(
        "project",
        &[
            "sh",
            "-c",
            &format!("PATH=$PWD/toolchain/bin:$PATH {program} --version"),
        ],
    );
    command
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Outside, inside, and held.
fn measure(world: &World, script: &str) -> [Vec<Duration>; 3] {
    let aca = world.aca.display().to_string();
    let script = format!("cd work && {script}");
    let columns: [Vec<&str>; 3] = [
        vec![],
        vec![&aca, "run", "--open-names", "--"],
        vec![&aca, "run", "--hold-names", "--"],
    ];
    let mut times = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        for (words, times) in columns.iter().zip(&mut times) {
            let mut words = words.clone();
            words.extend(["sh", "-c", &script]);
            let time = world.time("project", &words);
            // The first fills caches.
            if round > 0 {
                times.push(time);
            }
            // Put aside: ext4 passes over what was removed within a minute, one look for each, when it makes files there.
            let put = format!("mv work ../used/$$-{round}-{} && mkdir work", words.len());
            let _time = world.time("project", &["sh", "-c", &put]);
        }
    }
    times
}
