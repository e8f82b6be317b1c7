//! Git over https with the user's own credentials, against a real `git http-backend`. The numbers are those of the
//! scenarios that the proxy was specified with.

use super::forge::Forge;
use super::pty::Pty;
use super::support::{Ran, has};
use super::yard::until;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Rules on requests take the place of what opens the host: what no rule names isn't reached.
const CLOSED: [&str; 2] = ["--allow", "GET https://forge.test/nothing"];

/// What ends at once ends by then on a machine with too much to do, and what would go on by itself doesn't.
const TOO_LONG: Duration = Duration::from_secs(150);

/// Git says why, and isn't asked anything.
#[track_caller]
fn refused(ran: &Ran, why: &str) {
    assert_eq!(ran.code, 128, "{ran:?}");
    assert!(ran.err.contains(why), "{ran:?}");
    for ugly in [
        "hung up",
        "unexpected disconnect",
        "protocol error",
        "Username",
        "Password",
        "terminal prompts",
    ] {
        assert!(!ran.err.contains(ugly), "{ran:?}");
    }
}

/// The user is told why, and nobody inside.
#[track_caller]
fn told_outside(forge: &Forge, ran: &Ran, why: &str) {
    let events = forge.world.events_of("git_request");
    let said = |event: &serde_json::Value| event["failed"].as_str().is_some_and(|text| text.contains(why));
    assert!(events.iter().any(said), "{why}: {events:?}");
    assert!(!ran.err.contains(why) && !ran.out.contains(why), "{ran:?}");
    assert!(!ran.err.contains("from ="), "{ran:?}");
}

#[test]
fn g01_what_is_listed_is_cloned_with_the_users_own_credential() {
    for kind in ["h1", "h2"] {
        let Some(forge) = Forge::of(kind) else { return };
        forge.store("https://alice:s3cr3t@forge.test\n");
        for flags in [&[][..], &CLOSED, &["--net", "open"]] {
            let ran = forge.run(
                flags,
                "git clone -q https://forge.test/acme/app /tmp/c && cat /tmp/c/README && git fetch -q origin && \
                 git ls-remote origin | cut -f2; git config --get-all credential.helper",
            );
            assert_eq!(ran.out, "this is acme/app\nHEAD\nrefs/heads/main\n", "{ran:?}");
            assert_eq!(ran.err, "", "{ran:?}");
            let asked = forge.asked();
            assert!(
                asked[0].starts_with("GET /acme/app/info/refs?service=git-upload-pack nobody version=2"),
                "{asked:?}"
            );
            assert!(
                asked[1..].iter().all(|line| line.contains(" alice ")),
                "{asked:?}"
            );
            assert!(
                asked
                    .iter()
                    .any(|line| line.starts_with("POST /acme/app.git/git-upload-pack alice")),
                "{asked:?}"
            );
            for (operation, repository, denied) in forge.requests() {
                let request = (operation.as_str(), repository.as_str(), denied.as_str());
                assert_eq!(request, ("fetch", "https://forge.test/acme/app", ""));
            }
            let used = forge.world.events_of("credential_used");
            assert_eq!(used[0]["source"], "git's credential helpers", "{used:?}");
        }
    }
}

