/* tests/test_http_tls.c - the HTTP server over TLS, and clients that show certificates.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/http.h"
#include "tests/http_client.h"
#include <gnutls/gnutls.h>
#include <semaphore.h>

#define TLS "tests/tls/"

/* A client of one request. */
typedef struct secret {
    client c;
    gnutls_session_t session;
    gnutls_certificate_credentials_t trust;
} secret;

typedef struct held { /* what on_request has as its argument */
    http_exchange *x;
    sem_t there;
} held;

static void on_request(void *arg, http_exchange *x)
{
    held *h = arg;
    const char *name = http_client_name(x);
    char text[64];
    int n = snprintf(text, sizeof text, "hello %s", name ? name : "nobody");
    if (strcmp(http_path(x), "/stream") == 0) {
        http_stream_begin(x, 200, NULL, 0);
        http_stream_send(x, text, (size_t)n);
        http_stream_end(x);
    } else if (strcmp(http_path(x), "/hold") == 0) {
        h->x = x;
        sem_post(&h->there);
    } else {
        http_reply(x, 200, NULL, 0, text, (size_t)n);
    }
}

static http_server *serve(const char *client_ca, held *h)
{
    http_opts o = {.listen = "127.0.0.1:0",
                   .fd = -1,
                   .tls_cert = TLS "server.pem",
                   .tls_key = TLS "server.key",
                   .tls_client_ca = client_ca,
                   .on_request = on_request,
                   .arg = h};
    http_server *s = NULL;
    st_err err = {0};
    if (http_listen(&o, &s, &err))
        fail_msg("%s", err.message);
    return s;
}

/* Shake hands, with the certificate NAME.pem unless NULL.  False: refused. */
static bool secret_open(secret *t, uint16_t port, const char *name)
{
    *t = (secret){.c = client_open(port)};
    assert_int_equal(gnutls_certificate_allocate_credentials(&t->trust), 0);
    assert_int_equal(gnutls_certificate_set_x509_trust_file(t->trust, TLS "authority.pem",
                                                            GNUTLS_X509_FMT_PEM),
                     1);
    if (name) {
        char cert[64], key[64];
        snprintf(cert, sizeof cert, TLS "%s.pem", name);
        snprintf(key, sizeof key, TLS "%s.key", name);
        assert_int_equal(gnutls_certificate_set_x509_key_file(t->trust, cert, key,
                                                              GNUTLS_X509_FMT_PEM),
                         0);
        /* also where the server's list of authorities lacks its own */
        gnutls_certificate_set_flags(t->trust, GNUTLS_CERTIFICATE_SKIP_KEY_CERT_MATCH);
    }
    gnutls_init(&t->session, GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT);
    gnutls_set_default_priority(t->session);
    gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, t->trust);
    gnutls_session_set_verify_cert(t->session, "localhost", 0);
    gnutls_transport_set_int(t->session, t->c.fd);
    int rc = 0;
    do
        rc = gnutls_handshake(t->session);
    while (rc < 0 && !gnutls_error_is_fatal(rc));
    return rc == 0;
}

static void secret_close(secret *t)
{
    gnutls_deinit(t->session);
    gnutls_certificate_free_credentials(t->trust);
    client_close(&t->c);
}

