//! What of a repository's configuration goes in, and what of it comes back. Pure.
//!
//! In goes what git needs to work as outside, by a list. Out stay credentials, other files, and programs that git would
//! start to reach a server. Programs that take part in what is committed or shown (filters, drivers) go in: they are the
//! user's own, run inside alone, and a commit without a filter would be another commit.
//!
//! Back come remotes and upstreams alone, and of those only what is new and of a known form: a changed URL of a remote
//! that the user has would send the next push somewhere else.

use crate::facts::git_config::Setting;
use crate::git::ref_name::RefName;
use std::collections::BTreeMap;

/// Sections that go in as a whole.
const SECTIONS: &[&str] = &[
    "advice",
    "alias",
    "apply",
    "blame",
    "branch",
    "checkout",
    "clean",
    "color",
    "column",
    "commitgraph",
    "feature",
    "filter",
    "format",
    "gc",
    "grep",
    "i18n",
    "index",
    "init",
    "log",
    "maintenance",
    "merge",
    "notes",
    "pack",
    "pull",
    "push",
    "rebase",
    "rerere",
    "sequencer",
    "stash",
    "status",
    "submodule",
    "tag",
    "versionsort",
    "worktree",
];
/// Of those, keys that don't: they start a program, sign, or name another file.
const BUT: &[(&str, &str)] = &[
    ("log", "showsignature"),
    ("push", "gpgsign"),
    ("tag", "gpgsign"),
    ("tag", "forcesignannotated"),
    ("pull", "gpgsign"),
    ("merge", "verifysignatures"),
    ("format", "attach"),
    ("format", "signaturefile"),
    ("status", "aheadbehind"),
    ("init", "templatedir"),
    ("index", "sparse"),
];
/// Keys of other sections that do.
const KEYS: &[(&str, &[&str])] = &[
    (
        "core",
        &[
            "abbrev",
            "autocrlf",
            "bare",
            "bigfilethreshold",
            "checkroundtripencoding",
            "checkstat",
            "commentchar",
            "commentstring",
            "compression",
            "deltabasecachelimit",
            "eol",
            "filemode",
            "hookspath",
            "ignorecase",
            "logallrefupdates",
            "loosecompression",
            "maxtreedepth",
            "packedgitlimit",
            "packedgitwindowsize",
            "precomposeunicode",
            "preferedsymlinkrefs",
            "protecthfs",
            "protectntfs",
            "quotepath",
            "repositoryformatversion",
            "safecrlf",
            "sharedrepository",
            "sparsecheckout",
            "sparsecheckoutcone",
            "symlinks",
            "trustctime",
            "warnambiguousrefs",
            "whitespace",
            "worktree",
        ],
    ),
    ("commit", &["cleanup", "status", "verbose", "template"]),
    (
        "diff",
        &[
            "algorithm",
            "autorefreshindex",
            "binary",
            "cachetextconv",
            "colormoved",
            "colormovedws",
            "context",
            "dirstat",
            "ignoresubmodules",
            "indentheuristic",
            "interhunkcontext",
            "mnemonicprefix",
            "noprefix",
            "orderfile",
            "renamelimit",
            "renames",
            "statgraphwidth",
            "submodule",
            "suppressblankempty",
            "textconv",
            "wordregex",
            "wserrorhighlight",
            "xfuncname",
        ],
    ),
    (
        "extensions",
        &["objectformat", "worktreeconfig", "relativeworktrees", "noop"],
    ),
    (
        "fetch",
        &[
            "all",
            "output",
            "parallel",
            "prune",
            "prunetags",
            "recursesubmodules",
            "showforcedupdates",
        ],
    ),
    (
        "remote",
        &[
            "fetch",
            "followremotehead",
            "mirror",
            "prune",
            "prunetags",
            "push",
            "pushurl",
            "skipdefaultupdate",
            "skipfetchall",
            "tagopt",
            "url",
        ],
    ),
    ("user", &["name", "email", "useconfigonly"]),
];

