//! Which requests are git's smart HTTP (gitprotocol-http(5)), and which look as if they could be taken for it.
//!
//! A server may read a path in more ways than one, so only the plain form is git's: no `%`, no empty part, no dots, exactly
//! one key in the query, exactly the type of the body. What only comes near it is refused.

use crate::git::ssh_words::Service;
use crate::policy::{Host, Repository};

/// Longest target that is looked at.
const TARGET_MAX: usize = 2048;

/// What a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// None of git's.
    Other,
    /// Git's.
    Git(Asked),
    /// It could be taken for git's, and isn't plainly that.
    Refused(&'static str),
}

/// A request of git's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proxy::intercept) struct Asked {
    /// Which program of git's on the server is meant.
    pub(super) service: Service,
    /// Which part of the conversation it is.
    pub(super) step: Step,
    /// The path of the repository as it was sent, with the slash before it.
    pub(super) base: String,
    /// The repository.
    pub(super) repository: Repository,
}

/// Parts of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// What there is: `GET …/info/refs?service=…`.
    Refs,
    /// What is wanted, or sent: `POST …/git-…`.
    Call,
}

impl Asked {
    /// Its target at another path of the same repository's server.
    pub(super) fn target_at(&self, base: &str) -> String {
        let service = self.service.word();
        match self.step {
            Step::Refs => format!("{base}/info/refs?service={service}"),
            Step::Call => format!("{base}/{service}"),
        }
    }
}

/// The ends of paths that are git's, in small letters.
const ENDS: [&str; 4] = [
    "/info/refs",
    "/git-upload-pack",
    "/git-receive-pack",
    "/git-upload-archive",
];

/// Reads method, target in origin form, and the body's type.
pub(super) fn route(host: &Host, port: u16, method: &str, target: &str, kind: Option<&[u8]>) -> Route {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if !is_near(path) {
        return Route::Other;
    }
    if target.len() > TARGET_MAX {
        return Route::Refused("the path is too long");
    }
    let (base, step, service) = if let Some(base) = path.strip_suffix("/info/refs") {
        let service = match query {
            Some("service=git-upload-pack") => Service::UploadPack,
            Some("service=git-receive-pack") => Service::ReceivePack,
            None => return Route::Refused("the dumb protocol isn't carried: only smart HTTP is"),
            Some(_) => return Route::Refused("the query is none that git sends"),
        };
        if method != "GET" {
            return Route::Refused("git asks for refs with GET");
        }
        (base, Step::Refs, service)
    } else {
        let services = [Service::UploadPack, Service::ReceivePack];
        let found = services.into_iter().find_map(|service| {
            let base = path.strip_suffix(service.word())?.strip_suffix('/')?;
            Some((base, service))
        });
        let Some((base, service)) = found else {
            return Route::Refused(
                "only what git asks of smart HTTP is carried: no dumb protocol, no WebDAV, no LFS, no archives",
            );
        };
        let wanted = format!("application/x-{}-request", service.word());
        if method != "POST" || query.is_some() || kind != Some(wanted.as_bytes()) {
            return Route::Refused("it isn't as git sends it: a POST of the one type, without a query");
        }
        (base, Step::Call, service)
    };
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-~+@,=/".contains(character);
    let is_plain = base.starts_with('/') && !base.ends_with('/') && base.chars().all(plain);
    match Repository::https(host, port, base).ok().filter(|_| is_plain) {
        Some(repository) => Route::Git(Asked {
            service,
            step,
            base: base.to_owned(),
            repository,
        }),
        None => Route::Refused("the path is no plain one of a repository"),
    }
}

/// Whether some server could take it for git's.
fn is_near(path: &str) -> bool {
    let mut decoded = path.to_ascii_lowercase();
    // Some decode twice.
    for _ in 0..3 {
        decoded = percent_decoded(decoded.as_bytes());
    }
    let decoded = decoded.replace('\\', "/");
    // What follows a semicolon some servers leave out.
    let bare: Vec<&str> = decoded
        .split('/')
        .map(|part| {
            part.split([';', '\0'])
                .next()
                .unwrap_or_default()
                .trim_end_matches(['.', ' '])
        })
        .collect();
    let bare = bare.join("/");
    [decoded.as_str(), bare.as_str()].iter().any(|path| {
        let end = path.trim_end_matches('/');
        ENDS.iter().any(|known| end.ends_with(known)) || path.contains(".git/") || path.contains("/info/lfs")
    })
}

