use super::*;
use crate::policy::Origin;
use std::os::unix::fs::PermissionsExt;

fn program(directory: &Path, name: &str, script: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn place(host: &str) -> Place {
    Place {
        host: Host::Name(host.parse().unwrap()),
        port: 443,
        path: "acme/app.git".into(),
    }
}

fn sources(directory: &Path, from: &str) -> Sources {
    let rule = CredentialRule {
        host: "h.test".parse().unwrap(),
        from: from.parse().unwrap(),
        user: None,
        origin: Origin::Flag("x".into()),
    };
    Sources {
        rules: vec![rule],
        programs: HashMap::from([("git", directory.join("git"))]),
        variables: vec![("PATH".into(), "/usr/bin:/bin".into())],
        environment: vec![
            ("GH_TOKEN".into(), "hub".into()),
            ("GITLAB_TOKEN".into(), "lab".into()),
        ],
        home: directory.to_owned(),
        ..Sources::default()
    }
}

fn basic(credential: &Credential) -> String {
    String::from_utf8(credential.basic().to_vec()).unwrap()
}

/// Programs are started by the thread that waits, as the network's does.
#[tokio::test]
async fn one_is_asked_at_a_time_and_once() {
    let directory = tempfile::tempdir().unwrap();
    let count = directory.path().join("count");
    let script = format!(
        "test -e {0}.busy && echo twice > {0}.bad; touch {0}.busy; sleep 0.2; rm {0}.busy; echo x >> {0}; echo s3cr3t",
        count.display()
    );
    let pass = program(directory.path(), "pass", &script);
    let broker = Broker::new(sources(directory.path(), &format!("command:{}", pass.display())));
    let here = place("h.test");
    let beside = Place {
        path: "other".into(),
        ..here.clone()
    };
    let (one, two, three) = tokio::join!(
        broker.credential(&here),
        broker.credential(&here),
        broker.credential(&beside)
    );
    let (one, two, three) = (one.unwrap(), two.unwrap(), three.unwrap());
    assert_eq!((one.1, two.1, three.1), (true, false, true));
    assert_eq!(
        basic(&one.0),
        format!("Basic {}", crate::policy::base64(b"x-access-token:s3cr3t"))
    );
    assert_eq!(std::fs::read_to_string(&count).unwrap().lines().count(), 2);
    assert!(std::fs::metadata(count.with_extension("bad")).is_err());
    assert_eq!(broker.held().len(), 2);
    broker.rejected(&here);
    assert!(broker.credential(&here).await.unwrap().1);
    // Of another host nothing is said.
    let missing = broker
        .credential(&place("other.test"))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        missing.contains("git's credential helpers") && !missing.contains("hub"),
        "{missing}"
    );
}

#[tokio::test]
async fn tokens_of_variables_belong_to_their_forge_alone() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::new(sources(directory.path(), "helper"));
    let (hub, _) = broker.credential(&place("github.com")).await.unwrap();
    assert_eq!(
        (basic(&hub), hub.source()),
        (
            format!("Basic {}", crate::policy::base64(b"x-access-token:hub")),
            "the variable GH_TOKEN"
        )
    );
    let (lab, _) = broker.credential(&place("gitlab.com")).await.unwrap();
    assert_eq!(
        basic(&lab),
        format!("Basic {}", crate::policy::base64(b"oauth2:lab"))
    );
    for host in ["github.com.evil.test", "api.github.com", "gitlab.org"] {
        assert!(broker.credential(&place(host)).await.is_err(), "{host}");
    }
    let port = Place {
        port: 8443,
        ..place("github.com")
    };
    assert!(broker.credential(&port).await.is_err());
}

#[tokio::test]
async fn one_that_ended_is_asked_for_anew() {
    let directory = tempfile::tempdir().unwrap();
    let script = "echo username=a; echo password=b; echo password_expiry_utc=1";
    let pass = program(directory.path(), "pass", script);
    let broker = Broker::new(sources(directory.path(), &format!("command:{}", pass.display())));
    assert!(broker.credential(&place("h.test")).await.unwrap().1);
    assert!(broker.credential(&place("h.test")).await.unwrap().1);
}

#[tokio::test]
async fn what_is_started_has_what_it_is_given_and_ends_with_who_waits() {
    let directory = tempfile::tempdir().unwrap();
    let said = directory.path().join("said");
    let script = format!(
        "pwd > {0}; env | cut -d= -f1 | grep -v -e PWD -e SHLVL -e _ | sort | tr '\\n' ' ' >> {0}; cat >> {0}; echo $* >> {0}; \
         echo username=a; echo password=b",
        said.display()
    );
    program(directory.path(), "git", &script);
    let broker = Broker::new(sources(directory.path(), "helper"));
    broker.credential(&place("h.test")).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(&said).unwrap(),
        "/\nPATH protocol=https\nhost=h.test\npath=acme/app.git\n\n-c core.askPass=/bin/false credential fill\n"
    );
    // It and what it started are gone with who waited.
    let script = format!("sleep 601 & echo $$ $! > {}; sleep 602", said.display());
    program(directory.path(), "git", &script);
    broker.rejected(&place("h.test"));
    let waited = tokio::time::timeout(Duration::from_secs(1), broker.credential(&place("h.test"))).await;
    assert!(waited.is_err());
    let pids = std::fs::read_to_string(&said).unwrap();
    for pid in pids.split_whitespace() {
        let end = Instant::now() + Duration::from_secs(10);
        let is_there = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            stat.is_ok_and(|stat| !stat.contains(") Z"))
        };
        while is_there() {
            assert!(Instant::now() < end, "{pid} is still there");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Whoever runs inside may ask as often as it likes.
#[tokio::test]
async fn a_server_that_refuses_has_no_program_asked_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let count = directory.path().join("count");
    let script = format!("echo x >> {}; echo s3cr3t", count.display());
    let pass = program(directory.path(), "pass", &script);
    let broker = Broker::new(sources(directory.path(), &format!("command:{}", pass.display())));
    let here = place("h.test");
    let mut found = Vec::new();
    for _ in 0..20 {
        found.push(broker.credential(&here).await.is_ok());
        broker.rejected(&here);
    }
    assert!(found.starts_with(&[true; REFUSED_MAX]));
    assert!(!found.contains(&true) || found.iter().filter(|is| **is).count() == REFUSED_MAX);
    assert_eq!(
        std::fs::read_to_string(&count).unwrap().lines().count(),
        REFUSED_MAX
    );
}

/// What could be another program, or another file, by the time that it is asked.
#[tokio::test]
async fn what_a_rule_names_is_not_started_where_it_is_written_inside() {
    let directory = tempfile::tempdir().unwrap();
    let started = directory.path().join("started");
    let pass = program(
        directory.path(),
        "pass",
        &format!("touch {}; echo s3cr3t", started.display()),
    );
    for from in [
        format!("command:{}", pass.display()),
        format!("command:/bin/sh {}", pass.display()),
        format!("file:{}", pass.display()),
    ] {
        let mut sources = sources(directory.path(), &from);
        let inside = pass.clone();
        sources.look = Some(Look(Arc::new(move |wanted| match wanted {
            Wanted::Path(path) if path == inside => Some("it lies inside".into()),
            Wanted::Path(_) | Wanted::Program(..) => None,
        })));
        let missing = Broker::new(sources)
            .credential(&place("h.test"))
            .await
            .err()
            .unwrap();
        assert!(missing.to_string().contains("written inside"), "{missing}");
        assert!(std::fs::metadata(&started).is_err());
    }
}
