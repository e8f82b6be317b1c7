//! A push through the user's ssh: the frames of the client and the pipes of ssh as what `super::super::git_push` works on.

use super::super::Proxy;
use super::super::git_push::{self, AdvertiseError, Packets, PassError, Past, ReceiveError, Sink, Source};
use super::super::record::Counts;
use super::super::relay::until_idle;
use super::carry::{Errors, gone, until_gone};
use super::child::{Child, Exit};
use super::send;
use crate::git::frame::{self, HEADER, Kind};
use crate::git::object_id::ObjectFormat;
use crate::git::report::error_packet;
use crate::policy::{Deny, Repository};
use crate::supervise::PushedRef;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long the server may take to end, once it has said all.
const AFTER: Duration = Duration::from_secs(5);
/// How much of a refused push is read and let go, so that git sees the report and no broken pipe; and how long git may
/// think before it goes on, since it may be compressing still. A client that keeps its side open waits that long.
const LET_GO: u64 = 8 << 30;
const THINKING: Duration = Duration::from_secs(20);

/// How it went.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    /// The exit status for git.
    pub(super) code: u8,
    /// For people, where git isn't told otherwise.
    pub(super) errors: String,
    /// Why nothing was sent.
    pub(super) deny: Option<Deny>,
    /// Why it failed, though it was allowed.
    pub(super) failed: Option<String>,
    pub(super) refs: Vec<PushedRef>,
    pub(super) findings: Vec<String>,
}

/// One push, to its end; when the client ends before, ssh is killed.
pub(super) async fn push(
    proxy: &Proxy,
    repository: &Repository,
    stream: &mut TcpStream,
    mut child: Child,
    past: &impl Past,
    counts: &Counts,
) -> io::Result<Pushed> {
    let there = stream.as_fd().try_clone_to_owned()?;
    let (reader, writer) = stream.split();
    let writer = Mutex::new(writer);
    let (input, output, errors, exit) = child.parts();
    let conversation = Conversation {
        proxy,
        repository,
        client: Packets::new(FromClient {
            reader,
            left: 0,
            ended: false,
        }),
        to_client: ToClient(&writer),
        server: Packets::new(FromServer { output, counts }),
        to_server: ToServer { input, counts },
        exit,
    };
    let work = async {
        tokio::select! {
            biased;
            pushed = Box::pin(conversation.hold(past)) => pushed,
            error = told(errors, &writer, counts) => Err(error),
            error = until_gone(&there) => Err(error),
        }
    };
    let pushed = until_idle(counts, Box::pin(work)).await??;
    // What it said last may be on its way still.
    let rest = timeout(Duration::from_millis(200), told(errors, &writer, counts)).await;
    drop(rest);
    Ok(pushed)
}

/// What ssh says to people, on to the client, for as long as somebody waits for this: it ends with an error alone.
async fn told(from: &mut Receiver, writer: &Mutex<WriteHalf<'_>>, counts: &Counts) -> io::Error {
    let (mut errors, mut buffer) = (Errors::default(), vec![0; 8 << 10]);
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => return std::future::pending().await,
            Ok(read) => {
                counts.receive(read);
                let text = errors.plain(buffer.get(..read).unwrap_or_default());
                let mut writer = writer.lock().await;
                if let Err(error) = send(&mut *writer, Kind::Errors, text.as_bytes()).await {
                    return error;
                }
            }
            Err(error) => return error,
        }
    }
}

/// Both sides.
struct Conversation<'a, 'w> {
    proxy: &'a Proxy,
    repository: &'a Repository,
    client: Packets<FromClient<'w>>,
    to_client: ToClient<'a, 'w>,
    server: Packets<FromServer<'a>>,
    to_server: ToServer<'a>,
    exit: Exit<'a>,
}

