/* tests/test_api_keys.c - keys made, found, limited, revoked; files that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "serve/api_keys.h"
#include "tests/fault.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW 1800000000 /* 2027-01-15T08:00:00Z */
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define ONES "1111111111111111111111111111111111111111111111111111111111111111"

static char folder[] = "/tmp/stint-keys-XXXXXX";
static char path[64];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/keys", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* nothing else is left in it */
}

static void make(const char *name, key_role role, const char *tasks, int64_t expires,
                 char text[KEY_TEXT_MAX])
{
    key_info what = {.role = role, .expires = expires};
    st_err err = {0};
    snprintf(what.name, sizeof what.name, "%s", name);
    snprintf(what.tasks, sizeof what.tasks, "%s", tasks);
    if (api_keys_file_new(path, &what, text, &err) < 0)
        fail_msg("%s", err.message);
}

static api_keys *open_keys(const char *single)
{
    api_keys *k = NULL;
    st_err err = {0};
    if (api_keys_open(path, single, &k, &err) < 0)
        fail_msg("%s", err.message);
    return k;
}

static void test_made_and_found(void **state)
{
    char ci[KEY_TEXT_MAX], root[KEY_TEXT_MAX];
    struct stat st;
    key_info who, again;
    (void)state;
    make("ci", KEY_CLIENT, "triage,orders", NOW, ci);
    make("root", KEY_ADMIN, "", 0, root);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_memory_equal(ci, "sk-stint-", 9);
    assert_int_equal(strlen(ci), 9 + 43);
    assert_string_not_equal(ci, root);
    api_keys *k = open_keys("of the environment");
    assert_true(api_keys_find(k, ci, strlen(ci), NOW - 1, &who));
    assert_string_equal(who.name, "ci");
    assert_int_equal(who.role, KEY_CLIENT);
    assert_true(who.id != 0);
    assert_true(key_allows(&who, "triage") && key_allows(&who, "orders"));
    assert_false(key_allows(&who, "triage,orders") || key_allows(&who, "tri") ||
                 key_allows(&who, "") || key_allows(&who, "triage2"));
    assert_false(api_keys_find(k, ci, strlen(ci), NOW, &who)); /* has expired */
    assert_true(api_keys_find(k, root, strlen(root), NOW, &again));
    assert_int_equal(again.role, KEY_ADMIN);
    assert_true(again.id != who.id && key_allows(&again, "anything"));
    assert_true(api_keys_find(k, "of the environment", 18, NOW, &who));
    assert_string_equal(who.name, "environment");
    assert_int_equal(who.role, KEY_CLIENT);
    assert_false(api_keys_find(k, ci, strlen(ci) - 1, NOW - 1, &who));
    assert_false(api_keys_find(k, "", 0, NOW, &who));
    ci[20] ^= 1;
    assert_false(api_keys_find(k, ci, strlen(ci), NOW - 1, &who));
    api_keys_free(k);
    api_keys_free(NULL);
}

static void test_the_file_holds_no_key(void **state)
{
    char *text;
    size_t len;
    st_err err = {0};
    char key[KEY_TEXT_MAX];
    (void)state;
    make("hidden", KEY_CLIENT, "", 0, key);
    assert_int_equal(st_file_read(path, 1 << 20, &text, &len, &err), 0);
    assert_null(strstr(text, key + 9));
    assert_non_null(strstr(text, "\nhidden client blake2b:"));
    st_free(text);
}

