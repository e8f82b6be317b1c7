//! Names that have inside the addresses that they have outside (`dns = "real"`): what is allowed is the name, never the
//! address, which other names share.

use super::lab::{A, Lab};
use super::servers::{Server, Tls};
use super::support::{World, has};
use super::{assert_refused, connections};

fn configure(world: &World, allow: &str) {
    let text = format!("network = {{ preset = 'listed', allow = [{allow}] }}\n");
    world.file(world.home.join(".config/aca/config.toml"), text);
}

const BOTH: &str = "{ host = 'a.test', dns = 'real' }, { host = 'b.test', dns = 'real' }, { host = 'a.test:7777', dns = 'real' }, 'd.test'";

#[test]
fn n12_real_addresses_are_public_ones_and_lead_to_the_name() {
    let Some(lab) = Lab::enter() else { return };
    let (world, server, other) = (
        World::new(),
        Server::http_at("5.5.1.1:80"),
        Server::http_at("[2606:5::1]:80"),
    );
    lab.address("a.test", "5.5.1.1");
    lab.address("b.test", "2606:5::1");
    lab.answer("mixed.test", A, vec![vec![10, 9, 9, 1], vec![5, 5, 1, 1]]);
    lab.address("inner.test", "10.9.9.1");
    lab.address("d.test", "5.5.1.1");
    configure(&world, &format!("{BOTH}, {{ host = '*', dns = 'real' }}"));
    let ran = world.run(
        &[],
        "for h in a.test mixed.test inner.test none.test; do getent ahostsv4 $h | head -1 | cut -d' ' -f1; done; \
         getent ahostsv6 b.test | head -1 | cut -d' ' -f1; getent hosts 5.5.1.1; \
         for h in a.test b.test mixed.test; do curl -sS -m 20 http://$h/; done; \
         for h in inner.test none.test; do curl -sS -m 20 http://$h/; echo $?; done",
    );
    assert_eq!(
        ran.ok(),
        "5.5.1.1\n5.5.1.1\n2606:5::1\n5.5.1.1         a.test\nok a.test GET / ok b.test GET / ok mixed.test GET / 6\n6",
        "{ran:?}"
    );
    assert_eq!((server.seen().len(), other.seen().len()), (2, 1));
    let inner = world
        .events_of("lookup")
        .into_iter()
        .find(|event| event["name"] == "inner.test")
        .unwrap();
    assert!(
        inner["denied"]["reason"]
            .as_str()
            .unwrap()
            .contains("which is private"),
        "{inner}"
    );
    assert!(connections(&world).iter().all(|(_, _, denied)| denied.is_none()));
}

#[test]
fn n21_a_shared_address_is_no_way_to_another_name() {
    if !has("openssl") || !has("python3") {
        return;
    }
    let Some(lab) = Lab::enter() else { return };
    let (world, _plain, _tls) = (
        World::new(),
        Server::http_at("5.5.1.1:80"),
        Tls::start_at("5.5.1.1", 443),
    );
    for name in ["a.test", "b.test", "c.test"] {
        lab.address(name, "5.5.1.1");
    }
    configure(&world, BOTH);
    let ran = world.run(
        &[],
        "get() { curl -sS -m 20 -o /dev/null -w '%{http_code} ' \"$@\"; }; \
         tls() { openssl s_client -brief -connect 5.5.1.1:443 \"$@\" </dev/null 2>&1 | grep -c ESTABLISHED; }; \
         get http://5.5.1.1/; getent hosts a.test >/dev/null; \
         get http://a.test/; get -H 'Host: b.test' http://a.test/; get -H 'Host: c.test' http://a.test/; \
         get --resolve c.test:80:5.5.1.1 http://c.test/; get http://5.5.1.1/; get http://5.5.1.2/; getent hosts b.test >/dev/null; \
         get -H 'Host: b.test' http://a.test/; echo; \
         tls -servername a.test; tls -servername b.test; tls -servername c.test; tls -noservername; \
         tls -servername c.test -proxy 198.18.255.254:3128; tls -servername b.test -proxy 198.18.255.254:3128",
    );
    // b.test is no name of this address until it was asked for.
    assert_eq!(
        ran.out, "403 200 403 403 403 403 403 200 \n1\n1\n0\n0\n0\n1\n",
        "{ran:?}"
    );
}

