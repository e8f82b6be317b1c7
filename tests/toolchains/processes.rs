//! Processes, terminals and debuggers.

use crate::table::{Row, rows};

rows! {
    /// Outside there may be others of that name.
    ps ["ps"] r#"
        ps -eo ppid=,comm= | grep -cx " *$$ ps"; ps aux | grep -q '[p]s aux' && ps -ef | grep -q '[p]s -ef' && echo all; [ $(ps -o pid= -p $$) = $$ ] && echo me
    "# => "1\nall\nme";

    top ["top"] r"top -bn1 | grep -c '^Tasks:'" => "1";

    kill_children [] r"sleep 60 & p=$!; kill $p; wait $p 2>/dev/null; echo $?" => "143";

    process_group ["ps", "setsid"] r#"
        setsid sh -c 'sleep 60 & wait' & p=$!
        until [ "$(ps -o pgid= -p $p | tr -d ' ')" = $p ]; do :; done
        kill -- -$p; wait $p 2>/dev/null; echo $?
    "# => "143";

    proc_files ["free"] r#"
        set -e
        for f in self/status self/maps self/cgroup self/limits self/mountinfo self/smaps meminfo cpuinfo stat uptime loadavg version filesystems sys/kernel/osrelease
        do cat /proc/$f > /dev/null; done
        [ "$(nproc)" -gt 0 ]; free > /dev/null; readlink /proc/self/exe | sed 's,.*/,,'; [ "$(cat /proc/sys/kernel/pid_max)" -gt 1 ]; ls /proc/$$/fd | grep -cx 1
    "# => "readlink\n1";

    sys_cpu [] r"ls -d /sys/devices/system/cpu/cpu0 && [ -s /sys/devices/system/cpu/online ] && ls -d /sys/class/net/lo" =>
        "/sys/devices/system/cpu/cpu0\n/sys/class/net/lo";

    nice_and_limits ["nice", "taskset", "timeout", "nohup"] r#"
        set -e
        nice -n 5 nice; [ "$(ulimit -n)" -ge 256 ]; (ulimit -n 128; ulimit -n); taskset -p $$ > /dev/null; nohup true < /dev/null 2> /dev/null
        timeout 0.1 sleep 60 || echo $?
    "# => "5\n128\n124";

    pty_of_script ["script"] r"script -qec 'tty; stty size > /dev/null && echo sized' /dev/null < /dev/null | tr -d '\r' | sed 's,[0-9][0-9]*$,N,'" => "/dev/pts/N\nsized";

    pty_of_python ["python3"] r#"
        python3 -c '
import os, pty
child, fd = pty.fork()
if child == 0:
    os.execvp("sh", ["sh", "-c", "tty; : > /dev/tty && echo own"])
text = b""
while True:
    try: part = os.read(fd, 1000)
    except OSError: break
    if not part: break
    text += part
lines = text.decode().split()
print(lines[0].rstrip("0123456789"), lines[1], os.waitpid(child, 0)[1])
'
    "# => "/dev/pts/ own 0";

    tmux ["tmux"] r"
        export TMUX_TMPDIR=$PWD TERM=xterm
        tmux -f /dev/null new-session -d -x 80 -y 24 -s work 'echo hello from tmux; exec sleep 60' && tmux list-sessions -F '#{session_name}'
        n=0; until tmux capture-pane -p -t work | grep -x 'hello from tmux'; do n=$((n + 1)); [ $n -lt 2000 ] || break; done
        tmux kill-server
    " => "work\nhello from tmux";

    strace ["strace"] r"
        set -e
        strace -o one true; grep -c '^execve(' one
        strace -f -e trace=execve -o all sh -c '/bin/true; /bin/true'; grep -c 'execve(./bin/true' all
    " => "1\n2";

    gdb ["gdb", "gcc"] r#"
        set -e
        printf 'int f(int n) { return n + 1; }\nint main(void) { return f(41) - 42; }\n' > a.c; gcc -g -O0 -o a a.c
        gdb -nx -batch -ex 'break f' -ex run -ex 'print n' -ex continue ./a > out 2>&1 || cat out
        grep -o '^\$1 = 41' out; grep -o 'exited normally' out
    "# => "$1 = 41\nexited normally";

    gdb_attaches ["gdb"] r#"
        bash -c 'exec gdb -nx -batch -p $PPID -ex detach' > out 2>&1; grep -c 'Inferior 1 .* detached' out || cat out
    "# => "1";

    scheduler ["python3"] r#"
        python3 -c 'import os; print(os.sched_getaffinity(0) != set(), os.sched_yield(), os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))'
    "# => "True None 0 0";

    many_processes [] r"
        for i in $(seq 200); do (exit 0) & done; wait; for i in $(seq 200); do /bin/true || echo failed; done; echo done
    " => "done";

    big_arguments [] r#"/bin/echo "$(head -c 100000 /dev/zero | tr '\0' x)" | wc -c"# => "100001";

    large_pipe [] r"head -c 20000000 /dev/zero | cat | wc -c" => "20000000";

    su_fails_cleanly ["su"] r"timeout 30 su root -c true < /dev/null > /dev/null 2>&1; [ $? -ne 0 ] && [ $? -ne 124 ] && echo refused" => "refused";

    sudo_fails_cleanly ["sudo"] r"timeout 30 sudo -n true < /dev/null > /dev/null 2>&1; [ $? -ne 0 ] && [ $? -ne 124 ] && echo refused" => "refused";

    locale_and_time ["locale", "getent"] r"
        TZ=Europe/Berlin date -d @0 +%H; TZ=UTC date -d @0 +%F; locale > /dev/null && echo locale; getent hosts localhost | grep -o localhost | head -1; getent passwd root | cut -d: -f1
    " => "01\n1970-01-01\nlocale\nlocalhost\nroot";
}

/// Programs ask for the user's name all the time: aca gives a user without an entry one of its own.
#[test]
fn whoami_home() {
    Row {
        needs: &["getent"],
        script: r#"
            [ "$(whoami)" = "$(id -un)" ] && [ "$(getent passwd "$(id -u)" | cut -d: -f6)" = "$HOME" ] && [ "$(eval echo ~$(whoami))" = "$HOME" ] && touch here && echo same
        "#,
        expected: "same",
    }
    .check_named();
}