static void test_listed_and_revoked(void **state)
{
    key_info *list = NULL, what = {.name = "ci"};
    uint32_t n = 0;
    char key[KEY_TEXT_MAX], time[24];
    key_info who;
    st_err err = {0};
    (void)state;
    assert_int_equal(api_keys_file_list(path, &list, &n, &err), 0);
    assert_int_equal(n, 3);
    assert_string_equal(list[0].name, "ci");
    assert_string_equal(list[0].tasks, "triage,orders");
    key_time_text(list[0].expires, time);
    assert_string_equal(time, "2027-01-15T08:00:00Z");
    assert_string_equal(list[2].name, "hidden");
    st_free(list);
    assert_int_equal(api_keys_file_new(path, &what, key, &err), ST_EINVAL);
    assert_non_null(strstr(err.message, "there is a key 'ci' already"));
    api_keys *k = open_keys(NULL);
    make("second", KEY_CLIENT, "", 0, key);
    assert_false(api_keys_find(k, key, strlen(key), NOW, &who)); /* not read again yet */
    assert_int_equal(api_keys_reload(k, &err), 0);
    assert_true(api_keys_find(k, key, strlen(key), NOW, &who));
    assert_int_equal(api_keys_file_revoke(path, "second", &err), 0);
    assert_int_equal(api_keys_reload(k, &err), 0);
    assert_false(api_keys_find(k, key, strlen(key), NOW, &who));
    err = (st_err){0};
    assert_int_equal(api_keys_file_revoke(path, "second", &err), ST_ENOTFOUND);
    assert_int_equal(api_keys_file_revoke(path, "c", &err), ST_ENOTFOUND);
    api_keys_free(k);
}

static void write_file(const char *text)
{
    st_err err = {0};
    assert_int_equal(st_file_write(path, text, strlen(text), &err), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void test_comments_stay(void **state)
{
    char *text, key[KEY_TEXT_MAX];
    size_t len;
    st_err err = {0};
    (void)state;
    write_file("# ours\n\n  a\tadmin blake2b:" ZEROS " 2026-01-02  \n"
               "ab client blake2b:" ONES " 2026-01-02T03:04:05Z expires=2030-01-01");
    make("c", KEY_CLIENT, "", 0, key);
    assert_int_equal(api_keys_file_revoke(path, "a", &err), 0);
    assert_int_equal(st_file_read(path, 1 << 20, &text, &len, &err), 0);
    assert_memory_equal(text, "# ours\n\nab client", 17);
    assert_non_null(strstr(text, "expires=2030-01-01\nc client blake2b:"));
    st_free(text);
}

static void test_bad_files(void **state)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"a client\n", "keys:1: expected name, role, hash and time"},
        {"\n# x\na b blake2b:" ZEROS " 2026-01-01\n", "keys:3: expected client or admin"},
        {"a/b client blake2b:" ZEROS " 2026-01-01\n", "expected a name of letters"},
        {"a client blake2b:00 2026-01-01\n", "expected blake2b: and 64"},
        {"a client blake2b:x" ONES " 2026-01-01\n", "expected blake2b: and 64"},
        {"a client blake2b:" ZEROS " 2026-13-01\n", "expected a time"},
        {"a client blake2b:" ZEROS " 2026-01-01T00:00:00\n", "expected a time"},
        {"a client blake2b:" ZEROS " 2026-01-01 tasks=\n", "behind tasks="},
        {"a client blake2b:" ZEROS " 2026-01-01 tasks=,a\n", "behind tasks="},
        {"a client blake2b:" ZEROS " 2026-01-01 expires=never\n", "behind expires="},
        {"a client blake2b:" ZEROS " 2026-01-01 rate=5\n", "tasks=... or expires=..."},
        {"a client blake2b:" ZEROS " 2026-01-01 tasks=a expires=2027-01-01 x\n",
         "no more than six words"},
        {"a client blake2b:" ZEROS " 2026-01-01\na admin blake2b:" ONES " 2026-01-01\n",
         "keys:2: a second key of the name 'a'"},
    };
    char key[KEY_TEXT_MAX];
    key_info what = {.name = "new"};
    (void)state;
    write_file("good client blake2b:" ZEROS " 2026-01-01\n");
    api_keys *k = open_keys(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        st_err err = {0};
        write_file(rows[i].text);
        assert_int_equal(api_keys_reload(k, &err), ST_EFORMAT);
        if (!strstr(err.message, rows[i].message))
            fail_msg("'%s' is not in '%s'", rows[i].message, err.message);
        assert_int_equal(api_keys_file_new(path, &what, key, &err), ST_EFORMAT);
    }
    write_file("");
    chmod(path, 0666);
    st_err err = {0};
    assert_int_equal(api_keys_reload(k, &err), ST_EINVAL);
    assert_non_null(strstr(err.message, "everybody may write it"));
    chmod(path, 0600);
    api_keys_free(k);
}

