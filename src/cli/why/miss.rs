//! The rule that came closest to allowing what was denied.

use super::report::Miss;
use crate::config::suggest;
use crate::policy::{Access, CommandRule, HostPattern, HostRule, Name, PathRule};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::Path;

/// Among rules on hosts, for a name.
pub(super) fn of_name(rules: &[HostRule], name: &Name, port: u16) -> Option<Miss> {
    let allowing = || rules.iter().filter(|rule| rule.allow);
    let found = |rule: &HostRule, difference: String| Miss {
        rule: rule.pattern.to_string(),
        origin: rule.origin.to_string(),
        difference,
    };
    let some_requests = |rule: &&HostRule| rule.pattern.requests().is_some() && !rule.pattern.is_any();
    if let Some(rule) = allowing().find(|rule| some_requests(rule) && rule.pattern.has_name(name)) {
        let difference =
            "it allows requests alone, at its own port; what is built in for the host gives way to it";
        return Some(found(rule, difference.into()));
    }
    if let Some(rule) = allowing().find(|rule| rule.pattern.has_name(name)) {
        return Some(found(
            rule,
            format!("it allows the host at another port than {port}"),
        ));
    }
    if let Some(rule) = allowing().find(|rule| rule.pattern.apex() == Some(name)) {
        return Some(found(
            rule,
            format!("it means sub-domains alone; `**.{name}` means {name} too"),
        ));
    }
    let above = |pattern: &HostPattern| {
        let apex = pattern.apex()?;
        let below = name.as_str().strip_suffix(apex.as_str())?.ends_with('.');
        below.then(|| apex.to_string())
    };
    if let Some((rule, apex)) = allowing().find_map(|rule| Some((rule, above(&rule.pattern)?))) {
        return Some(found(
            rule,
            format!("it means {apex} alone; `*.{apex}` means its sub-domains"),
        ));
    }
    let known = || allowing().filter_map(|rule| Some((rule, rule.pattern.apex()?.as_str())));
    if let Some(near) = suggest::nearest(name.as_str(), known().map(|(_, known)| known)) {
        let (rule, _) = known().find(|(_, known)| *known == near)?;
        return Some(found(rule, "it is spelt nearly the same".into()));
    }
    // A neighbour beneath the same domain, which is no top-level one.
    let (_, domain) = name
        .as_str()
        .split_once('.')
        .filter(|(_, domain)| domain.contains('.'))?;
    let (rule, _) = known().find(|(_, known)| known.split_once('.').is_some_and(|(_, own)| own == domain))?;
    Some(found(rule, format!("it means another host of {domain}")))
}

/// Among rules on hosts, for an address.
pub(super) fn of_address(rules: &[HostRule], address: IpAddr, port: u16) -> Option<Miss> {
    let mut allowing = rules.iter().filter(|rule| rule.allow);
    let here = |rule: &&HostRule| {
        let own = rule.pattern.listed_port().unwrap_or(443);
        rule.pattern.matches_address(address, own, false)
    };
    allowing.find(here).map(|rule| Miss {
        rule: rule.pattern.to_string(),
        origin: rule.origin.to_string(),
        difference: format!("it allows the address at another port than {port}"),
    })
}

/// Among the user's rules on paths.
pub(super) fn of_path(rules: &[PathRule], path: &Path, wanted: Access) -> Option<Miss> {
    let allowing = || {
        rules.iter().filter(|rule| {
            rule.access != Access::Hide && rule.access <= wanted && !path.starts_with(&rule.path)
        })
    };
    let found = |rule: &PathRule, difference: &str| Miss {
        rule: rule.path.display().to_string(),
        origin: rule.origin.to_string(),
        difference: difference.to_owned(),
    };
    let beside =
        || allowing().filter(|rule| rule.path.parent().is_some() && rule.path.parent() == path.parent());
    let names = || beside().filter_map(|rule| Some((rule, rule.path.file_name()?.to_str()?)));
    if let Some(name) = path.file_name().and_then(|name| name.to_str())
        && let Some(near) = suggest::nearest(name, names().map(|(_, known)| known))
        && let Some((rule, _)) = names().find(|(_, known)| *known == near)
    {
        return Some(found(rule, "it is spelt nearly the same"));
    }
    if let Some(rule) = allowing().find(|rule| rule.path.starts_with(path)) {
        return Some(found(rule, "it means a part of it alone"));
    }
    if let Some(rule) = beside().next() {
        return Some(found(rule, "it means its neighbour"));
    }
    // The same path, for reading alone.
    let reading = rules
        .iter()
        .find(|rule| wanted == Access::Write && rule.access == Access::Read && path.starts_with(&rule.path));
    reading.map(|rule| found(rule, "it is for reading alone"))
}

