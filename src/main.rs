//! The `aca` program.
use aca::launch::linux::parent::Stage;
use aca::plan::*;
use aca::policy::*;
fn main() -> std::process::ExitCode {
    if std::env::args().next().as_deref() == Some("aca-stage") {
        return aca::launch::linux::stage_main();
    }
    let t0 = std::time::Instant::now();
    let stage = Stage::spawn().unwrap();
    let cwd = std::env::current_dir().unwrap();
    let show = |p: &str| Entry::Show {
        source: p.into(),
        at: p.into(),
        kind: Kind::Directory,
        why: String::new(),
    };
    let mut entries = vec![
        show("/usr"),
        show("/etc"),
        show("/opt"),
        Entry::Proc,
        Entry::Sys,
        Entry::Devices {
            granted: vec![],
            shared_memory_bytes: 1 << 30,
        },
        Entry::Scratch {
            at: "/tmp".into(),
            size_bytes: 1 << 30,
            mode: 0o1777,
        },
        Entry::Scratch {
            at: "/home/u".into(),
            size_bytes: 1 << 30,
            mode: 0o700,
        },
    ];
    for l in ["bin", "sbin", "lib", "lib64"] {
        entries.push(Entry::Link {
            at: format!("/{l}").into(),
            target: format!("usr/{l}").into(),
        });
    }
    if let Ok(name) = std::fs::read_link("/proc/self/fd/0")
        && name.starts_with("/dev/pts")
    {
        use std::os::unix::fs::MetadataExt;
        entries.push(Entry::Terminal {
            device: std::fs::metadata(&name).unwrap().rdev(),
            path: name,
        });
    }
    entries.push(Entry::Grant {
        source: cwd.clone(),
        at: cwd.clone(),
        kind: Kind::Directory,
        identity: None,
        why: String::new(),
    });
    let plan = Plan {
        agent: "x".into(),
        project: cwd.clone(),
        home: "/home/u".into(),
        program: linux::Program {
            argv: std::env::args().skip(1).map(String::into_bytes).collect(),
            environment: vec![b"PATH=/usr/bin:/bin".to_vec(), b"HOME=/home/u".to_vec()],
            directory: cwd,
        },
        view: View { entries },
        network: NetworkPlan {
            preset: NetworkPreset::Dev,
            capture: Capture::Auto,
            ports: vec![],
        },
        limits: vec![],
        grants: vec![],
        observe: false,
    };
    let standing = match stage.build(&plan.stage()) {
        Ok(s) => s,
        Err(e) => {
            eprintln!("{e}");
            return 125.into();
        }
    };
    if std::env::var_os("T").is_some() {
        eprintln!("up {:?} {:?}", t0.elapsed(), standing.outcome);
    }
    let r = aca::supervise::session::run(&standing, &mut [], Box::new(|_| {}));
    if std::env::var_os("T").is_some() {
        eprintln!("{r:?} {:?}", t0.elapsed());
    }
    match r {
        Ok(aca::supervise::session::Finished::Ended(aca::launch::protocol::Ending::Exited(c))) => {
            (c as u8).into()
        }
        Ok(aca::supervise::session::Finished::Ended(aca::launch::protocol::Ending::Signaled(c))) => {
            aca::supervise::session::end_alike(c).into()
        }
        other => {
            eprintln!("{other:?}");
            127.into()
        }
    }
}
