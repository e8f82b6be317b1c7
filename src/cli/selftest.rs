//! `aca selftest`: tries known escapes on this machine, with bait in a throw-away home.
//!
//! Each attempt is made twice, by the same code: outside, which shows that it could succeed, and inside a real `aca
//! run` of this same program, which is shown there read-only (`--read`). The user's own configuration, home and project
//! are not touched. An attempt that the machine refuses outside as well is told as such.

use super::attempts::{ATTEMPTS, Bait, EXIT_CODE, Outcome, TOKEN, VARIABLES, carry_out, started};
use super::flags::SelftestArgs;
use crate::failure::{Failure, FailureKind};
use crate::ui;
use rustix::fs::{Mode, OFlags};
use rustix::io::FdFlags;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::Serialize;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// `PATH` of the runs, which start nothing by name.
const SEARCH: &str = "/usr/bin:/bin";
/// How long the server waits for a question before it says the token all the same.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where no packet is sent to: asking for the route tells the machine's own address (RFC 5737).
const DOCUMENTATION: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// As promised.
    Ok,
    /// Not as promised.
    Failed,
}

#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    what: &'static str,
    verdict: Verdict,
    /// What stopped it inside.
    inside: Option<String>,
    /// What stopped it outside, where something did: then this machine refuses it by itself.
    outside: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    passed: bool,
    /// What must be refused inside.
    attempts: Vec<Line>,
    /// What must work inside.
    works: Vec<Line>,
}

/// What a process that made the attempts left.
struct Tried {
    outcomes: Vec<Outcome>,
    code: Option<i32>,
}

