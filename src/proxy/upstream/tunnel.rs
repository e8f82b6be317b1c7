//! A tunnel through a proxy (RFC 9110 9.3.6).

use crate::policy::ProxyUrl;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// How long the proxy may take to connect.
const WITHIN: Duration = Duration::from_secs(30);
/// Longest head of an answer.
const HEAD_MAX: usize = 16 * 1024;
/// Characters of a reason phrase that are told.
const REASON_MAX: usize = 60;

/// Asks for a tunnel to `authority`. After that the stream is the far end's.
///
/// # Errors
/// The proxy's own words, or what is wrong with them.
pub(in crate::proxy) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    url: &ProxyUrl,
    authority: &str,
) -> io::Result<()> {
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(credentials) = &url.credentials {
        request.push_str(&format!("Proxy-Authorization: {}\r\n", credentials.basic()));
    }
    request.push_str("\r\n");
    let asked = async {
        stream.write_all(request.as_bytes()).await?;
        head(stream).await
    };
    let head = match timeout(WITHIN, asked).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(io::Error::other(format!("the proxy {url} ended the connection")));
        }
        Ok(head) => head?,
        Err(_) => return Err(io::Error::other(format!("the proxy {url} does not answer"))),
    };
    match status(&head) {
        Some((200..=299, _)) => Ok(()),
        Some((407, _)) => Err(unauthorized(url)),
        Some((code, reason)) => Err(io::Error::other(format!(
            "the proxy {url} refuses {authority}: {code} {reason}"
        ))),
        None => Err(io::Error::other(format!("what is at {url} is no HTTP proxy"))),
    }
}

/// What a 407 means.
pub(in crate::proxy) fn unauthorized(url: &ProxyUrl) -> io::Error {
    let what = if url.credentials.is_some() {
        "refuses the user name and password that it was given"
    } else {
        "asks for a user name and a password"
    };
    io::Error::other(format!(
        "the proxy {url} {what} (407); they stand in its URL, in `network.upstream_proxy` or HTTPS_PROXY"
    ))
}

/// Reads to the empty line and not a byte further: what follows is the far end's.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        if head.len() >= HEAD_MAX {
            return Err(io::Error::other("the proxy's answer is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

/// Code and reason, printable and bounded.
pub(in crate::proxy) fn status(head: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(head.split(|byte| *byte == b'\n').next()?).into_owned();
    let rest = text.strip_prefix("HTTP/1.")?;
    let (_, rest) = rest.split_once(' ')?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest.trim_end(), ""));
    let code = code.trim_end().parse().ok()?;
    let printable = |c: &char| c.is_ascii_graphic() || *c == ' ';
    Some((code, reason.chars().filter(printable).take(REASON_MAX).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(url: &str, answer: &[u8]) -> (io::Result<()>, String, Vec<u8>) {
        let (mut here, mut there) = tokio::io::duplex(1 << 16);
        there.write_all(answer).await.unwrap();
        there.shutdown().await.unwrap();
        let url: ProxyUrl = url.parse().unwrap();
        let result = connect(&mut here, &url, "a.test:443").await;
        let mut rest = Vec::new();
        here.read_to_end(&mut rest).await.unwrap();
        drop(here);
        let mut asked = String::new();
        there.read_to_string(&mut asked).await.unwrap();
        (result, asked, rest)
    }

    #[tokio::test]
    async fn n27_what_follows_the_answer_is_the_far_ends() {
        let (result, asked, rest) = answered(
            "http://u:p@p.test",
            b"HTTP/1.1 200 Fine\r\nVia: x\r\n\r\n220 hello",
        )
        .await;
        assert!(result.is_ok());
        assert_eq!(rest, b"220 hello");
        assert_eq!(
            asked,
            "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn n27_refusals_are_told() {
        for (answer, wanted) in [
            (
                &b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"[..],
                "asks for a user name",
            ),
            (
                b"HTTP/1.1 403 No\x1b[31m!\r\n\r\n",
                "refuses a.test:443: 403 No[31m!",
            ),
            (b"HTTP/1.1 200\r\n", "ended the connection"),
            (b"SSH-2.0-x\r\n\r\n", "is no HTTP proxy"),
            (b"HTTP/1.1 2000 x\r\n\r\n", "2000"),
            (b"", "ended the connection"),
        ] {
            let (result, _, _) = answered("http://p.test", answer).await;
            let error = result.unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let (result, _, _) = answered("http://u:secret@p.test", b"HTTP/1.0 407 x\r\n\r\n").await;
        let error = result.unwrap_err().to_string();
        assert!(
            error.contains("refuses the user name") && !error.contains("secret"),
            "{error}"
        );
        let long = [b"HTTP/1.1 200 x\r\n".to_vec(), vec![b'x'; HEAD_MAX]].concat();
        assert!(answered("http://p.test", &long).await.0.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_says_nothing_is_left() {
        let (mut here, _there) = tokio::io::duplex(1024);
        let url: ProxyUrl = "http://p.test".parse().unwrap();
        let error = connect(&mut here, &url, "a.test:443").await.unwrap_err();
        assert!(error.to_string().contains("does not answer"), "{error}");
    }
}
