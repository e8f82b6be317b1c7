//! The native backend: namespaces, mount view, Landlock and seccomp by direct calls.
pub mod seccomp;