/// The configuration that goes in.
#[must_use]
pub(super) fn going_in(settings: &[Setting]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut heading: Option<(&[u8], Option<&[u8]>)> = None;
    for setting in settings.iter().filter(|setting| goes_in(setting)) {
        let here = (setting.section.as_slice(), setting.subsection.as_deref());
        if heading != Some(here) {
            text.push(b'[');
            text.extend_from_slice(here.0);
            if let Some(name) = here.1 {
                text.extend_from_slice(b" \"");
                for byte in name {
                    if matches!(byte, b'"' | b'\\') {
                        text.push(b'\\');
                    }
                    text.push(*byte);
                }
                text.push(b'"');
            }
            text.extend_from_slice(b"]\n");
            heading = Some(here);
        }
        text.push(b'\t');
        text.extend_from_slice(&setting.key);
        text.extend_from_slice(b" = \"");
        let value = if setting.key.ends_with(b"url") {
            without_password(&setting.value)
        } else {
            setting.value.clone()
        };
        for byte in value {
            match byte {
                b'\n' => text.extend_from_slice(b"\\n"),
                b'\t' => text.extend_from_slice(b"\\t"),
                8 => text.extend_from_slice(b"\\b"),
                b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
                other => text.push(other),
            }
        }
        text.extend_from_slice(b"\"\n");
    }
    text
}

fn goes_in(setting: &Setting) -> bool {
    let (Ok(section), Ok(key)) = (str::from_utf8(&setting.section), str::from_utf8(&setting.key)) else {
        return false;
    };
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !word(section)
        || !word(key)
        || setting
            .subsection
            .as_ref()
            .is_some_and(|name| name.contains(&b'\n'))
    {
        return false;
    }
    if BUT.contains(&(section, key)) {
        return false;
    }
    let listed = || {
        KEYS.iter()
            .any(|(own, keys)| *own == section && keys.contains(&key))
    };
    match (section, key) {
        // Somewhere else there is nothing inside.
        ("core", "hookspath") => is_beneath(&setting.value),
        ("submodule", "update") => matches!(
            setting.value.as_slice(),
            b"checkout" | b"merge" | b"rebase" | b"none"
        ),
        _ => SECTIONS.contains(&section) || listed(),
    }
}

/// A relative path that stays where it begins.
fn is_beneath(path: &[u8]) -> bool {
    !path.starts_with(b"/")
        && !path.starts_with(b"~")
        && !path.split(|byte| *byte == b'/').any(|part| part == b"..")
}

/// A URL without the password that git lets stand in it. Of a server that is reached over HTTP the user's name goes too: it
/// may be a token.
fn without_password(url: &[u8]) -> Vec<u8> {
    let Some((scheme, rest)) = split_once(url, b"://") else {
        return url.to_vec();
    };
    let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    let (place, path) = rest.split_at_checked(end).unwrap_or((rest, &[]));
    let Some(at) = place.iter().rposition(|byte| *byte == b'@') else {
        return url.to_vec();
    };
    let (user, host) = place.split_at_checked(at).unwrap_or((place, &[]));
    if scheme.starts_with(b"http") {
        return [scheme, b"://", host.get(1..).unwrap_or_default(), path].concat();
    }
    let name = user.split(|byte| *byte == b':').next().unwrap_or_default();
    [scheme, b"://", name, host, path].concat()
}

fn split_once<'a>(text: &'a [u8], by: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(by.len()).position(|window| window == by)?;
    Some((text.get(..at)?, text.get(at + by.len()..)?))
}

/// What of a changed configuration comes back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ComingBack {
    /// Keys, in git's notation, with all their values.
    pub(super) set: Vec<(String, Vec<String>)>,
    /// Keys that were changed and don't.
    pub(super) left: Vec<String>,
}

type Group = (Vec<u8>, Option<Vec<u8>>, Vec<u8>);

fn groups(settings: &[Setting]) -> BTreeMap<Group, Vec<&[u8]>> {
    let mut groups: BTreeMap<Group, Vec<&[u8]>> = BTreeMap::new();
    for setting in settings {
        let key = (
            setting.section.clone(),
            setting.subsection.clone(),
            setting.key.clone(),
        );
        groups.entry(key).or_default().push(&setting.value);
    }
    groups
}

