//! Connects to one of several addresses (RFC 8305): families in turn, the next a moment after the last.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// When the next address is tried beside one that hasn't answered (RFC 8305 5).
const NEXT_AFTER: Duration = Duration::from_millis(250);
/// How long all of it may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Connects to the first that answers.
pub(super) async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let connected = match addresses.as_slice() {
        // Nothing to race: a task and a timer less for each connection.
        [only] => timeout(DEADLINE, TcpStream::connect(*only)).await,
        _ => timeout(DEADLINE, race(interleaved(addresses))).await,
    };
    match connected {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn race(mut waiting: VecDeque<SocketAddr>) -> io::Result<TcpStream> {
    let mut trying: JoinSet<io::Result<TcpStream>> = JoinSet::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut next = Instant::now();
    loop {
        if trying.is_empty() || next <= Instant::now() {
            match waiting.pop_front() {
                Some(address) => {
                    trying.spawn(TcpStream::connect(address));
                    next = Instant::now() + NEXT_AFTER;
                }
                None if trying.is_empty() => return Err(last),
                None => {}
            }
        }
        tokio::select! {
            Some(done) = trying.join_next() => match done {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => {
                    last = error;
                    next = Instant::now();
                }
                Err(_) => next = Instant::now(),
            },
            () = sleep_until(next), if !waiting.is_empty() => {}
        }
    }
}

/// IPv6 first, then in turn (RFC 8305 4).
fn interleaved(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut out = VecDeque::new();
    loop {
        let pair = [v6.next(), v4.next()];
        if pair == [None, None] {
            return out;
        }
        out.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        // Its queue is full, so the kernel drops what comes.
        let listener = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            None,
        )
        .unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        rustix::net::bind(&listener, &any).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let here = rustix::net::getsockname(&listener).unwrap();
        let here = SocketAddr::try_from(here).unwrap();
        let mut held = Vec::new();
        while let Ok(Ok(stream)) = timeout(Duration::from_millis(200), TcpStream::connect(here)).await {
            held.push(stream);
        }
        assert!(held.len() < 10, "{}", held.len());
        tokio::time::pause();
        let start = Instant::now();
        for addresses in [vec![here], vec![here, here]] {
            let error = connect(addresses).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        assert!(start.elapsed() >= DEADLINE * 2 && start.elapsed() < DEADLINE * 3);
    }

    #[test]
    fn families_take_turns() {
        let order = |texts: &[&str]| -> Vec<String> {
            interleaved(texts.iter().map(|text| text.parse().unwrap()).collect())
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(
            order(&["1.1.1.1:1", "2.2.2.2:1", "[2600::1]:1"]),
            ["[2600::1]:1", "1.1.1.1:1", "2.2.2.2:1"]
        );
    }
}
