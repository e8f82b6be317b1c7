//! What the filter and the observation of process starts cost: the same work in processes without a filter, with
//! the filter alone, and with the supervisor's thread, in turns.
#![expect(
    clippy::expect_used,
    reason = "a figure of a failed measurement is worth nothing"
)]
#![expect(unsafe_code, reason = "bare system calls are measured")]

use aca::{
    launch::linux::seccomp::{Observation, SeccompChoice, apply},
    supervise::{
        Emit, Event,
        notify::{self, Roots},
    },
};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};
use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Write as _},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Writes events as a log does, and counts the starts.
struct Log {
    starts: AtomicU64,
    file: Mutex<File>,
}

impl Emit for Log {
    fn emit(&self, event: Event) {
        if matches!(event, Event::ProcessStart { .. }) {
            let _before = self.starts.fetch_add(1, Ordering::Relaxed);
        }
        let mut line = serde_json::to_vec(&event).expect("JSON");
        line.push(b'\n');
        self.file.lock().expect("lock").write_all(&line).expect("write");
    }
}

/// Another process that does the work, with or without a filter of its own: the mode is its first argument, the work
/// comes by its standard input and the time goes to its standard output.
struct Worker {
    process: Child,
    results: BufReader<ChildStdout>,
}

impl Worker {
    fn start(mode: &str, events: Arc<Log>) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command
            .arg(mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let results = BufReader::new(process.stdout.take().expect("piped"));
        let mut worker = Self { process, results };
        let number = worker.answer()?;
        if number >= 0 {
            let listener = worker.descriptor(number)?;
            let _server = notify::spawn(listener, events, Roots::Same)?;
        }
        Ok(worker)
    }

    /// A descriptor of the worker's, by number.
    fn descriptor(&self, number: i64) -> io::Result<OwnedFd> {
        let pid = Pid::from_child(&self.process);
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let number = RawFd::try_from(number).map_err(io::Error::other)?;
        Ok(rustix::process::pidfd_getfd(
            pidfd,
            number,
            PidfdGetfdFlags::empty(),
        )?)
    }

    fn answer(&mut self) -> io::Result<i64> {
        let mut line = String::new();
        let _length = self.results.read_line(&mut line)?;
        line.trim().parse().map_err(io::Error::other)
    }

    fn run(&mut self, work: &str) -> io::Result<Duration> {
        let mut input = self.process.stdin.as_ref().expect("piped");
        writeln!(input, "{work}")?;
        Ok(Duration::from_nanos(self.answer()?.unsigned_abs()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _status = self.process.wait();
    }
}

/// What a worker does.
fn work(mode: &str) -> io::Result<()> {
    let observe = match mode {
        "filter" => Some(Observation::Refusals),
        "observed" => Some(Observation::Starts),
        _ => None,
    };
    let listener = observe.and_then(|observe| {
        nix::sys::prctl::set_no_new_privs().expect("no_new_privs");
        apply(&SeccompChoice::from_grants(&[], observe)).expect("filter")
    });
    let mut out = io::stdout().lock();
    writeln!(out, "{}", listener.as_ref().map_or(-1, AsRawFd::as_raw_fd))?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (_, work) = TABLE.iter().find(|(name, _)| *name == line).expect("known work");
        writeln!(out, "{}", work().as_nanos())?;
    }
    Ok(())
}

type Work = fn() -> Duration;

const TABLE: [(&str, Work); 6] = [
    ("spawn", spawns),
    ("spawn, 5 of PATH missed", searches),
    ("refused call", refusals),
    ("1000 getppid", getppid),
    ("1000 ioctl", ioctl),
    ("1000 socket", socket),
];

fn refusals() -> Duration {
    let start = Instant::now();
    for _ in 0..1000 {
        // SAFETY: the kernel refuses the call for its arguments before it looks at memory.
        let _failed = unsafe { libc::syscall(libc::SYS_init_module, 0, usize::MAX, 0) };
    }
    start.elapsed() / 1000
}

fn spawns() -> Duration {
    let start = Instant::now();
    for _ in 0..100 {
        let status = Command::new("/bin/true")
            .stdin(Stdio::null())
            .status()
            .expect("true");
        assert!(status.success());
    }
    start.elapsed() / 100
}

fn searches() -> Duration {
    let start = Instant::now();
    for _ in 0..100 {
        let mut command = Command::new("true");
        let status = command
            .env("PATH", "/a:/b:/c:/d:/e:/bin")
            .stdin(Stdio::null())
            .status()
            .expect("true");
        assert!(status.success());
    }
    start.elapsed() / 100
}

const CALLS: u32 = 200_000;

fn calls(call: impl Fn()) -> Duration {
    let start = Instant::now();
    for _ in 0..CALLS {
        call();
    }
    start.elapsed() / (CALLS / 1000)
}

fn getppid() -> Duration {
    calls(|| {
        // SAFETY: takes no arguments and touches no memory.
        let _pid = unsafe { libc::getppid() };
    })
}

fn ioctl() -> Duration {
    calls(|| {
        // SAFETY: no descriptor has this number, so nothing is written.
        let _failed = unsafe { libc::ioctl(-1, libc::FIONREAD, 0) };
    })
}

fn socket() -> Duration {
    calls(|| {
        // SAFETY: the type doesn't exist, so no descriptor is made.
        let _failed = unsafe { libc::socket(libc::AF_INET6, 0xe, 0) };
    })
}

fn lower_quartile(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 4).copied().unwrap_or_default()
}

fn main() -> io::Result<()> {
    let argument = std::env::args()
        .nth(1)
        .filter(|argument| !argument.starts_with('-'));
    if let Some(mode) = &argument
        && TABLE.iter().all(|(name, _)| name != mode)
    {
        return work(mode);
    }
    let events = Arc::new(Log {
        starts: AtomicU64::new(0),
        file: Mutex::new(tempfile::tempfile()?),
    });
    let mut workers = Vec::new();
    for mode in ["outside", "filter", "observed"] {
        workers.push(Worker::start(mode, Arc::clone(&events))?);
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:24} {:>12} {:>12} {:>12} {:>8} {:>8}",
        "lower quartile", "outside", "filter", "observed", "ratio", "ratio"
    )?;
    for (name, _) in TABLE {
        if argument.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..21 {
            for (worker, times) in workers.iter_mut().zip(&mut times) {
                times.push(worker.run(name)?);
            }
        }
        let [outside, filter, observed] = times.map(lower_quartile);
        let [a, b] = [filter, observed].map(|time| time.as_secs_f64() / outside.as_secs_f64());
        writeln!(
            out,
            "{name:24} {outside:>12.1?} {filter:>12.1?} {observed:>12.1?} {a:>8.3} {b:>8.3}"
        )?;
    }
    writeln!(out, "{} starts seen", events.starts.load(Ordering::Relaxed))
}
