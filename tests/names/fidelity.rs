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

/// What one thread makes, removes and replaces while another makes names in it: each call succeeds or says what is there, as
/// package managers count on that unpack with many threads.
#[test]
fn directories_and_links_that_come_and_go() {
    if !support::has("python3") {
        return support::skip("directories_and_links_that_come_and_go", "there is no python3");
    }
    let script = "import os,threading\n\
        seen=[set(),set(),set(),set()]\n\
        def tried(n,call):\n try:\n  call()\n except OSError as e: seen[n].add(e.strerror)\n\
        on=[True]\n\
        def comes():\n while on[0]:\n  os.mkdir(\"d\"); os.rename(\"t\",\"l\"); os.symlink(\"f\",\"t\"); os.unlink(\"l\")\n\
        \x20 while True:\n   for x in os.listdir(\"d\"): os.unlink(\"d/\"+x) if not os.path.isdir(\"d/\"+x) else os.rmdir(\"d/\"+x)\n\
        \x20  try: os.rmdir(\"d\"); break\n   except OSError: pass\n\
        os.symlink(\"f\",\"t\"); here=os.getcwd(); thread=threading.Thread(target=comes); thread.start()\n\
        for i in range(8000):\n\
        \x20tried(0,lambda: os.mkdir(\"d/x\")); tried(1,lambda: os.close(os.open(here+\"/d/y\",os.O_CREAT|os.O_WRONLY)))\n\
        \x20tried(2,lambda: os.close(os.open(\"l\",os.O_CREAT|os.O_WRONLY))); tried(3,lambda: os.rename(\"f\",\"d/f\"))\n\
        on[0]=False; thread.join()\n\
        known={\"No such file or directory\",\"File exists\"}\n\
        print([sorted(one-known) for one in seen], \"No such file or directory\" in seen[0])";
    same(&World::new(), &format!("python3 -c '{script}'"));
}

/// What a program opens is its own alone once it has it: a lock ends when it closes it, and a program that was written can
/// be started.
#[test]
fn what_ends_with_the_last_descriptor() {
    if !support::has("python3") {
        return support::skip("what_ends_with_the_last_descriptor", "there is no python3");
    }
    let script = "import os,fcntl,subprocess\n\
        kept=0\n\
        for i in range(300):\n\
        \x20f=os.open(\"lock\",os.O_CREAT|os.O_RDWR); fcntl.flock(f,fcntl.LOCK_EX|fcntl.LOCK_NB); os.close(f)\n\
        \x20g=os.open(\"lock\",os.O_RDWR)\n\
        \x20try: fcntl.flock(g,fcntl.LOCK_EX|fcntl.LOCK_NB)\n\
        \x20except OSError: kept+=1\n\
        \x20os.close(g)\n\
        for i in range(30):\n\
        \x20f=os.open(f\"run{i}\",os.O_CREAT|os.O_WRONLY,0o755); os.write(f,b\"#!/bin/sh\\n\"); os.close(f); subprocess.run(f\"./run{i}\",check=True)\n\
        print(kept)";
    same(&World::new(), &format!("python3 -c '{script}'"));
}

