//! The process has nothing, and what it doesn't say is a refusal.

use super::{Repository, ask_by, check_error, create};
use aca::gitcheck::{CheckError, Ending, confine};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the confined one tries, told by a variable: this test's program is started once more for it.
const TRIES: &str = "ACA_TEST_TRIES";
/// Says so where it could, and so where it couldn't.
const DONE: &[u8] = b"<done>";
const REFUSED: &[u8] = b"<refused>";

/// Not a test of its own: what [`nothing_is_in_reach`] starts.
#[test]
fn tries() {
    let Some(what) = std::env::var_os(TRIES) else {
        return;
    };
    let what = what.into_string().unwrap();
    let (free, what) = match what.strip_prefix("free ") {
        Some(what) => (true, what),
        None => (false, what.as_str()),
    };
    let (call, place) = what.split_once(' ').unwrap();
    let store = super::open_directory(&Path::new(place).join("store"));
    // The file's own thread is confined; a killed call ends the process whichever it is.
    let socket = (call == "connect").then(|| std::os::unix::net::UnixDatagram::unbound().unwrap());
    let program = std::ffi::CString::new("/bin/true").unwrap();
    if !free {
        confine(&[store]).unwrap();
    }
    let done = match call {
        "read-store" => fs::File::open(format!("{place}/store/a")).is_ok(),
        "read-outside" => fs::File::open(format!("{place}/outside")).is_ok(),
        "read-passwd" => fs::File::open("/etc/passwd").is_ok(),
        "list-root" => fs::read_dir("/").is_ok(),
        "read-proc" => fs::File::open("/proc/self/environ").is_ok(),
        "write-store" => fs::File::create(format!("{place}/store/new")).is_ok(),
        "unlink" => fs::remove_file(format!("{place}/store/a")).is_ok(),
        "socket" => std::net::UdpSocket::bind("127.0.0.1:0").is_ok(),
        "connect" => socket.unwrap().connect(format!("{place}/socket")).is_ok(),
        "fork" => Command::new("/bin/true").spawn().is_ok(),
        "exec" => {
            nix::unistd::execv(&program, &[&program]).unwrap_err();
            false
        }
        "kill" => nix::sys::signal::kill(nix::unistd::getppid(), None).is_ok(),
        "memory" => {
            let mut all = Vec::new();
            // Two gigabytes, a piece at a time.
            (0..32).all(|_| {
                let mut piece: Vec<u8> = Vec::new();
                let got = piece.try_reserve_exact(64 << 20).is_ok();
                all.push(piece);
                got
            })
        }
        other => panic!("{other}"),
    };
    // By the one descriptor that is left to write to; the end may be another's affair.
    let mut out = std::io::stdout();
    out.write_all(if done { DONE } else { REFUSED }).unwrap();
    out.flush().unwrap();
}

#[derive(Debug, PartialEq, Eq)]
enum Came {
    Done,
    Refused,
    Killed,
}