#[test]
fn g02_what_no_rule_names_is_refused_with_what_would_work() {
    let Some(forge) = Forge::new() else { return };
    forge.config("[git]\nunlisted = 'deny'\n");
    let clone = "git clone -q https://forge.test/other/secret.git /tmp/c && cat /tmp/c/README";
    let ran = forge.run(&[], clone);
    refused(
        &ran,
        "remote: aca: git fetch of https://forge.test/other/secret is not allowed: no rule names this repository",
    );
    assert!(
        ran.err
            .contains("remote: aca: may be fetched: https://forge.test/acme/app"),
        "{ran:?}"
    );
    let flag = "--git-fetch https://forge.test/other/secret";
    assert!(ran.err.contains(flag), "{ran:?}");
    assert_eq!(forge.asked(), [""; 0]);
    // What is advised helps.
    let words: Vec<&str> = flag.split(' ').collect();
    assert_eq!(forge.run(&words, clone).ok(), "this is other/secret");
    // Where rules on requests say what is reached nothing else is.
    forge.config("");
    forge.asked();
    for url in [
        "https://forge.test/other/secret",
        "https://forge.test/public/tool",
    ] {
        let ran = forge.run(&CLOSED, &format!("git ls-remote {url}"));
        refused(&ran, "no rule names this repository");
    }
    let ran = forge.run(
        &CLOSED,
        "curl -sS -m 20 -w '%{http_code}' -o /dev/null https://forge.test/api",
    );
    assert_eq!(ran.out, "403");
    assert_eq!(forge.asked(), [""; 0]);
    // A no wins, whatever the case of letters.
    forge.config("[[git.repository]]\nurl = ['https://forge.test/Public/Tool']\nfetch = false\n");
    let ran = forge.run(&[], "git ls-remote https://forge.test/public/tool");
    refused(&ran, "denied by a rule");
}

#[test]
fn g03_what_a_client_says_of_who_it_is_never_gets_outside() {
    let Some(forge) = Forge::new() else { return };
    let ran = forge.run(
        &["--net", "open"],
        "git ls-remote -q https://mallory:t0k@forge.test/other/secret; \
         git -c http.extraHeader='Authorization: Bearer t0k' -c http.extraHeader='Cookie: a=t0k' \
             -c http.extraHeader='X-Api-Key: t0k' ls-remote https://forge.test/public/tool | wc -l; \
         git ls-remote https://mallory:t0k@forge.test/acme/app | wc -l",
    );
    assert_eq!(ran.out, "2\n2\n", "{ran:?}");
    assert!(
        ran.err
            .contains("aca: git fetch of https://forge.test/other/secret"),
        "{ran:?}"
    );
    let fields = forge.fields();
    assert!(
        !fields.contains("t0k") && !fields.contains("bWFsbG9yeT") && !fields.contains("cookie"),
        "{fields}"
    );
}

#[test]
fn g04_a_credential_that_the_server_does_not_take_is_told_at_once() {
    let Some(forge) = Forge::new() else { return };
    let start = Instant::now();
    forge.mode("expired");
    for (mode, why) in [
        (
            "expired",
            "the server doesn't take the credential that was found outside: sign in again there",
        ),
        ("expired close", "the server doesn't take the credential"),
        ("forbidden", "the server says 403"),
        ("broken", "the server says 500"),
        ("page", "what the server says isn't git's smart HTTP"),
    ] {
        forge.mode(mode);
        let ran = forge.run(&[], "git ls-remote origin </dev/null");
        refused(&ran, why);
        assert!(!ran.err.contains("you sent"), "{ran:?}");
        if mode.starts_with("expired") {
            told_outside(&forge, &ran, "it came from git's credential helpers");
        }
    }
    assert!(start.elapsed() < TOO_LONG);
    // None at all.
    forge.mode("");
    forge.store("");
    let ran = forge.run(&[], "git ls-remote origin");
    refused(&ran, "no credential for it was found outside");
}

#[test]
fn g05_g06_g07_versions_shallow_and_partial_clones() {
    for kind in ["h1", "h2"] {
        let Some(forge) = Forge::of(kind) else { return };
        forge.store("https://alice:s3cr3t@forge.test\n");
        let ran = forge.run(
            &[],
            "for v in 0 1 2; do git -c protocol.version=$v ls-remote origin | cut -f2 | tr '\\n' ' '; \
             git -c protocol.version=$v clone -q https://forge.test/acme/app.git /tmp/c$v && cat /tmp/c$v/README; done; \
             git clone -q --depth 1 https://forge.test/acme/app /tmp/s && git -C /tmp/s rev-list --count HEAD && \
             git -C /tmp/s fetch -q --unshallow && git -C /tmp/s rev-list --count HEAD; \
             git clone -q --filter=blob:none --no-checkout https://forge.test/acme/app /tmp/p && \
             git -C /tmp/p rev-list --objects --all --missing=print | grep -c '^?'; cat /tmp/p/.git/shallow 2>/dev/null; \
             git -C /tmp/p show HEAD~1:file2",
        );
        let versions = "HEAD refs/heads/main this is acme/app\n".repeat(3);
        assert_eq!(ran.out, format!("{versions}1\n3\n4\nacme/app 2\n"), "{ran:?}");
        assert_eq!(ran.err, "", "{ran:?}");
        let asked = forge.asked();
        for version in ["-", "version=1", "version=2"] {
            let here = |line: &&String| line.contains(&format!(" alice {version} "));
            assert!(asked.iter().any(|line| here(&line)), "{asked:?}");
        }
    }
}

