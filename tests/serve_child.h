/* tests/serve_child.h - the real program, serving on a free port of this machine.
 *
 *   served s;
 *   served_start(&s, (const char *const[]){"--model", path, NULL});
 *   ... s.port ...
 *   assert_int_equal(served_stop(&s, SIGTERM), 0);
 *
 * What it logs is in the file s.log, and shown when it does not start or ends badly. */
#ifndef TESTS_SERVE_CHILD_H
#define TESTS_SERVE_CHILD_H
#include "tests/serve_client.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

typedef struct served {
    pid_t pid;
    uint16_t port;
    char log[64];
} served;

static inline void served_pause(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* The log of now; st_free it. */
static inline char *served_log(const served *s)
{
    st_buf text;
    char piece[4096];
    size_t n;
    FILE *in = fopen(s->log, "rb");
    assert_non_null(in);
    st_buf_init(&text, 1 << 26);
    while ((n = fread(piece, 1, sizeof piece, in)) > 0)
        st_buf_add(&text, piece, n);
    fclose(in);
    char *all = st_dup(text.len ? text.data : "", text.len);
    st_buf_done(&text);
    return all;
}

static inline bool served_logged(const served *s, const char *part)
{
    char *log = served_log(s);
    bool found = strstr(log, part) != NULL;
    st_free(log);
    return found;
}

static inline bool served_ended(served *s, int *ret_status)
{
    int status;
    if (waitpid(s->pid, &status, WNOHANG) != s->pid)
        return false;
    *ret_status = status;
    s->pid = 0;
    return true;
}

static inline void served_fail(const served *s, const char *what)
{
    char *log = served_log(s);
    print_message("%s\n", log);
    st_free(log);
    fail_msg("the server %s", what);
}

enum { SERVED_WORDS = 48 };

/* Start it with these words behind `serve`, ended by NULL, and do not wait. */
static inline void served_spawn(served *s, const char *const *words)
{
    const char *exe = getenv("STINT_EXE");
    const char *argv[SERVED_WORDS] = {exe, "serve"};
    unsigned n = 2;
    bool listens = false;
    assert_non_null(exe);
    for (unsigned i = 0; words[i]; i++)
        listens |= strcmp(words[i], "--listen") == 0;
    if (!listens) {
        argv[n++] = "--listen";
        argv[n++] = "127.0.0.1:0";
    }
    while (*words && n < SERVED_WORDS - 1)
        argv[n++] = *words++;
    *s = (served){0};
    snprintf(s->log, sizeof s->log, "/tmp/stint-served-XXXXXX");
    int fd = mkstemp(s->log);
    assert_true(fd >= 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        dup2(fd, 2);
        close(fd);
        execv(exe, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(fd);
}

/* Wait until it says on which port it listens. */
static inline void served_wait_port(served *s)
{
    int status;
    while (s->port == 0) {
        char *log = served_log(s);
        const char *at = strstr(log, "\"listening\"");
        at = at ? strstr(at, "port ") : NULL;
        if (at)
            s->port = (uint16_t)strtoul(at + 5, NULL, 10);
        st_free(log);
        if (s->port == 0 && served_ended(s, &status))
            served_fail(s, "ended before it listened");
        served_pause();
    }
}

static inline unsigned served_status(const served *s, const char *path)
{
    answer a = ask_once(s->port, "GET", path, NULL, NULL);
    unsigned status = a.status;
    answer_done(&a);
    return status;
}

/* Start it and wait until it is ready. */
static inline void served_start(served *s, const char *const *words)
{
    int status;
    served_spawn(s, words);
    served_wait_port(s);
    while (served_status(s, "/readyz") != 200) {
        if (served_ended(s, &status))
            served_fail(s, "ended before it was ready");
        served_pause();
    }
}

/* Its exit status; -signal where a signal ended it. */
static inline int served_wait(served *s)
{
    int status;
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    s->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int served_stop(served *s, int with)
{
    assert_int_equal(kill(s->pid, with), 0);
    int status = served_wait(s);
    if (status != 0 && with != SIGKILL) {
        char *log = served_log(s);
        print_message("%s\n", log);
        st_free(log);
    }
    unlink(s->log);
    return status;
}
#endif
