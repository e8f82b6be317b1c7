//! What the filter and the observation of process starts cost: the same work in threads without a filter, with the
//! filter alone, and with the supervisor's thread, in turns.
#![expect(unsafe_code, reason = "bare system calls are measured")]

use aca::{
    launch::linux::seccomp::{Observation, SeccompChoice, apply},
    supervise::{Emit, Event, notify},
};
use std::{
    io::{self, Write as _},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

#[derive(Default)]
struct Count(AtomicU64);

impl Emit for Count {
    fn emit(&self, event: Event) {
        if matches!(event, Event::ProcessStart { .. }) {
            let _before = self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

type Work = fn() -> Duration;

/// A thread that does work on demand, with or without a filter of its own.
struct Worker {
    orders: mpsc::Sender<Work>,
    results: mpsc::Receiver<Duration>,
}

impl Worker {
    fn start(observe: Option<Observation>, events: Arc<Count>) -> Self {
        let (orders, work) = mpsc::channel::<Work>();
        let (done, results) = mpsc::channel();
        let (pass, listener) = mpsc::channel();
        let _worker = thread::spawn(move || {
            let listener = observe.and_then(|observe| {
                nix::sys::prctl::set_no_new_privs().expect("no_new_privs");
                apply(&SeccompChoice::from_grants(&[], observe)).expect("filter")
            });
            pass.send(listener).expect("main thread");
            while let Ok(work) = work.recv() {
                done.send(work()).expect("main thread");
            }
        });
        if let Some(listener) = listener.recv().expect("worker") {
            let _server = notify::spawn(listener, events).expect("thread");
        }
        Self { orders, results }
    }

    fn run(&self, work: Work) -> Duration {
        self.orders.send(work).expect("worker");
        self.results.recv().expect("worker")
    }
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

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() -> io::Result<()> {
    let events = Arc::new(Count::default());
    let workers = [
        Worker::start(None, Arc::clone(&events)),
        Worker::start(Some(Observation::Unobserved), Arc::clone(&events)),
        Worker::start(Some(Observation::Observed), Arc::clone(&events)),
    ];
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:24} {:>12} {:>12} {:>12} {:>8} {:>8}",
        "median", "outside", "filter", "observed", "ratio", "ratio"
    )?;
    let table: [(&str, Work); 5] = [
        ("spawn", spawns),
        ("spawn, 5 of PATH missed", searches),
        ("1000 getppid", getppid),
        ("1000 ioctl", ioctl),
        ("1000 socket", socket),
    ];
    for (name, work) in table {
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..21 {
            for (worker, times) in workers.iter().zip(&mut times) {
                times.push(worker.run(work));
            }
        }
        let [outside, filter, observed] = times.map(median);
        let [a, b] = [filter, observed].map(|time| time.as_secs_f64() / outside.as_secs_f64());
        writeln!(
            out,
            "{name:24} {outside:>12.1?} {filter:>12.1?} {observed:>12.1?} {a:>8.3} {b:>8.3}"
        )?;
    }
    writeln!(out, "{} starts seen", events.0.load(Ordering::Relaxed))
}
