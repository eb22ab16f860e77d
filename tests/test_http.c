/* tests/test_http.c - the HTTP server over real sockets: answers from other threads,
 * streams, clients that hang up, are slow, or send what they should not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "net/http.h"
#include "tests/fault.h"
#include "tests/http_client.h"
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

enum { QUEUE = 256, SMALL_BODY = 64 << 10, SMALL_UNSENT = 256 << 10 };

/* A server whose requests the test takes one by one, unless their path begins with
 * /quick, which are answered where they arrive. */
typedef struct place {
    http_server *server;
    uint16_t port;
    pthread_mutex_t lock;
    http_exchange *queue[QUEUE];
    unsigned n, taken;
    sem_t there;
} place;

static void reply(http_exchange *x, unsigned status, const char *text)
{
    static const http_header headers[] = {{"Content-Type", "text/plain"}};
    http_reply(x, status, headers, 1, text, strlen(text));
}

static void on_request(void *arg, http_exchange *x)
{
    place *p = arg;
    if (strcmp(http_path(x), "/quick/stream") == 0) {
        http_stream_begin(x, 200, NULL, 0);
        http_stream_send(x, "abcde", 5);
        http_stream_end(x);
        return;
    }
    if (http_fault_of(x) == HTTP_FAULT_MEMORY || strcmp(http_path(x), "/fault") == 0) {
        reply(x, http_fault_of(x) ? 503 : 200, "hello");
        return;
    }
    if (strncmp(http_path(x), "/quick", 6) == 0) {
        reply(x, 200, http_path(x));
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->queue[p->n++ % QUEUE] = x;
    pthread_mutex_unlock(&p->lock);
    sem_post(&p->there);
}

static http_exchange *take(place *p)
{
    while (sem_wait(&p->there))
        ;
    pthread_mutex_lock(&p->lock);
    http_exchange *x = p->queue[p->taken++ % QUEUE];
    pthread_mutex_unlock(&p->lock);
    return x;
}

static void place_open(place *p, http_opts o)
{
    st_err err = {0};
    *p = (place){0};
    pthread_mutex_init(&p->lock, NULL);
    sem_init(&p->there, 0, 0);
    o.listen = "127.0.0.1:0";
    o.fd = -1;
    o.on_request = on_request;
    o.arg = p;
    if (http_listen(&o, &p->server, &err))
        fail_msg("%s", err.message);
    p->port = http_port(p->server);
    assert_int_not_equal(p->port, 0);
}

static void place_close(place *p)
{
    http_close(p->server);
    sem_destroy(&p->there);
    pthread_mutex_destroy(&p->lock);
}

static int set_up(void **state)
{
    place *p = malloc(sizeof *p);
    place_open(p, (http_opts){.max_body = SMALL_BODY, .max_unsent = SMALL_UNSENT});
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    place_close(*state);
    free(*state);
    return 0;
}

/* ---- requests and answers ---- */

static void what_was_sent_is_there(void **state)
{
    place *p = *state;
    client c = client_open(p->port);
    client_say(
        &c,
        "POST /a%20b/c?x=1%262&empty=&flag HTTP/1.1\r\nHost: h\r\nX-Thing:  seen \t\r\n"
        "Content-Length: 5\r\n\r\nhello");
    http_exchange *x = take(p);
    size_t len = 0;
    assert_string_equal(http_method(x), "POST");
    assert_string_equal(http_path(x), "/a b/c");
    assert_string_equal(http_query(x, "x"), "1&2");
    assert_string_equal(http_query(x, "empty"), "");
    assert_string_equal(http_query(x, "flag"), "");
    assert_null(http_query(x, "X"));
    assert_string_equal(http_request_header(x, "x-thing"), "seen");
    assert_null(http_request_header(x, "x-other"));
    assert_string_equal(http_body(x, &len), "hello");
    assert_int_equal(len, 5);
    assert_string_equal(http_client(x), "127.0.0.1");
    assert_null(http_client_name(x));
    assert_int_equal(http_fault_of(x), HTTP_FAULT_NONE);
    assert_true(http_arrived_us(x) > 0);
    reply(x, 201, "done");
    client_answer a = client_read(&c);
    assert_int_equal(a.status, 201);
    assert_string_equal(a.body, "done");
    assert_non_null(strstr(a.head, "Content-Type: text/plain\r\n"));
    client_close(&c);
}

static void methods_pass_through(void **state)
{
    place *p = *state;
    client c = client_open(p->port);
    client_say(&c, "OPTIONS /quick/o HTTP/1.1\r\nHost: h\r\n\r\n");
    client_answer a = client_read(&c);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "/quick/o");
    client_say(&c, "HEAD /quick/h HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(client_head(&c, &a));
    assert_int_equal(client_number(&a, "Content-Length"), strlen("/quick/h"));
    client_say(&c, "GET /quick/after HTTP/1.1\r\nHost: h\r\n\r\n");
    a = client_read(&c);
    assert_string_equal(a.body, "/quick/after");
    client_close(&c);
}

static void a_body_may_wait_for_100(void **state)
{
    place *p = *state;
    client c = client_open(p->port);
    client_say(&c, "POST /wait HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                   "Content-Length: 3\r\n\r\n");
    client_answer a = {0};
    assert_true(client_head(&c, &a));
    assert_int_equal(a.status, 100);
    client_say(&c, "abc");
    http_exchange *x = take(p);
    size_t len = 0;
    assert_string_equal(http_body(x, &len), "abc");
    reply(x, 200, "ok");
    assert_int_equal(client_read(&c).status, 200);
    client_close(&c);
}

static void pieces_of_a_body_are_joined(void **state)
{
    place *p = *state;
    client c = client_open(p->port);
    client_say(&c,
               "POST /chunks HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
               "4\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n");
    http_exchange *x = take(p);
    size_t len = 0;
    assert_string_equal(http_body(x, &len), "abcde");
    assert_int_equal(len, 5);
    reply(x, 200, "ok");
    assert_int_equal(client_read(&c).status, 200);
    /* byte by byte */
    const char *slow = "PUT /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nslow";
    int one = 1;
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (const char *s = slow; *s; s++)
        assert_true(client_send(&c, s, 1));
    x = take(p);
    assert_string_equal(http_body(x, &len), "slow");
    reply(x, 200, "ok");
    assert_int_equal(client_read(&c).status, 200);
    client_close(&c);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    place *p = *state;
    client c = client_open(p->port);
    char all[4096] = "";
    size_t len = 0;
    for (int i = 0; i < 10; i++)
        len += (size_t)snprintf(all + len, sizeof all - len,
                                "GET /%s/%d HTTP/1.1\r\nHost: h\r\n\r\n",
                                i % 3 ? "taken" : "quick", i);
    client_send(&c, all, len);
    for (int i = 0; i < 10; i++) {
        char text[32];
        snprintf(text, sizeof text, "/%s/%d", i % 3 ? "taken" : "quick", i);
        if (i % 3) {
            http_exchange *x = take(p);
            assert_string_equal(http_path(x), text);
            reply(x, 200, text);
        }
        assert_string_equal(client_read(&c).body, text);
    }
    client_close(&c);
}

/* ---- streams ---- */

static const http_header event_stream[] = {{"Content-Type", "text/event-stream"}};

static void each_piece_arrives_before_the_next_is_sent(void **state)
{
    place *p = *state;
    client c = client_open(p->port);
    for (int round = 0; round < 2; round++) {
        client_say(&c, "GET /s HTTP/1.1\r\nHost: h\r\n\r\n");
        http_exchange *x = take(p);
        http_stream_begin(x, 200, event_stream, 1);
        client_answer a = {0};
        assert_true(client_head(&c, &a)); /* before there is anything to send */
        assert_int_equal(a.status, 200);
        char piece[64], got[64];
        for (int i = 0; i < 20; i++) {
            int n = snprintf(piece, sizeof piece, "data: %d\n\n", i);
            assert_true(http_stream_send(x, piece, (size_t)n));
            assert_int_equal(client_chunk(&c, got, sizeof got), n);
            assert_memory_equal(got, piece, (size_t)n);
        }
        http_stream_end(x);
        assert_int_equal(client_chunk(&c, got, sizeof got), 0);
    }
    client_close(&c);
}

static void a_broken_stream_has_no_end(void **state)
{
    place *p = *state;
    client c = client_open(p->port);
    client_say(&c, "GET /s HTTP/1.1\r\nHost: h\r\n\r\n");
    http_exchange *x = take(p);
    http_stream_begin(x, 200, event_stream, 1);
    assert_true(http_stream_send(x, "abc", 3));
    http_stream_break(x);
    client_answer a = {0};
    char got[64];
    assert_true(client_head(&c, &a));
    assert_int_equal(client_chunk(&c, got, sizeof got), 3);
    assert_int_equal(client_chunk(&c, got, sizeof got), -1);
    client_close(&c);
}

static void a_large_stream_is_whole(void **state)
{
    place *p = *state;
    enum { PIECE = 1000, PIECES = 200 };
    client c = client_open(p->port);
    client_say(&c, "GET /s HTTP/1.1\r\nHost: h\r\n\r\n");
    http_exchange *x = take(p);
    http_stream_begin(x, 200, event_stream, 1);
    char piece[PIECE];
    for (int i = 0; i < PIECES; i++) {
        memset(piece, 'a' + i % 26, sizeof piece);
        assert_true(http_stream_send(x, piece, sizeof piece));
    }
    http_stream_end(x);
    client_answer a = {0};
    assert_true(client_head(&c, &a));
    size_t seen = 0;
    char *got = malloc(CLIENT_ROOM);
    for (ssize_t n; (n = client_chunk(&c, got, CLIENT_ROOM)) != 0; seen += (size_t)n) {
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(got[i], 'a' + (seen + (size_t)i) / PIECE % 26);
    }
    assert_int_equal(seen, PIECE * PIECES);
    free(got);
    client_close(&c);
}

static void a_client_that_does_not_read_ends_its_stream(void **state)
{
    place *p = *state;
    client c = client_open(p->port);
    client_say(&c, "GET /s HTTP/1.1\r\nHost: h\r\n\r\n");
    http_exchange *x = take(p);
    http_stream_begin(x, 200, event_stream, 1);
    char piece[4096];
    memset(piece, 'x', sizeof piece);
    /* The system's own buffers hold some MiB; what is above max_unsent is refused. */
    unsigned n = 0;
    while (n < 100000 && http_stream_send(x, piece, sizeof piece))
        n++;
    assert_in_range(n, SMALL_UNSENT / sizeof piece / 2, 99999);
    assert_false(http_stream_send(x, piece, 1));
    http_stream_end(x);
    client_answer a = {0};
    assert_true(client_head(&c, &a));
    char *got = malloc(CLIENT_ROOM);
    ssize_t last = 0;
    while ((last = client_chunk(&c, got, CLIENT_ROOM)) > 0)
        ;
    assert_int_equal(last, -1); /* it can see that something is missing */
    free(got);
    client_close(&c);
}

/* ---- clients that hang up ---- */

static void tell(void *arg)
{
    sem_post(arg);
}

static void wait_for(sem_t *s)
{
    while (sem_wait(s))
        ;
}

static void a_hang_up_is_noticed_while_waiting(void **state)
{
    place *p = *state;
    for (int how = 0; how < 3; how++) {
        sem_t gone;
        sem_init(&gone, 0, 0);
        client c = client_open(p->port);
        client_say(&c, "POST /w HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
        http_exchange *x = take(p);
        http_on_gone(x, tell, &gone);
        assert_false(http_is_gone(x));
        if (how == 0)
            client_close(&c);
        else if (how == 1)
            client_abort(&c);
        else
            shutdown(c.fd, SHUT_WR);
        wait_for(&gone);
        assert_true(http_is_gone(x));
        size_t len = 0;
        assert_string_equal(http_body(x, &len), "hi"); /* still there */
        http_on_gone(x, tell, &gone);                  /* again: at once */
        assert_int_equal(sem_trywait(&gone), 0);
        reply(x, 200, "too late");
        if (how == 2) { /* it can hear yet */
            assert_string_equal(client_read(&c).body, "too late");
            client_close(&c);
        }
        assert_int_not_equal(sem_trywait(&gone), 0);
        sem_destroy(&gone);
    }
}

static void a_hang_up_is_noticed_in_a_stream(void **state)
{
    place *p = *state;
    for (int how = 0; how < 2; how++) {
        sem_t gone;
        sem_init(&gone, 0, 0);
        client c = client_open(p->port);
        client_say(&c, "GET /s HTTP/1.1\r\nHost: h\r\n\r\n");
        http_exchange *x = take(p);
        http_on_gone(x, tell, &gone);
        http_stream_begin(x, 200, event_stream, 1);
        client_answer a = {0};
        char got[8];
        assert_true(client_head(&c, &a));
        assert_true(http_stream_send(x, "abc", 3));
        assert_int_equal(client_chunk(&c, got, sizeof got), 3);
        if (how)
            client_abort(&c);
        else
            client_close(&c);
        wait_for(&gone);
        assert_false(http_stream_send(x, "def", 3));
        http_stream_end(x);
        assert_int_not_equal(sem_trywait(&gone), 0);
        sem_destroy(&gone);
    }
}

static void *hang_up(void *arg)
{
    client_abort(arg);
    return NULL;
}

static void count_one(void *arg)
{
    ++*(unsigned *)arg;
}

/* The answer and the hang-up at the same time: on_gone at most once, and never after the
 * reply, which the plain counter lets the thread sanitizer see. */
static void answers_and_hang_ups_may_meet(void **state)
{
    place *p = *state;
    for (int i = 0; i < 200; i++) {
        client c = client_open(p->port);
        client_say(&c, "GET /race HTTP/1.1\r\nHost: h\r\n\r\n");
        http_exchange *x = take(p);
        unsigned told = 0;
        pthread_t thread;
        http_on_gone(x, count_one, &told);
        pthread_create(&thread, NULL, hang_up, &c);
        if (i % 2) {
            http_stream_begin(x, 200, event_stream, 1);
            for (int k = 0; k < i % 5; k++)
                if (!http_stream_send(x, "data\n", 5))
                    break;
            http_stream_end(x);
        } else {
            reply(x, 200, "ok");
        }
        assert_in_range(told, 0, 1);
        told = 7;
        pthread_join(thread, NULL);
        assert_int_equal(told, 7);
    }
}

/* ---- what is not right ---- */

static void large_heads_are_refused(void **state)
{
    place *p = *state;
    client c = client_open(p->port);
    client_say(&c, "GET /quick HTTP/1.1\r\nHost: h\r\nX-Big: ");
    char big[64 << 10];
    memset(big, 'b', sizeof big);
    client_send(&c, big, sizeof big);
    client_say(&c, "\r\n\r\n");
    client_answer a = {0};
    assert_true(client_head(&c, &a));
    assert_int_equal(a.status, 431);
    client_close(&c);
}

static void large_bodies_are_refused_unread(void **state)
{
    place *p = *state;
    client c = client_open(p->port);
    client_say(&c, "POST /big HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                   "Content-Length: 65537\r\n\r\n");
    http_exchange *x = take(p); /* not a byte of the body was sent */
    size_t len = 1;
    assert_int_equal(http_fault_of(x), HTTP_FAULT_TOO_LARGE);
    assert_string_equal(http_body(x, &len), "");
    assert_int_equal(len, 0);
    reply(x, 413, "too large");
    assert_int_equal(client_read(&c).status, 413);
    assert_false(client_more(&c)); /* and closed */
    client_close(&c);
}

/* Who does not wait for leave has sent it before it listens. */
static void large_bodies_that_come_anyway_are_read(void **state)
{
    place *p = *state;
    char *body = calloc(1, 2 * SMALL_BODY);
    client c = client_open(p->port);
    client_say(&c, "POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: 131072\r\n\r\n");
    assert_true(client_send(&c, body, 2 * SMALL_BODY));
    http_exchange *x = take(p);
    size_t len = 1;
    assert_int_equal(http_fault_of(x), HTTP_FAULT_TOO_LARGE);
    http_body(x, &len);
    assert_int_equal(len, 0);
    reply(x, 413, "too large");
    assert_int_equal(client_read(&c).status, 413);
    client_say(&c, "GET /quick HTTP/1.1\r\nHost: h\r\n\r\n"); /* the connection is good */
    assert_int_equal(client_read(&c).status, 200);
    client_close(&c);
    c = client_open(p->port); /* this much is not */
    client_say(&c, "POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\n");
    x = take(p);
    assert_int_equal(http_fault_of(x), HTTP_FAULT_TOO_LARGE);
    reply(x, 413, "too large");
    assert_int_equal(client_read(&c).status, 413);
    assert_false(client_more(&c));
    client_close(&c);
    free(body);
}

static void large_bodies_in_pieces_are_refused(void **state)
{
    place *p = *state;
    client c = client_open(p->port);
    char piece[1024 + 8];
    memset(piece, 'b', sizeof piece);
    memcpy(piece, "400\r\n", 5);
    memcpy(piece + 5 + 1024, "\r\n", 2);
    client_say(&c, "POST /big HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < SMALL_BODY / 1024 + 1; i++)
        assert_true(client_send(&c, piece, 5 + 1024 + 2));
    client_say(&c, "0\r\n\r\n");
    http_exchange *x = take(p);
    assert_int_equal(http_fault_of(x), HTTP_FAULT_TOO_LARGE);
    reply(x, 413, "too large");
    assert_int_equal(client_read(&c).status, 413);
    /* One without end is cut off. */
    client_say(&c, "POST /big HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    int sent = 0;
    while (sent < 100000 && client_send(&c, piece, 5 + 1024 + 2))
        sent++;
    assert_in_range(sent, 1, 99999);
    client_close(&c);
}

static void a_body_just_fits(void **state)
{
    place *p = *state;
    client c = client_open(p->port);
    char *body = malloc(SMALL_BODY);
    for (int i = 0; i < SMALL_BODY; i++)
        body[i] = (char)(i * 7);
    client_say(&c, "POST /fits HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n");
    client_send(&c, body, SMALL_BODY);
    http_exchange *x = take(p);
    size_t len = 0;
    const char *got = http_body(x, &len);
    assert_int_equal(http_fault_of(x), HTTP_FAULT_NONE);
    assert_int_equal(len, SMALL_BODY);
    assert_memory_equal(got, body, SMALL_BODY);
    reply(x, 200, "ok");
    assert_int_equal(client_read(&c).status, 200);
    free(body);
    client_close(&c);
}

static void what_can_be_read_in_two_ways_is_refused(void **state)
{
    place *p = *state;
    static const char *const wrong[] = {
        "POST /quick HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /quick HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: "
        "4\r\n\r\nabcd",
        "POST /quick HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\nabcd",
        "POST /quick HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        "GET /quick HTTP/1.1\r\n\r\n", /* no Host */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        client c = client_open(p->port);
        client_say(&c, wrong[i]);
        client_answer a = client_read(&c);
        assert_int_equal(a.status, 400);
        assert_false(client_more(&c));
        client_close(&c);
    }
}

static void noise_does_not_disturb(void **state)
{
    (void)state;
    enum { CLIENTS = 50 };
    place p;
    place_open(&p, (http_opts){.idle_s = 1});
    client c[CLIENTS];
    unsigned seed = 1;
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = client_open(p.port);
        char noise[512];
        for (size_t k = 0; k < sizeof noise; k++) {
            seed = seed * 1103515245u + 12345u;
            noise[k] = (char)(seed >> 16);
        }
        client_send(&c[i], noise, (size_t)i * 10); /* the first says nothing at all */
        if (i % 2)
            client_say(&c[i], "\r\n\r\n");
        if (i % 3 == 0)
            shutdown(c[i].fd, SHUT_WR);
    }
    client good = client_open(p.port);
    client_say(&good, "GET /quick%00x%zz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(client_read(&good).body, "/quick%00x%zz");
    client_close(&good);
    for (int i = 0; i < CLIENTS; i++) {
        while (client_more(&c[i])) /* whatever it says, it ends */
            ;
        client_close(&c[i]);
    }
    place_close(&p);
}

static void requests_have_to_arrive_in_time(void **state)
{
    (void)state;
    static const char *const parts[] = {"POST /quick HTTP/1.1\r\n", "Host: h\r\n",
                                        "Content-Length: 9\r\n\r\n", "123", "456"};
    enum { PARTS = 5 };
    place p;
    place_open(&p, (http_opts){.idle_s = 60, .request_s = 1});
    client c[PARTS];
    for (int i = 0; i < PARTS; i++) { /* each stops somewhere else */
        c[i] = client_open(p.port);
        for (int k = 0; k <= i; k++)
            client_say(&c[i], parts[k]);
    }
    client waits = client_open(p.port); /* this one is only answered slowly */
    client_say(&waits, "GET /w HTTP/1.1\r\nHost: h\r\n\r\n");
    http_exchange *x = take(&p);
    for (int i = 0; i < PARTS; i++) {
        client_answer a = client_read(&c[i]);
        assert_int_equal(a.status, 408);
        assert_string_equal(a.body, "the request took too long to get here.\n");
        assert_false(client_more(&c[i]));
        client_close(&c[i]);
    }
    reply(x, 200, "ok");
    assert_int_equal(client_read(&waits).status, 200);
    client_close(&waits);
    place_close(&p);
}

/* A byte now and then keeps a connection from being silent, but not for ever. */
static void a_drip_is_ended(void **state)
{
    (void)state;
    place p;
    place_open(&p, (http_opts){.idle_s = 1, .request_s = 1});
    client c = client_open(p.port);
    bool open = true;
    for (int i = 0; i < 600 && open; i++) {
        struct timespec some = {.tv_nsec = 100 * 1000 * 1000};
        nanosleep(&some, NULL);
        open = client_send(&c, "G", 1);
    }
    assert_false(open);
    client_close(&c);
    place_close(&p);
}

/* ---- where memory runs out ---- */

/* Whatever allocation fails, the request is answered, well or with 503, or its connection
 * ends, and the next one is served. */
static void memory_may_run_out(void **state)
{
    place *p = *state;
    static const char *const requests[] = {
        "GET /quick?a=b HTTP/1.1\r\nHost: h\r\nX-More: 1\r\n\r\n",
        "POST /fault HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "GET /quick/stream HTTP/1.1\r\nHost: h\r\n\r\n",
    };
    unsigned refused = 0;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        for (long nth = 1, fired = 1; fired; nth++) {
            client c = client_open(p->port);
            client_answer a = {0};
            fault_arm(nth);
            client_say(&c, requests[i]);
            if (client_head(&c, &a))
                assert_true(a.status == 200 || a.status == 503);
            refused += a.status != 200;
            while (a.status && c.len < 5 && client_more(&c))
                ;
            fired = fault_fired();
            fault_disarm();
            client_close(&c);
            assert_true(nth < 1000);
        }
    assert_true(refused > 3);
    client c = client_open(p->port);
    client_say(&c, requests[0]);
    assert_int_equal(client_read(&c).status, 200);
    client_close(&c);
}

/* ---- many at once ---- */

typedef struct crowd {
    place *p;
    unsigned n;
} crowd;

static void *answer_many(void *arg)
{
    crowd *w = arg;
    for (unsigned i = 0; i < w->n; i++) {
        http_exchange *x = take(w->p);
        size_t len = 0;
        const char *body = http_body(x, &len);
        http_reply(x, 200, NULL, 0, body, len);
    }
    return NULL;
}

static void connections_are_kept(void **state)
{
    place *p = *state;
    enum { CLIENTS = 64, ROUNDS = 10, THREADS = 2 };
    client c[CLIENTS];
    pthread_t threads[THREADS];
    crowd work = {p, CLIENTS * ROUNDS / THREADS};
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, answer_many, &work);
    for (int i = 0; i < CLIENTS; i++)
        c[i] = client_open(p->port);
    for (int round = 0; round < ROUNDS; round++) {
        char text[128], body[32];
        for (int i = 0; i < CLIENTS; i++) {
            int len = snprintf(body, sizeof body, "%d of %d", round, i);
            snprintf(text, sizeof text,
                     "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s",
                     len, body);
            assert_true(client_say(&c[i], text));
        }
        for (int i = 0; i < CLIENTS; i++) {
            snprintf(body, sizeof body, "%d of %d", round, i);
            assert_string_equal(client_read(&c[i]).body, body);
        }
    }
    assert_int_equal(http_n_connections(p->server), CLIENTS);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < CLIENTS; i++)
        client_close(&c[i]);
}

static void one_connection_more_is_closed(void **state)
{
    (void)state;
    place p;
    place_open(&p, (http_opts){.max_connections = 4, .n_threads = 2});
    client c[4];
    for (int i = 0; i < 4; i++) {
        c[i] = client_open(p.port);
        client_say(&c[i], "GET /quick HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_int_equal(client_read(&c[i]).status, 200);
    }
    client more = client_open(p.port);
    client_say(&more, "GET /quick HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(client_read(&more).status, 0);
    client_close(&more);
    for (int i = 0; i < 4; i++) {
        client_say(&c[i], "GET /quick HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_int_equal(client_read(&c[i]).status, 200);
        client_close(&c[i]);
    }
    place_close(&p);
}

/* ---- its start and its end ---- */

static void *close_server(void *arg)
{
    place *p = arg;
    http_close(p->server);
    return NULL;
}

static void closing_waits_for_answers(void **state)
{
    (void)state;
    place p;
    place_open(&p, (http_opts){.n_threads = 1});
    client waits = client_open(p.port), streams = client_open(p.port);
    client idle = client_open(p.port), half = client_open(p.port);
    client_say(&half, "POST /half HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe");
    client_say(&waits, "GET /w HTTP/1.1\r\nHost: h\r\n\r\n");
    http_exchange *x = take(&p);
    client_say(&streams, "GET /s HTTP/1.1\r\nHost: h\r\n\r\n");
    http_exchange *y = take(&p);
    http_stream_begin(y, 200, event_stream, 1);
    http_quiesce(p.server);
    client late = client_open(p.port);
    assert_int_equal(late.fd, -1); /* refused */
    pthread_t thread;
    pthread_create(&thread, NULL, close_server, &p);
    assert_true(http_stream_send(y, "abc", 3));
    http_stream_end(y);
    reply(x, 200, "the last one");
    assert_string_equal(client_read(&waits).body, "the last one");
    client_answer a = {0};
    char got[8];
    assert_true(client_head(&streams, &a));
    assert_int_equal(client_chunk(&streams, got, sizeof got), 3);
    assert_int_equal(client_chunk(&streams, got, sizeof got), 0);
    pthread_join(thread, NULL);
    assert_false(client_more(&idle));
    assert_false(client_more(&half));
    client_close(&waits);
    client_close(&streams);
    client_close(&idle);
    client_close(&half);
    client_close(&late);
    sem_destroy(&p.there);
    pthread_mutex_destroy(&p.lock);
}

static void wrong_addresses_are_explained(void **state)
{
    place *p = *state;
    http_server *s = NULL;
    st_err err = {0};
    http_opts o = {.fd = -1, .on_request = on_request, .arg = p};
    static const char *const wrong[] = {
        "8080",     ":8080", "localhost",       "h:",   "h:port", "h:123456",
        "::1:8080", "[::1]", "127.0.0.1:99999", "[]:1", "h:1 "};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        err = (st_err){0};
        o.listen = wrong[i];
        assert_int_equal(http_listen(&o, &s, &err), ST_EINVAL);
        assert_non_null(strstr(err.message, wrong[i]));
    }
    char taken[32];
    snprintf(taken, sizeof taken, "127.0.0.1:%u", p->port);
    err = (st_err){0};
    o.listen = taken;
    assert_int_equal(http_listen(&o, &s, &err), ST_EBUSY);
    assert_non_null(strstr(err.hint, "another program has this port"));
    err = (st_err){0};
    o.fd = 0; /* no socket */
    assert_int_equal(http_listen(&o, &s, &err), ST_EINVAL);
    assert_null(s);
}

int main(void)
{
    alarm(300); /* a failed test leaves requests without answers: the server waits for
                   them */
#define ONE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ONE(what_was_sent_is_there),
        ONE(methods_pass_through),
        ONE(a_body_may_wait_for_100),
        ONE(pieces_of_a_body_are_joined),
        ONE(pipelined_requests_are_answered_in_order),
        ONE(each_piece_arrives_before_the_next_is_sent),
        ONE(a_broken_stream_has_no_end),
        ONE(a_large_stream_is_whole),
        ONE(a_client_that_does_not_read_ends_its_stream),
        ONE(a_hang_up_is_noticed_while_waiting),
        ONE(a_hang_up_is_noticed_in_a_stream),
        ONE(answers_and_hang_ups_may_meet),
        ONE(large_heads_are_refused),
        ONE(large_bodies_are_refused_unread),
        ONE(large_bodies_that_come_anyway_are_read),
        ONE(large_bodies_in_pieces_are_refused),
        ONE(a_body_just_fits),
        ONE(what_can_be_read_in_two_ways_is_refused),
        cmocka_unit_test(noise_does_not_disturb),
        ONE(memory_may_run_out),
        cmocka_unit_test(requests_have_to_arrive_in_time),
        cmocka_unit_test(a_drip_is_ended),
        ONE(connections_are_kept),
        cmocka_unit_test(one_connection_more_is_closed),
        cmocka_unit_test(closing_waits_for_answers),
        ONE(wrong_addresses_are_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
