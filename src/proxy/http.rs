//! HTTP/1 request heads and the length of their bodies (RFC 9112), read strictly: what two readers could understand in
//! two ways is refused, since the server behind could be the other reader.

/// Largest head in bytes.
pub(super) const HEAD_MAX: usize = 64 * 1024;
/// Longest method that is taken for one.
const METHOD_MAX: usize = 32;
/// Longest line of a chunk's size, and longest trailer section.
const CHUNK_LINE_MAX: usize = 4096;

/// What is known of a request head so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Head {
    /// More bytes are needed.
    Partial,
    /// It is none, or not clearly one.
    Malformed(&'static str),
    /// Whole.
    Whole(Request),
}

/// A request head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Bytes of it, with the empty line.
    pub(super) length: usize,
    /// What is done with what.
    pub(super) line: Box<Line>,
    /// The host of the `Host` field, without port, as sent.
    pub(super) host: String,
    /// A field that some servers take another method or path from.
    pub(super) overrides: bool,
    /// Where an absolute target leads.
    pub(super) absolute: Option<Absolute>,
    /// `CONNECT`: it asks for a tunnel to there.
    pub(super) connect: Option<Authority>,
    /// What follows.
    pub(super) body: Body,
    /// What `Upgrade` asks for.
    pub(super) upgrade: Upgrade,
    /// Where the fields stand that ask for a change of protocol, to be left out.
    pub(super) upgrade_fields: Vec<std::ops::Range<usize>>,
    /// Where the fields stand that are meant for a proxy alone.
    pub(super) proxy_fields: Vec<std::ops::Range<usize>>,
}

/// What a request does with what, as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The method.
    pub(super) method: String,
    /// The path with its query; `*` is no path.
    pub(super) path: String,
}

/// `host[:port]`, as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    /// A name or an address, in whatever spelling; without brackets.
    pub(super) host: String,
    /// The port, where one was sent.
    pub(super) port: Option<u16>,
}

/// A target in absolute form (RFC 9112 3.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Absolute {
    /// Whether its scheme is `http`.
    pub(super) is_http: bool,
    /// Where it leads.
    pub(super) authority: Authority,
    /// Where scheme and authority stand in the head.
    pub(super) place: std::ops::Range<usize>,
}

/// How the body's end is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// What the `Upgrade` field asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// Nothing.
    #[default]
    None,
    /// WebSocket (RFC 6455): no host is named in it again.
    WebSocket,
    /// HTTP/2 or anything else.
    Other,
}

/// Whether these could be the first bytes of an HTTP/1 request; `None` when it can't be told yet.
pub(super) fn begins(bytes: &[u8]) -> Option<bool> {
    let line = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = bytes.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            return Some(line.contains(&b' ') && version.starts_with(b"HTTP/1"));
        }
        None => bytes.strip_suffix(b"\r").unwrap_or(bytes),
    };
    let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let possible = method.len() <= METHOD_MAX
        && method.iter().all(|byte| is_token(*byte))
        && line.iter().all(|byte| matches!(byte, 0x20..=0x7e | 0x80..))
        && line.len() < HEAD_MAX;
    if possible { None } else { Some(false) }
}

/// Reads what there is of a head.
pub(super) fn parse(bytes: &[u8]) -> Head {
    match request(bytes) {
        Ok(Some(request)) => Head::Whole(request),
        Ok(None) if bytes.len() >= HEAD_MAX => Head::Malformed("the head is too long"),
        Ok(None) => Head::Partial,
        Err(why) => Head::Malformed(why),
    }
}

/// A line without its end, and where it stands with it.
type Placed<'a> = (&'a [u8], std::ops::Range<usize>);

/// Takes lines off the front; a line ends with CR LF and holds neither alone.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<Option<Placed<'a>>, &'static str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return if rest.len() > HEAD_MAX {
                Err("a line is too long")
            } else {
                Ok(None)
            };
        };
        let line = rest.get(..end).unwrap_or_default();
        let line = line
            .strip_suffix(b"\r")
            .ok_or("a line ends without a carriage return")?;
        if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err("a control character in the head");
        }
        let start = self.at;
        self.at += end + 1;
        Ok(Some((line, start..self.at)))
    }
}