#[test]
fn what_names_no_host_passes_where_every_name_of_the_address_may() {
    let Some(lab) = Lab::enter() else { return };
    let (world, server) = (World::new(), Server::echo_at("5.5.1.1:7777", "hello"));
    for name in ["a.test", "b.test", "d.test"] {
        lab.address(name, "5.5.1.1");
    }
    configure(&world, BOTH);
    world.file(
        "x.py",
        "import socket\ndef say():\n\
         \x20   s = socket.create_connection(('5.5.1.1', 7777), 20)\n\
         \x20   s.sendall(b'\\0x')\n\
         \x20   try: print(s.recv(5))\n\
         \x20   except ConnectionResetError: print('reset')\n\
         socket.getaddrinfo('a.test', 80); say()\n\
         socket.getaddrinfo('d.test', 80); say()\n\
         socket.getaddrinfo('b.test', 80); say()\n",
    );
    let ran = world.run(&[], "python3 x.py");
    // d.test has an address of aca's own. b.test may not be reached at this port, and what is said names nobody.
    assert_eq!(ran.ok(), "b'hello'\nb'hello'\nreset", "{ran:?}");
    assert_eq!(server.seen().len(), 2);
    assert_refused(&world, &[("a.test:7777", "another name of this address")]);
}

/// Asks for an address, once.
const ASK: &str = r"
import socket, struct, sys
def ask(name):
    q = struct.pack('>HHHHHH', 7, 0x100, 1, 0, 0, 0)
    q += b''.join(bytes([len(l)]) + l for l in name.encode().split(b'.')) + b'\0' + struct.pack('>HH', 1, 1)
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20); s.connect(('127.0.0.1', 53)); s.send(q)
    a = s.recv(2000)
    return socket.inet_ntoa(a[-4:])
def get(address, host):
    s = socket.create_connection((address, 80), 20)
    s.sendall(f'GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n'.encode())
    return s.recv(99).split(b' ')[1].decode()
";

#[test]
fn n13_a_real_address_that_turns_private_is_not_dialled() {
    let Some(lab) = Lab::enter() else { return };
    let (world, first, second) = (
        World::new(),
        Server::http_at("5.5.1.1:80"),
        Server::http_at("5.5.1.2:80"),
    );
    let four = |last: u8| vec![vec![5, 5, 1, last]];
    lab.answers(
        "a.test",
        A,
        vec![
            four(1),
            four(1),
            four(2),
            vec![vec![127, 0, 0, 1]],
            vec![vec![10, 9, 9, 1]],
        ],
    );
    configure(&world, BOTH);
    world.file(
        "x.py",
        format!("{ASK}\na = ask('a.test')\nprint(a, *[get(a, 'a.test') for _ in range(4)])\n"),
    );
    let ran = world.run(&[], "python3 x.py");
    // The one that was told, the one that it has by then, and none.
    assert_eq!(ran.ok(), "5.5.1.1 200 200 403 403", "{ran:?}");
    assert_eq!((first.seen().len(), second.seen().len()), (1, 1));
    assert_refused(
        &world,
        &[
            ("a.test:80", "leads to 127.0.0.1"),
            ("a.test:80", "leads to 10.9.9.1"),
        ],
    );
}

#[test]
fn n13_a_leased_name_that_turns_private_is_not_dialled() {
    let Some(lab) = Lab::enter() else { return };
    let (world, server) = (World::new(), Server::http_at("5.5.1.1:80"));
    let local = Server::http_at("127.0.0.1:80");
    let answers = [
        [5, 5, 1, 1],
        [127, 0, 0, 1],
        [169, 254, 169, 254],
        [10, 9, 9, 1],
        [5, 5, 1, 1],
    ];
    lab.answers("d.test", A, answers.map(|address| vec![address.to_vec()]).into());
    configure(&world, BOTH);
    world.file(
        "x.py",
        format!(
            "{ASK}\na = ask('d.test')\nprint(a, *[get(a, 'd.test') for _ in range(5)], ask('d.test') == a)\n"
        ),
    );
    let ran = world.run(&[], "python3 x.py");
    assert_eq!(ran.ok(), "198.18.0.1 200 403 403 403 200 True", "{ran:?}");
    assert_eq!((server.seen().len(), local.seen().len()), (2, 0));
}

#[test]
fn a_fixed_address_is_told_where_it_is_public() {
    let (world, server) = (World::new(), Server::http());
    configure(&world, BOTH);
    let resolve = server.resolve("a.test");
    let ran = world.run(
        &["--resolve", &resolve, "--resolve", "b.test=5.5.1.1"],
        "for h in a.test b.test; do getent ahostsv4 $h | head -1 | cut -d' ' -f1; done; curl -sS -m 20 http://a.test/",
    );
    // A private one means something else inside.
    assert_eq!(ran.ok(), "198.18.0.1\n5.5.1.1\nok a.test GET / ");
}
