//! Tables of what fits what.

use super::super::http;
use super::*;
use crate::policy::Protocol;

fn judged(host: &str, port: u16, sni: Sni) -> Judged {
    let target = match host.parse() {
        Ok(address) => Target::Address(SocketAddr::new(address, port)),
        Err(_) => Target::Name(host.parse().unwrap(), port),
    };
    Judged {
        target,
        sni,
        judge: None,
        at: None,
    }
}

fn hello(name: Option<&str>, encrypted: bool) -> Spoken {
    Spoken::Tls {
        server_name: name.map(|name| name.as_bytes().to_vec()),
        encrypted,
    }
}

#[test]
fn n08_n09_n14_every_spelling_of_a_host() {
    let long = format!("{}.a.test", "x".repeat(300));
    for (host, sent, same) in [
        ("a.test", "a.test", true),
        ("a.test", "A.TEST", true),
        ("a.test", "a.test.", true),
        ("a.test", "a.test..", false),
        ("a.test", ".a.test", false),
        ("a.test", "", false),
        ("a.test", " a.test", false),
        ("a.test", "a.test\0", false),
        ("a.test", "a.test\0.b.test", false),
        ("a.test", "b.test\0.a.test", false),
        ("a.test", "a.test%00", false),
        ("a.test", "a%2etest", false),
        ("a.test", "a.test%eth0", false),
        ("a.test", "a\u{3002}test", false),
        ("a.test", "\u{ff41}.test", false),
        ("a.test", "a.test/", false),
        ("a.test", "a.test:443", false),
        ("a.test", "x@a.test", false),
        ("a.test", "xa.test", false),
        ("a.test", "x.a.test", false),
        ("a.test", &long, false),
        // A name is compared as it goes over the wire (RFC 5890 2.3.2.1).
        ("xn--bcher-kva.test", "XN--Bcher-KVA.test", true),
        ("xn--bcher-kva.test", "b\u{fc}cher.test", false),
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("192.0.2.1", "::ffff:c000:201", true),
        ("192.0.2.1", "192.0.2.01", false),
        ("192.0.2.1", "192.0.513", false),
        ("192.0.2.1", "3221225985", false),
        ("192.0.2.1", "0xc0.0.2.1", false),
        ("192.0.2.1", "0300.0.2.1", false),
        ("192.0.2.1", "192.0.2.1.", false),
        ("192.0.2.1", "::192.0.2.1", false),
        ("192.0.2.1", "64:ff9b::192.0.2.1", false),
        ("192.0.2.1", "1.2.0.192.in-addr.arpa", false),
        ("2001:db8::1", "2001:DB8:0:0::1", true),
        ("2001:db8::1", "2001:db8::1%eth0", false),
        ("2001:db8::1", "[2001:db8::1]", false),
    ] {
        let judged = judged(host, 443, Sni::Required);
        assert_eq!(judged.target.is(sent), same, "{host} {sent:?}");
        match fits(&judged, &hello(Some(sent), false)) {
            Ok(()) => assert!(same, "{host} {sent:?}"),
            Err(deny) => {
                assert!(!same, "{host} {sent:?}: {deny:?}");
                assert!(deny.reason.len() < 400 && !deny.reason.contains('\0'), "{deny:?}");
            }
        }
    }
}

#[test]
fn n19_n20_n21_what_must_fit_on_which_port() {
    let request = |text: &str| match http::parse(text.as_bytes()) {
        http::Head::Whole(request) => Spoken::Http(request),
        other @ (http::Head::Partial | http::Head::Malformed(_)) => panic!("{other:?}"),
    };
    let plain = request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let other = request("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n");
    let urls = request("GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let fields = request("GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n");
    let tunnel = request("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    // On 443, on 80, on a port that a rule names; then on 443 with `sni` optional, and any.
    for (spoken, passes) in [
        (hello(Some("a.test"), false), [true; 5]),
        (hello(Some("b.test"), false), [false, false, false, false, true]),
        (hello(None, false), [false, false, true, true, true]),
        (hello(Some("a.test"), true), [false, false, false, false, true]),
        (hello(None, true), [false, false, false, false, true]),
        (plain, [false, true, true, false, false]),
        (other, [false; 5]),
        (urls, [false; 5]),
        (fields, [false; 5]),
        (tunnel, [false; 5]),
        (Spoken::Http2, [false, false, true, false, false]),
        (Spoken::Ssh, [true, false, true, true, true]),
        (Spoken::Other, [false, false, true, false, false]),
        (Spoken::Undecided, [false, false, true, false, false]),
        (Spoken::Wrong(Protocol::Tls, "x"), [false; 5]),
        (Spoken::Ended, [true; 5]),
    ] {
        let asked = [
            (443, Sni::Required),
            (80, Sni::Required),
            (8883, Sni::Required),
            (443, Sni::Optional),
            (443, Sni::Any),
        ];
        let found = asked.map(|(port, sni)| fits(&judged("a.test", port, sni), &spoken).is_ok());
        assert_eq!(found, passes, "{spoken:?}");
    }
}
