use super::*;
use proptest::prelude::*;

fn request_of(text: &str) -> Request {
    match parse(text.as_bytes()) {
        Head::Whole(request) => request,
        other @ (Head::Partial | Head::Malformed(_)) => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn tells_http_from_others() {
    assert_eq!(begins(b"GET / HTTP/1.1\r\n"), Some(true));
    assert_eq!(
        begins(b"GET / HTTP/1.1\n"),
        Some(true),
        "refused later, not taken for another protocol"
    );
    assert_eq!(begins(b"GET /"), None);
    assert_eq!(begins(b""), None);
    assert_eq!(begins(b"EHLO a.test\r\n"), Some(false));
    assert_eq!(begins(b"*3\r\n$3\r\n"), Some(false));
    assert_eq!(begins(b"SSH-2.0-x\r\n"), Some(false));
    assert_eq!(begins(&[0, 0, 0, 8, 4, 210, 22, 47]), Some(false));
    assert_eq!(begins(b"PRI * HTTP/2.0\r\n"), Some(false));
}

#[test]
fn reads_a_head_cut_anywhere() {
    let text = "POST /x HTTP/1.1\r\nhost: A.test:80\r\nContent-Length: 5\r\n\r\nhello";
    let head = text.len() - 5;
    for cut in 0..head {
        assert_eq!(parse(&text.as_bytes()[..cut]), Head::Partial, "{cut}");
    }
    let request = request_of(text);
    assert_eq!(
        (request.host.as_str(), request.length, request.body),
        ("A.test", head, Body::Length(5))
    );
    assert!(request.connect.is_none() && request.absolute.is_none() && request.upgrade == Upgrade::None);
}

#[test]
fn n20_the_target_names_a_host_too() {
    let request = request_of("GET http://b.test:80/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(request.absolute.unwrap().authority.host, "b.test");
    let connect = request_of("CONNECT b.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .connect
        .unwrap();
    assert_eq!((connect.host.as_str(), connect.port), ("b.test", Some(443)));
}

#[test]
fn upgrades() {
    let websocket = request_of("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\r\n");
    assert_eq!(websocket.upgrade, Upgrade::WebSocket);
    let text = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n";
    let other = request_of(text);
    assert_eq!(other.upgrade, Upgrade::Other);
    let removed: String = other
        .upgrade_fields
        .iter()
        .filter_map(|place| text.get(place.clone()))
        .collect();
    assert_eq!(removed, "Upgrade: h2c\r\nHTTP2-Settings: x\r\n");
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\0.b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close, content_length\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Host\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert!(matches!(parse(text.as_bytes()), Head::Malformed(_)), "{text:?}");
    }
    let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEAD_MAX));
    assert!(matches!(parse(long.as_bytes()), Head::Malformed(_)));
}

fn body_end(body: Body, bytes: &[u8], piece: usize) -> Result<Option<usize>, &'static str> {
    let mut reader = BodyReader::new(body);
    let mut used = 0;
    for part in bytes.chunks(piece) {
        if reader.is_done() {
            break;
        }
        used += reader.take(part)?;
    }
    Ok(reader.is_done().then_some(used))
}

#[test]
fn bodies_end_where_they_end() {
    let chunked = b"5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\nGET ";
    for piece in [1, 2, 3, 7, 100] {
        assert_eq!(body_end(Body::Length(3), b"abcdef", piece), Ok(Some(3)));
        assert_eq!(body_end(Body::Length(0), b"abcdef", piece), Ok(Some(0)));
        assert_eq!(body_end(Body::Length(9), b"abcdef", piece), Ok(None));
        assert_eq!(
            body_end(Body::Chunked, chunked, piece),
            Ok(Some(chunked.len() - 4)),
            "{piece}"
        );
        for text in [
            "5\nhello",
            "5\r\nhellox",
            "-1\r\n",
            "\r\n",
            "5 5\r\n",
            "ffffffffffffffffff\r\n",
            "0\r\nT: x\n\n",
        ] {
            assert!(
                body_end(Body::Chunked, text.as_bytes(), piece).is_err(),
                "{text:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1_usize..9) {
        let _begins = begins(&bytes);
        if let Head::Whole(request) = parse(&bytes) {
            prop_assert!(request.length <= bytes.len());
        }
        if let Ok(Some(used)) = body_end(Body::Chunked, &bytes, piece) {
            prop_assert!(used <= bytes.len());
        }
    }

    #[test]
    fn a_changed_byte_never_panics(at in 0_usize..90, value in any::<u8>()) {
        let mut bytes = b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\n\r\n".to_vec();
        let at = at.min(bytes.len() - 1);
        bytes[at] = value;
        if let Head::Whole(request) = parse(&bytes) {
            prop_assert!(request.length <= bytes.len());
        }
    }

    #[test]
    fn pieces_make_no_difference(bytes in "[0-9a-f;\r\nx]{0,40}", piece in 1_usize..9) {
        let whole = body_end(Body::Chunked, bytes.as_bytes(), 100);
        prop_assert_eq!(body_end(Body::Chunked, bytes.as_bytes(), piece), whole);
    }
}
