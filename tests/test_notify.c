/* tests/test_notify.c - what the service manager hears, and the socket that it hands
 * over, through real sockets. */
#define _GNU_SOURCE /* setenv, mkdtemp */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/http.h"
#include "net/inherit.h"
#include "net/notify.h"
#include "tests/http_client.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/un.h>
#include <sys/wait.h>

/* A manager that listens on `name` (@: no file). */
static int manager(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    memcpy(at.sun_path, name, len);
    if (name[0] == '@')
        at.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static void hears(int fd, const char *text)
{
    char got[600];
    ssize_t n = recv(fd, got, sizeof got - 1, MSG_DONTWAIT);
    assert_true(n >= 0);
    got[n] = 0;
    assert_int_equal(strncmp(got, text, strlen(text)), 0);
}

static void the_manager_hears_all(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_notify-XXXXXX", path[64], name[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    snprintf(name, sizeof name, "@test_notify-%ld", (long)getpid());
    const char *const both[] = {path, name};
    for (int i = 0; i < 2; i++) {
        st_err err = {0};
        int fd = manager(both[i]);
        assert_int_equal(notify_send(NOTIFY_READY, "serving 2 models", &err), 0);
        hears(fd, "READY=1\nSTATUS=serving 2 models");
        assert_int_equal(notify_send(NOTIFY_RELOADING, NULL, &err), 0);
        hears(fd, "RELOADING=1\nMONOTONIC_USEC=");
        assert_int_equal(notify_send(NOTIFY_WATCHDOG, NULL, &err), 0);
        hears(fd, "WATCHDOG=1");
        assert_int_equal(notify_send(NOTIFY_STOPPING, NULL, &err), 0);
        hears(fd, "STOPPING=1");
        char much[600];
        memset(much, 'x', sizeof much - 1);
        much[sizeof much - 1] = 0;
        assert_int_equal(notify_send(NOTIFY_READY, much, &err), ST_ELIMIT);
        close(fd);
        err = (st_err){0};
        assert_int_equal(notify_send(NOTIFY_READY, NULL, &err),
                         ST_EIO); /* nobody there */
    }
    unlink(path);
    rmdir(folder);
    static const char *const wrong[] = {"relative", "/", "@"};
    for (int i = 0; i < 3; i++) {
        st_err err = {0};
        setenv("NOTIFY_SOCKET", wrong[i], 1);
        assert_int_equal(notify_send(NOTIFY_READY, NULL, &err), ST_EINVAL);
    }
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(notify_send(NOTIFY_READY, NULL, NULL), 0);
}

static void the_watchdog_is_ours_alone(void **state)
{
    (void)state;
    char pid[32];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    assert_int_equal(notify_watchdog_us(), 0);
    setenv("WATCHDOG_USEC", "30000000", 1);
    assert_int_equal(notify_watchdog_us(), 15000000);
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(notify_watchdog_us(), 15000000);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(notify_watchdog_us(), 0);
    unsetenv("WATCHDOG_PID");
    setenv("WATCHDOG_USEC", "30 s", 1);
    assert_int_equal(notify_watchdog_us(), 0);
    unsetenv("WATCHDOG_USEC");
}

static void answer(void *arg, http_exchange *x)
{
    (void)arg;
    http_reply(x, 200, NULL, 0, "inherited", 9);
}

/* In a process of its own, because descriptor 3 has to be the socket. */
static int serve_inherited(int listening)
{
    char pid[32];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (listening != 3 && dup2(listening, 3) != 3)
        return 2;
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    int fd = -1;
    if (inherit_socket(&fd, NULL) || fd != 3 || getenv("LISTEN_FDS") ||
        !(fcntl(3, F_GETFD) & FD_CLOEXEC))
        return 3;
    http_opts o = {.fd = fd, .on_request = answer};
    http_server *s = NULL;
    if (http_listen(&o, &s, NULL))
        return 4;
    client c = client_open(http_port(s));
    client_say(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client_answer a = client_read(&c);
    bool good = a.status == 200 && strcmp(a.body, "inherited") == 0;
    client_close(&c);
    http_close(s);
    return good ? 0 : 5;
}

static void a_socket_is_inherited(void **state)
{
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 4), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(serve_inherited(fd));
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    /* It is still the manager's: a client may come before the next server does. */
    socklen_t len = sizeof at;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    client c = client_open(ntohs(at.sin_port));
    assert_true(c.fd >= 0);
    client_close(&c);
    close(fd);
}

static void other_sockets_are_not(void **state)
{
    (void)state;
    char pid[32];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    const struct {
        const char *pid, *n;
        int code;
    } cases[] = {{"1", "1", 0},         {pid, "0", 0}, {pid, "2", ST_EUNSUPPORTED},
                 {pid, "x", ST_EINVAL}, {"x", "1", 0}, {pid, "-1", ST_EINVAL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = 77;
        setenv("LISTEN_PID", cases[i].pid, 1);
        setenv("LISTEN_FDS", cases[i].n, 1);
        assert_int_equal(inherit_socket(&fd, NULL), cases[i].code);
        assert_int_equal(fd, cases[i].code ? 77 : -1);
        assert_null(getenv("LISTEN_PID"));
    }
    int fd = 77;
    assert_int_equal(inherit_socket(&fd, NULL), 0);
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_manager_hears_all),
        cmocka_unit_test(the_watchdog_is_ours_alone),
        cmocka_unit_test(a_socket_is_inherited),
        cmocka_unit_test(other_sockets_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
