//! What the benches share: a place that an ordinary user owns, and how figures are made of rounds.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a bench may stop, and not every bench uses all of it"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ORDINARY: u32 = 12345;

/// A scratch place that an ordinary user owns.
pub(crate) struct World {
    /// The place.
    pub(crate) root: PathBuf,
    /// The program that is measured.
    pub(crate) aca: PathBuf,
    /// The bench itself, to be started inside.
    pub(crate) own: PathBuf,
    uid: Option<u32>,
}

impl World {
    /// Makes it, with the program, the bench, a home and these directories.
    pub(crate) fn new(directories: &[&str]) -> Self {
        let uid = rustix::process::getuid().is_root().then_some(ORDINARY);
        let root = std::env::temp_dir().join(format!("aca-bench-{}", std::process::id()));
        for name in ["home"].iter().chain(directories) {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let (aca, own) = (root.join("aca"), root.join("bench"));
        fs::copy(env!("CARGO_BIN_EXE_aca"), &aca).unwrap();
        fs::copy(std::env::current_exe().unwrap(), &own).unwrap();
        for path in [&root, &aca, &own] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let world = Self { root, aca, own, uid };
        world.give(&world.root.clone());
        world
    }

    /// Makes a tree the user's.
    pub(crate) fn give(&self, path: &Path) {
        if let Some(uid) = self.uid {
            assert!(
                Command::new("chown")
                    .arg("-R")
                    .arg(format!("{uid}:{uid}"))
                    .arg(path)
                    .status()
                    .unwrap()
                    .success()
            );
        }
    }

    /// A command of the user's, in one of the directories, that reads and prints nothing.
    pub(crate) fn command(&self, directory: &str, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .current_dir(self.root.join(directory))
            .env_clear();
        command
            .env("HOME", self.root.join("home"))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }

    /// How long a command takes, which must succeed.
    pub(crate) fn time(&self, directory: &str, words: &[&str]) -> Duration {
        let mut command = self.command(directory, words);
        let start = Instant::now();
        assert!(command.status().unwrap().success(), "{words:?}");
        start.elapsed()
    }

    /// What a command prints, which must succeed.
    pub(crate) fn output(&self, directory: &str, words: &[&str]) -> String {
        let output = self
            .command(directory, words)
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The value in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median of these.
pub(crate) fn milliseconds(durations: &[Duration]) -> f64 {
    median(
        durations
            .iter()
            .map(|duration| duration.as_secs_f64() * 1e3)
            .collect(),
    )
}

/// The median of the rounds' own ratios.
pub(crate) fn ratio(ours: &[Duration], theirs: &[Duration]) -> f64 {
    median(
        ours.iter()
            .zip(theirs)
            .map(|(a, b)| a.as_secs_f64() / b.as_secs_f64())
            .collect(),
    )
}

/// Resident and proportional (PSS) memory of aca's own processes in MiB: `aca` and the sandbox's first process, once the
/// program named `program` runs.
pub(crate) fn memory(aca: u32, program: &str) -> (f64, f64) {
    let children =
        |pid: &str| fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let stage = loop {
        if let Some(stage) = children(&aca.to_string()).split_whitespace().next()
            && children(stage).split_whitespace().any(|pid| {
                fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == program)
            })
        {
            break stage.to_owned();
        }
        std::thread::yield_now();
    };
    let field = |pid: &str, name: &str| -> f64 {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    };
    let pids = [aca.to_string(), stage];
    let sum = |name: &str| pids.iter().map(|pid| field(pid, name)).sum::<f64>();
    (sum("Rss:"), sum("Pss:"))
}