fn request(bytes: &[u8]) -> Result<Option<Request>, &'static str> {
    let mut lines = Lines { bytes, at: 0 };
    let Some((first, _)) = lines.next()? else {
        return Ok(None);
    };
    let start = start_line(first)?;
    let mut fields = Fields::default();
    loop {
        let Some((line, place)) = lines.next()? else {
            return Ok(None);
        };
        if line.is_empty() {
            break;
        }
        fields.take(line, place)?;
    }
    let body = match (fields.length, fields.chunked) {
        (Some(_), true) => return Err("both a length and chunks"),
        (None, true) if start.is_old => return Err("chunks in HTTP/1.0"),
        (None, true) => Body::Chunked,
        (length, false) => Body::Length(length.unwrap_or(0)),
    };
    let host = match (fields.host, &start.connect) {
        (Some(host), _) => authority(host)?.host,
        // Old clients of proxies send none.
        (None, Some(connect)) => connect.host.clone(),
        (None, None) => return Err("no Host field"),
    };
    Ok(Some(Request {
        length: lines.at,
        line: Box::new(Line {
            method: start.method.to_owned(),
            path: start.path.to_owned(),
        }),
        host,
        overrides: fields.overrides,
        absolute: start.absolute,
        connect: start.connect,
        body,
        upgrade: fields.upgrade,
        upgrade_fields: fields.upgrade_fields,
        proxy_fields: fields.proxy_fields,
    }))
}

struct StartLine<'a> {
    method: &'a str,
    path: &'a str,
    is_old: bool,
    connect: Option<Authority>,
    absolute: Option<Absolute>,
}

fn start_line(line: &[u8]) -> Result<StartLine<'_>, &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| "a request line that isn't text")?;
    let mut words = text.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("a request line that isn't three words");
    };
    if method.is_empty() || method.len() > METHOD_MAX || !method.bytes().all(is_token) {
        return Err("an odd method");
    }
    let is_old = match version {
        "HTTP/1.1" => false,
        "HTTP/1.0" => true,
        _ => return Err("an odd version"),
    };
    if target.is_empty() || target.bytes().any(|byte| !matches!(byte, 0x21..=0x7e | 0x80..)) {
        return Err("an odd target");
    }
    let (mut connect, mut absolute) = (None, None);
    let mut path = target;
    if method.eq_ignore_ascii_case("CONNECT") {
        connect = Some(authority(target)?);
    } else if !target.starts_with('/') && target != "*" {
        // A server takes the host from here.
        let (scheme, rest) = target
            .split_once("://")
            .ok_or("a target that is neither path nor URL")?;
        let there = rest.split(['/', '?', '#']).next().unwrap_or_default();
        path = rest
            .get(there.len()..)
            .filter(|path| !path.is_empty())
            .unwrap_or("/");
        let start = method.len() + 1;
        absolute = Some(Absolute {
            is_http: scheme.eq_ignore_ascii_case("http"),
            authority: authority(there)?,
            place: start..start + scheme.len() + 3 + there.len(),
        });
    }
    Ok(StartLine {
        method,
        path,
        is_old,
        connect,
        absolute,
    })
}

#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a str>,
    length: Option<u64>,
    chunked: bool,
    overrides: bool,
    upgrade: Upgrade,
    upgrade_fields: Vec<std::ops::Range<usize>>,
    proxy_fields: Vec<std::ops::Range<usize>>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, line: &'a [u8], place: std::ops::Range<usize>) -> Result<(), &'static str> {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .ok_or("a field without a colon")?;
        let (name, value) = line.split_at_checked(colon).ok_or("a field without a colon")?;
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            // A space before the colon, or a folded line.
            return Err("an odd field name");
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let text = || std::str::from_utf8(value).map_err(|_| "a field that isn't text");
        if name.eq_ignore_ascii_case(b"host") {
            if self.host.replace(text()?).is_some() {
                return Err("more than one Host");
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return Err("an odd Content-Length");
            }
            let length = text()?.parse().map_err(|_| "an odd Content-Length")?;
            if self.length.replace(length).is_some() {
                return Err("more than one Content-Length");
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err("a Transfer-Encoding other than chunked");
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            let websocket = self.upgrade == Upgrade::None && value.eq_ignore_ascii_case(b"websocket");
            self.upgrade = if websocket {
                Upgrade::WebSocket
            } else {
                Upgrade::Other
            };
            self.upgrade_fields.push(place);
        } else if name.eq_ignore_ascii_case(b"http2-settings") {
            self.upgrade_fields.push(place);
        } else if name.eq_ignore_ascii_case(b"proxy-connection")
            || name.eq_ignore_ascii_case(b"proxy-authorization")
        {
            self.proxy_fields.push(place);
        } else if name.eq_ignore_ascii_case(b"connection") && takes_away(value) {
            return Err("a Connection that takes away the host, or what tells where the request ends");
        } else if is_override(name) {
            self.overrides = true;
        } else if is_almost(name) {
            // `Transfer_Encoding`, which some servers take for the real one.
            return Err("an odd field name");
        }
        Ok(())
    }
}

/// Whether what `Connection` names (RFC 9110 7.6.1), which a proxy outside leaves out, is a part of how a request is
/// understood.
fn takes_away(value: &[u8]) -> bool {
    let mut names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    names.any(|name| is_framing(&dashed(name)))
}

