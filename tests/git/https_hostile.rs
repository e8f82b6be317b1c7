//! Who would have requests of git's answered that nobody judged: another process, and a client that hides one in another. The
//! numbers are those of the scenarios that the proxy was specified with.

use super::forge::Forge;
use super::support::has;
use super::yard::until;
use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

const OPEN: [&str; 2] = ["--git-fetch", "https://forge.test/acme/app"];

/// There is no token of a session's that could be missing: nothing but what runs in the sandbox has a way to its proxy.
#[test]
fn g16_nobody_else_has_a_way_to_the_proxy() {
    let Some(forge) = Forge::new() else { return };
    let world = &forge.world;
    let mut child = forge
        .command(
            &OPEN,
            "git ls-remote origin > refs; until [ -e end ]; do sleep 0.02; done",
        )
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let refs = world.project.join("refs");
    until(|| {
        fs::read_to_string(&refs)
            .is_ok_and(|refs| refs.contains("main"))
            .then_some(())
    });
    forge.asked();
    // No socket of the one that has the credential listens in the host's network.
    let listening: BTreeSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .flat_map(|table| {
            fs::read_to_string(table)
                .unwrap_or_default()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter(|words| words.get(3).is_some_and(|state| state == "0A"))
        .map(|words| format!("socket:[{}]", words[9]))
        .collect();
    assert!(!listening.is_empty(), "the server's own at least");
    let descriptors = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
    let own: Vec<String> = descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|link| link.display().to_string())
        .collect();
    assert!(own.iter().any(|link| link.starts_with("socket:")), "{own:?}");
    assert!(own.iter().all(|link| !listening.contains(link)), "{own:?}");
    // Nor is there anything at the addresses that git inside knows.
    for proxy in ["http://198.18.255.254:3128", "socks5h://198.18.255.254:1080"] {
        let mut git = world.command("timeout");
        git.args(["10", "git", "-c"])
            .arg(format!("http.proxy={proxy}"))
            .args([
                "-c",
                "http.sslVerify=false",
                "ls-remote",
                "https://forge.test/acme/app",
            ])
            .env("GIT_TERMINAL_PROMPT", "0");
        assert!(!git.output().unwrap().status.success());
    }
    assert_eq!(forge.asked(), [""; 0]);
    world.file("end", "");
    assert!(child.wait().unwrap().success());
}

/// Sends bytes in TLS, over HTTP/1.1 and HTTP/2, and shows the status of each answer.
const RAW: &str = r"
import socket, ssl, struct, sys
HIDDEN = b'GET /other/secret.git/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: forge.test\r\n\r\n'
def connect(protocol, patience=3):
    c = ssl.create_default_context(); c.set_alpn_protocols([protocol])
    s = c.wrap_socket(socket.create_connection(('forge.test', 443), 20), server_hostname='forge.test')
    s.settimeout(patience)
    return s
def old(fields, body):
    s = connect('http/1.1')
    s.sendall(b'POST /acme/app.git/git-upload-pack HTTP/1.1\r\nHost: forge.test\r\n'
              b'Content-Type: application/x-git-upload-pack-request\r\n' + fields + b'\r\n\r\n' + body)
    got = b''
    try:
        while d := s.recv(65536): got += d
    except OSError: pass
    return [line.split()[1].decode() for line in got.split(b'\r\n') if line.startswith(b'HTTP/1.1')]
def frame(kind, flags, data): return struct.pack('>I', len(data))[1:] + bytes([kind, flags]) + struct.pack('>I', 1) + data
def setting(flags): return b'\0\0\0\4' + bytes([flags]) + b'\0\0\0\0'
def field(name, value):
    return b'\0' + bytes([len(name)]) + name + (bytes([len(value)]) if len(value) < 127 else b'\x7f' + bytes([len(value) - 127])) + value
def new(method, path, fields, body, *patience):
    s = connect('h2', *patience)
    if s.selected_alpn_protocol() != 'h2': sys.exit('no HTTP/2')
    head = [(b':method', method), (b':scheme', b'https'), (b':authority', b'forge.test'), (b':path', path), *fields]
    s.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + setting(0) + frame(1, 4, b''.join(field(*one) for one in head)) + frame(0, 1, body))
    got, status = b'', 'refused'
    try:
        while True:
            while len(got) >= 9 and len(got) >= 9 + int.from_bytes(got[:3], 'big'):
                size, kind = int.from_bytes(got[:3], 'big'), got[3]
                payload, got = got[9:9 + size], got[9 + size:]
                # Of the static table (RFC 7541): 8 is `:status: 200`.
                if kind == 1: return 'taken' if payload[:1] == b'\x88' else 'refused'
                if kind in (3, 7): return 'refused'
            d = s.recv(65536)
            if not d: return status
            got += d
    except OSError: return status
