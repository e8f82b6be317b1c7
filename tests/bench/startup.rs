//! Start-up, steady state and memory, side by side with bubblewrap and with no sandbox at all, in one run.
//!
//! `cargo bench --bench startup` prints the table that the README quotes. Figures are medians of rounds in turn, and
//! ratios are medians of the rounds' own ratios, since machines drift. Started as root it drops to an ordinary user.
//! It judges nothing: a shared machine is no place for a timed test.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench may stop"
)]

#[path = "world.rs"]
mod world;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use world::{World, median, milliseconds, ratio};

const ROUNDS: usize = 40;
const FILES: usize = 100_000;
const FILES_A_DIRECTORY: usize = 50;
const STATUS_FILES: usize = 20_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some("inner") {
        return inner(&arguments[2]);
    }
    if arguments.iter().any(|argument| argument == "--test") {
        println!("bench only");
        return;
    }
    let world = World::new(&["empty", "large", "status"]);
    startup(&world);
    walk(&world);
    steady(&world);
    memory(&world);
    fs::remove_dir_all(&world.root).unwrap();
}

/// What bubblewrap is asked for: the view that `aca plan --json` lists, entry by entry, and every namespace. What it has
/// no word for is left out, to its advantage: the network's set-up, Landlock, the filter, limits, the log.
fn bubblewrap(world: &World, directory: &str) -> Option<Vec<String>> {
    Command::new("bwrap")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .ok()?;
    let aca = world.aca.display().to_string();
    let plan = world.output(directory, &[&aca, "plan", "--json", "--", "true"]);
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let generated = world.root.join("generated");
    fs::write(&generated, "127.0.0.1 localhost\n").unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut words: Vec<String> = vec!["bwrap".into()];
    for entry in plan["plan"]["view"]["entries"].as_array().unwrap() {
        if let Some(name) = entry.as_str() {
            match name {
                "Sys" => words.extend(["--ro-bind".into(), "/sys".into(), "/sys".into()]),
                other => panic!("{other}"),
            }
            continue;
        }
        let (name, entry) = entry.as_object().unwrap().iter().next().unwrap();
        let at = || text(&entry["at"]);
        words.extend(match name.as_str() {
            "Show" => vec!["--ro-bind".into(), text(&entry["source"]), at()],
            "Grant" => vec!["--bind".into(), text(&entry["source"]), at()],
            "Protect" => vec!["--ro-bind".into(), at(), at()],
            "Pin" => vec!["--bind".into(), at(), at()],
            "Scratch" => vec![
                "--size".into(),
                entry["size_bytes"].to_string(),
                "--tmpfs".into(),
                at(),
            ],
            "Directory" => vec!["--dir".into(), at()],
            "Link" => vec!["--symlink".into(), text(&entry["target"]), at()],
            "Cover" | "File" | "Mask" => vec!["--ro-bind".into(), generated.display().to_string(), at()],
            "Devices" => vec![
                "--dev".into(),
                "/dev".into(),
                "--mqueue".into(),
                "/dev/mqueue".into(),
            ],
            "Proc" => vec!["--proc".into(), "/proc".into()],
            "Seal" => vec!["--remount-ro".into(), at()],
            "Terminal" => Vec::new(),
            other => panic!("{other}"),
        });
    }
    let project = world.root.join(directory).display().to_string();
    words.extend(["--remount-ro".into(), "/".into(), "--chdir".into(), project]);
    words.extend(["--unshare-all", "--die-with-parent", "true"].map(String::from));
    Some(words)
}

fn startup(world: &World) {
    let aca = world.aca.display().to_string();
    // The first run makes the directories of the caches.
    world.time("empty", &[&aca, "run", "--", "true"]);
    let bwrap = bubblewrap(world, "empty");
    let mut columns: Vec<(&str, Vec<String>)> = vec![
        ("plain exec", vec!["true".into()]),
        (
            "aca run -- true",
            [aca.as_str(), "run", "--", "true"].map(String::from).to_vec(),
        ),
        (
            "aca run --net none -- true",
            [aca.as_str(), "run", "--net", "none", "--", "true"]
                .map(String::from)
                .to_vec(),
        ),
    ];
    if let Some(words) = bwrap {
        columns.push(("bwrap, the equivalent", words));
    } else {
        println!("bubblewrap is not installed: no comparison");
    }
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); columns.len()];
    for round in 0..ROUNDS + 3 {
        for (column, (_, words)) in columns.iter().enumerate() {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let time = world.time("empty", &words);
            if round >= 3 {
                times[column].push(time);
            }
        }
    }
    println!("start-up, {ROUNDS} rounds in turn");
    println!("| command | median ms | over bwrap |\n|---|---|---|");
    for ((name, _), own) in columns.iter().zip(&times) {
        let over = times
            .get(3)
            .map_or_else(|| "–".to_owned(), |bwrap| format!("{:.2}", ratio(own, bwrap)));
        println!("| {name} | {:.2} | {over} |", milliseconds(own));
    }
}