impl Conversation<'_, '_> {
    async fn hold(mut self, past: &impl Past) -> io::Result<Pushed> {
        let advertisement = match git_push::advertise(&mut self.server, &mut self.to_client).await {
            Ok(advertisement) => advertisement,
            // Ssh says by its status and to people why.
            Err(AdvertiseError::Silent) => {
                return Ok(Pushed {
                    code: self.ended().await?,
                    ..Pushed::default()
                });
            }
            Err(AdvertiseError::Broken(error)) => return Err(error),
            Err(error @ (AdvertiseError::Server(_) | AdvertiseError::Packet(_))) => {
                let why = error.to_string();
                let packet = error_packet(&why).map_err(io::Error::other)?;
                self.to_client.write(&packet).await?;
                return self.failed(&why).await;
            }
        };
        let format = advertisement.format().unwrap_or(ObjectFormat::Sha1);
        let push = match git_push::commands(&mut self.client, format).await {
            Ok(Some(push)) => push,
            Ok(None) => {
                return Ok(Pushed {
                    code: self.good_bye().await?,
                    ..Pushed::default()
                });
            }
            Err(ReceiveError::Broken(error)) => return Err(error),
            Err(ReceiveError::Push(error)) => {
                let why = format!("the push can't be understood: {error}");
                let mut pushed = self.failed(&why).await?;
                pushed.errors = format!("aca: {why}\n");
                return Ok(pushed);
            }
        };
        let judged = git_push::judge(
            self.proxy,
            self.repository,
            &advertisement,
            &push,
            &mut self.client,
            past,
        );
        let judged = match Box::pin(judged).await {
            Ok(judged) => judged,
            Err(refused) => {
                let mut pushed = Pushed {
                    refs: git_push::told(&push, Err(&refused)),
                    findings: refused.findings.clone(),
                    ..Pushed::default()
                };
                match refused.refusal.encode(&push).map_err(io::Error::other)? {
                    Some(report) => self.to_client.write(&report).await?,
                    // It asked for none.
                    None => {
                        pushed.errors = refused
                            .refusal
                            .lines
                            .iter()
                            .map(|line| format!("{line}\n"))
                            .collect();
                        pushed.code = super::FATAL;
                    }
                }
                pushed.deny = Some(refused.deny);
                drop(self.good_bye().await);
                self.let_go().await;
                return Ok(pushed);
            }
        };
        let sent = git_push::send(&push, format, judged, &mut self.to_server).await;
        // A server that had enough says why.
        let outcome = match sent {
            Err(PassError::Broken(error)) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            Err(PassError::Malformed | PassError::TooLong) => {
                return self.failed("its commands don't fit git's protocol").await;
            }
            Ok(()) | Err(PassError::Broken(_)) => {
                self.to_server.close();
                let report = git_push::report(
                    self.proxy,
                    self.repository,
                    &push,
                    &mut self.server,
                    &mut self.to_client,
                );
                report.await
            }
        };
        match outcome {
            Ok(outcome) => Ok(Pushed {
                refs: git_push::told(&push, Ok(&outcome)),
                code: self.ended().await?,
                ..Pushed::default()
            }),
            Err(PassError::Broken(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Pushed {
                code: self.ended().await?.max(1),
                failed: Some("the server ended without a report".into()),
                ..Pushed::default()
            }),
            Err(PassError::Broken(error)) => Err(error),
            Err(error) => self.failed(&error.to_string()).await,
        }
    }

    async fn failed(&mut self, why: &str) -> io::Result<Pushed> {
        drop(self.good_bye().await);
        self.let_go().await;
        Ok(Pushed {
            code: super::FATAL,
            failed: Some(why.to_owned()),
            ..Pushed::default()
        })
    }

    /// An orderly end, with nothing pushed.
    async fn good_bye(&mut self) -> io::Result<u8> {
        // One that is gone needs none.
        self.to_server.write(b"0000").await.ok();
        self.to_server.close();
        self.ended().await
    }

    async fn ended(&mut self) -> io::Result<u8> {
        self.to_server.close();
        match timeout(AFTER, self.exit.wait()).await {
            Ok(code) => code,
            Err(_) => Ok(super::FATAL),
        }
    }

    /// Reads what the client still sends, to nowhere.
    async fn let_go(&mut self) {
        let mut left = LET_GO;
        while left > 0 {
            let read = match timeout(THINKING, self.client.bytes()).await {
                Ok(Ok(bytes)) if !bytes.is_empty() => bytes.len(),
                Ok(Ok(_) | Err(_)) | Err(_) => return,
            };
            self.client.used(read);
            left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        }
    }
}

/// The client's frames.
struct FromClient<'a> {
    reader: ReadHalf<'a>,
    /// Bytes left of the frame that was begun.
    left: usize,
    ended: bool,
}

impl Source for FromClient<'_> {
    async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            if self.ended {
                return Ok(0);
            }
            let mut bytes = [0; HEADER];
            if self.reader.read_exact(&mut bytes).await.is_err() {
                return Err(gone());
            }
            match frame::header(bytes) {
                Ok((Kind::Input, length)) => self.left = length,
                Ok((Kind::InputEnd, _)) => self.ended = true,
                Ok(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a frame that nobody sends there",
                    ));
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        let most = self.left.min(into.len());
        let read = self.reader.read(into.get_mut(..most).unwrap_or_default()).await?;
        if read == 0 {
            return Err(gone());
        }
        self.left -= read;
        Ok(read)
    }
}

/// Git's output, as frames.
struct ToClient<'a, 'w>(&'a Mutex<WriteHalf<'w>>);

impl Sink for ToClient<'_, '_> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut writer = self.0.lock().await;
        send(&mut *writer, Kind::Output, bytes).await
    }
}

struct FromServer<'a> {
    output: &'a mut Receiver,
    counts: &'a Counts,
}

impl Source for FromServer<'_> {
    async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.output.read(into).await?;
        self.counts.receive(read);
        Ok(read)
    }
}

struct ToServer<'a> {
    input: &'a mut Option<Sender>,
    counts: &'a Counts,
}

impl ToServer<'_> {
    fn close(&mut self) {
        *self.input = None;
    }
}

impl Sink for ToServer<'_> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.counts.send(bytes.len())?;
        match self.input.as_mut() {
            Some(input) => input.write_all(bytes).await,
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}
