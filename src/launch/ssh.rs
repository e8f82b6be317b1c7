//! What git inside starts for ssh (`GIT_SSH_COMMAND`): this program, shown read-only. It holds nothing and decides nothing:
//! it carries the words and the bytes to the gate, which starts the user's own ssh outside.

use crate::git::frame::{self, HEADER, Hello, Kind};
use crate::plan::linux::{OWN_ADDRESSES, SSH_PORT};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::process::ExitCode;

/// As git's own programs end when something is wrong.
const FATAL: u8 = 128;

/// Does it; the exit status is that of ssh outside.
pub(super) fn ssh_main(arguments: &[OsString]) -> ExitCode {
    match carry(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Git shows it. Nobody is left to be told where that fails.
            io::stderr()
                .write_all(format!("aca: git over ssh: {error}\n").as_bytes())
                .ok();
            ExitCode::from(FATAL)
        }
    }
}

fn carry(arguments: &[OsString]) -> io::Result<u8> {
    let words = arguments
        .iter()
        .skip(1)
        .map(|word| word.to_str().map(str::to_owned))
        .collect::<Option<Vec<String>>>()
        .ok_or_else(|| io::Error::other("words that aren't UTF-8"))?;
    let protocol = crate::facts::git_protocol();
    let mut stream = connect()?;
    let hello = Hello { protocol, words }.encode();
    let header = frame::put_header(Kind::Hello, hello.len()).map_err(io::Error::other)?;
    stream.write_all(&[header.as_slice(), &hello].concat())?;
    let sending = stream.try_clone()?;
    // It ends with the process: what it waits for may never come.
    std::thread::Builder::new().spawn(move || send_input(sending))?;
    receive(&mut stream)
}

fn connect() -> io::Result<TcpStream> {
    let (v4, v6) = OWN_ADDRESSES;
    TcpStream::connect((IpAddr::V4(v4), SSH_PORT))
        .or_else(|_| TcpStream::connect((IpAddr::V6(v6), SSH_PORT)))
        .map_err(|error| io::Error::new(error.kind(), format!("the gate can't be reached: {error}")))
}

/// Standard input, to its end. An error ends it alone: the other direction tells what there is to tell.
fn send_input(mut stream: TcpStream) {
    let mut input = io::stdin().lock();
    let mut buffer = vec![0; HEADER + frame::PAYLOAD_MAX];
    loop {
        let Some(payload) = buffer.get_mut(HEADER..) else {
            return;
        };
        let count = match input.read(payload) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        let kind = if count == 0 { Kind::InputEnd } else { Kind::Input };
        let Ok(header) = frame::put_header(kind, count) else {
            return;
        };
        let Some(place) = buffer.get_mut(..HEADER) else {
            return;
        };
        place.copy_from_slice(&header);
        let whole = buffer.get(..HEADER + count).unwrap_or_default();
        if stream.write_all(whole).is_err() || count == 0 {
            return;
        }
    }
}

fn receive(stream: &mut TcpStream) -> io::Result<u8> {
    let mut payload = Vec::new();
    loop {
        let mut bytes = [0; HEADER];
        stream
            .read_exact(&mut bytes)
            .map_err(|_| io::Error::other("the gate ended the connection"))?;
        let (kind, length) = frame::header(bytes).map_err(io::Error::other)?;
        payload.resize(length, 0);
        stream.read_exact(&mut payload)?;
        match kind {
            Kind::Output => {
                let mut output = io::stdout().lock();
                output.write_all(&payload)?;
                output.flush()?;
            }
            Kind::Errors => io::stderr().write_all(&payload)?,
            Kind::Exit => return Ok(payload.first().copied().unwrap_or(FATAL)),
            Kind::Input | Kind::InputEnd | Kind::Hello => {
                return Err(io::Error::other("the gate says what can't be understood"));
            }
        }
    }
}