fn walk(world: &World) {
    for directory in 0..FILES / FILES_A_DIRECTORY {
        let path = world.root.join(format!("large/a{}/b{directory}", directory % 40));
        fs::create_dir_all(&path).unwrap();
        for file in 0..FILES_A_DIRECTORY {
            fs::write(path.join(format!("file{file}.txt")), b"").unwrap();
        }
    }
    world.give(&world.root.join("large"));
    let aca = world.aca.display().to_string();
    let words = [aca.as_str(), "run", "--", "true"];
    let (mut empty, mut large) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS / 2 + 1 {
        let (small, big) = (world.time("empty", &words), world.time("large", &words));
        if round > 0 {
            empty.push(small);
            large.push(big);
        }
    }
    let added = median(
        empty
            .iter()
            .zip(&large)
            .map(|(a, b)| (b.as_secs_f64() - a.as_secs_f64()) * 1e3)
            .collect(),
    );
    println!("\nproject of {FILES} files: {added:.1} ms more than an empty one");
}

fn steady(world: &World) {
    let own = world.own.display().to_string();
    let aca = world.aca.display().to_string();
    let root = world.root.display().to_string();
    let deep = world.root.join("empty/a/b/c/d/e/f");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), b"content").unwrap();
    for file in 0..STATUS_FILES {
        let path = world.root.join(format!("status/d{}", file % 400));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(format!("f{file}")), b"x").unwrap();
    }
    world.give(&world.root);
    let git = |words: &[&str]| {
        assert!(
            world
                .command("status", words)
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
        )
    };
    git(&["git", "init", "-q"]);
    git(&["git", "add", "-A"]);
    git(&[
        "git",
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b.c",
        "commit",
        "-qm",
        "x",
    ]);
    println!("\nsteady state, inside over outside (fastest of 9 rounds in turn)");
    println!("| work | outside | inside | ratio |\n|---|---|---|---|");
    for (name, directory) in [("files", "empty"), ("spawn", "empty"), ("status", "status")] {
        let (mut outside, mut inside) = (Vec::new(), Vec::new());
        for _ in 0..9 {
            outside.push(
                world
                    .output(directory, &[&own, "inner", name])
                    .trim()
                    .parse::<f64>()
                    .unwrap(),
            );
            let words = [
                aca.as_str(),
                "run",
                "--read",
                root.as_str(),
                "--",
                own.as_str(),
                "inner",
                name,
            ];
            inside.push(world.output(directory, &words).trim().parse::<f64>().unwrap());
        }
        let fastest = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        let (outside, inside) = (fastest(&outside), fastest(&inside));
        let what = match name {
            "files" => "open, stat, read (µs each)",
            "spawn" => "spawn true (µs each)",
            _ => "git status of 20,000 files (µs)",
        };
        println!(
            "| {what} | {outside:.2} | {inside:.2} | {:.3} |",
            inside / outside
        );
    }
}

/// The work that is timed inside and outside: prints microseconds for one operation.
fn inner(name: &str) {
    let per_operation = |count: u32, work: &mut dyn FnMut()| {
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let start = Instant::now();
            for _ in 0..count {
                work();
            }
            best = best.min(start.elapsed().as_secs_f64() * 1e6 / f64::from(count));
        }
        println!("{best}");
    };
    match name {
        "files" => per_operation(20_000, &mut || {
            fs::metadata("a/b/c/d/e/f/file").unwrap();
            fs::read("a/b/c/d/e/f/file").unwrap();
        }),
        "spawn" => per_operation(1000, &mut || {
            assert!(Command::new("/usr/bin/true").status().unwrap().success());
        }),
        _ => per_operation(3, &mut || {
            assert!(
                Command::new("git")
                    .args(["status", "--porcelain"])
                    .stdout(Stdio::null())
                    .status()
                    .unwrap()
                    .success()
            );
        }),
    }
}

fn memory(world: &World) {
    let aca = world.aca.display().to_string();
    let mut child = world
        .command("empty", &[&aca, "run", "--", "sleep", "1000"])
        .spawn()
        .expect("aca");
    let (resident, proportional) = world::memory(child.id(), "sleep");
    println!(
        "\nmemory of aca's own processes: {resident:.1} MiB resident, {proportional:.1} MiB proportional (PSS)"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}
