//! A process that is held up at any moment, whatever signals it gets meanwhile, as on a machine with too much to do.
#![expect(unsafe_code, reason = "there is no safe way to trace a process here")]

use std::marker::PhantomData;

/// By ptrace(2), of its first thread; it goes on with the value.
pub(crate) struct Held {
    process: i32,
    /// It is the calling thread that holds it.
    thread: PhantomData<*const ()>,
}

impl Held {
    /// Holds it from now on.
    pub(crate) fn now(process: i32) -> Self {
        let held = Self {
            process,
            thread: PhantomData,
        };
        held.call(libc::PTRACE_SEIZE);
        held.call(libc::PTRACE_INTERRUPT);
        let mut status = 0;
        // SAFETY: the status is written to an integer of ours that outlives the call.
        let waited = unsafe { libc::waitpid(process, &raw mut status, libc::__WALL) };
        assert_eq!(waited, process, "{}", std::io::Error::last_os_error());
        held
    }

    fn call(&self, request: libc::c_uint) {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: the three requests that are used here take no memory of ours.
        let result = unsafe { libc::ptrace(request, self.process, none, none) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    /// Lets it go on.
    pub(crate) fn release(self) {
        self.call(libc::PTRACE_DETACH);
    }
}
