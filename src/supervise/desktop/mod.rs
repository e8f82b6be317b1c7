//! Tells the desktop of asks, by notify-send(1) where there is one: one at a time, never more often than a person can
//! take. A click answers once, for the session, or no; what is written down for ever needs `aca approve`.
//!
//! The program is taken from the system's own directories and not from `PATH`, which may hold a directory that programs
//! inside can write to. All that it shows of theirs is a name as DNS has it: letters, digits, `-`, `_` and `.`.

use crate::proxy::{Live, Waiting};
use crate::supervise::AskAnswer;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Where the program may be.
const PLACES: [&str; 3] = [
    "/usr/bin/notify-send",
    "/usr/local/bin/notify-send",
    "/run/current-system/sw/bin/notify-send",
];
/// How often it is looked whether the one that is shown was answered elsewhere.
const LOOK: Duration = Duration::from_millis(300);
/// How long the thread waits for the next ask at once.
const IDLE: Duration = Duration::from_secs(60);
/// Characters of a name that are shown: its end, which decides.
const NAME_SHOWN: usize = 60;
/// The word of each answer, as notify-send prints it.
const ACTIONS: [(&str, &str, AskAnswer); 3] = [
    ("once", "Allow once", AskAnswer::Once),
    ("session", "Allow in this session", AskAnswer::Session),
    ("deny", "Deny", AskAnswer::Denied),
];
const STACK: usize = 256 << 10;

/// Starts the thread where there is a desktop to be told; it ends once the asks are closed.
pub(super) fn start(live: Arc<Live>) -> Option<JoinHandle<()>> {
    if std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_none_or(|address| address.is_empty()) {
        return None;
    }
    let is_file = |path: &&str| std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let program = PathBuf::from(PLACES.iter().find(|path| is_file(path))?);
    let desktop = Desktop { program, live };
    let thread = std::thread::Builder::new()
        .name("desktop".into())
        .stack_size(STACK);
    // Without the thread there is one channel less.
    thread.spawn(move || desktop.serve()).ok()
}

struct Desktop {
    program: PathBuf,
    live: Arc<Live>,
}

impl Desktop {
    fn serve(&self) {
        // An older one shows no buttons: then it says where to answer, and nothing is held for its sake.
        if !self.has_actions() {
            return;
        }
        let (mut seen, mut told) = (u64::MAX, 0);
        while !self.live.asks().is_closed() {
            let (version, waiting) = self.live.asks().watch(seen, IDLE);
            seen = version;
            for waiting in waiting {
                if waiting.number > told {
                    told = waiting.number;
                    if self.show(&waiting).is_none() {
                        // There is no desktop behind it.
                        return self.live.asks().undelivered();
                    }
                    // The list may be another by now.
                    seen = u64::MAX;
                }
            }
        }
    }

    fn has_actions(&self) -> bool {
        let output = self.command().arg("--help").stdin(Stdio::null()).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("--action"))
    }

    /// Shows one until it is answered, here or elsewhere. `None` when it can't be shown.
    fn show(&self, waiting: &Waiting) -> Option<()> {
        let mut child = self
            .command()
            .args(arguments(waiting))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        loop {
            if let Some(status) = child.try_wait().ok()? {
                let word = printed(&mut child);
                let chosen = ACTIONS.iter().find(|(action, ..)| *action == word.trim());
                if let Some((_, _, answer)) = chosen {
                    // It may be gone by now.
                    drop(self.live.answer(waiting.number, *answer, "desktop notification"));
                }
                return status.success().then_some(());
            }
            let (version, list) = self.live.asks().list();
            if !list.iter().any(|one| one.number == waiting.number) {
                child.kill().ok();
                child.wait().ok();
                return Some(());
            }
            drop(self.live.asks().watch(version, LOOK));
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Not of the terminal's group: its signals are for the program inside.
        command.current_dir("/").process_group(0);
        command
    }
}

/// One word; more is none of ours.
fn printed(child: &mut Child) -> String {
    let mut word = String::new();
    if let Some(out) = child.stdout.take() {
        out.take(64).read_to_string(&mut word).ok();
    }
    word
}

fn arguments(waiting: &Waiting) -> Vec<OsString> {
    let question = waiting.question.to_string();
    let length = question.chars().count();
    let shown = if length > NAME_SHOWN {
        let end: String = question.chars().skip(length - NAME_SHOWN).collect();
        format!("…{end}")
    } else {
        question
    };
    let milliseconds = waiting.left.as_millis();
    let mut arguments: Vec<OsString> = vec![
        "--app-name=aca".into(),
        "--urgency=normal".into(),
        format!("--expire-time={milliseconds}").into(),
    ];
    arguments.extend(ACTIONS.map(|(action, label, _)| format!("--action={action}={label}").into()));
    arguments.push("--".into());
    arguments.push("A sandbox wants to connect".into());
    arguments.push(format!("{shown} (ask {})", waiting.number).into());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Question;

    #[test]
    fn the_end_of_a_name_is_shown_and_no_option_is_made_of_it() {
        let waiting = |host: &str| Waiting {
            number: 3,
            question: Question {
                host: host.into(),
                port: 443,
            },
            left: Duration::from_secs(9),
            connections: 1,
        };
        let long = format!("github.com.{}.evil.test", "a".repeat(60));
        let shown = arguments(&waiting(&long));
        let last = shown.last().unwrap().to_string_lossy().into_owned();
        assert!(
            last.starts_with('…') && last.ends_with(".evil.test:443 (ask 3)"),
            "{last}"
        );
        let shown = arguments(&waiting("--help.test"));
        let dashes = shown.iter().position(|word| word == "--").unwrap();
        assert_eq!(shown.len(), dashes + 3);
    }
}