/* Ask and read until the server closes; into `got`. */
static void ask(secret *t, const char *path, char *got, size_t room)
{
    char text[128];
    int n =
        snprintf(text, sizeof text,
                 "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    gnutls_record_send(t->session, text, (size_t)n);
    size_t len = 0;
    ssize_t more = 0;
    while (len + 1 < room &&
           (more = gnutls_record_recv(t->session, got + len, room - 1 - len)) != 0) {
        if (more > 0)
            len += (size_t)more;
        else if (gnutls_error_is_fatal((int)more))
            break;
    }
    got[len] = 0;
}

static void answers_are_encrypted(void **state)
{
    (void)state;
    held h = {0};
    http_server *s = serve(NULL, &h);
    static const char *const paths[] = {"/plain", "/stream"};
    for (int i = 0; i < 2; i++) {
        secret t;
        char got[1024];
        assert_true(secret_open(&t, http_port(s), NULL));
        ask(&t, paths[i], got, sizeof got);
        assert_int_equal(strncmp(got, "HTTP/1.1 200 ", 13), 0);
        assert_non_null(strstr(got, "hello nobody"));
        secret_close(&t);
    }
    client plain = client_open(http_port(s)); /* no handshake: no answer */
    client_say(&plain, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(client_read(&plain).status, 0);
    client_close(&plain);
    http_close(s);
}

static void tell(void *arg)
{
    sem_post(arg);
}

static void a_hang_up_is_noticed(void **state)
{
    (void)state;
    held h = {0};
    sem_t gone;
    sem_init(&h.there, 0, 0);
    sem_init(&gone, 0, 0);
    http_server *s = serve(NULL, &h);
    secret t;
    assert_true(secret_open(&t, http_port(s), NULL));
    static const char text[] = "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_int_equal(gnutls_record_send(t.session, text, sizeof text - 1),
                     sizeof text - 1);
    while (sem_wait(&h.there))
        ;
    http_on_gone(h.x, tell, &gone);
    secret_close(&t);
    while (sem_wait(&gone))
        ;
    http_reply(h.x, 200, NULL, 0, "", 0);
    http_close(s);
    sem_destroy(&gone);
    sem_destroy(&h.there);
}

static void only_known_clients_are_served(void **state)
{
    (void)state;
    held h = {0};
    http_server *s = serve(TLS "authority.pem", &h);
    char got[1024];
    secret t;
    assert_true(secret_open(&t, http_port(s), "client"));
    ask(&t, "/plain", got, sizeof got);
    assert_int_equal(strncmp(got, "HTTP/1.1 200 ", 13), 0);
    assert_non_null(strstr(got, "hello client"));
    secret_close(&t);
    static const char *const unknown[] = {NULL, "intruder"};
    for (int i = 0; i < 2; i++) {
        assert_true(secret_open(&t, http_port(s), unknown[i]));
        ask(&t, "/plain", got, sizeof got);
        assert_int_equal(strncmp(got, "HTTP/1.1 403 ", 13), 0);
        assert_null(strstr(got, "hello"));
        secret_close(&t);
    }
    http_close(s);
}

static void wrong_files_are_named(void **state)
{
    (void)state;
    const struct {
        const char *cert, *key, *ca;
        int code;
        const char *says;
    } cases[] = {
        {TLS "server.pem", NULL, NULL, ST_EINVAL, "its key"},
        {NULL, TLS "server.key", NULL, ST_EINVAL, "its key"},
        {NULL, NULL, TLS "authority.pem", ST_EINVAL, "its key"},
        {TLS "nothing.pem", TLS "server.key", NULL, ST_ENOTFOUND, "nothing.pem"},
        {TLS "server.pem", TLS "client.key", NULL, ST_EFORMAT, "server.pem"},
        {TLS "make.sh", TLS "server.key", NULL, ST_EFORMAT, "make.sh"},
        {TLS "server.pem", TLS "server.key", TLS "make.sh", ST_EFORMAT, "make.sh"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        http_opts o = {.listen = "127.0.0.1:0",
                       .fd = -1,
                       .tls_cert = cases[i].cert,
                       .tls_key = cases[i].key,
                       .tls_client_ca = cases[i].ca,
                       .on_request = on_request};
        http_server *s = NULL;
        st_err err = {0};
        assert_int_equal(http_listen(&o, &s, &err), cases[i].code);
        assert_non_null(strstr(err.message, cases[i].says));
        assert_null(s);
    }
}

int main(void)
{
    alarm(300); /* a failed test may leave a request without an answer */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_encrypted),
        cmocka_unit_test(a_hang_up_is_noticed),
        cmocka_unit_test(only_known_clients_are_served),
        cmocka_unit_test(wrong_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
