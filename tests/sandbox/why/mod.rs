//! `aca why` against what a program inside can really do.

mod answers;
mod table;

use super::support::{Ran, World};
use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Tries each path and tells `read write`. A directory that is empty and closed is a mask; what was made is taken away.
const PROBE: &str = r#"
import os, stat, sys
def can(do):
    try:
        do(); return True
    except OSError:
        return False
def reads(path):
    if not os.path.exists(path): return False
    if os.path.isdir(path):
        try: names = os.listdir(path)
        except OSError: return False
        return bool(names) or writes(path)
    return can(lambda: os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK)))
def writes(path):
    if os.path.isdir(path):
        path = os.path.join(path, b"aca-probe")
    path = os.path.realpath(path)
    new = not os.path.lexists(path)
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND | (os.O_CREAT | os.O_EXCL if new else 0)
    # Directories on the way are made as well.
    made, parent = [], os.path.dirname(path)
    while not os.path.lexists(parent):
        made.append(parent); parent = os.path.dirname(parent)
    for parent in reversed(made):
        can(lambda: os.mkdir(parent))
    done = can(lambda: os.close(os.open(path, flags)))
    if done and new: os.unlink(path)
    for parent in made:
        can(lambda: os.rmdir(parent))
    return done
for line in sys.stdin:
    path = bytes.fromhex(line.strip())
    print(int(reads(path)), int(writes(path)), flush=True)
"#;

/// What the program inside can do with each path.
fn tried(world: &World, flags: &[&str], paths: &[PathBuf]) -> Vec<(bool, bool)> {
    let hex = |path: &PathBuf| {
        let bytes = path.as_os_str().as_bytes();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n"
    };
    let input: String = paths.iter().map(hex).collect();
    let ran = world.run_with_input(flags, &format!("exec python3 -c '{PROBE}'"), input.as_bytes());
    let told = results(&ran);
    assert_eq!(told.len(), paths.len(), "{ran:?}");
    told
}

/// A line for the probe.
fn hex(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits + "\n"
}

/// What the probe printed.
fn results(ran: &Ran) -> Vec<(bool, bool)> {
    ran.ok()
        .lines()
        .map(|line| (line.starts_with('1'), line.ends_with('1')))
        .collect()
}

/// What `aca why` says of one.
fn why(world: &World, flags: &[&str], target: impl AsRef<OsStr>) -> Value {
    let mut command = world.aca(&["why", "--json"]);
    let output = command.args(flags).arg(target.as_ref()).output().unwrap();
    let ran = Ran::from_output(&output);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        ran.code,
        i32::from(!answer["allowed"].as_bool().unwrap()),
        "{ran:?}"
    );
    answer
}

fn judged<'a>(answer: &'a Value, action: &str) -> &'a Value {
    let judged = answer["judged"].as_array().unwrap();
    judged.iter().find(|judged| judged["action"] == action).unwrap()
}

fn allowed(answer: &Value, action: &str) -> bool {
    judged(answer, action)["allowed"].as_bool().unwrap()
}

/// Every path agrees; gives the answers.
#[track_caller]
fn agree(world: &World, flags: &[&str], paths: &[PathBuf]) -> Vec<Value> {
    // One run first, so that what runs make once is there.
    let _ = world.run(flags, "true").ok();
    let answers: Vec<Value> = paths.iter().map(|path| why(world, flags, path)).collect();
    let mut wrong = String::new();
    for ((path, answer), (read, write)) in paths.iter().zip(&answers).zip(tried(world, flags, paths)) {
        let there = answer["path"]["exists"].as_bool().unwrap();
        let told = (there && allowed(answer, "read"), allowed(answer, "write"));
        if told != (read, write) {
            wrong.push_str(&format!(
                "{path:?}: told {told:?}, is {:?}: {answer}\n",
                (read, write)
            ));
        }
    }
    assert_eq!(wrong, "");
    answers
}

fn below(base: &Path, names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| base.join(name)).collect()
}
