//! Values that stand in flags and in files: each has one form, parsed once.

use super::{floor::Lock, suggest, tables};
use crate::policy::{
    Beyond, Capture, Dns, GitMode, Grant, Guarantee, Home, HostOptions, HostPattern, HostPatternError, Name,
    NameError, NetworkPreset, OwnSandbox, ProxyUrlError, Sni, Unlisted, UpstreamProxy,
};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// Why a text is no such value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// None of the words that are known.
    #[error("`{text}` is none of `{}`", known.join("`, `"))]
    Word {
        /// As written.
        text: String,
        /// The words.
        known: &'static [&'static str],
    },
    /// No size.
    #[error("`{0}` is not a size: write bytes, or a number with K, M, G or T, such as `4G`")]
    Size(String),
    /// No count.
    #[error("`{0}` is not a number from 1 on")]
    Count(String),
    /// No percentage.
    #[error("`{0}` is not a percentage from 1 to 100000, such as `150%`")]
    Percent(String),
    /// The address of a fixed answer.
    #[error("`{0}` is not an address with an optional port, such as `127.0.0.1:8080` or `[::1]:8080`")]
    Address(String),
    /// A fixed answer without `=`.
    #[error("`{0}` has no `=`: write HOST=ADDR[:PORT]")]
    NoAddress(String),
    /// The name of a fixed answer.
    #[error("`{text}` is not a host name: {cause}")]
    HostName {
        /// As written.
        text: String,
        /// What is wrong.
        cause: NameError,
    },
    /// The name of a variable.
    #[error("`{0}` is not a variable's name: letters, digits and `_`, with one `*` at the end at most")]
    Variable(String),
    /// Every variable.
    #[error("`*` would keep every variable, secrets too: name those that are needed")]
    EveryVariable,
    /// A value for a pattern.
    #[error("`{0}` stands for many variables and can't be set")]
    PatternSet(String),
    /// A variable of the dynamic loader.
    #[error("`{0}` makes the dynamic loader run other code in every program, so it never goes inside")]
    Loader(String),
    /// No proxy.
    #[error("this is no proxy: {0}")]
    Proxy(ProxyUrlError),
    /// A value with a NUL byte, which no environment can hold.
    #[error("the value of `{0}` has a NUL byte")]
    VariableNul(String),
}

impl ValueError {
    /// The known word that is nearest to what was written.
    #[must_use]
    pub fn near(&self) -> Option<&'static str> {
        match self {
            Self::Word { text, known } => suggest::nearest(text, known.iter().copied()),
            Self::Size(_)
            | Self::Count(_)
            | Self::Percent(_)
            | Self::Address(_)
            | Self::NoAddress(_)
            | Self::HostName { .. }
            | Self::Variable(_)
            | Self::EveryVariable
            | Self::PatternSet(_)
            | Self::Loader(_)
            | Self::Proxy(_)
            | Self::VariableNul(_) => None,
        }
    }

    /// What to do instead.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        if let Self::Loader(name) = self {
            let name = name.trim_end_matches('*');
            return Some(format!(
                "set it for one program: `aca run -- env {name}=… PROGRAM`"
            ));
        }
        self.near().map(|near| format!("did you mean `{near}`?"))
    }
}

/// Beginnings of variables that the dynamic loader reads before a program's first line.
const LOADER: [&str; 2] = ["LD_", "DYLD_"];

fn word(text: &str, known: &'static [&'static str]) -> ValueError {
    ValueError::Word {
        text: text.to_owned(),
        known,
    }
}

/// `none`, `listed`, `agent`, `dev` or `open`.
///
/// # Errors
/// Any other word.
pub fn network_preset(text: &str) -> Result<NetworkPreset, ValueError> {
    match text {
        "none" => Ok(NetworkPreset::None),
        "listed" => Ok(NetworkPreset::Listed),
        "agent" => Ok(NetworkPreset::Agent),
        "dev" => Ok(NetworkPreset::Dev),
        "open" => Ok(NetworkPreset::Open),
        other => Err(word(other, tables::PRESETS)),
    }
}

