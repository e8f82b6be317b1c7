//! Tells the desktop of asks, by notify-send(1) where there is one: one at a time, never more often than a person can
//! take. A click answers once, for the session, or no; what is written down for ever needs `aca approve`. What begins to
//! listen inside is offered the same way.
//!
//! All that is shown of what programs inside say is a name as DNS has it (letters, digits, `-`, `_` and `.`), and numbers.

mod offers;
mod program;
mod shown;

pub(super) use offers::{Offering, start as start_offers};

use crate::proxy::{Live, Waiting};
use crate::supervise::AskAnswer;
use program::Program;
use shown::{Look, Shown};
use std::ffi::OsString;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

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

/// A desktop that can be told.
#[derive(Clone)]
pub(super) struct Desktop {
    program: Program,
    live: Arc<Live>,
}

impl Desktop {
    /// `None` where there is none.
    pub(super) fn find(live: &Arc<Live>) -> Option<Self> {
        Some(Self {
            program: Program::find()?,
            live: Arc::clone(live),
        })
    }

    /// Starts the thread that shows asks; it ends once they are closed.
    pub(super) fn start(&self) -> Option<JoinHandle<()>> {
        let desktop = self.clone();
        let thread = std::thread::Builder::new()
            .name("desktop".into())
            .stack_size(STACK);
        // Without the thread there is one channel less.
        thread.spawn(move || desktop.serve()).ok()
    }

    fn serve(&self) {
        // An older one shows no buttons, and nothing is held for its sake.
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
        Shown::has_actions(&self.program, || !self.live.asks().is_closed())
    }

    /// Shows one until it is answered, here or elsewhere. `None` when it can't be shown.
    fn show(&self, waiting: &Waiting) -> Option<()> {
        let (mut version, list) = self.live.asks().list();
        if !list.iter().any(|one| one.number == waiting.number) {
            return Some(());
        }
        let mut shown = Shown::start(&self.program, arguments(waiting))?;
        loop {
            match shown.look() {
                Look::Open => {}
                Look::Failed => return None,
                Look::Chosen(word) => {
                    let chosen = ACTIONS.iter().find(|(action, ..)| *action == word);
                    if let Some((_, _, answer)) = chosen {
                        // It may be gone by now.
                        drop(self.live.answer(waiting.number, *answer, "desktop notification"));
                    }
                    return Some(());
                }
            }
            let (now, list) = self.live.asks().watch(version, LOOK);
            version = now;
            if !list.iter().any(|one| one.number == waiting.number) {
                return Some(());
            }
        }
    }
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
    let actions = ACTIONS.map(|(action, label, _)| (action, label));
    let body = format!("{shown} (ask {})", waiting.number);
    said("A sandbox wants to connect", &body, &actions, waiting.left)
}

/// The arguments of notify-send(1) for a text with buttons.
fn said(title: &str, body: &str, actions: &[(&str, &str)], within: Duration) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        "--app-name=aca".into(),
        "--urgency=normal".into(),
        format!("--expire-time={}", within.as_millis()).into(),
    ];
    arguments.extend(
        actions
            .iter()
            .map(|(action, label)| format!("--action={action}={label}").into()),
    );
    arguments.push("--".into());
    arguments.push(title.into());
    arguments.push(plain(body).into());
    arguments
}

/// A body shows markup (the Desktop Notifications Specification, "Markup"): what means it must not, and what acts on
/// the line it stands in isn't shown as it is.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            ' '..='~' | '…' => plain.push(letter),
            _ => plain.extend(letter.escape_unicode()),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Question;

    fn waiting(host: &str) -> Waiting {
        Waiting {
            number: 3,
            question: Question {
                host: host.into(),
                port: 443,
            },
            left: Duration::from_secs(9),
            connections: 1,
            program: None,
        }
    }

    fn last(host: &str) -> String {
        let shown = arguments(&waiting(host));
        shown.last().unwrap().to_string_lossy().into_owned()
    }

    #[test]
    fn the_end_of_a_name_is_shown_and_no_option_is_made_of_it() {
        let last = last(&format!("github.com.{}.evil.test", "a".repeat(60)));
        assert!(
            last.starts_with('…') && last.ends_with(".evil.test:443 (ask 3)"),
            "{last}"
        );
        let shown = arguments(&waiting("--help.test"));
        let dashes = shown.iter().position(|word| word == "--").unwrap();
        assert_eq!(shown.len(), dashes + 3);
    }

    #[test]
    fn nothing_of_a_name_is_markup_or_acts() {
        assert_eq!(
            last("<b>x</b>&\u{1b}[2J\n"),
            r"&lt;b&gt;x&lt;/b&gt;&amp;\u{1b}[2J\u{a}:443 (ask 3)"
        );
    }
}