#[test]
fn g08_a_long_request_is_packed_and_understood() {
    let Some(forge) = Forge::new() else { return };
    let ran = forge.run(
        &["--git-fetch", "https://forge.test/acme/lib"],
        "git clone -q https://forge.test/acme/app /tmp/c && cd /tmp/c && git config user.email a@b && git config user.name a && \
         for n in $(seq 60); do git commit -q --allow-empty -m $n; done && git reset -q --soft HEAD~60 && \
         for v in 0 2; do git -c protocol.version=$v fetch -q --refetch origin && echo ok; done; \
         git checkout -q --orphan new && for n in $(seq 300); do git commit -q --allow-empty -m o$n; done; \
         for v in 0 2; do git -c protocol.version=$v fetch -q https://forge.test/acme/lib main && echo ok; done",
    );
    assert_eq!(ran.out, "ok\nok\nok\nok\n", "{ran:?}");
    let asked = forge.asked();
    assert!(asked.iter().any(|line| line.ends_with("gzip")), "{asked:?}");
}

#[test]
fn g09_what_no_rule_names_is_fetched_as_anybody_would() {
    let Some(forge) = Forge::new() else { return };
    let ran = forge.run(
        &[],
        "git clone -q https://forge.test/public/tool /tmp/t && cat /tmp/t/README; git ls-remote -q origin | wc -l; \
         git ls-remote https://forge.test/other/secret; git -C /tmp/t push -q origin HEAD:x",
    );
    assert_eq!(ran.out, "this is public/tool\n2\n", "{ran:?}");
    assert!(
        ran.err
            .contains("a repository that no rule names is asked for without that"),
        "{ran:?}"
    );
    let asked = forge.asked();
    for line in asked.iter().filter(|line| !line.contains("/acme/app")) {
        assert!(
            line.contains(" nobody ") && !line.contains("receive-pack"),
            "{asked:?}"
        );
    }
    assert!(
        asked
            .iter()
            .any(|line| line.contains("/acme/app.git/info/refs") && line.contains(" alice ")),
        "{asked:?}"
    );
}

#[test]
fn g10_a_submodule_is_judged_for_itself() {
    let Some(forge) = Forge::new() else { return };
    let world = &forge.world;
    let work = world.outside.join("work/acme/app");
    world.file(
        work.join(".gitmodules"),
        "[submodule \"s\"]\n\tpath = s\n\turl = https://forge.test/other/secret.git\n",
    );
    let commit = world.git(&world.outside.join("work/other/secret"), &["rev-parse", "HEAD"]);
    let entry = format!("160000,{commit},s");
    world.git(&work, &["update-index", "--add", "--cacheinfo", &entry]);
    world.git(&work, &["add", ".gitmodules"]);
    world.git(&work, &["commit", "-q", "-m", "with a submodule"]);
    let bare = forge.repositories.join("acme/app.git");
    world.git(&work, &["push", "-q", bare.to_str().unwrap(), "main"]);
    let script = "git clone -q --recurse-submodules https://forge.test/acme/app /tmp/c; cat /tmp/c/README; ls /tmp/c/s";
    forge.config("[git]\nunlisted = 'deny'\n");
    let ran = forge.run(&[], script);
    assert_eq!(ran.out, "this is acme/app\n", "{ran:?}");
    assert!(
        ran.err
            .contains("aca: git fetch of https://forge.test/other/secret is not allowed"),
        "{ran:?}"
    );
    let ran = forge.run(&["--git-fetch", "https://forge.test/other/secret"], script);
    assert_eq!(
        ran.out, "this is acme/app\nREADME\nfile1\nfile2\nfile3\n",
        "{ran:?}"
    );
}

