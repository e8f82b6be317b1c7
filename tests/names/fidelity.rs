//! What is made on a program's behalf is as if it had made it itself.

use super::support::{self, Ran, World};

/// The same script outside and inside gives the same.
#[track_caller]
fn same(world: &World, script: &str) {
    let outside = Ran::from_output(&world.command("sh").args(["-c", script]).output().unwrap());
    world
        .command("sh")
        .args(["-c", "rm -rf ./* /tmp/names-fidelity"])
        .status()
        .unwrap();
    let inside = world.run(&["--hold-names"], script);
    assert_eq!(
        (inside.code, inside.out.as_str()),
        (outside.code, outside.out.as_str()),
        "{inside:?}\n{outside:?}"
    );
    world.command("sh").args(["-c", "rm -rf ./*"]).status().unwrap();
}

#[test]
fn modes_and_masks() {
    same(
        &World::new(),
        "for m in 000 022 027 077; do umask $m; touch f$m; mkdir d$m; mkfifo p$m; (umask 0; touch g$m); done; \
         umask 002; mkdir s; chmod 2775 s; mkdir s/t; touch s/u; stat -c '%n %a %u %g %F' * s/*",
    );
}

#[test]
fn errors() {
    same(
        &World::new(),
        "touch f; mkdir d; ln -s nowhere dangling; ln -s loop loop; chmod 500 d; exec 2>&1; \
         mkdir f; mkdir d; mkdir d/x; mkdir a/b; touch a/b; touch d/x; touch f/x; ln f d; ln -s x f; mv f d/x; mv d f; mv nothing x; \
         echo > loop; echo > d; echo x > dangling; cat nowhere; mkdir ''; mkdir /; touch ./; touch x/; mkdir y/; ls -A; chmod 700 d",
    );
}

const PYTHON: &str = r#"
import os, fcntl, errno, resource, tempfile, stat, sqlite3, socket
def tried(call):
    try: return call()
    except OSError as error: return errno.errorcode[error.errno]
f = os.open("f", os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND, 0o666)
print(oct(os.fstat(f).st_mode), fcntl.fcntl(f, fcntl.F_GETFD), bool(fcntl.fcntl(f, fcntl.F_GETFL) & os.O_APPEND), fcntl.fcntl(f, fcntl.F_GETFL) & os.O_ACCMODE)
print(bool(fcntl.fcntl(f, fcntl.F_GETFL) & os.O_NONBLOCK), bool(fcntl.fcntl(f, fcntl.F_GETFL) & os.O_NOFOLLOW))
print(tried(lambda: os.open("f", os.O_CREAT | os.O_EXCL)))
os.write(f, b"abc")
g = os.open("f", os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NONBLOCK)
print(os.fstat(f).st_size, bool(fcntl.fcntl(g, fcntl.F_GETFL) & os.O_NONBLOCK))
os.symlink("f", "l")
print(tried(lambda: os.open("l", os.O_CREAT | os.O_NOFOLLOW)), tried(lambda: os.open("l", os.O_CREAT | os.O_EXCL)))
os.symlink("new", "m")
os.close(os.open("m", os.O_CREAT | os.O_WRONLY)); print(os.path.isfile("new"))
os.mkdir("d"); at = os.open("d", os.O_RDONLY)
os.mkdir("e", dir_fd=at); os.mkdir("e/x".replace("e/", ""), dir_fd=os.open("d/e", os.O_PATH))
print(sorted(os.listdir("d/e")))
t = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640); os.write(t, b"tmp")
os.link(f"/proc/self/fd/{t}", "linked", follow_symlinks=True); print(open("linked").read(), oct(os.stat("linked").st_mode))
os.link("linked", "again"); print(os.stat("again").st_nlink)
os.link("l", "hardlink", follow_symlinks=False); print(os.path.islink("hardlink"))
os.rename("again", "d/again"); os.replace("d/again", "linked"); print(sorted(os.listdir(".")))
low, high = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(os.open("f", 0), 8) + 1, high)); print(tried(lambda: os.open("f2", os.O_CREAT)))
resource.setrlimit(resource.RLIMIT_NOFILE, (low, high))
with tempfile.TemporaryDirectory(dir=".") as place, tempfile.NamedTemporaryFile(dir=place) as file: file.write(b"x")
base = sqlite3.connect("base"); base.execute("pragma journal_mode=wal"); base.execute("create table a(b)"); base.execute("insert into a values (1)"); base.commit(); base.close()
print(os.path.exists("base"))
listener = socket.socket(socket.AF_UNIX); listener.bind("socket"); print(listener.getsockname(), stat.S_ISSOCK(os.stat("socket").st_mode))
os.mkfifo("pipe", 0o600)
if os.fork() == 0:
    os.write(os.open("pipe", os.O_CREAT | os.O_WRONLY), b"through"); os._exit(0)
