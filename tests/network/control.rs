//! The control socket of a running session: who gets an answer, and that nobody inside does.

use super::support::{Ran, World, skip};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// A shell in a session that does what it is told, line by line.
pub(crate) struct Shell {
    child: Child,
    stdin: ChildStdin,
    /// Its control socket.
    pub(crate) socket: PathBuf,
}

impl Shell {
    /// Starts it, and waits until it can be asked.
    pub(crate) fn start(world: &World, flags: &[&str]) -> Self {
        Self::start_in(world, flags, &[])
    }

    /// The same with variables.
    pub(crate) fn start_in(world: &World, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let known = sockets(world);
        let mut command = world.aca(&["run"]);
        command.args(flags).args(["--", "sh"]);
        command.envs(environment.iter().copied());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let socket = until(|| sockets(world).into_iter().find(|socket| !known.contains(socket)));
        Self { child, stdin, socket }
    }

    /// The session's id.
    pub(crate) fn id(&self) -> &str {
        self.socket.file_name().unwrap().to_str().unwrap()
    }

    /// Gives it a line to do.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(self) -> Ran {
        drop(self.stdin);
        Ran::from_output(&self.child.wait_with_output().unwrap())
    }

    /// Sends its supervisor a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills its supervisor.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The sockets that are there.
pub(crate) fn sockets(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.home.join(".local/state/aca/control"));
    let paths = entries.into_iter().flatten().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_none()).collect()
}

/// Waits for something that comes soon.
pub(crate) fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "it never came");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Asks as any program could: socket, message; prints the answer.
const ASK: &str = "import socket, sys, struct\n\
    s = socket.socket(socket.AF_UNIX); s.settimeout(30); s.connect(sys.argv[1])\n\
    m = sys.argv[2].encode()\n\
    n = int(sys.argv[3]) if len(sys.argv) > 3 else len(m)\n\
    try: s.sendall(struct.pack('>I', n) + m)\n\
    except BrokenPipeError: pass\n\
    f = s.makefile('rb'); n, = struct.unpack('>I', f.read(4)); print(f.read(n).decode())";
const STATUS: &str = r#"{"v":1,"message":"status"}"#;

fn asked(mut command: Command, arguments: &[&str]) -> Ran {
    command.args(["-c", ASK]).args(arguments);
    Ran::from_output(&command.output().unwrap())
}

#[test]
fn the_user_outside_is_answered_and_the_socket_goes_with_the_session() {
    let world = World::new();
    let shell = Shell::start(&world, &[]);
    let socket = shell.socket.to_str().unwrap().to_owned();
    let mode = |path: &std::path::Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&shell.socket), 0o600);
    assert_eq!(mode(shell.socket.parent().unwrap()), 0o700);
    let ran = asked(world.command("python3"), &[&socket, STATUS]);
    let status: serde_json::Value = serde_json::from_str(ran.ok()).unwrap();
    let status = &status["message"]["status"];
    assert_eq!(status["session"], shell.id());
    assert_eq!(status["project"], world.project.to_str().unwrap());
    for (message, length, part) in [
        ("", "4294967295", "bytes"),
        ("{}", "2", "understood"),
        (r#"{"v":9,"message":"status"}"#, "26", "version 9"),
        (
            r#"{"v":1,"message":{"status":{"deep":[[[]]]}}}"#,
            "44",
            "understood",
        ),
    ] {
        let ran = asked(world.command("python3"), &[&socket, message, length]);
        assert!(ran.ok().contains(part), "{message}: {ran:?}");
    }
    shell.end().ok();
    assert!(sockets(&world).is_empty());
}

#[test]
fn n29_a_process_in_another_user_namespace_is_not_served() {
    let world = World::new();
    let shell = Shell::start(&world, &[]);
    let socket = shell.socket.to_str().unwrap();
    let mut command = world.command("unshare");
    command.args(["-U", "python3"]);
    let ran = asked(command, &[socket, STATUS]);
    if ran.err.contains("unshare failed") {
        return skip("userns", "no user namespace for an ordinary user");
    }
    assert!(ran.ok().contains("in another user namespace"), "{ran:?}");
    shell.end().ok();
}

#[test]
fn n29_another_uid_is_not_served_even_where_it_could_connect() {
    if !rustix::process::getuid().is_root() {
        return skip("root", "another uid is taken by root alone");
    }
    let world = World::new();
    let shell = Shell::start(&world, &[]);
    let other = || {
        let mut command = Command::new("python3");
        std::os::unix::process::CommandExt::uid(&mut command, 12_399);
        command
    };
    let ran = asked(other(), &[shell.socket.to_str().unwrap(), STATUS]);
    assert!(ran.err.contains("PermissionError"), "{ran:?}");
    for above in shell.socket.ancestors().take(6) {
        std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let ran = asked(other(), &[shell.socket.to_str().unwrap(), STATUS]);
    assert!(ran.ok().contains("a process of uid 12399"), "{ran:?}");
    // Root may look into the supervisor anyway.
    let ran = asked(Command::new("python3"), &[shell.socket.to_str().unwrap(), STATUS]);
    assert!(ran.ok().contains("\"status\""), "{ran:?}");
    shell.end().ok();
}

/// By path, by /proc, by an abstract name, by a descriptor that was left open.
const LOOK: &str = r#"import glob, os, socket, stat, sys
found = []
for name in [sys.argv[1], '\0' + sys.argv[1], '\0aca', '/proc/1/root' + sys.argv[1], '/proc/self/root' + sys.argv[1]]:
    try:
        socket.socket(socket.AF_UNIX).connect(name)
        found.append(name)
    except OSError: pass
found += [line for line in open('/proc/net/unix') if 'aca' in line or sys.argv[2] in line]
for fd in glob.glob('/proc/[0-9]*/fd/*'):
    try:
        if stat.S_ISSOCK(os.stat(fd).st_mode): found.append(fd)
    except OSError: pass
for folder, folders, files in os.walk(os.path.expanduser('~/.local')):
    found += [os.path.join(folder, file) for file in files + folders if sys.argv[2] in file]
print(found)
"#;

#[test]
fn n29_the_socket_is_out_of_reach_inside() {
    for flags in [&[][..], &["--home", "host"], &["--net", "none"]] {
        let world = World::new();
        world.file("look.py", LOOK);
        let mut shell = Shell::start(&world, flags);
        let (socket, id) = (shell.socket.to_str().unwrap().to_owned(), shell.id().to_owned());
        shell.tell(&format!("python3 look.py {socket} {id}"));
        assert_eq!(shell.end().ok(), "[]", "{flags:?}");
    }
}

#[test]
fn a_killed_supervisor_leaves_no_session_that_answers() {
    let world = World::new();
    let shell = Shell::start(&world, &[]);
    let socket = shell.socket.to_str().unwrap().to_owned();
    shell.kill();
    let ran = asked(world.command("python3"), &[&socket, STATUS]);
    assert!(ran.err.contains("ConnectionRefused"), "{ran:?}");
    // Nor is it in the way of the next one.
    let next = Shell::start(&world, &[]);
    let ran = asked(world.command("python3"), &[next.socket.to_str().unwrap(), STATUS]);
    assert!(ran.ok().contains(next.id()), "{ran:?}");
    next.end().ok();
}
