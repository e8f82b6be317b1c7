//! A user with an account and repositories on a forge that is reached over https: a real `git http-backend` behind Basic
//! authentication in TLS, on loopback, as `forge.test`. The user's password there is `s3cr3t`.

use super::account::Account;
use super::support::{Ran, World, has};
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const SERVER: &str = include_str!("forge.js");
/// The password, and what is sent of it.
const SECRETS: [&str; 3] = ["s3cr3t", "YWxpY2U6czNjcjN0", "733363723374"];

/// All of it; the server ends with the value.
pub(crate) struct Forge {
    /// With `acme/app`, `acme/lib`, `other/secret`, `public/tool`.
    account: Account,
    server: Child,
    port: u16,
    /// Where the server is: its log, its certificates, how it behaves.
    directory: PathBuf,
}

impl Forge {
    /// `None`, and a skip, where that can't be. The project's remote is `acme/app`, and git's own store has the password.
    pub(crate) fn new() -> Option<Self> {
        let forge = Self::of("h1")?;
        forge.store("https://alice:s3cr3t@forge.test\n");
        Some(forge)
    }

    /// The same with HTTP/2 (`h2`) or without (`h1`), and without a credential.
    pub(crate) fn of(kind: &str) -> Option<Self> {
        if !["node", "openssl", "git"].into_iter().all(has) {
            return None;
        }
        let world = World::new();
        let directory = world.directory(world.outside.join("forge"));
        let repositories = world.directory(directory.join("srv"));
        let make = "set -e; ec='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
            openssl req -x509 $ec -days 3 -keyout ca.key -out ca.pem -subj '/CN=forge authority' 2>&1
            openssl req $ec -keyout key.pem -out leaf.csr -subj '/CN=leaf' 2>&1
            printf 'subjectAltName=DNS:forge.test,DNS:other.test\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' > ext
            openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem 2>&1";
        let mut command = world.command("sh");
        let made = command
            .args(["-c", make])
            .current_dir(&directory)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        world.file(directory.join("server.js"), SERVER);
        for name in ["log", "fields", "mode", "connections"] {
            world.file(directory.join(name), "");
        }
        let mut server = world
            .command("node")
            .args(["server.js", kind])
            .arg(&repositories)
            .current_dir(&directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let forge = Self {
            account: Account { world, repositories },
            server,
            port: line.trim().parse().unwrap(),
            directory,
        };
        for name in ["acme/app", "acme/lib", "other/secret", "public/tool"] {
            let bare = forge.make(name, 3);
            forge
                .world
                .git(&bare, &["config", "uploadpack.allowFilter", "true"]);
        }
        forge.begin("https://forge.test/acme/app.git");
        Some(forge)
    }

    /// Gives the user git's own store of credentials, with these.
    pub(crate) fn store(&self, lines: &str) {
        self.gitconfig("[credential]\n\thelper = store\n");
        self.world.file(self.world.home.join(".git-credentials"), lines);
    }

    /// The user's own configuration of git.
    pub(crate) fn gitconfig(&self, text: &str) {
        self.world.file(self.world.home.join(".gitconfig"), text);
    }

    /// The user's own configuration of aca.
    pub(crate) fn config(&self, text: &str) {
        self.world
            .file(self.world.home.join(".config/aca/config.toml"), text);
    }

    /// A program of the user's, outside of what any sandbox is given.
    pub(crate) fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.world.outside.join("bin").join(name);
        let path = self.world.file(path, format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Who vouches for the server, PEM.
    pub(crate) fn authority(&self) -> String {
        fs::read_to_string(self.directory.join("ca.pem")).unwrap()
    }

    /// How the server behaves from now on.
    pub(crate) fn mode(&self, mode: &str) {
        self.world.file(self.directory.join("mode"), mode);
    }

    /// `aca run`, not started yet.
    pub(crate) fn command(&self, flags: &[&str], script: &str) -> Command {
        let mut command = self.bare(flags);
        command.args(["--", "sh", "-c", &searched(script)]);
        command
    }

    /// The same of whatever the words say, without a look for the password.
    pub(crate) fn bare(&self, words: &[&str]) -> Command {
        let resolve = format!("forge.test=127.0.0.1:{}", self.port);
        let mut command = self.world.aca(&["run", "--resolve", &resolve]);
        command
            .args(words)
            .env("SSL_CERT_FILE", self.directory.join("ca.pem"));
        command
    }

    /// How many connections the server holds open that it has been asked for a pack by, or sent one, and doesn't answer.
    pub(crate) fn held(&self) -> u32 {
        let text = fs::read_to_string(self.directory.join("held")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// `aca run`, with what every run has to hold: nothing of the password is printed, logged, or seen anywhere inside.
    pub(crate) fn run(&self, flags: &[&str], script: &str) -> Ran {
        self.finish(&mut self.command(flags, script))
    }

    /// The same where the script itself knows the password.
    pub(crate) fn run_anyhow(&self, flags: &[&str], script: &str) -> Ran {
        Ran::from_output(&self.command(flags, script).output().unwrap())
    }

    /// The same of a command that was made ready.
    pub(crate) fn finish(&self, command: &mut Command) -> Ran {
        let ran = Ran::from_output(&command.output().unwrap());
        self.holds(&ran);
        ran
    }

    /// Nothing of the password is in what was printed and logged.
    #[track_caller]
    pub(crate) fn holds(&self, ran: &Ran) {
        assert!(!ran.out.contains("LEAK"), "{ran:?}");
        let logged = fs::read_dir(self.world.sessions())
            .into_iter()
            .flatten()
            .flatten();
        let logged = logged.flat_map(|entry| fs::read_to_string(entry.path()).ok());
        let printed = [ran.out.clone(), ran.err.clone()];
        for text in printed.into_iter().chain(logged) {
            for secret in SECRETS {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }

    /// What the server was asked for, one line a request; it is forgotten then.
    pub(crate) fn asked(&self) -> Vec<String> {
        let path = self.directory.join("log");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, "").unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The fields of all requests so far.
    pub(crate) fn fields(&self) -> String {
        fs::read_to_string(self.directory.join("fields")).unwrap()
    }

    /// Which connection each request came by, in whose name, and for what.
    pub(crate) fn connections(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.join("connections")).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

/// A script, and a look for the password wherever a program inside can look.
fn searched(script: &str) -> String {
    let patterns: Vec<String> = SECRETS
        .iter()
        // Not in the script's own words.
        .map(|secret| secret.chars().map(|letter| format!("[{letter}]")).collect())
        .map(|pattern: String| format!("-e '{pattern}'"))
        .collect();
    format!(
        "({script}); code=$?; if grep -rqs {} ~ /tmp /run /.aca /proc/self/environ /proc/[0-9]*/environ \
         /proc/[0-9]*/cmdline; then echo LEAK; fi; exit $code",
        patterns.join(" ")
    )
}

impl Deref for Forge {
    type Target = Account;

    fn deref(&self) -> &Account {
        &self.account
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