#[test]
fn g11_a_redirection_is_followed_to_what_may_be_fetched_on_the_same_host_alone() {
    let Some(forge) = Forge::new() else { return };
    forge.config("[git]\nunlisted = 'deny'\n");
    let rules: Vec<String> = ["moved", "hidden", "away", "plain", "round"]
        .map(|place| format!("https://forge.test/{place}/app"))
        .into();
    let flags: Vec<&str> = rules.iter().flat_map(|rule| ["--git-fetch", rule]).collect();
    let clone = |place: &str| {
        forge.run(
            &flags,
            &format!("git clone -q https://forge.test/{place}/app.git /tmp/c && cat /tmp/c/README"),
        )
    };
    assert_eq!(clone("moved").ok(), "this is acme/app");
    let asked = forge.asked();
    assert!(
        asked
            .iter()
            .any(|line| line.starts_with("POST /acme/app.git/git-upload-pack alice")),
        "{asked:?}"
    );
    for (place, why) in [
        (
            "hidden",
            "moved to https://forge.test/other/app, which isn't allowed",
        ),
        ("away", "the server leads elsewhere"),
        ("plain", "the server leads elsewhere"),
        ("round", "the server leads from one place to the next"),
    ] {
        let ran = clone(place);
        refused(&ran, why);
        let asked = forge.asked();
        assert!(asked.iter().all(|line| line.contains(" nobody ")), "{asked:?}");
    }
}

#[test]
fn g12_g13_what_is_not_plainly_smart_http_is_refused() {
    let Some(forge) = Forge::new() else { return };
    if !has("curl") {
        return;
    }
    let requests = [
        "https://forge.test/acme/app.git/HEAD",
        "https://forge.test/acme/app.git/info/refs",
        "https://forge.test/acme/app.git/objects/info/packs",
        "-X PROPFIND https://forge.test/acme/app.git/",
        "-X PUT -d x https://forge.test/acme/app.git/x",
        "-X MKCOL https://forge.test/acme/app.git/refs/heads/x/",
        "https://forge.test/acme/../acme/app.git/info/refs?service=git-upload-pack",
        "https://forge.test/acme/%2e%2e/acme/app.git/info/refs?service=git-upload-pack",
        "https://forge.test//acme/app.git/info/refs?service=git-upload-pack",
        "https://forge.test/acme//app.git/info/refs?service=git-upload-pack",
        "https://forge.test/acme/app.git/info%2frefs?service=git-upload-pack",
        "'https://forge.test/acme/app.git/info/refs?service=git-upload-pack&service=git-receive-pack'",
        "-d 0000 -H 'Content-Type: text/plain' https://forge.test/acme/app.git/git-upload-pack",
        "-d 0000 https://forge.test/acme/app.git/git-receive-pack%2f",
        "-d {} https://forge.test/acme/app.git/info/lfs/objects/batch",
    ];
    let script: Vec<String> = requests
        .iter()
        .map(|words| format!("curl -sS -m 20 --path-as-is -o /dev/null -w '%{{http_code}} ' {words}"))
        .collect();
    let ran = forge.run(&["--net", "open"], &script.join("; "));
    assert_eq!(ran.out, "403 ".repeat(requests.len()), "{ran:?}");
    assert_eq!(forge.asked(), [""; 0]);
    let said = forge.run(&[], "curl -sS -m 20 https://forge.test/acme/app.git/HEAD");
    assert!(
        said.out.contains("aca: ") && said.out.contains("dumb protocol"),
        "{said:?}"
    );
    // Another name of a repository, to a server.
    let ran = forge.run(&CLOSED, "git ls-remote https://forge.test/acme/app.git.git");
    refused(&ran, "no rule names");
}