/// `before` is what went in, `after` what is there inside now, `host` what the host has now; `is_users` tells branches that
/// were there before the session: those keep the remotes that the user has.
#[must_use]
pub(super) fn coming_back(
    before: &[Setting],
    after: &[Setting],
    host: &[Setting],
    is_users: &dyn Fn(&RefName) -> bool,
) -> ComingBack {
    let (before, after, host) = (groups(before), groups(after), groups(host));
    let mut back = ComingBack::default();
    let known = |name: &str| {
        host.keys().any(|(section, subsection, key)| {
            section == b"remote" && subsection.as_deref() == Some(name.as_bytes()) && key == b"url"
        })
    };
    let mut new = Vec::new();
    // Remotes are before upstreams that name them, as the letters have it the other way round.
    for remotes in [true, false] {
        for (group, values) in &after {
            let (section, subsection, key) = group;
            if before.get(group) == Some(values)
                || host.get(group) == Some(values)
                || (section == b"remote") != remotes
            {
                continue;
            }
            if says_relative(group, values) {
                continue;
            }
            let name = subsection
                .as_deref()
                .and_then(|name| str::from_utf8(name).ok())
                .unwrap_or_default();
            let shown = shown(group);
            let texts: Vec<&str> = values
                .iter()
                .filter_map(|value| str::from_utf8(value).ok())
                .collect();
            let whole = texts.len() == values.len();
            let is_new = |group: &Group| !host.contains_key(group);
            let remote_is_new = |name: &str| !known(name) && is_remote_name(name);
            let good = whole
                && match (section.as_slice(), key.as_slice()) {
                    (b"remote", b"url") => {
                        remote_is_new(name) && matches!(texts.as_slice(), [url] if is_url(url))
                    }
                    (b"remote", b"fetch") => {
                        remote_is_new(name)
                            && has_url(&after, name)
                            && texts.iter().all(|text| is_refspec(text, name))
                    }
                    (b"branch", b"remote") => {
                        let named = |remote: &str| known(remote) || new.iter().any(|new| new == remote);
                        // A branch of the user's isn't turned to a remote that the user doesn't have: a push would go there.
                        let branch = format!("refs/heads/{name}").parse::<RefName>();
                        let free = !host.contains_key(group) && branch.is_ok_and(|branch| !is_users(&branch));
                        is_branch(name)
                            && matches!(texts.as_slice(), [remote] if *remote == "." || known(remote) || (free && named(remote)))
                    }
                    (b"branch", b"merge") => {
                        is_branch(name)
                            && matches!(texts.as_slice(), [text] if text.parse::<RefName>().is_ok_and(|name| name.branch().is_some()))
                    }
                    (b"branch", b"rebase") => {
                        is_branch(name)
                            && matches!(texts.as_slice(), ["true" | "false" | "merges" | "interactive"])
                    }
                    // Where a submodule is got from, as with a new remote; a path of this machine's isn't taken.
                    (b"submodule", b"url") => {
                        is_submodule(name)
                            && is_new(group)
                            && matches!(texts.as_slice(), [url] if is_url(url))
                    }
                    (b"submodule", b"active") => {
                        is_submodule(name) && is_new(group) && matches!(texts.as_slice(), ["true"])
                    }
                    // Never a program.
                    (b"submodule", b"update") => {
                        is_submodule(name)
                            && is_new(group)
                            && matches!(texts.as_slice(), ["checkout" | "merge" | "rebase" | "none"])
                    }
                    _ => false,
                };
            if !good {
                back.left.push(shown);
                continue;
            }
            if (section.as_slice(), key.as_slice()) == (b"remote", b"url") {
                new.push(name.to_owned());
            }
            back.set
                .push((shown, texts.into_iter().map(str::to_owned).collect()));
        }
    }
    let gone = before
        .keys()
        .filter(|group| !after.contains_key(*group) && host.contains_key(*group));
    back.left.extend(gone.map(shown));
    back
}

/// What git writes when it names a work tree by a relative path: outside such a one is named by a whole path.
fn says_relative((section, subsection, key): &Group, values: &[&[u8]]) -> bool {
    let group = (section.as_slice(), subsection, key.as_slice());
    matches!(
        (group, values),
        ((b"extensions", None, b"relativeworktrees"), [b"true"])
            | ((b"core", None, b"repositoryformatversion"), [b"1"])
    )
}

/// As git takes the name of a submodule, without what a line can't show.
fn is_submodule(name: &str) -> bool {
    let good = |part: &str| !part.is_empty() && part != "." && part != "..";
    name.len() <= 1024
        && name.split('/').all(good)
        && !name.starts_with('-')
        && !name
            .chars()
            .any(|character| character.is_control() || "\"\\".contains(character))
}