static void test_times(void **state)
{
    int64_t t;
    char text[24];
    (void)state;
    assert_true(key_time("1970-01-01", &t) && t == 0);
    assert_true(key_time("2000-02-29T23:59:59Z", &t) && t == 951868799);
    assert_true(key_time("2027-01-15T08:00:00Z", &t) && t == NOW);
    key_time_text(t, text);
    assert_string_equal(text, "2027-01-15T08:00:00Z");
    assert_false(key_time("", &t) || key_time("2027-1-15", &t) ||
                 key_time("2027-01-15 08:00:00Z", &t) || key_time("2027-00-15", &t));
}

static void test_bad_names(void **state)
{
    static const char *const names[] = {"", "a b", ".a", "a\n", "\xC3\xA9", "#a"};
    char key[KEY_TEXT_MAX];
    st_err err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        key_info what = {0};
        snprintf(what.name, sizeof what.name, "%s", names[i]);
        assert_int_equal(api_keys_file_new(path, &what, key, &err), ST_EINVAL);
    }
    key_info what = {.name = "a", .tasks = "a b"};
    assert_int_equal(api_keys_file_new(path, &what, key, &err), ST_EINVAL);
    api_keys *k = NULL;
    assert_int_equal(api_keys_open(NULL, "short", &k, &err), ST_EINVAL);
    err = (st_err){0};
    assert_int_equal(api_keys_open("/nowhere", NULL, &k, &err), ST_ENOTFOUND);
}

static int open_and_make(void *arg)
{
    api_keys *k = NULL;
    key_info *list = NULL, what = {.name = "swept"};
    uint32_t n;
    char key[KEY_TEXT_MAX];
    st_err err = {0};
    int rc = api_keys_open(arg, "0123456789abcdef", &k, &err);
    if (!rc)
        rc = api_keys_file_new(arg, &what, key, &err);
    if (!rc)
        rc = api_keys_file_list(arg, &list, &n, &err);
    st_free(list);
    api_keys_free(k);
    st_err later = {0};
    int gone = api_keys_file_revoke(arg, "swept", &later);
    if (gone == ST_ENOMEM) /* the one that fails may be here */
        gone = api_keys_file_revoke(arg, "swept", &later);
    assert_true(gone == 0 || gone == ST_ENOTFOUND);
    return rc;
}

static void test_no_memory(void **state)
{
    (void)state;
    write_file("a client blake2b:" ZEROS " 2026-01-01\n");
    assert_true(fault_sweep(open_and_make, path, 1) > 6);
}

typedef struct reader {
    api_keys *keys;
    const char *key;
    atomic_bool stop;
    atomic_int misses;
} reader;

static void *look_up(void *arg)
{
    reader *r = arg;
    key_info who;
    while (!atomic_load(&r->stop))
        if (!api_keys_find(r->keys, r->key, strlen(r->key), NOW, &who))
            atomic_fetch_add(&r->misses, 1);
    return NULL;
}

static void test_reload_under_way(void **state)
{
    char key[KEY_TEXT_MAX];
    pthread_t thread;
    st_err err = {0};
    (void)state;
    make("stays", KEY_CLIENT, "", 0, key);
    reader r = {.keys = open_keys(NULL), .key = key};
    assert_int_equal(pthread_create(&thread, NULL, look_up, &r), 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(api_keys_reload(r.keys, &err), 0);
    atomic_store(&r.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&r.misses), 0);
    api_keys_free(r.keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_and_found),
        cmocka_unit_test(test_the_file_holds_no_key),
        cmocka_unit_test(test_listed_and_revoked),
        cmocka_unit_test(test_comments_stay),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_reload_under_way),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