print(os.read(os.open("pipe", os.O_RDONLY), 99)); os.wait()
print(os.write(os.open("/dev/null", os.O_CREAT | os.O_WRONLY), b"x"))
old = os.umask(0o077); os.close(os.open("private", os.O_CREAT)); os.umask(old); os.close(os.open("open", os.O_CREAT, 0o644)); print(oct(os.stat("private").st_mode), oct(os.stat("open").st_mode))
"#;

#[test]
fn calls_and_flags() {
    if !support::has("python3") {
        return support::skip("calls_and_flags", "there is no python3");
    }
    let world = World::new();
    let script = format!(
        "cat > /dev/null; python3 -c '{}' 2>&1; rm -rf s*",
        PYTHON.replace('\'', "\"'\"'")
    );
    same(&world, &script);
}

#[test]
fn threads_and_many_processes() {
    if !support::has("python3") {
        return support::skip("threads_and_many_processes", "there is no python3");
    }
    let script = "import os,threading\n\
        def work(n):\n for i in range(300):\n  p=f\"t{n}-{i}\"; os.close(os.open(p, os.O_CREAT|os.O_EXCL|os.O_WRONLY)); os.rename(p, p+\"x\")\n\
        pids=[]\n\
        for n in range(8):\n pid=os.fork()\n if pid==0:\n  ts=[threading.Thread(target=work,args=(n*10+k,)) for k in range(4)]\n  [t.start() for t in ts]; [t.join() for t in ts]; os._exit(0)\n pids.append(pid)\n\
        print([os.waitpid(p,0)[1] for p in pids], len(os.listdir(\".\")))";
    same(&World::new(), &format!("python3 -c '{script}'"));
}

#[test]
fn git_tar_and_editors() {
    same(
        &World::new(),
        "export HOME=$PWD GIT_CONFIG_NOSYSTEM=1; git init -q -b main r && cd r && git config user.name a && git config user.email a@b.test && \
         for i in 1 2 3; do echo $i > f$i; done && git add . && git commit -qm one && git switch -qc other && git mv f1 d1 && git commit -qam two && \
         git switch -q main && git merge -q other && git worktree add -q ../w 2>&1 && git stash list && git gc -q && git clone -q . ../c && \
         cd .. && tar cf a.tar r/f2 c/d1 && mkdir x && tar xf a.tar -C x && cp -r r/f2 y && sed -i s/2/3/ y && ls r c w x/r x/c && cat y && git -C r status --porcelain",
    );
}

#[test]
fn signals_while_names_are_made() {
    if !support::has("python3") {
        return support::skip("signals_while_names_are_made", "there is no python3");
    }
    let script = "import os,signal\n\
        n=[0]\n\
        def hit(*_): n[0]+=1\n\
        signal.signal(signal.SIGALRM, hit); signal.siginterrupt(signal.SIGALRM, False); signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\n\
        for i in range(3000): os.close(os.open(\"f\", os.O_CREAT|os.O_WRONLY)); os.mkdir(\"d\"); os.rmdir(\"d\")\n\
        signal.setitimer(signal.ITIMER_REAL, 0, 0); print(n[0]>0, os.listdir(\".\"))";
    same(&World::new(), &format!("python3 -c '{script}'"));
}