/// What becomes of a try, confined or not.
fn try_it(how: &str, place: &Path) -> Came {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "check::confined::tries",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(TRIES, format!("{how} {}", place.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = |what: &[u8]| output.stdout.windows(what.len()).any(|part| part == what);
    match (said(DONE), said(REFUSED)) {
        (true, false) => Came::Done,
        (false, true) => Came::Refused,
        (false, false) if output.status.signal() == Some(31) => Came::Killed,
        _ => panic!("{how}: {output:?}"),
    }
}

#[test]
fn nothing_is_in_reach() {
    let scratch = tempfile::tempdir().unwrap();
    let place = scratch.path();
    fs::create_dir(place.join("store")).unwrap();
    fs::write(place.join("outside"), "x").unwrap();
    let _listening = std::os::unix::net::UnixDatagram::bind(place.join("socket")).unwrap();
    for (what, expected) in [
        ("read-store", Came::Done),
        ("read-outside", Came::Refused),
        ("read-passwd", Came::Refused),
        ("list-root", Came::Refused),
        ("read-proc", Came::Refused),
        ("write-store", Came::Killed),
        ("unlink", Came::Killed),
        ("socket", Came::Killed),
        ("connect", Came::Killed),
        ("fork", Came::Killed),
        ("exec", Came::Killed),
        ("kill", Came::Killed),
        ("memory", Came::Refused),
    ] {
        fs::write(place.join("store/a"), "x").unwrap();
        assert_eq!(try_it(what, place), expected, "{what}");
        // It is the confinement that does it.
        if what != "exec" {
            assert_eq!(try_it(&format!("free {what}"), place), Came::Done, "{what}");
        }
    }
}

/// A program in the place of the real one.
fn script(place: &Path, text: &str) -> PathBuf {
    let path = place.join("program");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn what_is_no_answer_is_a_refusal() {
    let repository = Repository::new();
    let first = repository.commit("1", &[("f", "1")]);
    let mut question = repository.question();
    question.commands = vec![create(first)];
    let scratch = tempfile::tempdir().unwrap();
    let says = |text: &str| check_error(ask_by(&script(scratch.path(), text), &question, None, Vec::new()));
    assert!(matches!(says("exit 0"), CheckError::Answer(_)));
    assert!(matches!(says("exit 1"), CheckError::Ended(Ending::Code(1))));
    assert!(matches!(says("exit 3"), CheckError::NotConfined));
    assert!(matches!(
        says("kill -SEGV $$"),
        CheckError::Ended(Ending::Signal(11))
    ));
    assert!(matches!(says("echo no answer"), CheckError::Answer(_)));
    assert!(matches!(says("exec cat /dev/zero"), CheckError::Answer(_)));
    // An answer, and then a fault: what was said doesn't count.
    assert!(matches!(
        says("printf '\\0\\1\\0\\0\\0\\0\\0'; exit 1"),
        CheckError::Ended(_)
    ));
    let missing = scratch.path().join("missing");
    let error = check_error(ask_by(&missing, &question, None, Vec::new()));
    assert!(matches!(error, CheckError::Start(_)));
}

#[test]
fn it_ends_with_who_waits_for_it() {
    let repository = Repository::new();
    let question = repository.question();
    let scratch = tempfile::tempdir().unwrap();
    let told = scratch.path().join("pid");
    let program = script(
        scratch.path(),
        &format!("echo $$ > {}; exec sleep 600", told.display()),
    );
    let pid = super::block_on(async {
        let asking = Box::pin(super::check_by(Some(&program), &question, None, Vec::new()));
        let started = async {
            loop {
                match fs::read_to_string(&told) {
                    Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                    Ok(_) | Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
                }
            }
        };
        tokio::select! {
            ended = asking => panic!("{ended:?}"),
            pid = started => pid,
        }
    });
    // Neither runs nor waits to be buried.
    assert!(!Path::new("/proc").join(pid).exists());
}

#[test]
fn it_is_given_nothing() {
    let repository = Repository::new();
    let question = repository.question();
    let scratch = tempfile::tempdir().unwrap();
    let told = scratch.path().join("told");
    let text = format!(
        "(pwd; cat /proc/$$/environ | tr '\\0' '\\n' | grep -v -e ^PWD= -e ^OLDPWD= -e ^SHLVL= -e ^_=; ls /proc/$$/fd; \
         grep -e SigIgn -e SigBlk /proc/$$/status; cut -d' ' -f6 /proc/$$/stat; echo $$) > {}",
        told.display()
    );
    drop(ask_by(
        &script(scratch.path(), &text),
        &question,
        None,
        vec![repository.store()],
    ));
    let text = fs::read_to_string(told).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "/");
    // The shell's own script is at 10 or 255.
    let descriptors: Vec<&str> = lines[1..]
        .iter()
        .take_while(|line| line.parse::<u32>().is_ok())
        .copied()
        .collect();
    assert!(
        descriptors
            .iter()
            .all(|fd| ["0", "1", "2", "10", "255", "3"].contains(fd)),
        "{text}"
    );
    let ignored = text
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:\t"))
        .unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    // Rust's programs ignore it; this one ends by it.
    assert_eq!(ignored >> (13 - 1) & 1, 0, "{text}");
    // A session of its own.
    assert_eq!(lines[lines.len() - 2], lines[lines.len() - 1], "{text}");
}