/// Among the rules that deny commands: the one that a command begins like.
pub(super) fn of_command(rules: &[CommandRule], argv: &[OsString]) -> Option<Miss> {
    let (rule, shared) = rules
        .iter()
        .map(|rule| (rule, rule.pattern.shared(argv)))
        .filter(|(_, shared)| *shared > 0)
        .max_by_key(|(_, shared)| *shared)?;
    let words = if shared == 1 {
        "the first word"
    } else {
        &format!("the first {shared} words")
    };
    Some(Miss {
        rule: rule.pattern.to_string(),
        origin: rule.origin.to_string(),
        difference: format!("it denies commands that begin so; {words} are the same"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Origin, Place};

    fn hosts(patterns: &[&str]) -> Vec<HostRule> {
        let rule = |pattern: &&str| HostRule {
            pattern: pattern.parse().unwrap(),
            allow: true,
            quiet: false,
            options: crate::policy::HostOptions::default(),
            origin: Origin::Flag("x".into()),
        };
        patterns.iter().map(rule).collect()
    }

    #[test]
    fn near_hosts() {
        let rules = hosts(&[
            "a.test:22",
            "*.b.test",
            "c.test",
            "registry.example.org",
            "1.2.3.4:80",
        ]);
        for (name, rule, difference) in [
            ("a.test", "a.test:22", "another port"),
            ("b.test", "*.b.test", "sub-domains alone"),
            ("x.c.test", "c.test", "c.test alone"),
            ("regsitry.example.org", "registry.example.org", "spelt nearly"),
            (
                "api.example.org",
                "registry.example.org",
                "another host of example.org",
            ),
        ] {
            let miss = of_name(&rules, &name.parse().unwrap(), 443).unwrap();
            assert_eq!(miss.rule, rule, "{name}");
            assert!(miss.difference.contains(difference), "{name}: {miss:?}");
        }
        assert_eq!(of_name(&rules, &"elsewhere.invalid".parse().unwrap(), 443), None);
        let address = "1.2.3.4".parse().unwrap();
        assert_eq!(of_address(&rules, address, 81).unwrap().rule, "1.2.3.4:80");
        assert_eq!(of_address(&rules, "1.2.3.5".parse().unwrap(), 80), None);
    }

    #[test]
    fn near_paths() {
        let rule = |path: &str, access| PathRule {
            path: path.into(),
            access,
            origin: Origin::Flag("x".into()),
            place: Place::Rule,
        };
        let rules = [
            rule("/data/models", Access::Read),
            rule("/srv/a/b", Access::Write),
            rule("/opt/hidden", Access::Hide),
        ];
        for (path, wanted, difference) in [
            ("/data/model", Access::Read, Some("spelt nearly")),
            ("/data/other-things", Access::Read, Some("neighbour")),
            ("/srv", Access::Write, Some("a part of it")),
            ("/data/models/x", Access::Write, Some("reading alone")),
            ("/data/model", Access::Write, None),
            ("/opt/other", Access::Read, None),
        ] {
            let miss = of_path(&rules, Path::new(path), wanted);
            match difference {
                Some(part) => assert!(
                    miss.as_ref().unwrap().difference.contains(part),
                    "{path} {miss:?}"
                ),
                None => assert_eq!(miss, None, "{path}"),
            }
        }
    }
}