/// Whether some servers take the method or the path of a request from a field of that name.
pub(super) fn is_override(name: &[u8]) -> bool {
    let dashed = dashed(name);
    [
        &b"x-http-method-override"[..],
        b"x-http-method",
        b"x-method-override",
        b"x-original-url",
        b"x-original-uri",
        b"x-rewrite-url",
        b"x-forwarded-uri",
        b"x-override-url",
    ]
    .iter()
    .any(|known| dashed.eq_ignore_ascii_case(known))
}

/// As servers see it that can't tell a dash from an underscore (RFC 3875 4.1.18).
fn dashed(name: &[u8]) -> Vec<u8> {
    name.iter()
        .map(|byte| if *byte == b'_' { b'-' } else { *byte })
        .collect()
}

/// Whether some servers take a field of that name for another, by which they tell where requests begin and for whom
/// they are.
pub(super) fn is_almost(name: &[u8]) -> bool {
    let dashed = dashed(name);
    if dashed == name {
        return false;
    }
    is_framing(&dashed)
}

fn is_framing(name: &[u8]) -> bool {
    [&b"host"[..], b"content-length", b"transfer-encoding"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

fn authority(text: &str) -> Result<Authority, &'static str> {
    if text.contains('@') {
        return Err("a user name before the host");
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("an odd host")?;
            (
                host,
                rest.strip_prefix(':')
                    .or(rest.is_empty().then_some(""))
                    .ok_or("an odd host")?,
            )
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    if host.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("an odd host");
    }
    let port = match port {
        "" => None,
        digits => Some(digits.parse().map_err(|_| "a port that is none")?),
    };
    Ok(Authority {
        host: host.to_owned(),
        port,
    })
}

const fn is_token(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

/// Follows a body to its end, in whatever pieces it comes.
#[derive(Debug)]
pub(super) struct BodyReader(State);

#[derive(Debug)]
enum State {
    Data(u64),
    Size(Vec<u8>),
    ChunkData(u64),
    ChunkEnd(u8),
    Trailer { line: Vec<u8>, total: usize },
    Done,
}

impl BodyReader {
    /// At the start of a body.
    pub(super) fn new(body: Body) -> Self {
        Self(match body {
            Body::Length(0) => State::Done,
            Body::Length(length) => State::Data(length),
            Body::Chunked => State::Size(Vec::new()),
        })
    }

    /// Whether all of it was seen.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// Tells how many of these bytes belong to the body.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            used += match &mut self.0 {
                State::Done => return Ok(used),
                State::Data(left) | State::ChunkData(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= u64::try_from(count).unwrap_or(0);
                    let is_chunk = matches!(self.0, State::ChunkData(_));
                    if let State::Data(0) | State::ChunkData(0) = self.0 {
                        self.0 = if is_chunk {
                            State::ChunkEnd(b'\r')
                        } else {
                            State::Done
                        };
                    }
                    count
                }
                State::Size(line) => {
                    let (count, whole) = gather(line, rest)?;
                    if whole {
                        self.0 = match chunk_size(line)? {
                            0 => State::Trailer {
                                line: Vec::new(),
                                total: 0,
                            },
                            size => State::ChunkData(size),
                        };
                    }
                    count
                }
                State::ChunkEnd(wanted) => {
                    if rest.first() != Some(wanted) {
                        return Err("a chunk longer than it said");
                    }
                    self.0 = if *wanted == b'\r' {
                        State::ChunkEnd(b'\n')
                    } else {
                        State::Size(Vec::new())
                    };
                    1
                }
                State::Trailer { line, total } => {
                    let (count, whole) = gather(line, rest)?;
                    *total += count;
                    if *total > CHUNK_LINE_MAX {
                        return Err("a trailer that is too long");
                    }
                    if whole {
                        if line.is_empty() {
                            self.0 = State::Done;
                        } else {
                            line.clear();
                        }
                    }
                    count
                }
            };
        }
        Ok(used)
    }
}

/// Adds to a line up to its end; the line is without CR LF once it is whole.
fn gather(line: &mut Vec<u8>, bytes: &[u8]) -> Result<(usize, bool), &'static str> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let count = end.map_or(bytes.len(), |end| end + 1);
    if line.len() + count > CHUNK_LINE_MAX {
        return Err("a chunk's line that is too long");
    }
    line.extend_from_slice(bytes.get(..count).unwrap_or_default());
    if end.is_none() {
        return Ok((count, false));
    }
    if !line.ends_with(b"\r\n") {
        return Err("a line ends without a carriage return");
    }
    line.truncate(line.len() - 2);
    if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err("a control character in a chunk's line");
    }
    Ok((count, true))
}

fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let digits = line
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii_end();
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err("an odd chunk size");
    }
    let text = std::str::from_utf8(digits).map_err(|_| "an odd chunk size")?;
    u64::from_str_radix(text, 16).map_err(|_| "an odd chunk size")
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
