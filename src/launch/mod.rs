//! Effects: what a plan asks for is done here.
#[cfg(target_os = "linux")]
pub mod linux;