/// A program that waits at a pipe for its other end has it, and no other before.
#[test]
fn a_pipe_that_somebody_waits_at() {
    if !support::has("python3") {
        return support::skip("a_pipe_that_somebody_waits_at", "there is no python3");
    }
    let script = "import os,threading\n\
        def end(flags,got):\n f=os.open(\"p\",flags)\n got.append(os.write(f,b\"x\") if flags&os.O_WRONLY else os.read(f,9)); os.close(f)\n\
        os.mkfifo(\"p\")\n\
        def waits(thread):\n\
        \x20try: state=open(f\"/proc/self/task/{thread.native_id}/stat\").read().rsplit(\")\",1)[1].split()[0]\n\
        \x20except OSError: return True\n\
        \x20return state==\"S\"\n\
        for i in range(40):\n\
        \x20first,second=(os.O_RDONLY,os.O_WRONLY|os.O_CREAT|os.O_TRUNC) if i%2 else (os.O_WRONLY,os.O_RDONLY|os.O_CREAT)\n\
        \x20got=[]; one=threading.Thread(target=end,args=(first,got),daemon=True); one.start()\n\
        \x20while not waits(one): pass\n\
        \x20two=threading.Thread(target=end,args=(second,got),daemon=True); two.start(); two.join(9); one.join(9)\n\
        \x20if sorted(map(str,got))!=[\"1\",\"b\x27x\x27\"]: print(i,got); os._exit(1)\n\
        print(\"all\")";
    let script = script.replace('\'', "'\"'\"'");
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

/// Each part of the table by itself, so that they run side by side.
macro_rules! every_call {
    ($($name:ident: $part:literal, $least:literal;)*) => {
        $(
            #[test]
            fn $name() {
                table($part, $least);
            }
        )*
    };
}

every_call! {
    open_with_every_flag_on_everything: "opens", 1200;
    what_makes_one_name_on_everything: "others", 400;
    what_takes_two_names_on_every_two_things: "pairs", 1200;
    openat2_with_every_way_to_resolve: "hows", 2000;
    lists_of_rights_and_groups_that_are_given_on: "lists", 30;
    sockets_keep_the_name_that_they_were_given: "sockets", 16;
    nothing_happens_to_a_file_where_there_is_no_number_for_it: "limits", 2;
}

/// Runs a part of `calls.py` outside and inside, and wants the same lines, of which it prints at least so many.
#[track_caller]
fn table(part: &str, least: usize) {
    if !support::has("python3") {
        return support::skip(part, "there is no python3");
    }
    let world = World::new();
    world.file(".calls.py", include_str!("calls.py"));
    let script = format!("python3 .calls.py {part} 2>&1");
    let outside = Ran::from_output(&world.command("sh").args(["-c", &script]).output().unwrap());
    world.command("rm").args(["-rf", "w"]).status().unwrap();
    let inside = world.run(&["--hold-names"], &script);
    let (one, other): (Vec<&str>, Vec<&str>) =
        (outside.ok().lines().collect(), inside.ok().lines().collect());
    assert!(
        one.len() >= least && one.len() == other.len(),
        "{} {}",
        one.len(),
        other.len()
    );
    let differ: Vec<_> = one
        .iter()
        .zip(&other)
        .filter(|(one, other)| one != other)
        .take(20)
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
}

#[test]
fn tools_that_unpack_and_copy() {
    let script = r#"
        umask 022; mkdir -p a/b; for i in 1 2 3; do echo $i > a/b/f$i; done; ln a/b/f1 a/hard; ln -s b/f2 a/link; mkfifo a/pipe
        chmod 640 a/b/f3; chmod 2755 a/b; touch -d @1000000000 a/b/f2
        cp -a a copied; cp -al a linked; install -D -m 750 a/b/f1 made/deep/f; mv copied moved; ln -sfn a/b here; ln -f a/b/f3 a/hard
        tar cf one.tar a && mkdir t && tar xpf one.tar -C t
        command -v rsync > /dev/null && rsync -aH --delete a/ r/ && echo new > a/b/f1 && rsync -aH --delete --inplace a/ r/
        command -v zip > /dev/null && zip -qry one.zip moved -x '*pipe' && mkdir z && unzip -q one.zip -d z
        command -v patch > /dev/null && printf -- '--- /dev/null\n+++ new\n@@ -0,0 +1 @@\n+x\n' | patch -s -p0
        command -v cpio > /dev/null && mkdir c && (cd moved && find . | cpio -pdm ../c) 2> /dev/null
        if command -v python3 > /dev/null; then
            printf 'def test(tmp_path):\n    (tmp_path / "x").write_text("y")\n' > test_it.py
            python3 -m pytest -q --basetemp=tmp test_it.py 2>&1 | grep -c passed; rm -rf tmp .pytest_cache __pycache__
            python3 -m compileall -q test_it.py; ls __pycache__ | wc -l; rm -rf __pycache__
        fi
        rm -f *.tar *.zip; find . ! -type d -printf '%p %y %m %n %s %l\n' | sort; find . -type d -printf '%p %m\n' | sort
        find . -name f2 -printf '%p %Ts\n' | sort"#;
    same(&World::new(), script);
}

#[test]
fn editors_that_save_by_another_name() {
    let script = r#"
        umask 027; echo one > f; chmod 604 f
        for how in 'sed -i s/one/two/' 'sed -i.bak s/two/three/' 'perl -pi -e s/three/four/'; do
            $how f; cat f; stat -c '%n %a %h' f*
        done
        if command -v vim > /dev/null; then vim -Nu NONE -es -c 's/$/!/' -c wq f; cat f; fi
        mktemp XXXXXX | wc -c; mktemp -d d.XXXXXX | wc -c; ls | wc -l; sort -o f f; tee g < f; dd if=f of=h bs=1 status=none; cmp f h
        truncate -s 9 new; stat -c '%n %a %s' new; touch -r f new; echo x >> new; (set -C; echo y > new) 2> /dev/null; echo $?"#;
    same(&World::new(), script);
}
