//! Registries of our own on loopback, one package each: cargo's sparse index, npm's, Python's simple index.

use crate::rust;
use crate::support::has;
use crate::table::{Row, Sides};
use crate::web::{Request, Response, Server};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The package's files, made once.
struct Packages {
    cargo: Vec<u8>,
    npm: Vec<u8>,
    wheel: Option<Vec<u8>>,
}

const WHEEL: &str = r#"
import zipfile
with zipfile.ZipFile("adder.whl", "w") as z:
    z.writestr("adder.py", "def add(a, b): return a + b\n")
    d = "adder-1.0.0.dist-info/"
    z.writestr(d + "METADATA", "Metadata-Version: 2.1\nName: adder\nVersion: 1.0.0\n")
    z.writestr(d + "WHEEL", "Wheel-Version: 1.0\nGenerator: own\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr(d + "RECORD", "adder.py,,\n" + d + "METADATA,,\n" + d + "WHEEL,,\n" + d + "RECORD,,\n")
"#;

impl Packages {
    fn make() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let at = scratch.path();
        let file = |path: &str, text: &str| {
            let path = at.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        file(
            "adder-1.0.0/Cargo.toml",
            "[package]\nname = \"adder\"\nversion = \"1.0.0\"\nedition = \"2021\"\n",
        );
        file(
            "adder-1.0.0/src/lib.rs",
            "pub fn add(a: u32, b: u32) -> u32 { a + b }\n",
        );
        file(
            "package/package.json",
            r#"{"name":"adder","version":"1.0.0","main":"index.js","bin":{"adder":"cli.js"},"scripts":{"postinstall":"echo ran > ran"}}"#,
        );
        file("package/index.js", "module.exports = (a, b) => a + b;\n");
        file(
            "package/cli.js",
            "#!/usr/bin/env node\nconsole.log(require('./index.js')(+process.argv[2], +process.argv[3]));\n",
        );
        Self {
            cargo: tar(at, "adder-1.0.0"),
            npm: tar(at, "package"),
            wheel: Command::new("python3")
                .args(["-c", WHEEL])
                .current_dir(at)
                .status()
                .is_ok_and(|status| status.success())
                .then(|| fs::read(at.join("adder.whl")).unwrap()),
        }
    }

    fn answer(&self, request: &Request) -> Response {
        let json = |text: String| Response::Body("application/json", text.into_bytes());
        let bytes = |bytes: &[u8]| Response::Body("application/octet-stream", bytes.to_vec());
        let host = &request.host;
        match request.path.as_str() {
            "/cargo/config.json" => json(format!(r#"{{"dl":"http://{host}/cargo/dl"}}"#)),
            "/cargo/ad/de/adder" => {
                let sum: String = Sha256::digest(&self.cargo)
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                json(format!(
                    r#"{{"name":"adder","vers":"1.0.0","deps":[],"cksum":"{sum}","features":{{}},"yanked":false}}"#
                ))
            }
            "/cargo/dl/adder/1.0.0/download" => bytes(&self.cargo),
            "/npm/adder" => json(format!(
                r#"{{"name":"adder","dist-tags":{{"latest":"1.0.0"}},"versions":{{"1.0.0":{{"name":"adder","version":"1.0.0","bin":{{"adder":"cli.js"}},"hasInstallScript":true,"dist":{{"tarball":"http://{host}/npm/adder/-/adder-1.0.0.tgz"}}}}}}}}"#
            )),
            "/npm/adder/-/adder-1.0.0.tgz" => bytes(&self.npm),
            "/pip/simple/adder/" => Response::Body(
                "text/html",
                b"<!doctype html><a href=\"/pip/adder-1.0.0-py3-none-any.whl\">adder-1.0.0-py3-none-any.whl</a>".to_vec(),
            ),
            "/pip/adder-1.0.0-py3-none-any.whl" => {
                self.wheel.as_deref().map_or(Response::NotFound, bytes)
            }
            _ => Response::NotFound,
        }
    }
}

fn tar(at: &Path, directory: &str) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["-c", "-z", directory])
        .current_dir(at)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// Outside the server is asked by its address, inside by a name, through the gate. `$REGISTRY` is its URL.
fn check(row: &Row<'_>, sides: &Sides<'_>) {
    let packages = Packages::make();
    let server = Server::start(move |request| packages.answer(request));
    let outside = format!("http://127.0.0.1:{}", server.port);
    let resolve = format!("registry.test=127.0.0.1:{}", server.port);
    row.check_with(&Sides {
        outside: &[("REGISTRY", &outside)],
        inside: &[
            "--allow",
            "registry.test",
            "--resolve",
            &resolve,
            "--env",
            "REGISTRY=http://registry.test",
        ],
        ..*sides
    });
    if row
        .needs
        .iter()
        .all(|program| crate::support::installed(program).is_some())
    {
        assert!(
            server
                .requests()
                .iter()
                .any(|request| request.host == "registry.test"),
            "the registry was not asked from inside"
        );
    }
}

#[test]
fn cargo_dependency() {
    if !rust::is_there() {
        return;
    }
    let row = Row {
        needs: &[],
        script: r#"
            set -e
            cargo init -q --name own .
            printf '[source.crates-io]\nreplace-with = "own"\n[source.own]\nregistry = "sparse+%s/cargo/"\n' $REGISTRY > own.toml
            echo 'adder = "1"' >> Cargo.toml; echo 'fn main() { println!("{}", adder::add(40, 2)); }' > src/main.rs
            cargo --config own.toml run -q; cargo --config own.toml run -q --offline; ls ~/.cargo/registry/src/*/ 
        "#,
        expected: "42\n42\nadder-1.0.0",
    };
    check(
        &row,
        &Sides {
            prepare: Some(&rust::install),
            home_path: rust::PATH,
            ..Sides::default()
        },
    );
}

#[test]
fn npm_install() {
    let row = Row {
        needs: &["node", "npm"],
        script: r#"
            set -e
            export npm_config_registry=$REGISTRY/npm npm_config_update_notifier=false npm_config_audit=false npm_config_fund=false
            echo '{"name":"own","version":"1.0.0","scripts":{"t":"adder 20 1"}}' > package.json
            npm install --silent adder; node -p 'require("adder")(40, 2)'; npm run --silent t; npx -y adder 1 2
        "#,
        expected: "42\n21\n3",
    };
    check(&row, &Sides::default());
}

#[test]
fn npx() {
    let row = Row {
        needs: &["node", "npm", "npx"],
        script: "npm_config_registry=$REGISTRY/npm npm_config_update_notifier=false npx -y adder 40 2",
        expected: "42",
    };
    check(&row, &Sides::default());
}

#[test]
fn pip_install() {
    if !has("python3") {
        return;
    }
    let row = Row {
        needs: &["python3"],
        script: r#"
            set -e
            host=${REGISTRY#http://}
            python3 -m venv v; v/bin/pip install -q --disable-pip-version-check --index-url $REGISTRY/pip/simple --trusted-host ${host%:*} adder
            v/bin/python -c 'import adder; print(adder.add(40, 2))'
        "#,
        expected: "42",
    };
    check(&row, &Sides::default());
}

/// The same package managers at a registry that nobody allowed: they end by themselves, and the log tells why.
#[test]
fn n22_an_unlisted_registry_fails_at_once() {
    let pip = "python3 -m venv v && timeout 30 v/bin/pip download -q --retries 0 --disable-pip-version-check --index-url http://b.test/simple --trusted-host b.test adder";
    let npm = "npm_config_registry=http://b.test npm_config_fetch_retries=0 npm_config_update_notifier=false timeout 30 npm view adder";
    let cargo = r#"
        printf '[source.crates-io]\nreplace-with = "own"\n[source.own]\nregistry = "sparse+http://b.test/"\n[net]\nretry = 0\n' > own.toml
        cargo init -q --name own .; echo 'adder = "1"' >> Cargo.toml; PATH=$HOME/.cargo/bin:$PATH timeout 30 cargo --config own.toml fetch -q
    "#;
    for (needs, script) in [("python3", pip), ("npm", npm), ("rust", cargo)] {
        let world = crate::support::World::new();
        if needs == "rust" {
            if !rust::is_there() {
                continue;
            }
            rust::install(&world);
        } else if !has(needs) {
            continue;
        }
        let script = script.replace("cargo init", "PATH=$HOME/.cargo/bin:$PATH cargo init");
        let ran = world.run(&["--net", "dev"], &script);
        assert!(![0, 124, 127].contains(&ran.code), "{needs}: {ran:?}");
        let lookups = world.events_of("lookup");
        let denied = lookups.iter().find(|event| event["name"] == "b.test");
        assert!(
            denied.is_some_and(|event| event["denied"]["reason"] == "no rule allows it"),
            "{needs}: {lookups:?} {ran:?}"
        );
    }
}