fn shown((section, subsection, key): &Group) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match subsection {
        Some(name) => format!("{}.{}.{}", text(section), text(name), text(key)),
        None => format!("{}.{}", text(section), text(key)),
    }
}

fn has_url(after: &BTreeMap<Group, Vec<&[u8]>>, name: &str) -> bool {
    let group = (
        b"remote".to_vec(),
        Some(name.as_bytes().to_vec()),
        b"url".to_vec(),
    );
    let urls = after.get(&group).map(Vec::as_slice).unwrap_or_default();
    matches!(urls, [url] if str::from_utf8(url).is_ok_and(is_url))
}

fn is_branch(name: &str) -> bool {
    format!("refs/heads/{name}").parse::<RefName>().is_ok()
}

fn is_remote_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    !name.starts_with(['-', '.'])
        && name.bytes().all(good)
        && format!("refs/remotes/{name}/x").parse::<RefName>().is_ok()
}

/// A URL of a server, and nothing that makes git start another program or work on a repository of this machine: what
/// runs inside could have put one there, and a push runs its hooks.
fn is_url(url: &str) -> bool {
    let plain = |text: &str| {
        !text.is_empty()
            && text.len() <= 2048
            && text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"\"'`\\<>|;&$*(){}".contains(&byte))
    };
    let host = |text: &str| {
        let first = text.bytes().next();
        first.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"[_".contains(&byte))
    };
    if !plain(url) || url.contains("::") && !url.contains('[') {
        return false;
    }
    if let Some((scheme, rest)) = url.split_once("://") {
        let place = rest.split('/').next().unwrap_or_default();
        // No password comes back either.
        let (user, place) = place.rsplit_once('@').unwrap_or(("", place));
        return matches!(scheme, "https" | "http" | "ssh" | "git")
            && host(place)
            && !user.contains(':')
            && !user.starts_with('-');
    }
    // As git has it: a slash before the first colon makes it a path.
    let Some((place, path)) = url.split_once(':') else {
        return false;
    };
    let (user, name) = place.rsplit_once('@').unwrap_or(("", place));
    !place.contains('/') && host(name) && !user.starts_with('-') && !path.is_empty() && !path.starts_with('-')
}

