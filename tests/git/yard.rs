//! A user with an account, ssh and repositories on a server: a real sshd on loopback, run as the same ordinary user. The
//! calling thread, and what it starts from then on, has a user database of its own, since ssh asks it for the user.

use super::account::Account;
use super::support::{Ran, World, has, installed, skip, uid};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::net::TcpListener;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The user's name, here and on the server.
pub(crate) const USER: &str = "git";
/// The server in the user's configuration of ssh: an alias, for a port that isn't 22.
pub(crate) const ALIAS: &str = "forge";

/// All of it; the server ends with the value.
pub(crate) struct Yard {
    /// With `acme/app`, `acme/lib`, `other/secret`.
    account: Account,
    server: Child,
    /// A line of the private key.
    pub(crate) secret: String,
    log: PathBuf,
}

impl Yard {
    /// `None`, and a skip, where that can't be.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::getuid().is_root() {
            skip("root", "a user database of its own needs it");
            return None;
        }
        if !["sshd", "ssh", "ssh-keygen", "git"].into_iter().all(has) {
            return None;
        }
        let world = World::new();
        let passwd = world.outside.join("passwd");
        let line = format!("{USER}:x:{0}:{0}::{1}:/bin/sh\n", uid(), world.home.display());
        fs::write(&passwd, format!("root:x:0:0:root:/root:/bin/sh\n{line}")).unwrap();
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some(&passwd), "/etc/passwd", none, MsFlags::MS_BIND, none).unwrap();
        let repositories = world.directory(world.outside.join("srv"));
        let (key, host_key) = (world.home.join(".ssh/id_test"), world.outside.join("host_key"));
        world.directory(world.home.join(".ssh"));
        for (file, comment) in [(&key, "user"), (&host_key, "host")] {
            let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"];
            let mut command = world.command("ssh-keygen");
            let output = command.args(arguments).arg(file).output().unwrap();
            Ran::from_output(&output).ok();
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let public = fs::read_to_string(host_key.with_extension("pub")).unwrap();
        world.file(
            world.home.join(".ssh/known_hosts"),
            format!("[127.0.0.1]:{port} {public}"),
        );
        world.file(
            world.home.join(".ssh/config"),
            format!(
                "Host {ALIAS} stranger\n  HostName 127.0.0.1\n  Port {port}\n  User {USER}\n  IdentityFile ~/.ssh/id_test\n  \
                 IdentitiesOnly yes\nHost stranger\n  UserKnownHostsFile /dev/null\n"
            ),
        );
        let log = world.file(world.outside.join("log"), "");
        let serve = world.file(
            world.outside.join("serve"),
            format!(
                "#!/bin/sh\necho \"$SSH_ORIGINAL_COMMAND [$GIT_PROTOCOL]\" >> {}\ncd {} || exit 1\n\
                 path=${{SSH_ORIGINAL_COMMAND#*\\'}}; path=${{path%\\'}}; path=${{path#/}}\n\
                 [ -e slow ] && sleep 600\n\
                 case $SSH_ORIGINAL_COMMAND in git-upload-pack*|git-receive-pack*) \
                 exec ${{SSH_ORIGINAL_COMMAND%% *}} \"${{path%.git}}.git\";; esac\nexit 9\n",
                log.display(),
                repositories.display(),
            ),
        );
        fs::set_permissions(&serve, fs::Permissions::from_mode(0o755)).unwrap();
        let configuration = world.file(
            world.outside.join("sshd_config"),
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nUsePAM no\nPidFile none\n\
                 StrictModes no\nPasswordAuthentication no\nAcceptEnv GIT_PROTOCOL\nForceCommand {}\nLogLevel ERROR\n",
                host_key.display(),
                key.with_extension("pub").display(),
                serve.display(),
            ),
        );
        let server = world
            .command(installed("sshd").unwrap())
            .args(["-D", "-e", "-f"])
            .arg(configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let secret = fs::read_to_string(&key)
            .unwrap()
            .lines()
            .nth(2)
            .unwrap()
            .to_owned();
        let yard = Self {
            account: Account { world, repositories },
            server,
            secret,
            log,
        };
        for name in ["acme/app", "acme/lib", "other/secret"] {
            yard.make(name, 1);
        }
        yard.begin("git@forge:acme/app.git");
        until(|| std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Some(yard)
    }

    /// `aca run`, with what every run has to hold: no byte of the key is printed, nor seen anywhere inside, and no way to
    /// an agent is.
    pub(crate) fn run(&self, flags: &[&str], script: &str) -> Ran {
        let search = format!(
            "if grep -rqs -e '{0}' ~ /tmp /run /.aca /etc/ssh /proc/self/environ /proc/[0-9]*/environ /proc/[0-9]*/cmdline; \
             then echo LEAK; fi; [ -z \"$SSH_AUTH_SOCK\" ] || echo LEAK; [ -e ~/.ssh/id_test ] && echo LEAK",
            // Not in the script's own words.
            self.secret
                .chars()
                .map(|letter| format!("[{letter}]"))
                .collect::<String>(),
        );
        let ran = self
            .world
            .run(flags, &format!("({script}); code=$?; {search}; exit $code"));
        assert!(!ran.out.contains("LEAK"), "{ran:?}");
        assert!(!ran.out.contains(&self.secret) && !ran.err.contains(&self.secret));
        ran
    }

    /// Nothing that the server got has a byte of the key.
    pub(crate) fn holds_no_key(&self) {
        let mut search = self.world.command("grep");
        search
            .args(["-rqsF", "-e", &self.secret])
            .arg(&self.repositories)
            .arg(&self.log);
        assert_eq!(search.status().unwrap().code(), Some(1), "the server got the key");
    }

    /// What the server was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl Deref for Yard {
    type Target = Account;

    fn deref(&self) -> &Account {
        &self.account
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// Waits for something, not for ever.
#[track_caller]
pub(crate) fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}
