//! Writes what was imported as a configuration file, with the key that each entry comes from beside it.

use super::{Entry, Imported, Setting};
use crate::config::path::WrittenPath;
use crate::config::value::{AllowedHost, home_word};
use crate::config::{
    ConfigError, FileKind, Settings, Source, error::Problem, layer::Located, schema, value::EnvironmentEntry,
};
use crate::policy::{Access, Grant, Home, HostPattern, NetworkPreset, Origin};
use crate::ui::sanitize;
use std::ffi::OsStr;

/// The text of a configuration file that says the same. It is read back before it is given away.
///
/// # Errors
/// What is read back isn't the same: a fault of this function.
pub fn toml(imported: &Imported, title: &str) -> Result<String, ConfigError> {
    let text = text(imported, title);
    let source = Source {
        path: "the imported configuration".into(),
        text: text.clone(),
    };
    let start = source.excerpt(0..1);
    let read = schema::read(source, FileKind::User)?;
    if values(&read.settings) != values(&expected(imported)) {
        return Err(ConfigError::InFile {
            problem: Problem::Refused {
                what: "the imported configuration".into(),
                why: "it is not read back as it was meant",
            },
            excerpt: Box::new(start),
        });
    }
    Ok(text)
}

fn text(imported: &Imported, title: &str) -> String {
    let mut text = format!("# {}\n", sanitize::line(title));
    text.push_str("# aca's own masks of secrets, and its protection of what the host runs later, stay on top of this.\n");
    for left in &imported.left {
        text.push_str(&format!(
            "# Not carried over: {}: {}\n",
            sanitize::line(&left.what),
            sanitize::line(&left.why)
        ));
    }
    // Of one file the line says enough.
    let mut files: Vec<&Origin> = imported.entries.iter().map(|entry| &entry.origin).collect();
    files.dedup_by_key(|origin| match origin {
        Origin::File { path, .. } => Some(path.clone()),
        Origin::BuiltIn(_) | Origin::Flag(_) | Origin::Session(_) => None,
    });
    let several = files.len() > 1;
    let pick = |wanted: &dyn Fn(&Setting) -> Option<String>| -> Vec<(String, &Entry)> {
        let entries = imported.entries.iter();
        entries
            .filter_map(|entry| Some((wanted(&entry.setting)?, entry)))
            .collect()
    };
    let path = |wanted: Access| {
        pick(&move |setting| {
            let Setting::Path { access, written, .. } = setting else {
                return None;
            };
            (*access == wanted).then(|| quoted(written))
        })
    };
    let grants = pick(&|setting| {
        let Setting::Grant(grant) = setting else {
            return None;
        };
        Some(quoted(grant.word()))
    });
    list(&mut text, "grants", &grants, several);
    text.push_str("\n[network]\n");
    for (word, entry) in pick(&|setting| {
        let Setting::Preset(preset) = setting else {
            return None;
        };
        Some(quoted(preset.word()))
    }) {
        text.push_str(&format!("preset = {word} {}\n", comment(entry, several)));
    }
    list(
        &mut text,
        "allow",
        &pick(&|setting| {
            let Setting::Allow(host) = setting else {
                return None;
            };
            Some(quoted(&host.to_string()))
        }),
        several,
    );
    list(
        &mut text,
        "deny",
        &pick(&|setting| {
            let Setting::Deny(host) = setting else {
                return None;
            };
            Some(quoted(&host.to_string()))
        }),
        several,
    );
    text.push_str("\n[files]\n");
    for (word, entry) in pick(&|setting| {
        let Setting::Home(home) = setting else {
            return None;
        };
        Some(quoted(home_word(*home)))
    }) {
        text.push_str(&format!("home = {word} {}\n", comment(entry, several)));
    }
    for (key, access) in [
        ("read", Access::Read),
        ("write", Access::Write),
        ("hide", Access::Hide),
    ] {
        list(&mut text, key, &path(access), several);
    }
    let variables = pick(&|setting| {
        let Setting::Set(EnvironmentEntry::Set { name, value }) = setting else {
            return None;
        };
        Some(format!("{name} = {}", quoted(value)))
    });
    if !variables.is_empty() {
        text.push_str("\n[environment.set]\n");
        for (line, entry) in variables {
            text.push_str(&format!("{line} {}\n", comment(entry, several)));
        }
    }
    text
}

fn list(text: &mut String, key: &str, entries: &[(String, &Entry)], several: bool) {
    if entries.is_empty() {
        return;
    }
    text.push_str(&format!("{key} = [\n"));
    for (value, entry) in entries {
        text.push_str(&format!("  {value}, {}\n", comment(entry, several)));
    }
    text.push_str("]\n");
}

fn comment(entry: &Entry, several: bool) -> String {
    let line = match &entry.origin {
        Origin::File { path, line, .. } if several => {
            format!(", {}:{line}", sanitize::line(&path.display().to_string()))
        }
        Origin::File { line, .. } => format!(", line {line}"),
        Origin::BuiltIn(_) | Origin::Flag(_) | Origin::Session(_) => String::new(),
    };
    format!("# {}{line}", sanitize::line(&entry.key))
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push_str(&format!("\\U{:08X}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// What should be read back: paths as they are written.
fn expected(imported: &Imported) -> Settings {
    let mut written = imported.clone();
    for entry in &mut written.entries {
        if let Setting::Path {
            path, written: text, ..
        } = &mut entry.setting
            && let Ok(parsed) = WrittenPath::parse(OsStr::new(text))
        {
            *path = parsed;
        }
    }
    written.settings()
}

type Values = (
    Option<NetworkPreset>,
    Option<Home>,
    Vec<AllowedHost>,
    Vec<HostPattern>,
    [Vec<WrittenPath>; 3],
    Vec<EnvironmentEntry>,
    Vec<Grant>,
);

/// The values without their places.
fn values(settings: &Settings) -> Values {
    fn bare<T: Clone>(list: &[Located<T>]) -> Vec<T> {
        list.iter().map(|located| located.value.clone()).collect()
    }
    // A table's keys have no order.
    let mut environment = bare(&settings.environment);
    environment.sort_by(|left, right| left.name().cmp(right.name()));
    (
        settings.preset.as_ref().map(|preset| preset.value),
        settings.home.as_ref().map(|home| home.value),
        bare(&settings.allow),
        bare(&settings.deny),
        [bare(&settings.read), bare(&settings.write), bare(&settings.hide)],
        environment,
        bare(&settings.grants),
    )
}
