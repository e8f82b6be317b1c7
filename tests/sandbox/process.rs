//! P cases: processes and the kernel's surface.