#[test]
fn g14_a_client_that_does_not_trust_the_authority_gets_nowhere() {
    let Some(forge) = Forge::new() else { return };
    // The server's own authority is trusted, and no other.
    let trusted = forge.world.file("trusted.pem", forge.authority());
    let script = format!(
        "mkdir /tmp/none; GIT_SSL_CAPATH=/tmp/none GIT_SSL_CAINFO={} git ls-remote origin",
        trusted.display()
    );
    let ran = forge.run(&[], &format!("unset SSL_CERT_FILE; {script}"));
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("ertificate"), "{ran:?}");
    assert_eq!(forge.asked(), [""; 0]);
}

#[test]
fn g15_another_host_by_the_same_connection_is_refused() {
    let Some(forge) = Forge::new() else { return };
    if !has("curl") {
        return;
    }
    let refs = "/acme/app.git/info/refs?service=git-upload-pack";
    let ran = forge.run(
        &["--net", "listed", "--git-fetch", "https://forge.test/acme/app"],
        &format!(
            "curl -sS -m 20 -o /dev/null -w '%{{http_code}} ' -H 'Host: other.test' https://forge.test{refs}; \
             curl -sSk -m 20 -o /dev/null -w '%{{http_code}} ' --connect-to other.test:443:forge.test:443 https://other.test{refs}; \
             curl -sS -m 20 -o /dev/null -w '%{{http_connect}} ' -x http://198.18.255.254:3128 https://unlisted.test{refs}; \
             curl -sS -m 20 -o /dev/null -w '%{{http_code}}' https://forge.test{refs}"
        ),
    );
    assert_eq!(ran.out, "421 000 403 200", "{ran:?}");
    let asked = forge.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
}

/// Where a credential comes from: each source by itself, then those that give none.
#[test]
fn every_source_of_credentials() {
    let Some(forge) = Forge::of("h1") else { return };
    let ls = "git ls-remote origin | wc -l";
    let from = |from: &str| {
        forge.config(&format!(
            "[[git.credential]]\nhost = 'forge.test'\nfrom = '{from}'\nuser = 'alice'\n"
        ))
    };
    let used = || {
        let used = forge.world.events_of("credential_used");
        used.first()
            .map(|event| event["source"].as_str().unwrap().to_owned())
    };
    // A shell helper of the user's, for this host alone.
    forge.gitconfig(
        "[credential \"https://forge.test\"]\n\thelper = \"!f() { test $1 = get && printf 'username=alice\\\\npassword=s3cr3t\\\\n'; }; f\"\n",
    );
    assert_eq!(forge.run(&[], ls).out, "2\n");
    assert_eq!(used().unwrap(), "git's credential helpers");
    forge.gitconfig("");
    let ran = forge.run(&[], "git ls-remote origin");
    refused(&ran, "no credential for it was found outside");
    // A variable, a file, and a program that the user's configuration names.
    from("env:FORGE_TOKEN");
    let ran = forge.finish(forge.command(&[], ls).env("FORGE_TOKEN", "s3cr3t"));
    assert_eq!(ran.out, "2\n", "{ran:?}");
    let ran = forge.run(&[], "git ls-remote origin");
    refused(
        &ran,
        "no credential for it was found outside; `aca log` there says where",
    );
    told_outside(&forge, &ran, "`from = \"env:FORGE_TOKEN\"`");
    told_outside(&forge, &ran, "the variable FORGE_TOKEN isn't set");
    let file = forge.world.file(forge.world.outside.join("token"), "s3cr3t\n");
    from(&format!("file:{}", file.display()));
    assert_eq!(forge.run(&[], ls).out, "2\n");
    let program = forge.program(
        "pass",
        "test \"$PWD $1\" = '/ git' && test -z \"$FORGE_TOKEN\" && echo s3cr3t",
    );
    from(&format!("command:{} git", program.display()));
    let ran = forge.finish(forge.command(&[], ls).env("FORGE_TOKEN", "x"));
    assert_eq!(ran.out, "2\n", "{ran:?}");
    assert_eq!(used().unwrap(), format!("command:{} git", program.display()));
    // Those that give none, each told in time.
    for (script, why) in [
        ("sleep 600", "took longer than 10 seconds"),
        ("echo s3cr3t; exit 3", "it ended with 3"),
        ("head -c 1000000 /dev/zero | tr '\\0' x", "it printed more than"),
        ("printf 's3cr3t\\001'", "gave is no credential"),
        ("", "gave is no credential"),
    ] {
        forge.program("pass", script);
        let start = Instant::now();
        let ran = forge.run(&[], "git ls-remote origin");
        refused(&ran, "no credential for it was found outside");
        told_outside(&forge, &ran, why);
        assert!(start.elapsed() < TOO_LONG, "{script}");
    }
    // The forge's own tool, and `~/.netrc`.
    forge.config("");
    let tool = forge.program(
        "gh",
        "test \"$*\" = 'auth token --hostname forge.test' && test -z \"$GH_TOKEN\" && echo s3cr3t",
    );
    let path = format!(
        "{}:{}",
        tool.parent().unwrap().display(),
        super::support::host_path()
    );
    // A token goes with any name, but for this server.
    let ran = forge.finish(
        forge
            .command(&[], "git ls-remote origin")
            .env("PATH", &path)
            .env("GH_TOKEN", "x"),
    );
    refused(
        &ran,
        "the server doesn't take the credential that was found outside",
    );
    told_outside(&forge, &ran, "it came from `gh`");
    forge.world.file(
        forge.world.home.join(".netrc"),
        "machine forge.test login alice password s3cr3t\n",
    );
    assert_eq!(forge.run(&[], ls).out, "2\n");
    assert_eq!(used().unwrap(), "~/.netrc");
    // A token of another forge's is nobody's business here.
    std::fs::remove_file(forge.world.home.join(".netrc")).unwrap();
    let ran = forge.finish(
        forge
            .command(&[], "git ls-remote origin")
            .env("GITHUB_TOKEN", "s3cr3t"),
    );
    refused(&ran, "no credential for it was found outside");
    assert!(
        !forge.fields().contains("eC1hY2Nlc3MtdG9rZW46eA"),
        "the variable's value was sent"
    );
}

