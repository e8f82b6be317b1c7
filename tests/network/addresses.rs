//! Addresses instead of names, and names that lead to addresses that they must not: N09, N10, N12, N13.

use super::servers::Server;
use super::support::{World, skip};
use super::{assert_refused, connections};
use std::net::IpAddr;

#[test]
fn n09_addresses_of_the_machine_in_every_spelling() {
    let (world, server) = (World::new(), Server::http());
    let port = server.port;
    let ran = world.run(
        &["--net", "open"],
        &format!(
            "for h in 127.1 2130706433 0x7f.0.0.1 0177.0.0.1 '[::ffff:127.0.0.1]' '[::1]' 0.0.0.0 localhost; do \
             curl -sS -m 20 -o /dev/null http://$h:{port}/; echo $?; done"
        ),
    );
    // All are the sandbox's own loopback, where nothing listens; or refused.
    assert!(
        !ran.out.contains("\n0\n") && !ran.out.starts_with('0') && !ran.out.contains("28"),
        "{ran:?}"
    );
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[test]
fn n09_the_metadata_service_in_every_spelling() {
    let world = World::new();
    let ran = world.run(
        &["--net", "open"],
        "for h in 169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376 '[::ffff:169.254.169.254]' '[fd00:ec2::254]' \
         '[64:ff9b::a9fe:a9fe]' '[2002:a9fe:a9fe::1]' 100.100.100.200 168.63.129.16; do \
         curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' http://$h/latest/meta-data/; done",
    );
    assert_eq!(ran.out, "403\n".repeat(10), "{ran:?}");
    assert!(connections(&world).iter().all(|(_, _, reason)| reason.is_some()));
}

#[test]
fn n10_an_address_needs_a_rule_that_writes_it_out() {
    let world = World::new();
    let script = "curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' http://192.0.2.1/";
    assert_eq!(world.run(&["--net", "open"], script).out, "403\n");
    assert_refused(&world, &[("192.0.2.1:80", "no rule")]);
    assert_eq!(
        world.run(&["--net", "open", "--allow", "192.0.2.2"], script).out,
        "403\n"
    );
}

#[test]
fn addresses_of_the_pool_mean_nothing_until_they_are_given_out() {
    let (world, server) = (World::new(), Server::http());
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        "for h in 198.18.0.1 198.18.99.1 198.18.255.254 198.19.255.255 '[fd61:6361::2]' '[fd61:6361::1]' '[fd61:6361::ffff:ffff:ffff:ffff]'; \
         do curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' http://$h/; done; curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' http://a.test",
    );
    assert_eq!(ran.out, format!("{}200\n", "403\n".repeat(7)), "{ran:?}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_leased_address_is_no_way_around_the_host_check() {
    let (world, server) = (World::new(), Server::http());
    let ran = world.run(
        &["--net", "open", "--resolve", &server.resolve("a.test")],
        "a=$(getent ahostsv4 a.test | head -1 | cut -d' ' -f1); curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' http://$a/; \
         curl -sS -m 20 -H 'Host: a.test' http://$a/",
    );
    assert_eq!(ran.ok(), "403\nok a.test GET / ");
}

#[test]
fn the_listener_itself_is_no_destination() {
    let world = World::new();
    let ran = world.run(
        &["--net", "open"],
        "for h in 127.0.0.1 127.9.9.9 '[::1]' '[::ffff:127.0.0.1]' 198.18.255.254 '[fd61:6361::1]' 8.8.8.8; do \
         curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' http://$h:15001/; done",
    );
    assert_eq!(ran.out, "403\n".repeat(7), "{ran:?}");
    let bound = world.run(
        &[],
        "python3 -c 'import socket; s = socket.socket(); s.setsockopt(1, 2, 1); s.setsockopt(1, 15, 1); s.bind((\"127.0.0.1\", 15001)); s.listen()'",
    );
    assert!(bound.refused().err.contains("in use"), "{bound:?}");
}

#[test]
fn n12_a_name_that_leads_to_this_machine_is_refused() {
    // Whatever `/etc/hosts` here leads to an address that isn't public.
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let found = hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let _address: IpAddr = words.next()?.parse().ok()?;
        words
            .find(|name| !name.ends_with("localhost") && !name.starts_with("localhost"))
            .map(str::to_owned)
    });
    let Some(name) = found else {
        return skip("a name in /etc/hosts", "it has none but localhost");
    };
    let world = World::new();
    let ran = world.run(
        &["--net", "agent", "--allow", &name],
        &format!("curl -sS -m 20 http://{name}/"),
    );
    assert!(ran.ok().contains("leads to"), "{ran:?}");
    assert_refused(&world, &[(&format!("{}:80", name.to_lowercase()), "which is")]);
}

/// An address of this machine that isn't loopback's: what a packet would carry (none is sent).
fn own_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
}

#[test]
fn n10_a_rule_that_writes_an_address_out_allows_that_one() {
    let Some(address) = own_address() else {
        return skip("an interface", "there is loopback alone");
    };
    let world = World::new();
    let listener = std::net::TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"hello").unwrap();
    });
    let script = format!(
        "timeout 20 python3 -c 'import socket; print(socket.create_connection((\"{address}\", {port}), 20).recv(9))'"
    );
    let refused = world.run(&["--net", "open"], &script);
    assert!(!refused.out.contains("hello"), "{refused:?}");
    assert_refused(&world, &[(&format!("{address}:{port}"), "no rule")]);
    let ran = world.run(
        &["--net", "agent", "--allow", &format!("{address}:{port}")],
        &script,
    );
    assert_eq!(ran.ok(), "b'hello'");
    server.join().unwrap();
}

#[test]
fn n12_a_name_that_leads_to_an_address_of_this_machine_in_the_network_is_refused() {
    // As a name server outside could answer: the same look at the addresses, by way of the hosts file.
    let Some(address) = own_address() else {
        return skip("an interface", "there is loopback alone");
    };
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let named = hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        (words.next()?.parse() == Ok(address))
            .then(|| words.next().map(str::to_owned))
            .flatten()
    });
    let Some(name) = named else {
        return skip("a name of this machine", "the hosts file gives none");
    };
    let world = World::new();
    let ran = world.run(
        &["--net", "agent", "--allow", &name],
        &format!("curl -sS -m 20 http://{name}/"),
    );
    assert!(ran.ok().contains("leads to"), "{ran:?}");
}