/// `auto`, `redirect` or `ports`.
///
/// # Errors
/// Any other word.
pub fn capture(text: &str) -> Result<Capture, ValueError> {
    match text {
        "auto" => Ok(Capture::Auto),
        "redirect" => Ok(Capture::Redirect),
        "ports" => Ok(Capture::Ports),
        other => Err(word(other, tables::CAPTURES)),
    }
}

/// `leased` or `real`.
///
/// # Errors
/// Any other word.
pub fn dns(text: &str) -> Result<Dns, ValueError> {
    let found = [Dns::Leased, Dns::Real]
        .into_iter()
        .find(|dns| dns.word() == text);
    found.ok_or_else(|| word(text, tables::DNS))
}

/// `required`, `optional` or `any`.
///
/// # Errors
/// Any other word.
pub fn sni(text: &str) -> Result<Sni, ValueError> {
    let all = [Sni::Required, Sni::Optional, Sni::Any];
    let found = all.into_iter().find(|sni| sni.word() == text);
    found.ok_or_else(|| word(text, tables::SNI))
}

/// `never` or `own-session`.
///
/// # Errors
/// Any other word.
pub fn beyond(text: &str) -> Result<Beyond, ValueError> {
    match text {
        "never" => Ok(Beyond::Never),
        "own-session" => Ok(Beyond::OwnSession),
        _ => Err(word(text, tables::BEYOND)),
    }
}

/// A proxy outside, or where its URL is.
///
/// # Errors
/// Anything else.
pub fn upstream_proxy(text: &str) -> Result<UpstreamProxy, ValueError> {
    text.parse().map_err(ValueError::Proxy)
}

/// `keep` or `off`.
///
/// # Errors
/// Any other word.
pub fn own_sandbox(text: &str) -> Result<OwnSandbox, ValueError> {
    match text {
        "keep" => Ok(OwnSandbox::Keep),
        "off" => Ok(OwnSandbox::Off),
        other => Err(word(other, tables::OWN_SANDBOX)),
    }
}

/// `isolated` or `direct`.
///
/// # Errors
/// Any other word.
pub fn git_mode(text: &str) -> Result<GitMode, ValueError> {
    GitMode::ALL
        .into_iter()
        .find(|mode| mode.word() == text)
        .ok_or_else(|| word(text, tables::GIT_MODES))
}

/// `private` or `host`.
///
/// # Errors
/// Any other word.
pub fn home(text: &str) -> Result<Home, ValueError> {
    match text {
        "private" => Ok(Home::Private),
        "host" => Ok(Home::Host),
        other => Err(word(other, tables::HOMES)),
    }
}

/// `anonymous` or `deny`.
///
/// # Errors
/// Any other word.
pub fn unlisted(text: &str) -> Result<Unlisted, ValueError> {
    let found = [Unlisted::Deny, Unlisted::Anonymous]
        .into_iter()
        .find(|unlisted| unlisted.word() == text);
    found.ok_or_else(|| word(text, tables::UNLISTED))
}

/// The word of [`capture`].
#[must_use]
pub const fn capture_word(capture: Capture) -> &'static str {
    match capture {
        Capture::Auto => "auto",
        Capture::Redirect => "redirect",
        Capture::Ports => "ports",
    }
}

/// The word of [`home`].
#[must_use]
pub const fn home_word(home: Home) -> &'static str {
    match home {
        Home::Private => "private",
        Home::Host => "host",
    }
}

/// The word of a [`Grant`].
///
/// # Errors
/// Any other word.
pub fn grant(text: &str) -> Result<Grant, ValueError> {
    let found = Grant::ALL.into_iter().find(|grant| grant.word() == text);
    found.ok_or_else(|| word(text, tables::GRANTS))
}