/// `+refs/heads/*:refs/remotes/NAME/*`, or the same for one branch.
fn is_refspec(text: &str, name: &str) -> bool {
    let text = text.strip_prefix('+').unwrap_or(text);
    let Some((from, to)) = text.split_once(':') else {
        return false;
    };
    let (Some(from), Some(to)) = (
        from.strip_prefix("refs/heads/"),
        to.strip_prefix(&format!("refs/remotes/{name}/")),
    ) else {
        return false;
    };
    from == to && (from == "*" || is_branch(from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::git_config::settings;

    #[test]
    fn what_goes_in() {
        let text = b"[core]\n\tbare = false\n\tfsmonitor = /x\n\thooksPath = .husky\n\tsshCommand = x\n[include]\n\tpath = /y\n\
            [remote \"o\"]\n\turl = https://u:tok@h/a.git\n\tpushurl = https://tok@h/a\n\tuploadpack = /z\n\
            [credential]\n\thelper = store\n[http \"https://h\"]\n\textraHeader = secret\n[branch \"a b\\\"\"]\n\tmerge = refs/heads/x\n\
            [filter \"c\"]\n\tclean = c \"%f\"\n[user]\n\tsigningkey = k\n\temail = a@b\n[core]\n\thooksPath = ../x\n";
        let settings = settings(text);
        let inside = going_in(&settings);
        assert_eq!(
            String::from_utf8(inside.clone()).unwrap(),
            "[core]\n\tbare = \"false\"\n\thookspath = \".husky\"\n[remote \"o\"]\n\turl = \"https://h/a.git\"\n\
             \tpushurl = \"https://h/a\"\n[branch \"a b\\\"\"]\n\tmerge = \"refs/heads/x\"\n[filter \"c\"]\n\tclean = \"c %f\"\n\
             [user]\n\temail = \"a@b\"\n"
        );
        assert_eq!(going_in(&crate::facts::git_config::settings(&inside)), inside);
    }

    fn back(host: &str, inside: &str) -> ComingBack {
        let host = settings(host.as_bytes());
        let before = settings(&going_in(&host));
        coming_back(&before, &settings(inside.as_bytes()), &host, &|branch| {
            branch.branch() == Some("main")
        })
    }

    #[test]
    fn new_remotes_and_upstreams_come_back() {
        let host = "[remote \"origin\"]\nurl = git@h:a/b\n";
        let found = back(
            host,
            "[remote \"origin\"]\nurl = git@h:a/b\n[branch \"x\"]\nremote = origin\nmerge = refs/heads/x\n\
             [remote \"up\"]\nurl = https://h/u.git\nfetch = +refs/heads/*:refs/remotes/up/*\n",
        );
        let keys: Vec<&str> = found.set.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "remote.up.fetch",
                "remote.up.url",
                "branch.x.merge",
                "branch.x.remote"
            ]
        );
        assert_eq!(found.left, Vec::<String>::new());
    }

    #[test]
    fn nothing_else_does() {
        let host = "[core]\nbare = false\n[remote \"origin\"]\nurl = git@h:a/b\n[branch \"main\"]\nremote = origin\n";
        for inside in [
            "[remote \"origin\"]\nurl = git@evil:a/b\n",
            "[remote \"e\"]\nurl = ext::sh -c x\n",
            "[remote \"e\"]\nurl = ext::x\n",
            "[remote \"e\"]\nurl = /tmp/x\n",
            "[remote \"e\"]\nurl = file:///tmp/x\n",
            "[remote \"e\"]\nurl = ./x\n",
            "[remote \"e\"]\nurl = -oProxyCommand=x:y\n",
            "[remote \"e\"]\nurl = ssh://-oProxyCommand=x/y\n",
            "[remote \"e\"]\nurl = https://u:p@h/x\n",
            "[remote \"e\"]\nurl = !x\n",
            "[remote \"-e\"]\nurl = https://h/x\n",
            "[remote \"../e\"]\nurl = https://h/x\n",
            "[remote \"e\"]\nurl = https://h/x\nuploadpack = x\n",
            "[remote \"e\"]\nurl = https://h/x\nfetch = +refs/heads/*:refs/heads/*\n",
            "[remote \"e\"]\nurl = https://h/x\nvcs = x\n",
            "[core]\nfsmonitor = x\n",
            "[core]\nhooksPath = x\n",
            "[include]\npath = x\n",
            "[alias]\nst = !x\n",
            "[diff \"x\"]\ntextconv = x\n",
            "[remote \"e\"]\nurl = https://h/x\n[branch \"main\"]\nremote = e\n",
            "[remote \"e\"]\nurl = https://h/x\n[branch \"mine\"]\nremote = f\n",
            "[branch \"x\"]\nremote = /tmp/x\n",
            "[branch \"x\"]\nremote = https://evil/x\n",
            "[branch \"x\"]\nmerge = x\n",
            "[branch \"x\"]\nrebase = !x\n",
            "[branch \"../x\"]\nrebase = true\n",
            "[submodule \"x\"]\nurl = /tmp/x\n",
            "[submodule \"x\"]\nurl = ext::sh -c x\n",
            "[submodule \"x\"]\nurl = ../x\n",
            "[submodule \"x\"]\nupdate = !x\n",
            "[submodule \"x\"]\nactive = false\n",
            "[submodule \"../x\"]\nurl = https://h/x\n",
            "[submodule \"-x\"]\nactive = true\n",
            "[submodule]\nrecurse = true\n",
        ] {
            let found = back(host, inside);
            let harmless = |key: &str| key == "remote.e.url";
            assert!(
                found.set.iter().all(|(key, _)| harmless(key)),
                "{inside}: {found:?}"
            );
            assert!(!found.left.is_empty(), "{inside}: {found:?}");
        }
        let new = "[remote \"e\"]\nurl = https://h/x\n[branch \"main\"]\nremote = e\n[branch \"new\"]\nremote = e\n";
        let set = back("[core]\nbare = false\n", new).set;
        let keys: Vec<&str> = set.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["remote.e.url", "branch.new.remote"]);
        // What is gone inside stays outside.
        assert_eq!(back(host, "").set, []);
    }
}
