//! Compilers and build tools that need no network.

use crate::table::rows;

rows! {
    gcc ["gcc"] r#"
        printf '#include <stdio.h>\nint main(void) { puts("hello"); }\n' > a.c && gcc -O2 -o a a.c && ./a
    "# => "hello";

    make_in_parallel ["make", "gcc"] r"
        for n in 1 2 3 4; do echo 'int f(void);' > f$n.c; done
        printf 'all: f1.o f2.o f3.o f4.o\n%%.o: %%.c\n\tgcc -c -o $@ $<\n' > Makefile
        make -s -j4 && ls *.o | wc -l
    " => "4";

    /// The leak checker stops the program's threads by ptrace(2) from a clone that shares its memory.
    sanitizers ["gcc"] r#"
        printf '#include <pthread.h>\n#include <stdlib.h>\nstatic void *f(void *p) { p = malloc(7); return p ? NULL : p; }\nint main(void) { pthread_t t; pthread_create(&t, NULL, f, NULL); return pthread_join(t, NULL); }\n' > a.c
        gcc -g -fsanitize=address -pthread -o a a.c && ./a 2> report; echo $?; grep -o '7 byte(s) leaked in 1 allocation' report
    "# => "1\n7 byte(s) leaked in 1 allocation";

    /// Thread checkers ask for an address space without randomness.
    thread_sanitizer ["gcc"] r#"
        printf '#include <pthread.h>\nint n;\nstatic void *f(void *p) { n++; return p; }\nint main(void) { pthread_t t; pthread_create(&t, NULL, f, NULL); n++; return pthread_join(t, NULL); }\n' > a.c
        gcc -g -fsanitize=thread -pthread -o a a.c && ./a 2> report; grep -o -m 1 'data race' report
    "# => "data race";

    c_plus_plus ["g++"] r#"
        printf '#include <iostream>\n#include <thread>\nint main() { std::thread([] { std::cout << "threaded\\n"; }).join(); }\n' > a.cc && g++ -std=c++17 -pthread -o a a.cc && ./a
    "# => "threaded";

    cmake ["cmake", "gcc"] r#"
        printf 'cmake_minimum_required(VERSION 3.10)\nproject(p C)\nadd_executable(a a.c)\n' > CMakeLists.txt; echo 'int main(void) { return 0; }' > a.c
        cmake -S . -B b > /dev/null && cmake --build b -j 2 > /dev/null && b/a && echo built
    "# => "built";

    python_environment ["python3"] r#"
        python3 -m venv v && v/bin/python -c 'import sys; print(sys.prefix != sys.base_prefix)' && . v/bin/activate && pip --version | grep -c "$PWD/v"
    "# => "True\n1";

    java ["java", "javac"] r#"
        echo 'class A { public static void main(String[] a) throws Exception { Thread t = new Thread(() -> System.out.println("java")); t.start(); t.join(); } }' > A.java
        javac A.java && java -Xmx128m A
    "# => "java";

    go ["go"] r#"
        mkdir m && cd m && go mod init example.test/m 2> /dev/null
        printf 'package main\nfunc main() { c := make(chan string); go func() { c <- "go" }(); println(<-c) }\n' > main.go; printf 'package main\nimport "testing"\nfunc TestT(t *testing.T) {}\n' > main_test.go
        go run . 2>&1 && go test ./... | grep -o ^ok
    "# => "go\nok";

    perl ["perl"] r#"perl -MSocket -MPOSIX -e 'socketpair(A, B, AF_UNIX, SOCK_STREAM, 0) or die; if (fork) { wait; print "perl\n" } else { POSIX::_exit(0) }'"# => "perl";

    ruby ["ruby"] r#"ruby -e 'r, w = IO.pipe; fork { w.puts "ruby" }; Process.wait; puts r.gets'"# => "ruby";
}