/// The word of a [`Guarantee`].
///
/// # Errors
/// Any other word.
pub fn guarantee(text: &str) -> Result<Guarantee, ValueError> {
    let found = Guarantee::ALL
        .into_iter()
        .find(|guarantee| guarantee.word() == text);
    found.ok_or_else(|| word(text, tables::GUARANTEES))
}

/// The word of a [`Lock`].
///
/// # Errors
/// Any other word.
pub fn lock(text: &str) -> Result<Lock, ValueError> {
    let found = Lock::ALL.into_iter().find(|lock| lock.word() == text);
    found.ok_or_else(|| word(text, tables::LOCKS))
}

/// Bytes: a number, with `K`, `M`, `G` or `T` in steps of 1024; `B` and `iB` may follow.
///
/// # Errors
/// No such form, zero, or more than 64 bits.
pub fn size(text: &str) -> Result<u64, ValueError> {
    let wrong = || ValueError::Size(text.to_owned());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(factor)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(wrong)
}

/// A number from 1 on.
///
/// # Errors
/// Anything else.
pub fn count(text: &str) -> Result<u64, ValueError> {
    let wrong = || ValueError::Count(text.to_owned());
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    text.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)
}

/// Percent of one processor, `%` allowed.
///
/// # Errors
/// Anything else, zero, or more than 100000.
pub fn percent(text: &str) -> Result<u32, ValueError> {
    count(text.strip_suffix('%').unwrap_or(text))
        .ok()
        .filter(|number| *number <= 100_000)
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| ValueError::Percent(text.to_owned()))
}

/// A host that is allowed: a pattern, or `{ host = PATTERN, … }` with options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost {
    /// Which hosts.
    pub pattern: HostPattern,
    /// What is said besides.
    pub options: HostOptions,
}

impl AllowedHost {
    /// As it could be written in TOML.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut text = format!("{:?}", self.pattern.to_string());
        if self.options != HostOptions::default() {
            text.insert_str(0, "{ host = ");
            for (key, word) in self.options.chosen() {
                text.push_str(&format!(", {key} = \"{word}\""));
            }
            text.push_str(" }");
        }
        text
    }
}

impl From<HostPattern> for AllowedHost {
    fn from(pattern: HostPattern) -> Self {
        Self {
            pattern,
            options: HostOptions::default(),
        }
    }
}

impl FromStr for AllowedHost {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        text.parse::<HostPattern>().map(Self::from)
    }
}

/// A fixed answer for a name: `HOST=ADDR[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedAddress {
    /// The name.
    pub name: Name,
    /// Where it is dialled.
    pub address: IpAddr,
    /// Dialled port; `None` keeps the port asked for.
    pub port: Option<u16>,
}

impl FixedAddress {
    /// From the two sides of the `=`.
    ///
    /// # Errors
    /// A name that is none, an address that is none.
    pub fn new(name: &str, address: &str) -> Result<Self, ValueError> {
        let parsed = name.parse().map_err(|cause| ValueError::HostName {
            text: name.to_owned(),
            cause,
        })?;
        let (address, port) = match (address.parse::<SocketAddr>(), address.parse::<IpAddr>()) {
            (Ok(socket), _) if socket.port() != 0 => (socket.ip(), Some(socket.port())),
            (Err(_), Ok(ip)) => (ip, None),
            _ => return Err(ValueError::Address(address.to_owned())),
        };
        Ok(Self {
            name: parsed,
            address: address.to_canonical(),
            port,
        })
    }
}

impl FromStr for FixedAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (name, address) = text
            .split_once('=')
            .ok_or_else(|| ValueError::NoAddress(text.to_owned()))?;
        Self::new(name, address)
    }
}

impl fmt::Display for FixedAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => write!(formatter, "{}={}", self.name, self.address),
            Some(port) => write!(formatter, "{}={}", self.name, SocketAddr::new(self.address, port)),
        }
    }
}

/// A variable kept from outside, or set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvironmentEntry {
    /// Kept when set outside; a trailing `*` stands for any rest.
    Keep(String),
    /// Set to a value.
    Set {
        /// The name.
        name: String,
        /// The value.
        value: String,
    },
}