";

/// A request whose end two readers would see in two places is refused, or written anew with the one that counts (RFC 9112,
/// section 6.3): what follows is judged by itself. So is one of HTTP/2 that would be two in HTTP/1.1.
#[test]
fn g52_no_request_is_hidden_in_another() {
    for kind in ["h1", "h2"] {
        let Some(forge) = Forge::of(kind) else { return };
        if !has("python3") {
            return;
        }
        forge.store("https://alice:s3cr3t@forge.test\n");
        let script = format!(
            "{RAW}
END = b'0\\r\\n\\r\\n'
for fields in [b'Content-Length: 5\\r\\nTransfer-Encoding: chunked', b'Transfer-Encoding: chunked\\r\\nContent-Length: 5',
    b'Content-Length: 5\\r\\nContent-Length: %d' % (5 + len(HIDDEN)), b'Content-Length: 5, 6', b'Content-Length: +5', b'Content-Length: 0x5',
    b'Transfer-Encoding: xchunked\\r\\nContent-Length: 5', b'Transfer-Encoding: chunked, identity', b'Transfer-Encoding: identity, chunked',
    b'Transfer-Encoding : chunked', b'Transfer-Encoding:\\x0bchunked', b'X: y\\r\\n Transfer-Encoding: chunked\\r\\nContent-Length: 5',
    b'Transfer-Encoding: chunked\\r\\nTransfer-Encoding: identity']:
    said = old(fields, END + HIDDEN)
    if said not in ([], ['400'], ['403'], ['200'], ['200', '403'], ['403', '403']): print('old', fields, said)
for body in [b'5\\n00000' + END, b'-1\\r\\n' + END, b'ffffffffffffffff1\\r\\n0' + END, b'5;\\n\\r\\n00000\\r\\n' + END]:
    said = old(b'Transfer-Encoding: chunked', body + HIDDEN)
    if '200' in said: print('chunks', body, said)
REFS = b'/acme/app.git/info/refs?service=git-upload-pack'
POST = b'/acme/app.git/git-upload-pack'
KIND = (b'content-type', b'application/x-git-upload-pack-request')
for method, path, fields, body in [(b'POST', POST, [KIND, (b'content-length', b'0')], HIDDEN),
    (b'POST', POST, [KIND, (b'content-length', b'500')], b'0000'), (b'POST', POST, [KIND, (b'transfer-encoding', b'chunked')], END + HIDDEN),
    (b'GET', REFS + b' HTTP/1.1\\r\\nHost: forge.test\\r\\n\\r\\n' + HIDDEN[:60], [], b''), (b'GET', REFS, [(b'x', b'y\\r\\n\\r\\n' + HIDDEN[:60])], b''),
    (b'GET', REFS, [(b'x\\r\\ny', b'z')], b''), (b'GET', REFS, [(b'host', b'other.test')], b''), (b'GET', REFS, [(b'connection', b'x')], b'')]:
    said = new(method, path, fields, body)
    if said != 'refused': print('new', path, fields, said)
print(new(b'GET', REFS, [], b'', 60))
"
        );
        forge.world.file("raw.py", script);
        let ran = forge.run(&OPEN, "python3 raw.py && git ls-remote origin | wc -l");
        // Who speaks HTTP/2 has a server that does: no request is put from one version into the other.
        let last = if kind == "h1" {
            "refused\n2\n"
        } else {
            "taken\n2\n"
        };
        assert_eq!(ran.out, last, "{kind}: {ran:?}");
        let asked = forge.asked();
        // What follows, judged by itself, is asked for in nobody's name: no rule names it.
        let is_known = |line: &String| {
            line.starts_with("GET /acme/app")
                || line.starts_with("POST /acme/app.git/git-upload-pack")
                || line.contains(" nobody ")
        };
        assert!(asked.iter().all(is_known), "{kind}: {asked:?}");
    }
}
