//! A proxy outside that all goes through, as a company's network has it: N27.

use super::assert_refused;
use super::lab::Lab;
use super::servers::{Server, Tls, certify};
use super::support::{Ran, World, has};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// A small proxy: CONNECT, and requests with a URL; with a password where one is given. Names in `.test` lead to
/// loopback, at the ports that it is told of. What it is asked is printed.
const PROXY: &str = r#"
import base64, socket, socketserver, ssl, sys, threading
password, ports, cert = sys.argv[1], dict(p.split('=') for p in sys.argv[2].split(',')), sys.argv[3:]
def pump(a, b):
    try:
        while True:
            data = a.recv(65536)
            if not data: break
            b.sendall(data)
    except OSError: pass
    try: b.shutdown(socket.SHUT_WR)
    except OSError: pass
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        head = b''
        while b'\r\n\r\n' not in head:
            data = self.request.recv(65536)
            if not data: return
            head += data
        head, rest = head.split(b'\r\n\r\n', 1)
        lines = head.decode().split('\r\n')
        method, target, _ = lines[0].split(' ')
        fields = {k.lower(): v for k, v in (line.split(': ', 1) for line in lines[1:])}
        wanted = 'Basic ' + base64.b64encode(password.encode()).decode()
        if password and fields.get('proxy-authorization') != wanted:
            print('407', method, target, flush=True)
            self.request.sendall(b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n')
            return
        print(method, target, flush=True)
        authority = target if method == 'CONNECT' else target.split('/')[2]
        host, _, port = authority.partition(':')
        if host == 'refused.test':
            self.request.sendall(b'HTTP/1.1 403 Not from here\r\nContent-Length: 0\r\n\r\n')
            return
        s = socket.create_connection(('127.0.0.1', int(ports[port or '80'])), 20)
        if method == 'CONNECT':
            self.request.sendall(b'HTTP/1.1 200 Fine\r\nVia: test\r\n\r\n')
            s.sendall(rest)
        else:
            lines = [l for l in lines if not l.lower().startswith('proxy-')]
            lines[0] = f'{method} /{target.split("/", 3)[3]} HTTP/1.1'
            s.sendall('\r\n'.join(lines).encode() + b'\r\n\r\n' + rest)
        other = threading.Thread(target=pump, args=(s, self.request), daemon=True)
        other.start()
        pump(self.request, s)
        other.join()
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    def get_request(self):
        s, a = self.socket.accept()
        if cert:
            c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            c.load_cert_chain(*cert)
            s = c.wrap_socket(s, server_side=True)
        return s, a
server = Server(('127.0.0.1', 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// The proxy, and what it was asked.
struct Proxy {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    child: Child,
}

impl Proxy {
    /// Starts one; `ports` as `80=1234,443=1235`.
    fn start(password: &str, ports: &str) -> Self {
        Self::start_with(password, ports, &[])
    }

    /// The same, in TLS with a certificate and its key.
    fn start_with(password: &str, ports: &str, certificate: &[&Path]) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", PROXY, password, ports])
            .args(certificate)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                shared.lock().unwrap().push(line);
            }
        });
        Self { port, seen, child }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// `aca run FLAGS -- sh -c SCRIPT` with variables outside.
fn run(world: &World, variables: &[(&str, &str)], flags: &[&str], script: &str) -> Ran {
    let mut command = world.aca(&["run"]);
    command
        .args(flags)
        .args(["--", "sh", "-c", script])
        .envs(variables.iter().copied());
    Ran::from_output(&command.output().unwrap())
}

fn configure(world: &World, text: &str) {
    world.file(world.home.join(".config/aca/config.toml"), text);
}

#[test]
fn n27_all_goes_through_the_proxy_of_the_users_variables_with_its_password() {
    if !has("openssl") || !has("python3") {
        return;
    }
    let Some(_lab) = Lab::enter() else { return };
    let (world, plain, tls) = (World::new(), Server::http(), Tls::start());
    let proxy = Proxy::start(
        "us:s3cr:t",
        &format!("80={},443={},7777={}", plain.port, tls.port, plain.port),
    );
    world.file("ca.pem", &tls.certificate);
    let url = format!("http://us:s3cr%3At@127.0.0.1:{}", proxy.port);
    let script = "env | grep -i -e proxy -e 's3c[r]'; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | grep -a -c 's3c[r]'; \
                  curl -sS -m 20 http://a.test/x; echo; curl -sS -m 20 http://a.test/y -d body http://a.test/z; echo; \
                  curl -sS -m 20 --cacert ca.pem https://b.test/y; \
                  curl -sS -m 20 -x http://198.18.255.254:3128 http://a.test/p; echo; \
                  curl -sS -m 20 -p -x http://198.18.255.254:3128 http://a.test/q; echo; \
                  curl -sS -m 20 --socks5-hostname 198.18.255.254:1080 --cacert ca.pem https://a.test/s; \
                  curl -sS -m 20 http://a.test:7777/t";
    let allow = [
        "--net",
        "listed",
        "--allow",
        "a.test",
        "--allow",
        "b.test",
        "--allow",
        "a.test:7777",
    ];
    let ran = run(
        &world,
        &[("HTTPS_PROXY", &url), ("http_proxy", &url), ("ALL_PROXY", &url)],
        &allow,
        script,
    );
    // The proxy of the test turns the first URL of a connection into a path; the second one goes as it was sent to it.
    assert_eq!(
        ran.ok(),
        "0\nok a.test GET /x \nok a.test POST /y bodyok a.test POST http://a.test/z body\ntls b.test b.test /y\nok a.test GET /p \n\
         ok a.test GET /q \ntls a.test a.test /s\nok a.test:7777 GET /t ",
        "{ran:?}"
    );
    assert_eq!(
        proxy.seen(),
        [
            "GET http://a.test/x",
            "POST http://a.test/y",
            "CONNECT b.test:443",
            "GET http://a.test/p",
            "GET http://a.test/q",
            "CONNECT a.test:443",
            "GET http://a.test:7777/t",
        ]
    );
    assert_eq!(plain.seen().first().unwrap(), "GET /x a.test");
    let log = world
        .command("grep")
        .args(["-r", "s3cr"])
        .arg(world.home.join(".local"))
        .output()
        .unwrap();
    assert_eq!(log.status.code(), Some(1), "{log:?}");
    for event in world.events_of("connection") {
        assert_eq!(
            event["via"]["proxy"],
            format!("http://127.0.0.1:{}", proxy.port),
            "{event}"
        );
        // No name server that is seen from here knows these names.
        assert_eq!(event["via"]["checked"], false, "{event}");
    }
    let degraded: Vec<_> = world
        .events_of("degraded")
        .into_iter()
        .filter(|event| event.to_string().contains("can't be checked"))
        .collect();
    assert_eq!(degraded.len(), 1, "{degraded:?}");
}

#[test]
fn n27_what_the_policy_denies_never_gets_to_the_proxy() {
    let Some(_lab) = Lab::enter() else { return };
    let (world, server) = (World::new(), Server::http());
    let proxy = Proxy::start("", &format!("80={},443={}", server.port, server.port));
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let ran = run(
        &world,
        &[("ALL_PROXY", &url)],
        &["--net", "listed", "--allow", "a.test"],
        &format!(
            "curl -sS -m 20 http://b.test/; curl -sS -m 20 -o /dev/null -w '%{{http_code}}\\n' -H 'Host: b.test' http://a.test/; \
             curl -sS -m 20 -o /dev/null -w '%{{http_code}}\\n' http://127.0.0.1:{}/; \
             curl -sS -m 20 -o /dev/null -w '%{{http_code}}\\n' -H 'Proxy-Authorization: Basic eDp5' http://a.test/",
            proxy.port
        ),
    );
    assert_eq!(ran.out, "403\n000\n200\n", "{ran:?}");
    assert_eq!(proxy.seen(), ["GET http://a.test/"]);
    assert_refused(&world, &[("a.test:80", "`b.test` is not")]);
}

#[test]
fn n27_a_proxy_that_refuses_is_told_of() {
    let Some(_lab) = Lab::enter() else { return };
    let (world, server) = (World::new(), Server::http());
    let ports = format!("80={0},443={0}", server.port);
    let proxy = Proxy::start("u:right", &ports);
    let script = "curl -sS -m 20 http://a.test/; curl -sS -m 20 -x http://198.18.255.254:3128 http://a.test/; \
                  curl -sS -m 20 -x http://198.18.255.254:3128 https://a.test/ -o /dev/null -w '%{http_connect}\\n' 2>/dev/null";
    for (credentials, wanted) in [
        ("", "asks for a user name and a password (407)"),
        (
            "u:wrong@",
            "refuses the user name and password that it was given (407)",
        ),
    ] {
        configure(
            &world,
            &format!(
                "network = {{ preset = 'listed', allow = ['a.test'], upstream_proxy = 'http://{credentials}127.0.0.1:{}' }}\n",
                proxy.port
            ),
        );
        let ran = world.run(&[], script);
        assert_eq!(ran.out.matches(wanted).count(), 2, "{ran:?}");
        assert!(
            ran.out.ends_with("502\n") && !ran.out.contains("wrong"),
            "{ran:?}"
        );
        let events = world.events_of("connection");
        assert!(
            events.len() == 3
                && events
                    .iter()
                    .all(|event| event["failed"].as_str().unwrap().contains("407")),
            "{events:?}"
        );
        let shown = Ran::from_output(&world.aca(&["config"]).output().unwrap());
        let line = format!("network.upstream_proxy = \"http://127.0.0.1:{}\"", proxy.port);
        assert!(
            shown.ok().contains(&line) && !shown.out.contains("wrong"),
            "{shown:?}"
        );
    }
    let open = Proxy::start("", &ports);
    configure(
        &world,
        "network = { preset = 'listed', allow = ['refused.test'], upstream_proxy = 'env:CORP' }\n",
    );
    let url = format!("http://127.0.0.1:{}", open.port);
    let ran = run(
        &world,
        &[("CORP", &url)],
        &[],
        "curl -sS -m 20 -x http://198.18.255.254:3128 https://refused.test/ 2>&1; curl -sS -m 20 http://refused.test/ -w '%{http_code}'",
    );
    assert!(ran.out.contains("502") && ran.out.ends_with("403"), "{ran:?}");
    let events = world.events_of("connection");
    assert!(
        events[0]["failed"]
            .as_str()
            .unwrap()
            .contains("refuses refused.test:443: 403 Not from here"),
        "{events:?}"
    );
    let ran = run(&world, &[], &[], "echo ran");
    assert!(
        ran.code == 125 && ran.err.contains("CORP, which is not set"),
        "{ran:?}"
    );
}

#[test]
fn n27_exceptions_and_none_go_directly() {
    let Some(lab) = Lab::enter() else { return };
    let (world, server, outside) = (World::new(), Server::http(), Server::http_at("5.5.1.1:80"));
    for name in ["x.b.test", "b.test", "c.test"] {
        lab.address(name, "5.5.1.1");
    }
    let proxy = Proxy::start("", &format!("80={}", server.port));
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let variables = [("ALL_PROXY", url.as_str()), ("NO_PROXY", ".b.test,c.test:8080")];
    let fixed = server.resolve("fixed.test");
    let flags = [
        "--net",
        "listed",
        "--allow",
        "**.b.test",
        "--allow",
        "c.test",
        "--resolve",
        &fixed,
    ];
    let script = "for h in x.b.test b.test c.test fixed.test; do curl -sS -m 20 http://$h/; done";
    let all = "ok x.b.test GET / ok b.test GET / ok c.test GET / ok fixed.test GET / ";
    assert_eq!(
        run(&world, &variables, &flags, script).ok(),
        all.trim_end_matches('\n')
    );
    assert_eq!(proxy.seen(), ["GET http://c.test/"]);
    assert_eq!(outside.seen(), ["GET / x.b.test", "GET / b.test"]);
    configure(&world, "network.upstream_proxy = 'none'\n");
    assert_eq!(run(&world, &variables, &flags, script).ok(), all);
    assert_eq!((proxy.seen().len(), outside.seen().len()), (1, 5));
}

#[test]
fn n27_the_address_guard_holds_behind_the_proxy() {
    let Some(lab) = Lab::enter() else { return };
    let (world, server) = (World::new(), Server::http());
    lab.address("public.test", "5.5.1.1");
    lab.address("inner.test", "10.1.2.3");
    lab.answer(
        "both.test",
        super::lab::A,
        vec![vec![5, 5, 1, 1], vec![169, 254, 169, 254]],
    );
    // The proxy's own name leads to a private address, and is found in the search domain.
    lab.address("proxy.corp.test", "127.0.0.1");
    let proxy = Proxy::start("", &format!("80={}", server.port));
    configure(
        &world,
        &format!(
            "network = {{ preset = 'open', upstream_proxy = 'http://proxy:{}' }}\n",
            proxy.port
        ),
    );
    let ran = world.run(
        &[],
        "for h in public.test inner.test both.test unknown.test; do curl -sS -m 20 -o /dev/null -w '%{http_code}\n' http://$h/; done; \
         for h in 10.1.2.3 127.0.0.1 169.254.169.254 5.5.1.1; do curl -sS -m 20 -o /dev/null -w '%{http_code}\n' http://$h/; done 2>/dev/null",
    );
    assert_eq!(ran.out, "200\n403\n403\n200\n403\n000\n403\n403\n", "{ran:?}");
    assert_eq!(
        proxy.seen(),
        ["GET http://public.test/", "GET http://unknown.test/"]
    );
    let via: Vec<_> = world
        .events_of("connection")
        .iter()
        .filter(|event| event["via"].is_object())
        .map(|event| {
            (
                event["name"].as_str().unwrap().to_owned(),
                event["via"]["checked"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        via,
        [("public.test".into(), true), ("unknown.test".into(), false)]
    );
    assert_refused(
        &world,
        &[
            ("inner.test:80", "leads to 10.1.2.3, which is private"),
            ("both.test:80", "leads to 169.254.169.254"),
            ("10.1.2.3:80", "no rule"),
            ("169.254.169.254:80", "no rule"),
            ("5.5.1.1:80", "no rule"),
        ],
    );
}

#[test]
fn n27_a_proxy_can_be_spoken_to_in_tls() {
    if !has("openssl") || !has("python3") {
        return;
    }
    let Some(lab) = Lab::enter() else { return };
    let (world, plain, tls) = (World::new(), Server::http(), Tls::start());
    // Its certificate is for `a.test`, `b.test` and `localhost`.
    lab.address("b.test", "127.0.0.1");
    lab.address("wrong.test", "127.0.0.1");
    let directory = tempfile::tempdir().unwrap();
    certify(
        directory.path(),
        &["-addext", "basicConstraints=critical,CA:FALSE"],
    );
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
    let ports = format!("80={},443={}", plain.port, tls.port);
    let proxy = Proxy::start_with("u:p", &ports, &[&certificate, &key]);
    let trusted = world.file(
        world.outside.join("proxy.pem"),
        std::fs::read(&certificate).unwrap(),
    );
    world.file("ca.pem", &tls.certificate);
    let script = "curl -sS -m 20 http://a.test/x; echo; curl -sS -m 20 --cacert ca.pem https://a.test/y; \
                  head -c 3000000 /dev/zero | curl -sS -m 60 --data-binary @- http://a.test/z | wc -c";
    let url = |host: &str| format!("https://u:p@{host}:{}", proxy.port);
    let trusted = ("SSL_CERT_FILE", trusted.to_str().unwrap().to_owned());
    let flags = ["--net", "listed", "--allow", "a.test"];
    let ran = run(
        &world,
        &[("ALL_PROXY", &url("b.test")), (trusted.0, &trusted.1)],
        &flags,
        script,
    );
    assert_eq!(
        ran.ok(),
        "ok a.test GET /x \ntls a.test a.test /y\n3000018",
        "{ran:?}"
    );
    assert_eq!(
        proxy.seen(),
        [
            "GET http://a.test/x",
            "CONNECT a.test:443",
            "POST http://a.test/z"
        ]
    );
    // One that isn't trusted, or is another's, isn't given the password.
    for variables in [
        vec![("ALL_PROXY", url("b.test"))],
        vec![("ALL_PROXY", url("wrong.test")), (trusted.0, trusted.1.clone())],
    ] {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let ran = run(&world, &variables, &flags, "curl -sS -m 20 http://a.test/");
        assert!(ran.ok().contains("certificate"), "{ran:?}");
    }
    assert_eq!(proxy.seen().len(), 3);
}

#[test]
fn n27_a_project_names_no_proxy() {
    let world = World::new();
    world.file(".aca.toml", "network.upstream_proxy = 'http://127.0.0.1:1'\n");
    let ran = world.run(&[], "true");
    assert!(
        ran.code == 125 && ran.err.contains("the user's or the administrator's file alone"),
        "{ran:?}"
    );
}