/// A project's own file names no source, and what it plants in its configuration of git is not obeyed.
#[test]
fn what_is_written_inside_has_no_say_about_credentials() {
    let Some(forge) = Forge::new() else { return };
    forge.world.file(
        ".aca.toml",
        "[[git.credential]]\nhost = 'forge.test'\nfrom = 'helper'\n",
    );
    let ran = forge.run(&[], "true");
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("credential"), "{ran:?}");
    std::fs::remove_file(forge.world.project.join(".aca.toml")).unwrap();
    let planted = forge.world.root().join("planted");
    let helper = format!(
        "!f() {{ cat > {0}; echo username=x; echo password=y; }}; f",
        planted.display()
    );
    forge
        .world
        .git(&forge.world.project, &["config", "credential.helper", &helper]);
    assert_eq!(
        forge.run(&[], "git ls-remote origin 2>/dev/null | wc -l").out,
        "2\n"
    );
    assert!(std::fs::symlink_metadata(&planted).is_err());
}

/// What the user's settings lead to is written inside: git isn't asked, and the user is told why.
#[test]
fn settings_that_lead_inside_are_told_as_such() {
    let Some(forge) = Forge::new() else { return };
    let helper = forge.world.file("helper", "#!/bin/sh\n");
    forge.gitconfig(&format!("[credential]\n\thelper = {}\n", helper.display()));
    let ran = forge.run(&[], "git ls-remote origin");
    refused(&ran, "no credential for it was found outside");
    told_outside(&forge, &ran, "git isn't asked: a credential helper that ");
    told_outside(&forge, &ran, ".gitconfig names lies in what is written inside");
}