impl EnvironmentEntry {
    /// The variable's name or pattern.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Keep(name) | Self::Set { name, .. } => name,
        }
    }

    /// A variable to keep.
    ///
    /// # Errors
    /// No name or pattern of names.
    pub fn keep(name: &str) -> Result<Self, ValueError> {
        if name == "*" {
            return Err(ValueError::EveryVariable);
        }
        variable(name.strip_suffix('*').unwrap_or(name))
            .map_err(|_| ValueError::Variable(name.to_owned()))?;
        not_the_loader_s(name)?;
        Ok(Self::Keep(name.to_owned()))
    }

    /// A variable to set.
    ///
    /// # Errors
    /// No name, or a value that no environment can hold.
    pub fn set(name: &str, value: &str) -> Result<Self, ValueError> {
        if name.ends_with('*') {
            return Err(ValueError::PatternSet(name.to_owned()));
        }
        variable(name)?;
        not_the_loader_s(name)?;
        if value.contains('\0') {
            return Err(ValueError::VariableNul(name.to_owned()));
        }
        Ok(Self::Set {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// A pattern that merely may stand for such a name is fine: what it takes is looked at again, name by name.
fn not_the_loader_s(name: &str) -> Result<(), ValueError> {
    if LOADER.iter().any(|start| name.starts_with(start)) {
        return Err(ValueError::Loader(name.to_owned()));
    }
    Ok(())
}

/// Names as POSIX has them (XBD 8.1): what a shell can hand on.
fn variable(name: &str) -> Result<(), ValueError> {
    let starts = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if starts
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        Ok(())
    } else {
        Err(ValueError::Variable(name.to_owned()))
    }
}

impl FromStr for EnvironmentEntry {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.split_once('=') {
            None => Self::keep(text),
            Some((name, value)) => Self::set(name, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grant_has_its_word() {
        for known in Grant::ALL {
            assert_eq!(grant(known.word()), Ok(known));
        }
        assert_eq!(grant("iouring").unwrap_err().near(), Some("io-uring"));
        assert_eq!(
            network_preset("devel").unwrap_err().to_string(),
            "`devel` is none of `none`, `listed`, `agent`, `dev`, `open`"
        );
    }

    #[test]
    fn sizes() {
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("4G"), Ok(4 << 30));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        for text in [
            "",
            "0",
            "-1",
            "1.5G",
            "G",
            "1X",
            "99999999999999999999",
            "18446744073709551615K",
            "ä",
        ] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn counts_and_percentages() {
        assert_eq!(count("7"), Ok(7));
        assert_eq!(percent("150%"), Ok(150));
        for text in ["", "0", "+1", "-1", "1e3"] {
            assert!(count(text).is_err() && percent(text).is_err(), "{text:?}");
        }
        assert!(percent("100001").is_err());
    }

    #[test]
    fn fixed_addresses() {
        for text in [
            "a.test=127.0.0.1:80",
            "a.test=10.0.0.1",
            "a.test=[::1]:8080",
            "a.test=::1",
        ] {
            assert_eq!(text.parse::<FixedAddress>().unwrap().to_string(), text);
        }
        for text in [
            "a.test",
            "a.test=",
            "a.test=b.test",
            "a.test=127.0.0.1:0",
            "a.test=127.0.0.1:x",
            "1.2.3.4=::1",
            "=::1",
        ] {
            assert!(text.parse::<FixedAddress>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn variables() {
        assert_eq!(
            "A=b=c".parse(),
            Ok(EnvironmentEntry::Set {
                name: "A".into(),
                value: "b=c".into()
            })
        );
        assert_eq!("LC_*".parse(), Ok(EnvironmentEntry::Keep("LC_*".into())));
        for text in ["", "=x", "*", "A B", "1A", "A*=x", "A*B", "**", "A=\0"] {
            assert!(text.parse::<EnvironmentEntry>().is_err(), "{text:?}");
        }
    }
}
