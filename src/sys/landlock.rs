//! Which Landlock interface the kernel has: the crate computes with it, `doctor` and the plan want to say it.

/// Newest interface version, 0 without Landlock (landlock_create_ruleset(2) with `LANDLOCK_CREATE_RULESET_VERSION`).
pub(crate) fn interface_version() -> u32 {
    const VERSION: u32 = 1;
    // SAFETY: with a null pointer, size 0 and this flag the call reads no memory and makes no descriptor.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            VERSION,
        )
    };
    u32::try_from(result).unwrap_or(0)
}
