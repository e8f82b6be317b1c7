//! A small world for one test: an ordinary user with a home and a project, and the real `aca` to run in it.
//!
//! Tests run as root in CI, users don't: started as root, everything here is done as [`ORDINARY`], which has no entry
//! in `/etc/passwd` on purpose. A test that needs what isn't installed calls [`skip`], which is printed and counted,
//! and is a failure where `ACA_TEST_MUST` says that it must be there.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "a test helper may stop the test, and not every test binary uses all of it"
)]

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The ordinary user's id, when the tests run as root.
pub const ORDINARY: u32 = 12345;

/// The id that everything in a world belongs to.
pub fn uid() -> u32 {
    let own = rustix::process::getuid();
    if own.is_root() { ORDINARY } else { own.as_raw() }
}

/// A scratch place that an ordinary user owns; gone with the value.
pub struct World {
    root: tempfile::TempDir,
    /// `$HOME` of the user.
    pub home: PathBuf,
    /// Where `aca` is started.
    pub project: PathBuf,
    /// A directory of the same user that no sandbox is given.
    pub outside: PathBuf,
    /// The program under test.
    pub aca: PathBuf,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; 128 + n when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// From a finished process.
    pub fn from_output(output: &Output) -> Self {
        let status = output.status;
        Self {
            code: status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal))
                .unwrap(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts success and gives the standard output without the last line feed.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "{self:#?}");
        self.out.trim_end_matches('\n')
    }

    /// Asserts that it failed.
    #[track_caller]
    pub fn refused(&self) -> &Self {
        assert_ne!(self.code, 0, "{self:#?}");
        self
    }
}