/// Does it: exit code 0 when every attempt was refused inside, 1 when one succeeded.
///
/// # Errors
/// When the bait can't be laid out, or no run starts here.
pub fn execute(args: &SelftestArgs) -> Result<ExitCode, Failure> {
    if let Some(bait) = &args.attempt {
        let bait: Bait =
            serde_json::from_str(bait).map_err(|error| Failure::new(FailureKind::Usage, error))?;
        let text = serde_json::to_string(&carry_out(&bait))
            .map_err(|error| Failure::new(FailureKind::Internal, error))?;
        return print(&text).map(|()| ExitCode::from(EXIT_CODE));
    }
    let report = examine(args)?;
    let text = if args.json {
        serde_json::to_string_pretty(&report).map_err(|error| Failure::new(FailureKind::Internal, error))?
    } else {
        shown(&report)
    };
    print(text.trim_end())?;
    Ok(if report.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(text: &str) -> Result<(), Failure> {
    ui::write_out(&format!("{text}\n")).map_err(|error| Failure::new(FailureKind::Machine, error))
}

fn examine(args: &SelftestArgs) -> Result<Report, Failure> {
    let machine = |error: io::Error| {
        Failure::new(
            FailureKind::Machine,
            format!("cannot lay the bait out in /tmp: {error}"),
        )
    };
    let program = std::env::current_exe().map_err(|error| Failure::new(FailureKind::Machine, error))?;
    let place = Place::lay_out().map_err(machine)?;
    let bait =
        serde_json::to_string(&place.bait).map_err(|error| Failure::new(FailureKind::Internal, error))?;
    let words = ["selftest".into(), "--attempt".into(), OsString::from(bait)];
    let control = answers(&place, Command::new(&program).args(&words))?;
    place.fill().map_err(machine)?;
    let mut run = Command::new(&program);
    if !args.without_sandbox {
        run.args(["run", "--read"]);
        run.arg(&program).arg("--").arg(&program);
    }
    let mut tried = answers(&place, run.args(&words))?;
    place.see_changes(&mut tried.outcomes);
    let attempts = judged(&tried.outcomes, &control.outcomes);
    let works = vec![
        working(
            "project-file",
            "write a file in the project",
            fs::read_to_string(place.bait.written()).is_ok_and(|text| text == TOKEN),
        ),
        working(
            "exit-code",
            "tell how the command ended",
            tried.code == Some(EXIT_CODE.into()),
        ),
    ];
    Ok(Report {
        version: 1,
        passed: attempts
            .iter()
            .chain(&works)
            .all(|line| line.verdict == Verdict::Ok),
        attempts,
        works,
    })
}

fn judged(tried: &[Outcome], control: &[Outcome]) -> Vec<Line> {
    let of = |outcomes: &[Outcome], name: &str| {
        outcomes
            .iter()
            .find(|outcome| outcome.name == name)
            .and_then(|outcome| outcome.refused.clone())
    };
    ATTEMPTS
        .iter()
        .map(|attempt| {
            // One without an answer counts as one that succeeded.
            let inside = of(tried, attempt.name);
            Line {
                name: attempt.name,
                what: attempt.what,
                verdict: if inside.is_some() {
                    Verdict::Ok
                } else {
                    Verdict::Failed
                },
                inside,
                outside: of(control, attempt.name),
            }
        })
        .collect()
}

fn working(name: &'static str, what: &'static str, works: bool) -> Line {
    Line {
        name,
        what,
        verdict: if works { Verdict::Ok } else { Verdict::Failed },
        inside: (!works).then(|| "it did not work".to_owned()),
        outside: None,
    }
}

/// Runs it in the project, with the throw-away home, the bait in the environment, and nothing else.
fn answers(place: &Place, command: &mut Command) -> Result<Tried, Failure> {
    let output = command
        .current_dir(&place.bait.project)
        .env_clear()
        .env("HOME", &place.bait.home)
        .env("PATH", SEARCH)
        .envs(VARIABLES.map(|name| (name, TOKEN)))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::new(FailureKind::Machine, error))?;
    let outcomes = serde_json::from_slice(&output.stdout).map_err(|_| {
        Failure::new(
            FailureKind::Machine,
            format!(
                "the attempts could not be made: {}",
                ui::sanitize::line_within(String::from_utf8_lossy(&output.stderr).trim(), 400)
            ),
        )
        .hint("`aca doctor` tells whether a run can start here")
    })?;
    Ok(Tried {
        outcomes,
        code: output.status.code(),
    })
}

/// The bait, and the throw-away directory that holds it.
struct Place {
    bait: Bait,
    _open: (OwnedFd, UnixListener, UnixListener),
    _root: Sweep,
}

const SETTINGS: &str = "[core]\n\trepositoryformatversion = 0\n";
const HOOK: &str = "#!/bin/sh\n";

impl Place {
    fn lay_out() -> io::Result<Self> {
        let mut chance = [0_u8; 8];
        getrandom(&mut chance, GetRandomFlags::empty())?;
        let name = format!("aca-selftest-{:016x}", u64::from_ne_bytes(chance));
        let root = Path::new("/tmp").join(&name);
        fs::DirBuilder::new().mode(0o700).create(&root)?;
        // From here on it is removed whatever fails.
        let swept = Sweep(root.clone());
        let outside = root.join("outside");
        let project = root.join("home/project");
        for directory in [
            &outside,
            &root.join("home/.ssh"),
            &project.join(".git/hooks"),
            &project.join(".git/objects"),
            &project.join(".git/refs/heads"),
        ] {
            fs::create_dir_all(directory)?;
        }
        let directory = rustix::fs::open(&outside, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        // Left open on purpose: what is inherited is what is tried.
        rustix::io::fcntl_setfd(&directory, FdFlags::empty())?;
        let by_path = UnixListener::bind(outside.join("socket"))?;
        let by_name = UnixListener::bind_addr(&UnixAddress::from_abstract_name(&name)?)?;
        let process = std::process::id();
        let place = Self {
            bait: Bait {
                home: root.join("home"),
                project,
                outside,
                process,
                started: started(process).ok_or(io::ErrorKind::NotFound)?,
                descriptor: directory.as_raw_fd(),
                loopback: serve(Ipv4Addr::LOCALHOST.into())?,
                address: own_address().and_then(|address| serve(address).ok()),
                abstract_name: name,
            },
            _open: (directory, by_path, by_name),
            _root: swept,
        };
        place.fill()?;
        Ok(place)
    }

    /// Writes the bait, as it was first.
    fn fill(&self) -> io::Result<()> {
        fs::write(self.bait.repository().join("HEAD"), "ref: refs/heads/main\n")?;
        // Emptied, so that what the control wrote is not taken for the run's.
        fs::write(self.bait.written(), "")?;
        for path in [self.bait.secret(), self.bait.login()] {
            fs::write(path, token_line())?;
        }
        for (_, path, content) in self.unchanged() {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o755)
                .open(path)?;
            file.write_all(content.as_bytes())?;
        }
        Ok(())
    }

    /// What no attempt may change.
    fn unchanged(&self) -> [(&'static str, PathBuf, String); 3] {
        [
            ("file-outside", self.bait.file(), token_line()),
            ("hook", self.bait.hook(), HOOK.to_owned()),
            ("repository-settings", self.bait.settings(), SETTINGS.to_owned()),
        ]
    }

    /// A file that has changed says so, whatever the one who tried says; and one of git's that hasn't does: it was the run's
    /// own that was written.
    fn see_changes(&self, tried: &mut [Outcome]) {
        for (name, path, content) in self.unchanged() {
            let same = fs::read_to_string(&path).is_ok_and(|now| now == content);
            for outcome in tried.iter_mut().filter(|outcome| outcome.name == name) {
                if !same {
                    outcome.refused = None;
                } else if outcome.refused.is_none() && path.starts_with(self.bait.repository()) {
                    outcome.refused =
                        Some("yours is as it was: git has a directory of the run's own inside".into());
                }
            }
        }
    }
}

fn token_line() -> String {
    format!("TOKEN={TOKEN}\n")
}

/// Removes a directory when it is let go.
struct Sweep(PathBuf);

impl Drop for Sweep {
    fn drop(&mut self) {
        // What is left lies in /tmp.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The address by which this machine reaches others.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(DOCUMENTATION).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// A server that says the token to all who come, for as long as this process lives.
fn serve(address: IpAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((address, 0))?;
    let bound = listener.local_addr()?;
    std::thread::Builder::new().spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Whether a question came or not, and whoever reads the answer.
            stream.set_read_timeout(Some(PATIENCE)).ok();
            match stream.read(&mut [0; 1024]) {
                Ok(_) | Err(_) => stream.write_all(TOKEN.as_bytes()).ok(),
            };
        }
    })?;
    Ok(bound)
}

fn shown(report: &Report) -> String {
    let attempts = report.attempts.iter().map(|line| {
        let end = match (&line.inside, &line.outside) {
            (None, _) => "it succeeded".to_owned(),
            (Some(inside), None) => format!("refused: {inside}"),
            (Some(inside), Some(_)) => format!("refused, as outside: {inside}"),
        };
        (line, end)
    });
    let works = report.works.iter().map(|line| {
        let end = line.inside.clone().unwrap_or_else(|| "works".to_owned());
        (line, end)
    });
    let mut text: String = attempts
        .chain(works)
        .map(|(line, end)| {
            let word = match line.verdict {
                Verdict::Ok => "ok    ",
                Verdict::Failed => "FAILED",
            };
            format!(
                "{word}  {}: {}\n",
                line.what,
                ui::sanitize::line_within(&end, 120)
            )
        })
        .collect();
    if !report.passed {
        text.push_str("\nDo not rely on aca here. `aca doctor` tells what this machine lacks.\n");
    }
    text
}
