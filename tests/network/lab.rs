//! A network of a test's own. The calling thread, and whatever it starts from then on, is alone in a network namespace:
//! some networks that look public and one that is private all end here, on any address of theirs; `/etc/resolv.conf` names
//! a name server that the test writes, and `/etc/hosts` is its own. Nothing gets to the machine's network, and nothing has
//! to be undone: it goes with the thread.

use super::support::{has, skip};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::sync::{Arc, Mutex};

/// Where its name server is: an address of a company's own network.
const NAME_SERVER: &str = "10.9.9.53";
const NETWORKS: [&str; 5] = [
    "10.9.9.0/24",
    "5.5.0.0/16",
    "6.6.0.0/16",
    "2606:5::/32",
    "fd09::/16",
];

/// Record types.
pub(crate) const A: u16 = 1;
pub(crate) const MX: u16 = 15;
pub(crate) const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;

/// The records of one answer.
type Records = Vec<Vec<u8>>;

#[derive(Default)]
struct Zone {
    /// Answers in turn; the last for ever.
    answers: HashMap<(String, u16), Vec<Records>>,
    asked: Vec<String>,
}

/// The network.
pub(crate) struct Lab {
    zone: Arc<Mutex<Zone>>,
    _directory: tempfile::TempDir,
}

impl Lab {
    /// Moves the calling thread there; `None`, and a skip, where that can't be.
    pub(crate) fn enter() -> Option<Self> {
        if !rustix::process::getuid().is_root() {
            skip("root", "a network of its own needs it");
            return None;
        }
        if !has("ip") {
            return None;
        }
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        ip(&["link", "set", "lo", "up"]);
        for network in NETWORKS {
            // Any address of it is this machine's, and none is an interface's.
            ip(&["route", "add", "local", network, "dev", "lo"]);
        }
        // IPv4 takes that for granted.
        std::fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let resolver = format!("nameserver {NAME_SERVER}\nsearch corp.test\noptions timeout:1 attempts:1\n");
        for (path, text) in [
            ("/etc/resolv.conf", resolver.as_str()),
            ("/etc/hosts", "127.0.0.1 localhost\n"),
        ] {
            let own = directory.path().join(path.rsplit('/').next().unwrap());
            std::fs::write(&own, text).unwrap();
            mount(Some(&own), path, none, MsFlags::MS_BIND, none).unwrap();
        }
        let zone = Arc::new(Mutex::new(Zone::default()));
        serve(&zone);
        Some(Self {
            zone,
            _directory: directory,
        })
    }

    /// Answers a question, from now on.
    pub(crate) fn answer(&self, name: &str, kind: u16, records: Records) {
        self.answers(name, kind, vec![records]);
    }

    /// Answers a question with each of these in turn, then with the last.
    pub(crate) fn answers(&self, name: &str, kind: u16, answers: Vec<Records>) {
        self.zone
            .lock()
            .unwrap()
            .answers
            .insert((name.to_owned(), kind), answers);
    }

    /// An address of a name.
    pub(crate) fn address(&self, name: &str, address: &str) {
        match address.parse().unwrap() {
            std::net::IpAddr::V4(v4) => self.answer(name, A, vec![v4.octets().to_vec()]),
            std::net::IpAddr::V6(v6) => self.answer(name, AAAA, vec![v6.octets().to_vec()]),
        }
    }

    /// What was asked so far, as `NAME TYPE`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.zone.lock().unwrap().asked.clone()
    }
}

/// A name in the form of a message.
pub(crate) fn wire(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

fn serve(zone: &Arc<Mutex<Zone>>) {
    let datagrams = UdpSocket::bind((NAME_SERVER, 53)).unwrap();
    let shared = Arc::clone(zone);
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((count, from)) = datagrams.recv_from(&mut buffer) {
            let reply = reply(&shared, &buffer[..count], 512);
            datagrams.send_to(&reply, from).ok();
        }
    });
    let listener = TcpListener::bind((NAME_SERVER, 53)).unwrap();
    let shared = Arc::clone(zone);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut message).unwrap();
                    let reply = reply(&shared, &message, 65535);
                    let mut framed = u16::try_from(reply.len()).unwrap().to_be_bytes().to_vec();
                    framed.extend(reply);
                    stream.write_all(&framed).ok();
                }
            });
        }
    });
}

fn reply(zone: &Mutex<Zone>, message: &[u8], limit: usize) -> Vec<u8> {
    let (mut at, mut name) = (12, String::new());
    while message[at] != 0 {
        let end = at + 1 + usize::from(message[at]);
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(&message[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    let kind = u16::from_be_bytes([message[at + 1], message[at + 2]]);
    let mut zone = zone.lock().unwrap();
    zone.asked.push(format!("{name} {kind}"));
    let known = zone.answers.keys().any(|(own, _)| *own == name);
    let records = match zone.answers.get_mut(&(name, kind)) {
        Some(answers) if answers.len() > 1 => answers.remove(0),
        Some(answers) => answers[0].clone(),
        None => Vec::new(),
    };
    let code = if known { 0 } else { 3 };
    let mut out = message[..2].to_vec();
    out.extend([0x81, 0x80 | code, 0, 1]);
    out.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
    out.extend([0; 4]);
    out.extend(&message[12..at + 5]);
    let start = out.len();
    for record in &records {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 0]);
        out.extend(u16::try_from(record.len()).unwrap().to_be_bytes());
        out.extend(record);
    }
    if out.len() > limit {
        out.truncate(start);
        out[2] |= 2;
        out[6..8].fill(0);
    }
    out
}