impl World {
    /// A home, an empty project below it, and a directory outside.
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("aca-test-").tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let aca = root.path().join("aca");
        let built = env!("CARGO_BIN_EXE_aca");
        if fs::hard_link(built, &aca).is_err() {
            fs::copy(built, &aca).unwrap();
        }
        let world = Self {
            home: root.path().join("home"),
            project: root.path().join("home/project"),
            outside: root.path().join("outside"),
            aca,
            root,
        };
        for path in [&world.home, &world.project, &world.outside] {
            fs::create_dir(path).unwrap();
            world.give(path);
        }
        world
    }

    /// As [`Self::new`], with a git repository of one commit as the project.
    pub fn with_repository() -> Self {
        let world = Self::new();
        world.git(&world.project, &["init", "-q", "-b", "main"]);
        world.file("README", "hello\n");
        world.git(&world.project, &["add", "README"]);
        world.git(&world.project, &["commit", "-q", "-m", "first"]);
        world
    }

    /// The directory that holds all of it.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Makes a path the user's.
    pub fn give(&self, path: &Path) {
        if rustix::process::getuid().is_root() {
            std::os::unix::fs::lchown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
        }
    }

    /// Writes a file of the user's; a relative path is one of the project. Directories on the way are made.
    pub fn file(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.project.join(path);
        self.directory(path.parent().unwrap());
        fs::write(&path, content).unwrap();
        self.give(&path);
        path
    }

    /// Makes a directory of the user's, with its parents.
    pub fn directory(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = self.project.join(path);
        if !path.exists() {
            self.directory(path.parent().unwrap());
            fs::create_dir(&path).unwrap();
            self.give(&path);
        }
        path
    }

    /// A tree of the machine's at a place of the user's, by hard links: where it lies may be closed to the user, and a
    /// copy may be half a gigabyte. Files stay their owner's.
    pub fn link_tree(&self, from: &Path, to: &Path) {
        let metadata = fs::symlink_metadata(from).unwrap();
        if metadata.is_dir() {
            self.directory(to);
            for entry in fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                self.link_tree(&entry.path(), &to.join(entry.file_name()));
            }
            return;
        }
        self.directory(to.parent().unwrap());
        if metadata.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(from).unwrap(), to).unwrap();
        } else if fs::hard_link(from, to).is_err() {
            // Another file system.
            fs::copy(from, to).unwrap();
        }
    }

    /// A command on the host as the ordinary user, in the project, with a small environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.project)
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", host_path())
            .env("LANG", "C.UTF-8")
            .env("GIT_AUTHOR_NAME", "A")
            .env("GIT_AUTHOR_EMAIL", "a@example.test")
            .env("GIT_COMMITTER_NAME", "A")
            .env("GIT_COMMITTER_EMAIL", "a@example.test")
            .stdin(Stdio::null());
        if rustix::process::getuid().is_root() {
            command.uid(ORDINARY).gid(ORDINARY);
        }
        command
    }

    /// `git` on the host, which must succeed.
    #[track_caller]
    pub fn git(&self, directory: &Path, arguments: &[&str]) -> String {
        let output = self
            .command("git")
            .args(arguments)
            .current_dir(directory)
            .output()
            .unwrap();
        Ran::from_output(&output).ok().to_owned()
    }

    /// `aca` with arguments.
    pub fn aca(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.aca);
        command.args(arguments);
        command
    }

    /// `aca run FLAGS -- sh -c SCRIPT`.
    pub fn run(&self, flags: &[&str], script: &str) -> Ran {
        let mut command = self.aca(&["run"]);
        command.args(flags).args(["--", "sh", "-c", script]);
        Ran::from_output(&command.output().unwrap())
    }

    /// As [`Self::run`], by root, with a home and a project of root's; `None` when the tests themselves don't run as root.
    pub fn run_as_root(&self, flags: &[&str], script: &str) -> Option<Ran> {
        if !rustix::process::getuid().is_root() {
            skip("root", "the tests run as an ordinary user");
            return None;
        }
        let home = self.root().join("root-home");
        let project = home.join("project");
        fs::create_dir_all(&project).unwrap();
        let mut command = Command::new(&self.aca);
        command
            .arg("run")
            .args(flags)
            .args(["--", "sh", "-c", script])
            .current_dir(project)
            .env_clear()
            .env("HOME", home)
            .env("PATH", host_path())
            .stdin(Stdio::null());
        Some(Ran::from_output(&command.output().unwrap()))
    }

    /// The same with something to read on standard input.
    pub fn run_with_input(&self, flags: &[&str], script: &str, input: &[u8]) -> Ran {
        let mut command = self.aca(&["run"]);
        command.args(flags).args(["--", "sh", "-c", script]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // The reader may leave early.
            drop(stdin.write_all(&input));
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Ran::from_output(&output)
    }

    /// Where the sessions' logs are.
    pub fn sessions(&self) -> PathBuf {
        self.home.join(".local/state/aca/sessions")
    }

    /// The events of the newest session, as `aca log --json` gives them.
    pub fn events(&self) -> Vec<serde_json::Value> {
        let output = self.aca(&["log", "--json"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].clone())
            .collect()
    }

    /// The newest session's events of one type.
    pub fn events_of(&self, kind: &str) -> Vec<serde_json::Value> {
        let mut events = self.events();
        events.retain(|event| event["type"] == kind);
        events
    }
}

/// `PATH` on the host: the usual places, so that what is installed there is found whoever runs the tests.
pub fn host_path() -> &'static str {
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

/// Where a program is on the host.
pub fn installed(program: &str) -> Option<PathBuf> {
    host_path()
        .split(':')
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.is_file())
}

/// Tells that a test could not be done, for want of `what`; a failure where `ACA_TEST_MUST` is `all` or names it.
#[track_caller]
pub fn skip(what: &str, why: &str) {
    let must = std::env::var("ACA_TEST_MUST").unwrap_or_default();
    let required = must.split(',').any(|word| word == "all" || word == what);
    assert!(!required, "{what} must be there: {why}");
    // The harness shows what a passing test prints to nobody, so it goes to a file that the test command counts.
    let line = format!(
        "SKIP {} needs {what}: {why}\n",
        std::thread::current().name().unwrap_or("a test")
    );
    eprint!("{line}");
    if let Some(path) = std::env::var_os("ACA_TEST_SKIPS") {
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// Whether a program is there; else the test is skipped.
#[track_caller]
pub fn has(program: &str) -> bool {
    let there = installed(program).is_some();
    if !there {
        skip(program, "it is not installed");
    }
    there
}
