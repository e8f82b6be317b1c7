//! What a message that is passed on keeps of its fields, and loses (RFC 9110 7.6.1).

use crate::proxy::judge;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{
    ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Request, Uri, Version};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What belongs to one connection, besides what `Connection` names.
const OF_CONNECTION: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Makes of a request that was judged the one that goes outside. The one place where that happens.
///
/// # Errors
/// Its target is none that could be sent.
pub(super) fn outgoing<B>(request: &mut Request<B>, authority: &str) -> Result<(), hyper::http::Error> {
    let websocket = asks_for_websocket(request);
    let trailers = request.headers().get_all(TE).iter().any(|value| {
        let text = value.to_str().unwrap_or_default();
        text.split(',')
            .any(|word| word.trim().eq_ignore_ascii_case("trailers"))
    });
    strip(request.headers_mut());
    // The client was told to go on by the first read of its body.
    request.headers_mut().remove(EXPECT);
    if trailers {
        request
            .headers_mut()
            .insert(TE, HeaderValue::from_static("trailers"));
    }
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", hyper::http::uri::PathAndQuery::as_str)
        .to_owned();
    if request.version() == Version::HTTP_2 {
        request.headers_mut().remove(HOST);
        *request.uri_mut() = Uri::builder()
            .scheme("https")
            .authority(authority)
            .path_and_query(path)
            .build()?;
    } else {
        if websocket {
            request
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            request
                .headers_mut()
                .insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        *request.uri_mut() = Uri::builder().path_and_query(path).build()?;
    }
    Ok(())
}

/// Makes of an answer the one that goes inside.
pub(super) fn incoming(headers: &mut HeaderMap, switches: bool) {
    let upgrade = headers.get(UPGRADE).cloned();
    strip(headers);
    // It would lead to QUIC, which goes nowhere.
    headers.remove(ALT_SVC);
    if let Some(upgrade) = upgrade.filter(|_| switches) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
}

/// Whether it asks to go on as a WebSocket (RFC 6455 4.1).
pub(super) fn asks_for_websocket<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let mut asked = headers.get_all(UPGRADE).iter();
    request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && asked
            .next()
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && asked.next().is_none()
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|word| word.trim().parse().ok())
        // Without these it would be another message.
        .filter(|name: &HeaderName| *name != HOST && *name != CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in OF_CONNECTION {
        headers.remove(name);
    }
    debug_assert!(!headers.contains_key(TRANSFER_ENCODING));
    debug_assert!(!headers.contains_key(PROXY_AUTHORIZATION) && !headers.contains_key(PROXY_AUTHENTICATE));
}

/// The body of a request on its way outside. What follows it (RFC 9110 6.5) never says what the request is, where it
/// goes or how long it is: some servers take that for its head.
pub(super) struct Outward(Incoming);

impl From<Incoming> for Outward {
    fn from(body: Incoming) -> Self {
        Self(body)
    }
}

impl Body for Outward {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map(outward)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

fn outward(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            let names: Vec<HeaderName> = trailers.keys().filter(|name| is_of_head(name)).cloned().collect();
            for name in names {
                trailers.remove(name);
            }
            Frame::trailers(trailers)
        }
        Err(data) => data,
    }
}

fn is_of_head(name: &HeaderName) -> bool {
    let name = name.as_str();
    let framing = [HOST, CONTENT_LENGTH, EXPECT, AUTHORIZATION, COOKIE, TRAILER];
    OF_CONNECTION.contains(&name)
        || framing.iter().any(|known| *known == name)
        || judge::is_override(name)
        || judge::is_almost(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(version: Version, fields: &[(&str, &str)]) -> Request<()> {
        let mut builder = Request::get("https://a.test/x?y").version(version);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        let mut request = builder.body(()).unwrap();
        outgoing(&mut request, "a.test").unwrap();
        request
    }

    #[test]
    fn what_belongs_to_the_connection_stays_behind() {
        let request = passed(
            Version::HTTP_11,
            &[
                ("host", "a.test"),
                ("connection", "close, X-Secret, Host, content-length"),
                ("x-secret", "1"),
                ("keep-alive", "5"),
                ("proxy-authorization", "x"),
                ("te", "gzip, trailers"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("expect", "100-continue"),
                ("content-length", "0"),
                ("accept", "*/*"),
            ],
        );
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "content-length", "host", "te"]);
        assert_eq!(request.headers()[TE], "trailers");
        assert_eq!(request.uri(), "/x?y");
    }

    #[test]
    fn a_websocket_is_asked_for_again_and_nothing_else_is() {
        let request = passed(
            Version::HTTP_11,
            &[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")],
        );
        assert_eq!(request.headers()[UPGRADE], "websocket");
        for fields in [
            &[("upgrade", "h2c")][..],
            &[("upgrade", "websocket"), ("upgrade", "h2c")],
        ] {
            assert!(!passed(Version::HTTP_11, fields).headers().contains_key(UPGRADE));
        }
    }

    #[test]
    fn http2_names_its_host_once() {
        let request = passed(Version::HTTP_2, &[("host", "a.test")]);
        assert_eq!(request.uri(), "https://a.test/x?y");
        assert!(!request.headers().contains_key(HOST));
    }
}
