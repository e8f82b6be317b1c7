//! Pushes over https, with the user's own credential.

use super::forge::Forge;
use super::pushes::{Place, pushes};
use super::support::Ran;

impl Place for Forge {
    fn url(&self, name: &str) -> String {
        format!("https://forge.test/{name}")
    }

    fn run(&self, flags: &[&str], script: &str) -> Ran {
        Self::run(self, flags, script)
    }
}

pushes! {
    Forge::new();
    g17_g18_g19_g38_what_goes_forward
    g20_to_g24_what_no_rule_lets
    g25_g26_g27_g28_all_or_nothing
    g29_g30_how_much
    g31_g32_secrets_stay
    g33_g34_g35_what_runs_on_the_forge
    g39_what_this_session_created
    g40_a_repository_that_is_read_only
    g42_objects_by_another_hash
    g43_the_server_refuses
    g06_history_that_is_not_here
}

/// As git asks over https: what there is, and then the push. What isn't answered as git understands it is an error.
const WAY: &str = r#"['sh', '-c', "curl -sS -m 50 'https://forge.test/acme/app.git/info/refs?service=git-receive-pack' | tail -c +36; \
code=$(curl -sS -m 50 -o /tmp/answer -w '%{http_code}' --data-binary @- -H 'Content-Type: application/x-git-receive-pack-request' \
https://forge.test/acme/app.git/git-receive-pack); [ $code = 200 ] && exec cat /tmp/answer; cat /tmp/answer >&2; exit 1"]"#;

#[test]
fn g45_g46_g47_g48_g49_g50_a_client_that_lies() {
    let Some(forge) = Forge::new() else { return };
    // A request ends before it is answered.
    let (checks, _) = super::pushes::P45_TO_P50
        .split_once("# A side that stays open")
        .unwrap();
    super::pushes::raw(&forge, WAY, checks);
}

#[test]
fn g41_g51_packs_that_are_made_to_break_who_reads_them() {
    let Some(forge) = Forge::new() else { return };
    super::pushes::raw(&forge, WAY, super::pushes::P41_P51);
}

/// The user's own password, which aca holds, is in no push.
#[test]
fn g31_what_aca_holds_is_not_pushed() {
    let Some(forge) = Forge::new() else { return };
    forge.store("https://alice:s3cr3t-and-longer@forge.test\n");
    forge.mode("longer");
    for written in [
        "s3cr3t-and-longer",
        "$(printf s3cr3t-and-longer | base64)",
        "$(printf x:s3cr3t-and-longer | base64)",
    ] {
        // It is put together inside, where it is known by chance alone.
        let script = format!(
            "git config --global user.name a; git config --global user.email a@a.test; git fetch -q origin && \
             git reset -q --hard origin/main && echo \"password {written}\" > note && git add note && git commit -q -m x && \
             git push -q origin HEAD:agent/x"
        );
        let ran = forge.run_anyhow(&[], &script);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(
            ran.err.contains("[remote rejected]") && ran.err.contains("secret"),
            "{ran:?}"
        );
    }
    let bare = forge.repositories.join("acme/app.git");
    assert_eq!(forge.world.git(&bare, &["for-each-ref", "refs/heads/agent"]), "");
}

/// A push asks the server anew what it has, and is sent as it was judged: over HTTP/2, to a server that ends connections,
/// and past a question in the middle.
#[test]
fn a_push_reaches_every_kind_of_server() {
    for (kind, mode) in [("h2", ""), ("h1", "close")] {
        let Some(forge) = Forge::of(kind) else { return };
        forge.store("https://alice:s3cr3t@forge.test\n");
        forge.mode(mode);
        let ran = forge.run(
            &[],
            "git config --global user.name a; git config --global user.email a@a.test; \
             git fetch -q origin && git reset -q --hard origin/main && head -c 3000000 /dev/urandom > big && git add big && \
             git commit -q -m big && git push -q origin HEAD:agent/x && git rev-parse HEAD",
        );
        let bare = forge.repositories.join("acme/app.git");
        let there = forge.world.git(&bare, &["rev-parse", "refs/heads/agent/x"]);
        assert_eq!(ran.ok(), there, "{ran:?}");
        let asked = forge.asked();
        let pushes = asked
            .iter()
            .filter(|line| line.starts_with("POST /acme/app.git/git-receive-pack"));
        assert_eq!(pushes.count(), 1, "the trial isn't the server's: {asked:?}");
    }
}

/// The server leads from one name to another: what may be pushed is what the rules say of the second.
#[test]
fn a_push_to_what_moved_is_judged_by_where_it_goes() {
    let Some(forge) = Forge::new() else { return };
    let flags = ["--git-push", "https://forge.test/moved/app#main"];
    let push = |to: &str| {
        forge.run(
            &flags,
            &format!(
                "git config --global user.name a; git config --global user.email a@a.test; git fetch -q origin && \
                 git reset -q --hard origin/main && git commit -q --allow-empty -m x && \
                 git push -q https://forge.test/moved/app.git HEAD:{to}"
            ),
        )
    };
    let bare = forge.repositories.join("acme/app.git");
    let before = forge.world.git(&bare, &["for-each-ref"]);
    let ran = push("main");
    assert!(
        ran.code != 0 && ran.err.contains("a default branch is pushed to only"),
        "{ran:?}"
    );
    assert_eq!(forge.world.git(&bare, &["for-each-ref"]), before);
    push("agent/x").ok();
    assert_ne!(forge.world.git(&bare, &["for-each-ref"]), before);
}

/// Over https git tells of its own end besides (`die` in git's transport-helper.c).
#[test]
fn g36_g37_options_and_signatures() {
    let Some(forge) = Forge::new() else { return };
    let begin = "git config --global user.name a; git config --global user.email a@a.test; git fetch -q origin; \
                 git reset -q --hard origin/main; git commit -q --allow-empty -m x";
    let ran = forge.run(&[], &format!("{begin}; git push -o ci.skip origin HEAD:agent/x"));
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("does not support push options"), "{ran:?}");
    let ran = forge.run(
        &[],
        &format!("{begin}; git push -q --signed=if-asked origin HEAD:agent/x"),
    );
    assert_eq!(ran.code, 0, "{ran:?}");
}