fn percent_decoded(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        let digits = bytes.clone().take(2).map(|digit| char::from(digit).to_digit(16));
        let digits: Option<Vec<u32>> = digits.collect();
        match (byte, digits.as_deref()) {
            (b'%', Some([high, low])) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'%').to_ascii_lowercase());
                bytes.nth(1);
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What must hold for any request: what is taken for git's is written as it came, and is a plain path.
#[cfg(fuzzing)]
pub(in crate::proxy) fn fuzz_route(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let mut text = || {
        parts
            .next()
            .and_then(|part| std::str::from_utf8(part).ok())
            .unwrap_or_default()
    };
    let (method, target, kind) = (text(), text(), text());
    let Ok(name) = "h.test".parse() else { return };
    let host = Host::Name(name);
    if let Route::Git(asked) = route(&host, 443, method, target, Some(kind.as_bytes())) {
        assert_eq!(asked.target_at(&asked.base), target);
        assert!(!target.contains("//") && !target.contains(['%', '\\', '#', ';']));
        assert!(
            asked
                .base
                .split('/')
                .skip(1)
                .all(|part| !matches!(part, "" | "." | ".."))
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(method: &str, target: &str, kind: &str) -> Route {
        let host = Host::Name("h.test".parse().unwrap());
        let kind = Some(kind.as_bytes()).filter(|kind| !kind.is_empty());
        route(&host, 443, method, target, kind)
    }

    #[test]
    fn what_git_sends() {
        for (target, base) in [
            ("/acme/app.git/info/refs?service=git-upload-pack", "/acme/app.git"),
            ("/acme/app/info/refs?service=git-upload-pack", "/acme/app"),
        ] {
            let Route::Git(asked) = routed("GET", target, "") else {
                panic!("{target}")
            };
            assert_eq!((asked.service, asked.step), (Service::UploadPack, Step::Refs));
            assert_eq!(asked.repository.to_string(), "https://h.test/acme/app");
            assert_eq!(
                (asked.base.as_str(), asked.target_at(base).as_str()),
                (base, target)
            );
        }
        let kind = "application/x-git-receive-pack-request";
        let Route::Git(asked) = routed("POST", "/a/b.git/git-receive-pack", kind) else {
            panic!()
        };
        assert_eq!((asked.service, asked.step), (Service::ReceivePack, Step::Call));
        assert_eq!(asked.target_at("/c/d"), "/c/d/git-receive-pack");
    }

    #[test]
    fn what_is_none_of_gits() {
        for target in [
            "/",
            "/acme/app",
            "/acme/app/pulls",
            "/acme/app.git",
            "/acme/app?go-get=1",
            "/api/info/refs2",
        ] {
            assert_eq!(routed("GET", target, ""), Route::Other, "{target}");
        }
    }

    #[test]
    fn g12_g13_what_comes_near_is_refused() {
        let upload = "application/x-git-upload-pack-request";
        for (method, target, kind) in [
            ("GET", "/a/b.git/info/refs", ""),
            ("GET", "/a/b.git/HEAD", ""),
            ("GET", "/a/b.git/objects/info/packs", ""),
            ("PROPFIND", "/a/b.git/", ""),
            ("PUT", "/a/b.git/x", ""),
            ("MKCOL", "/a/b.git/refs/", ""),
            ("POST", "/a/b.git/info/lfs/objects/batch", "application/json"),
            ("GET", "/a/b/info/refs?service=git-upload-archive", ""),
            ("GET", "/a/b/info/refs?service=git-upload-pack&x=y", ""),
            ("GET", "/a/b/info/refs?x=y&service=git-upload-pack", ""),
            ("GET", "/a/b/info/refs?service=git%2dupload-pack", ""),
            ("GET", "/a/b/info/refs?", ""),
            ("HEAD", "/a/b/info/refs?service=git-upload-pack", ""),
            ("POST", "/a/b/info/refs?service=git-upload-pack", ""),
            ("GET", "/a/b/git-upload-pack", upload),
            ("POST", "/a/b/git-upload-pack", ""),
            (
                "POST",
                "/a/b/git-upload-pack",
                "application/x-git-upload-pack-request; charset=x",
            ),
            ("POST", "/a/b/git-upload-pack?x", upload),
            ("POST", "/a/b/git-receive-pack", upload),
            ("POST", "/a/../b/git-upload-pack", upload),
            ("POST", "/a/./b/git-upload-pack", upload),
            ("POST", "/a//b/git-upload-pack", upload),
            ("POST", "//a/b/git-upload-pack", upload),
            ("POST", "/a/b//git-upload-pack", upload),
            ("POST", "/a/%2e%2e/b/git-upload-pack", upload),
            ("POST", "/a/b/git%2dreceive-pack", upload),
            ("POST", "/a/b/git%252dreceive-pack", upload),
            ("POST", "/a/b%2fgit-receive-pack", upload),
            ("POST", "/a/b\\git-receive-pack", upload),
            ("POST", "/a/b/GIT-Receive-Pack", upload),
            ("POST", "/a/b/git-receive-pack/", upload),
            ("POST", "/a/b/git-receive-pack;x", upload),
            ("POST", "/a/b/git-receive-pack%00", upload),
            ("GET", "/info/refs?service=git-upload-pack", ""),
            ("POST", "/a/b/git-upload-archive", ""),
            ("GET", "/a/b c/info/refs?service=git-upload-pack", ""),
        ] {
            assert!(
                matches!(routed(method, target, kind), Route::Refused(_)),
                "{method} {target}"
            );
        }
    }

    #[test]
    fn a_repository_called_as_another_with_git_behind_is_another() {
        let Route::Git(asked) = routed("GET", "/a/b.git.git/info/refs?service=git-upload-pack", "") else {
            panic!()
        };
        assert_eq!(asked.repository.to_string(), "https://h.test/a/b.git");
        let rule: Repository = "https://h.test/a/b".parse().unwrap();
        assert!(!rule.means(&asked.repository));
    }
}
