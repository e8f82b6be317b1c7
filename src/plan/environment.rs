//! Which variables go inside: an allow-list; everything else is dropped, and the plan says what.

use crate::facts::Facts;
use crate::policy::EnvironmentPolicy;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Never passed on at all: the dynamic loader reads them before the program's first line.
const NEVER: [&str; 2] = ["LD_*", "DYLD_*"];
/// Where programs are looked for when the caller has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `NAME=VALUE` for the program, and the names of what was dropped.
pub(super) fn environment(
    policy: &EnvironmentPolicy,
    facts: &Facts,
    directory: &Path,
) -> (Vec<Vec<u8>>, Vec<String>) {
    let mut inside: Vec<(OsString, OsString)> = Vec::new();
    let mut dropped = Vec::new();
    for (name, value) in &facts.ambient.environment {
        if name.to_str().is_some_and(|name| policy.keeps(name)) {
            put(&mut inside, name.clone(), value.clone());
        } else {
            dropped.push(name.to_string_lossy().into_owned());
        }
    }
    if !inside.iter().any(|(name, _)| name == "PATH") {
        put(&mut inside, "PATH".into(), DEFAULT_PATH.into());
    }
    put(
        &mut inside,
        "HOME".into(),
        facts.ambient.home.clone().into_os_string(),
    );
    put(&mut inside, "PWD".into(), directory.as_os_str().to_owned());
    put(
        &mut inside,
        "XDG_RUNTIME_DIR".into(),
        super::system::runtime_directory(facts).into_os_string(),
    );
    // Programs, and people, can tell that they are inside.
    put(&mut inside, "ACA".into(), "1".into());
    for (name, value) in &policy.set {
        put(&mut inside, name.into(), value.into());
    }
    dropped.sort();
    let pairs = inside
        .into_iter()
        .filter(|(name, _)| !NEVER.iter().any(|pattern| matches(pattern, name)))
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .collect();
    (pairs, dropped)
}

fn put(list: &mut Vec<(OsString, OsString)>, name: OsString, value: OsString) {
    list.retain(|(own, _)| *own != name);
    list.push((name, value));
}

fn matches(pattern: &str, name: &OsStr) -> bool {
    let name = name.as_bytes();
    if let Some(start) = pattern.strip_suffix('*') {
        name.starts_with(start.as_bytes())
    } else if let Some(end) = pattern.strip_prefix('*') {
        name.ends_with(end.as_bytes())
    } else {
        name == pattern.as_bytes()
    }
}