/// A repository that no rule on repositories names is fetched as anybody may where rules on requests name it, and others
/// aren't: one repository's anonymity needs no word of its own.
#[test]
fn g09_one_repository_as_anybody_by_rules_on_requests() {
    let Some(forge) = Forge::new() else { return };
    let flags = [
        "--allow",
        "GET https://forge.test/public/tool/**",
        "--allow",
        "POST https://forge.test/public/tool/git-upload-pack",
    ];
    let ran = forge.run(
        &flags,
        "git clone -q https://forge.test/public/tool /tmp/t && cat /tmp/t/README; \
         git ls-remote -q origin | wc -l; git ls-remote https://forge.test/other/secret",
    );
    assert_eq!(ran.out, "this is public/tool\n2\n", "{ran:?}");
    assert!(ran.err.contains("no rule names this repository"), "{ran:?}");
    let asked = forge.asked();
    for line in asked.iter().filter(|line| line.contains("/public/tool")) {
        assert!(line.contains(" nobody "), "{asked:?}");
    }
    assert!(!asked.iter().any(|line| line.contains("/other/")), "{asked:?}");
}

/// A server, or what stands before one, that takes the end of a request for the beginning of the next puts nothing of the
/// client's behind the user's name: the two share no connection, nor do two repositories.
#[test]
fn what_goes_in_the_users_name_goes_by_connections_of_its_own() {
    if !has("curl") {
        return;
    }
    for kind in ["h1", "h2"] {
        let Some(forge) = Forge::of(kind) else { return };
        forge.store("https://alice:s3cr3t@forge.test\n");
        let refs = |name: &str| {
            format!("-o /dev/null 'https://forge.test/{name}/info/refs?service=git-upload-pack'")
        };
        let (app, lib, tool) = (refs("acme/app"), refs("acme/lib"), refs("public/tool"));
        let own = "-o /dev/null https://forge.test/api";
        let ran = forge.run(
            &["--net", "open", "--git-fetch", "https://forge.test/acme/lib"],
            &format!("curl -sS -m 50 -w '%{{num_connects}} %{{http_code}} ' {app} {own} {lib} {tool} {app} {own} {lib}"),
        );
        // One connection inside.
        assert_eq!(ran.out, "1 200 0 401 0 200 0 200 0 200 0 401 0 200 ", "{ran:?}");
        let mut by: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in forge.connections() {
            let [connection, who, url] = line.split(' ').collect::<Vec<_>>()[..] else {
                continue;
            };
            let whose = if who == "alice" {
                url.get(..9).unwrap()
            } else {
                who
            };
            by.entry(connection.to_owned())
                .or_default()
                .insert(whose.to_owned());
        }
        assert!(by.values().all(|whose| whose.len() == 1), "{by:?}");
        // Each is used again.
        assert_eq!(by.len(), 3, "{by:?}");
    }
}

/// Once it holds a secret the supervisor is closed to the user's other programs, and what runs inside is as it was.
#[test]
fn who_holds_a_credential_leaves_no_core() {
    use std::os::unix::fs::MetadataExt;
    if !rustix::process::getuid().is_root() {
        return;
    }
    let Some(forge) = Forge::new() else { return };
    let wait = "while [ ! -e go ]; do sleep 0.1; done";
    let script = format!(
        "touch before; {wait}; rm go; git ls-remote -q origin; stat -c %u /proc/self/environ > after; {wait}"
    );
    let mut child = forge.command(&[], &script).spawn().unwrap();
    let owner = || {
        std::fs::metadata(format!("/proc/{}/environ", child.id()))
            .unwrap()
            .uid()
    };
    let project = &forge.world.project;
    until(|| std::fs::metadata(project.join("before")).ok());
    assert_eq!(owner(), super::support::uid());
    forge.world.file("go", "");
    let inside = until(|| {
        std::fs::read_to_string(project.join("after"))
            .ok()
            .filter(|text| text.ends_with('\n'))
    });
    assert_eq!(owner(), 0);
    assert_eq!(inside.trim(), super::support::uid().to_string());
    forge.world.file("go", "");
    assert!(child.wait().unwrap().success());
}

