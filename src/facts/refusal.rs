//! Why namespaces may be refused here, and what to do about it. Looked at only after trying failed: sysctls alone don't
//! tell (AppArmor lets the clone pass and takes the capabilities away).

use serde::{Deserialize, Serialize};
use std::path::Path;

/// The settings that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu 23.10 and later).
    pub apparmor_restricts: Option<bool>,
    /// `kernel.unprivileged_userns_clone` (Debian's own setting).
    pub unprivileged_clone: Option<bool>,
    /// `user.max_user_namespaces`.
    pub namespaces_max: Option<u64>,
    /// Namespaces of which none may be made (`user.max_*_namespaces` is 0), but for those of the user.
    #[serde(default)]
    pub none_of: Vec<String>,
    /// Whether a system call filter is on this process already, as container managers install.
    pub filtered: bool,
    /// Whether the kernel's `/proc` is missing.
    #[serde(default)]
    pub no_proc: bool,
    /// Whether this is the inside of a run of aca.
    #[serde(default)]
    pub nested: bool,
    /// Whether this looks like the inside of a container.
    pub container: bool,
}

impl Refusal {
    /// Reads the settings.
    #[must_use]
    pub fn look() -> Self {
        let setting = |path: &str| {
            std::fs::read_to_string(format!("/proc/sys/{path}"))
                .ok()
                .map(|text| text.trim().to_owned())
        };
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let there = |path: &str| Path::new(path).try_exists().unwrap_or(false);
        Self {
            apparmor_restricts: setting("kernel/apparmor_restrict_unprivileged_userns")
                .map(|text| text == "1"),
            unprivileged_clone: setting("kernel/unprivileged_userns_clone").map(|text| text != "0"),
            none_of: ["mnt", "pid", "net", "ipc", "uts", "cgroup"]
                .into_iter()
                .map(|kind| format!("user.max_{kind}_namespaces"))
                .filter(|name| setting(&name.replace('.', "/")).is_some_and(|text| text == "0"))
                .collect(),
            namespaces_max: setting("user/max_user_namespaces").and_then(|text| text.parse().ok()),
            filtered: status
                .lines()
                .any(|line| line.starts_with("Seccomp:") && line.ends_with('2')),
            no_proc: !there("/proc/self/stat"),
            nested: std::env::var_os("ACA").is_some_and(|value| value == "1"),
            container: there("/.dockerenv") || there("/run/.containerenv"),
        }
    }

    /// What to do, the likeliest first. `program` is the path that a profile must name.
    #[must_use]
    pub fn remedies(&self, program: &Path) -> Vec<String> {
        if self.no_proc {
            return vec![
                "/proc is not there, or not the kernel's: mount it (`mount -t proc proc /proc`)".into(),
            ];
        }
        if self.nested {
            return vec![
                "this is the inside of a run already: the command is confined without another. Where runs shall nest, \
                 the outer one takes `--grant nested-userns`"
                    .into(),
            ];
        }
        let mut remedies = Vec::new();
        if self.apparmor_restricts == Some(true) {
            remedies.push(format!(
                "AppArmor restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns is 1). As root, write \
                 this to /etc/apparmor.d/aca and run `apparmor_parser -r /etc/apparmor.d/aca`:\n{}",
                apparmor_profile(program)
            ));
        }
        if self.unprivileged_clone == Some(false) {
            remedies.push(
                "user namespaces are off for users: as root, `sysctl -w kernel.unprivileged_userns_clone=1`"
                    .into(),
            );
        }
        if self.namespaces_max == Some(0) {
            remedies.push(
                "user.max_user_namespaces is 0: as root, `sysctl -w user.max_user_namespaces=10000`".into(),
            );
        }
        for name in &self.none_of {
            remedies.push(format!("{name} is 0: as root, `sysctl -w {name}=10000`"));
        }
        if self.container || self.filtered {
            remedies.push(
                "this looks like a container, whose filter refuses namespaces and mounts: start it with \
                 `--security-opt seccomp=unconfined --security-opt systempaths=unconfined`, or run aca outside of it"
                    .into(),
            );
        }
        if remedies.is_empty() {
            remedies.push("the kernel must let users make user namespaces (user_namespaces(7)); `aca doctor` tells more".into());
        }
        remedies
    }
}

/// The profile that lets this program, and what it starts, make user namespaces.
#[must_use]
pub fn apparmor_profile(program: &Path) -> String {
    format!(
        "abi <abi/4.0>,\ninclude <tunables/global>\nprofile aca {} flags=(unconfined) {{\n  userns,\n  include if exists \
         <local/aca>\n}}\n",
        program.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_remedy() {
        let program = Path::new("/opt/aca");
        let text = |refusal: Refusal| refusal.remedies(program).join("\n");
        assert!(
            text(Refusal {
                apparmor_restricts: Some(true),
                ..Refusal::default()
            })
            .contains("profile aca /opt/aca")
        );
        assert!(
            text(Refusal {
                unprivileged_clone: Some(false),
                ..Refusal::default()
            })
            .contains("unprivileged_userns_clone=1")
        );
        assert!(
            text(Refusal {
                namespaces_max: Some(0),
                ..Refusal::default()
            })
            .contains("max_user_namespaces=10000")
        );
        assert!(
            text(Refusal {
                container: true,
                ..Refusal::default()
            })
            .contains("--security-opt")
        );
        for (refusal, word) in [
            (
                Refusal {
                    none_of: vec!["user.max_net_namespaces".into()],
                    ..Refusal::default()
                },
                "sysctl -w user.max_net_namespaces=10000",
            ),
            (
                Refusal {
                    nested: true,
                    container: true,
                    ..Refusal::default()
                },
                "--grant nested-userns",
            ),
            (
                Refusal {
                    no_proc: true,
                    nested: true,
                    ..Refusal::default()
                },
                "mount -t proc",
            ),
        ] {
            let remedies = refusal.remedies(program);
            assert!(
                remedies.len() == 1 && text(refusal).contains(word),
                "{remedies:?}"
            );
        }
        assert!(!Refusal::default().remedies(program).is_empty());
    }
}
