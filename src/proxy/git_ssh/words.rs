//! What the user's ssh is started with. None of it is as it came: each word was read, and is written anew.

use crate::git::ssh_words::{Family, SshRequest, quote};
use std::ffi::OsString;
use std::path::Path;

/// Options that hold whatever the user's configuration says: on the command line the first word on each counts
/// (ssh_config(5)). Nothing is asked, forwarded, shared, or run beside; a host that isn't known is refused.
const OPTIONS: [&str; 9] = [
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "ControlMaster=no",
    "StrictHostKeyChecking=yes",
    "ForwardAgent=no",
    "Tunnel=no",
    "LogLevel=ERROR",
];

/// The words after the program's name.
pub(super) fn arguments(request: &SshRequest, asked: &str) -> Vec<String> {
    let mut words: Vec<String> = ["-T", "-a", "-x"].map(str::to_owned).into();
    for option in OPTIONS {
        words.extend(["-o".to_owned(), option.to_owned()]);
    }
    if request.send_protocol && protocol(asked).is_some() {
        words.extend(["-o", "SendEnv=GIT_PROTOCOL"].map(str::to_owned));
    }
    match request.family {
        Some(Family::V4) => words.push("-4".into()),
        Some(Family::V6) => words.push("-6".into()),
        None => {}
    }
    if let Some(port) = request.port {
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    if let Some(user) = &request.user {
        words.extend(["-l".to_owned(), user.clone()]);
    }
    words.extend(["--".to_owned(), request.host.clone()]);
    words.push(format!("{} {}", request.service.word(), quote(&request.path)));
    words
}

/// The repository as git takes it, for a fetch of aca's own: the port goes to ssh.
pub(super) fn url(request: &SshRequest) -> String {
    let user = request
        .user
        .as_ref()
        .map_or_else(String::new, |user| format!("{user}@"));
    let host = if request.host.contains(':') {
        format!("[{}]", request.host)
    } else {
        request.host.clone()
    };
    format!("{user}{host}:{}", request.path)
}

/// `GIT_SSH_COMMAND` for one, with the same options.
pub(super) fn command_line(program: &Path, request: &SshRequest) -> OsString {
    let mut line = OsString::from("'");
    // No path that is looked for has a quote in it but one that somebody made for this; then git finds no program.
    line.push(program);
    line.push("'");
    for word in ["-T", "-a", "-x"] {
        line.push(format!(" {word}"));
    }
    for option in OPTIONS {
        line.push(format!(" -o {option}"));
    }
    match request.family {
        Some(Family::V4) => line.push(" -4"),
        Some(Family::V6) => line.push(" -6"),
        None => {}
    }
    if let Some(port) = request.port {
        line.push(format!(" -p {port}"));
    }
    line
}

/// `GIT_PROTOCOL`, where it is one of those that git writes.
pub(super) fn protocol(text: &str) -> Option<&str> {
    matches!(text, "version=0" | "version=1" | "version=2").then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::ssh_words::parse;

    fn words(words: &[&str], protocol: &str) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        arguments(&parse(&words).unwrap(), protocol).join("|")
    }

    #[test]
    fn what_was_read_stands_behind_what_holds() {
        let all = words(
            &[
                "-o",
                "SendEnv=GIT_PROTOCOL",
                "-4",
                "-p",
                "2222",
                "git@work",
                "git-upload-pack '/acme/app.git'",
            ],
            "version=2",
        );
        assert!(all.starts_with("-T|-a|-x|-o|BatchMode=yes|"), "{all}");
        assert!(
            all.ends_with(
                "|-o|SendEnv=GIT_PROTOCOL|-4|-p|2222|-l|git|--|work|git-upload-pack '/acme/app.git'"
            ),
            "{all}"
        );
        let plain = words(&["work", "git-receive-pack 'x'"], "version=2");
        assert!(
            plain.ends_with("|LogLevel=ERROR|--|work|git-receive-pack 'x'"),
            "{plain}"
        );
    }

    #[test]
    fn p59_a_protocol_that_git_does_not_write_is_dropped() {
        for junk in ["", "version=3", "version=2:x", "version=2\n", "$(id)"] {
            assert_eq!(protocol(junk), None, "{junk:?}");
            let all = words(&["-o", "SendEnv=GIT_PROTOCOL", "h", "git-upload-pack 'x'"], junk);
            assert!(!all.contains("SendEnv"), "{all}");
        }
        assert_eq!(protocol("version=1"), Some("version=1"));
    }
}