/// What another run that goes on lets be written is written inside as well: nothing there is started for this one, whenever
/// that run began.
#[test]
fn what_another_run_writes_is_not_started_or_obeyed() {
    let Some(forge) = Forge::of("h1") else { return };
    let world = &forge.world;
    let program = forge.program("pass", "echo s3cr3t");
    let open = program.parent().unwrap().to_owned();
    forge.config(&format!(
        "[[git.credential]]\nhost = 'forge.test'\nfrom = 'command:{}'\nuser = 'alice'\n",
        program.display()
    ));
    let other = || {
        let project = world.directory(world.outside.join("other"));
        let mut command = world.aca(&["run", "--project"]);
        command.arg(&project).arg("--write").arg(&open);
        command.args([
            "--",
            "sh",
            "-c",
            "touch begun; while [ ! -e over ]; do sleep 0.1; done",
        ]);
        let run = command.current_dir(&project).spawn().unwrap();
        until(|| std::fs::metadata(project.join("begun")).ok());
        (run, project)
    };
    let end = |(mut run, project): (std::process::Child, std::path::PathBuf)| {
        world.file(project.join("over"), "");
        run.wait().unwrap();
        std::fs::remove_dir_all(project).unwrap();
    };
    // The other began before.
    let before = other();
    let ran = forge.run(&[], "git ls-remote origin");
    refused(&ran, "no credential for it was found outside");
    told_outside(
        &forge,
        &ran,
        "lies in what is written inside, so it is neither started nor read",
    );
    end(before);
    assert_eq!(forge.run(&[], "git ls-remote origin | wc -l").out, "2\n");
    // And after.
    let script = "touch ready; while [ ! -e go ]; do sleep 0.1; done; git ls-remote origin";
    let mut command = forge.command(&[], script);
    let run = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    until(|| std::fs::metadata(world.project.join("ready")).ok());
    let after = other();
    world.file("go", "");
    let ran = Ran::from_output(&run.wait_with_output().unwrap());
    refused(&ran, "no credential for it was found outside");
    end(after);
}

/// Git and its helper are broken off by Ctrl-C at a terminal, in the middle of a fetch and of a push: nothing of theirs is
/// left, the server is let go, and the session goes on.
#[test]
fn g44_ctrl_c_in_the_middle_leaves_nothing() {
    let fetch = ("git fetch origin", "");
    let push = (
        "git push -q origin HEAD:agent/x",
        "git config --global user.name a; git config --global user.email a@a.test; git fetch -q origin; \
         git reset -q --hard origin/main; git commit -q --allow-empty -m x; ",
    );
    for (kind, (what, begin)) in [("h1", fetch), ("h1", push), ("h2", fetch), ("h2", push)] {
        let Some(forge) = Forge::of(kind) else { return };
        forge.store("https://alice:s3cr3t@forge.test\n");
        let world = &forge.world;
        let script = format!(
            "{begin} touch ready; while [ ! -e go ]; do sleep 0.1; done; trap : INT; {what}; echo code $? > ended; \
             while [ ! -e look ]; do sleep 0.1; done; for p in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $p; echo; done > left; \
             touch after"
        );
        let mut pty = Pty::spawn(forge.bare(&["--", "sh", "-c", &script]));
        until(|| std::fs::metadata(world.project.join("ready")).ok());
        forge.mode("held");
        world.file("go", "");
        until(|| (forge.held() == 1).then_some(()));
        pty.type_in("\x03");
        let read = |name: &str| {
            let text = std::fs::read_to_string(world.project.join(name)).ok();
            text.filter(|text| !text.is_empty())
        };
        let ended = until(|| read("ended"));
        assert_ne!(ended.trim(), "code 0", "{kind} {what}");
        // The connection outside goes with the one inside.
        until(|| (forge.held() == 0).then_some(()));
        world.file("look", "");
        until(|| std::fs::metadata(world.project.join("after")).ok());
        let left = read("left").unwrap();
        let is_left = |line: &str| line.starts_with("git ") || line.contains("git-remote-https");
        assert!(!left.lines().any(is_left), "{left}");
        assert_eq!(pty.code(), 0, "{}", pty.shown());
        let bare = forge.repositories.join("acme/app.git");
        assert_eq!(world.git(&bare, &["for-each-ref", "refs/heads/agent"]), "");
    }
}
