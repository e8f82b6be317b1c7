//! Runs a closure in a thread under the filter, with the supervisor's thread beside it. Filters and `no_new_privs`
//! are a thread's own, so the test itself stays free.

use aca::{
    launch::linux::seccomp::{Observation, SeccompChoice, apply},
    policy::Grant,
    supervise::{
        Emit, Event,
        notify::{self, Roots},
    },
};
use std::{
    io,
    sync::{Arc, Mutex, mpsc},
    thread,
};

#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<Event>>);

impl Emit for Events {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// Runs `body` under the filter; its result and all events. Returns only when the supervisor's thread has ended, which
/// shows that it does.
pub(crate) fn confined<T: Send + 'static>(
    grants: &[Grant],
    observe: Observation,
    body: impl FnOnce() -> T + Send + 'static,
) -> (T, Vec<Event>) {
    let choice = SeccompChoice::from_grants(grants, observe);
    let roots = if grants.contains(&Grant::NestedUserns) {
        Roots::Different
    } else {
        Roots::Same
    };
    let (pass, listener) = mpsc::channel();
    let (go, ready) = mpsc::channel::<()>();
    let worker = thread::spawn(move || {
        nix::sys::prctl::set_no_new_privs().unwrap();
        pass.send(apply(&choice).unwrap()).unwrap();
        ready.recv().unwrap();
        body()
    });
    let events = Arc::new(Events::default());
    let listener = listener.recv().unwrap();
    assert_eq!(listener.is_some(), observe != Observation::Nothing);
    let emit = Arc::clone(&events);
    let server = listener.map(|listener| notify::spawn(listener, emit, roots).unwrap());
    go.send(()).unwrap();
    let result = worker.join();
    if let Some(server) = server {
        server.join().unwrap().unwrap();
    }
    let events = std::mem::take(&mut *events.0.lock().unwrap());
    (
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        events,
    )
}

/// A bare system call; its errno, 0 when it succeeded.
pub(crate) fn errno(number: i64, args: [u64; 6]) -> i32 {
    let [a, b, c, d, e, f] = args;
    // SAFETY: callers pass arguments with which the call fails or does nothing to memory, whether it is refused or not.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 {
        io::Error::last_os_error().raw_os_error().unwrap()
    } else {
        0
    }
}
