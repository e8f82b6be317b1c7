//! Keys of the sandbox's own: made, held by an agent and used inside. None of the user's is there.

use crate::table::{Row, rows};

rows! {
    /// Its agent's socket lies beside the keys.
    gpg ["gpg", "gpgconf"] r#"
        set -e
        export GNUPGHOME=$(mktemp -d /tmp/g.XXXXXX); trap 'gpgconf --kill all; rm -r $GNUPGHOME' EXIT
        gpg --batch --quiet --passphrase '' --quick-gen-key a@example.test ed25519 2> /dev/null
        echo text > f; gpg --batch --quiet --sign f; gpg --batch --verify f.gpg 2>&1 | grep -o 'Good signature from "a@example.test"'
    "# => "Good signature from \"a@example.test\"";

    openssl ["openssl"] r"
        set -e
        openssl req -x509 -newkey rsa:2048 -nodes -keyout k.txt -out c.txt -days 1 -subj /CN=a.test 2> /dev/null; openssl verify -CAfile c.txt c.txt
    " => "c.txt: OK";
}

/// Asks for the user's name.
#[test]
fn ssh_keygen() {
    Row {
        needs: &["ssh-keygen"],
        script: "ssh-keygen -q -t ed25519 -N '' -C a@example.test -f k && cut -d' ' -f1,3 k.pub && ssh-keygen -y -f k | cut -d' ' -f1,3",
        expected: "ssh-ed25519 a@example.test\nssh-ed25519 a@example.test",
    }
    .check_named();
}

#[test]
fn ssh_agent() {
    Row {
        needs: &["ssh-keygen", "ssh-agent", "ssh-add"],
        script: r#"
            ssh-keygen -q -t ed25519 -N '' -C a@example.test -f k
            eval "$(ssh-agent -s)" > /dev/null; ssh-add -q k; ssh-add -l | grep -o 'a@example.test (ED25519)'; kill $SSH_AGENT_PID
        "#,
        expected: "a@example.test (ED25519)",
    }
    .check_named();
}

/// At its usual place the agent's socket is in the run-time directory, which is private.
#[test]
fn gpg_in_the_private_home() {
    Row {
        needs: &["gpg", "gpgconf"],
        script: r#"
            gpg --batch --quiet --passphrase '' --quick-gen-key a@example.test ed25519 2> /dev/null; gpg --list-secret-keys --with-colons 2> /dev/null | grep -c ^sec
            case $(gpgconf --list-dirs agent-socket) in /run/user/*|$HOME/*) echo private;; esac; [ -S "$(gpgconf --list-dirs agent-socket)" ] && echo socket; gpgconf --kill all
        "#,
        expected: "1\nprivate\nsocket",
    }
    .inside(&crate::table::Sides::default());
}
