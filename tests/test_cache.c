/* tests/test_cache.c - kept files: used only when whole and ours, never in the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cache.h"
#include "base/file.h"
#include "base/hash.h"
#include "gguf/gguf.h"
#include "tests/cache_folder.h"
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define ID "00112233445566778899aabbccddeeff"
#define KEY_A ID ID
#define KEY_B ID "ffeeddccbbaa99887766554433221100"
#define FILE_NAME "thing-" ID

static const st_cache_item item_a = {"thing", ID, KEY_A};
static const st_cache_item item_b = {"thing", ID, KEY_B};

static const char *path_in(const cache_folder *f, const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    return path;
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 0777;
}

static void what_is_written_is_read(void **state)
{
    const cache_folder *f = *state;
    st_err err = {0};
    st_cached c = {0};
    uint64_t bytes = 0;
    assert_int_equal(rmdir(f->path), 0); /* it is made */
    assert_int_equal(st_cache_open(&item_a, &c, &err), ST_ENOTFOUND);
    assert_int_equal(st_cache_write(&item_a, "hello", 5, NULL), 0);
    assert_int_equal(st_cache_open(&item_a, &c, NULL), 0);
    assert_int_equal(c.len, 5);
    assert_memory_equal(c.data, "hello", 5);
    assert_int_equal((uintptr_t)c.data % 64, 0);
    st_cache_close(&c);
    st_cache_close(&c);
    assert_null(c.data);
    assert_int_equal(st_cache_stat(&item_a, &bytes, NULL), 0);
    assert_int_equal(bytes, ST_CACHE_HEAD + 5);
    assert_int_equal(mode_of(f->path), 0700);
    assert_int_equal(mode_of(path_in(f, FILE_NAME)), 0600);
    assert_int_equal(cache_folder_find(f, "", NULL, 0), 1);
    assert_int_equal(st_cache_write(&item_a, "", 0, NULL), 0); /* nothing is a payload */
    assert_int_equal(st_cache_open(&item_a, &c, NULL), 0);
    assert_int_equal(c.len, 0);
    st_cache_close(&c);
}

static void another_key_replaces(void **state)
{
    const cache_folder *f = *state;
    st_cached c = {0};
    st_err err = {0};
    assert_int_equal(st_cache_write(&item_a, "a", 1, NULL), 0);
    assert_int_equal(st_cache_open(&item_b, &c, &err), ST_EMISMATCH);
    assert_non_null(strstr(err.message, FILE_NAME));
    assert_null(c.data);
    assert_int_equal(st_cache_write(&item_b, "b", 1, NULL), 0);
    assert_int_equal(st_cache_open(&item_a, &c, NULL), ST_EMISMATCH);
    assert_int_equal(st_cache_open(&item_b, &c, NULL), 0);
    assert_memory_equal(c.data, "b", 1);
    st_cache_close(&c);
    assert_int_equal(cache_folder_find(f, "", NULL, 0), 1);
}

static void expect_unusable(const char *what, long at)
{
    st_cached c = {0};
    int rc = st_cache_open(&item_a, &c, NULL);
    if (rc != ST_EFORMAT && rc != ST_EMISMATCH)
        fail_msg("%s %ld: opening gave %d", what, at, rc);
    assert_null(c.data);
}

static void damage_is_seen(void **state)
{
    static unsigned char payload[10000];
    const cache_folder *f = *state;
    const long cuts[] = {0, 1, 7, 8, 31, 32, 96, 119, 127, 128, 129, 5000, 10127};
    char path[512];
    st_cached c;
    memcpy(path, path_in(f, FILE_NAME), sizeof path);
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (unsigned char)(i * 7);
    assert_int_equal(st_cache_write(&item_a, payload, sizeof payload, NULL), 0);
    for (long at = 0; at < ST_CACHE_HEAD + (long)sizeof payload;
         at += at < ST_CACHE_HEAD ? 1 : 997) {
        file_damage(path, at, 1 << (at % 8));
        expect_unusable("byte", at);
        file_damage(path, at, 1 << (at % 8));
    }
    assert_int_equal(st_cache_open(&item_a, &c, NULL), 0);
    st_cache_close(&c);
    assert_int_equal(truncate(path, ST_CACHE_HEAD + sizeof payload + 1), 0);
    expect_unusable("a byte more", 0);
    for (size_t i = sizeof cuts / sizeof *cuts; i-- > 0;) {
        file_damage(path, cuts[i], 0);
        expect_unusable("cut", cuts[i]);
    }
    assert_int_equal(st_cache_write(&item_a, payload, sizeof payload, NULL), 0);
    assert_int_equal(st_cache_open(&item_a, &c, NULL), 0);
    assert_memory_equal(c.data, payload, sizeof payload);
    st_cache_close(&c);
}

static void expect_refused(const char *what)
{
    st_cached c = {0};
    st_err err = {0};
    if (st_cache_open(&item_a, &c, &err) != ST_EIO)
        fail_msg("%s: not refused: %s", what, err.message);
    assert_non_null(err.message[0] ? err.message : NULL);
}

static void what_is_not_ours_is_not_opened(void **state)
{
    const cache_folder *f = *state;
    char path[512], other[512], link[512];
    st_cached c;
    memcpy(path, path_in(f, FILE_NAME), sizeof path);
    memcpy(other, path_in(f, "elsewhere"), sizeof other);
    assert_int_equal(st_cache_write(&item_a, "a", 1, NULL), 0);
    assert_int_equal(chmod(path, 0620), 0);
    expect_refused("a file that the group writes");
    assert_int_equal(chmod(path, 0602), 0);
    expect_refused("a file that anybody writes");
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    expect_refused("a symbolic link");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_refused("a FIFO");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_refused("a folder");
    assert_int_equal(st_cache_write(&item_a, "a", 1, NULL), ST_EIO);
    assert_int_equal(cache_folder_find(f, ".tmp-", NULL, 0), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(other, path), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 1, 1), 0);
        expect_refused("another user's file");
        assert_int_equal(chown(path, 0, 0), 0);
        assert_int_equal(chown(f->path, 1, 1), 0);
        expect_refused("another user's folder");
        assert_int_equal(st_cache_write(&item_a, "a", 1, NULL), ST_EIO);
        assert_int_equal(chown(f->path, 0, 0), 0);
    }
    assert_int_equal(chmod(f->path, 0777), 0);
    expect_refused("a folder that anybody writes");
    assert_int_equal(chmod(f->path, 0700), 0);
    assert_int_equal(st_cache_open(&item_a, &c, NULL), 0);
    st_cache_close(&c);
    snprintf(link, sizeof link, "%s-link", f->path);
    assert_int_equal(symlink(f->path, link), 0);
    setenv("STINT_CACHE", link, 1);
    expect_refused("a link to the folder");
    setenv("STINT_CACHE", f->path, 1);
    assert_int_equal(unlink(link), 0);
}

static void a_folder_that_is_none(void **state)
{
    const cache_folder *f = *state;
    char path[512];
    st_err err = {0};
    st_cached c;
    assert_int_equal(st_cache_write(&item_a, "a", 1, NULL), 0);
    snprintf(path, sizeof path, "%s/%s/deeper", f->path, FILE_NAME);
    setenv("STINT_CACHE", path, 1); /* below a file */
    assert_int_equal(st_cache_open(&item_a, &c, &err), ST_EIO);
    assert_int_equal(st_cache_write(&item_a, "a", 1, NULL), ST_EIO);
    setenv("STINT_CACHE", "/proc/none/cache", 1);
    assert_int_equal(st_cache_write(&item_a, "a", 1, NULL), ST_ENOTFOUND);
    setenv("STINT_CACHE", f->path, 1);
}

static void expect_folder(const char *own, const char *xdg, const char *home,
                          const char *want, int code)
{
    char path[PATH_MAX] = "";
    const char *const names[] = {"STINT_CACHE", "XDG_CACHE_HOME", "HOME"};
    const char *const values[] = {own, xdg, home};
    char *before[3];
    for (int i = 0; i < 3; i++) {
        const char *old = getenv(names[i]);
        before[i] = old ? strdup(old) : NULL;
        if (values[i])
            setenv(names[i], values[i], 1);
        else
            unsetenv(names[i]);
    }
    int rc = st_cache_folder(path, sizeof path, NULL);
    char little[2];
    int small = st_cache_folder(little, sizeof little, NULL);
    for (int i = 0; i < 3; i++) {
        if (before[i])
            setenv(names[i], before[i], 1);
        else
            unsetenv(names[i]);
        free(before[i]);
    }
    assert_int_equal(rc, code);
    assert_true(small < 0);
    assert_string_equal(path, want);
}

static void the_environment_says_where(void **state)
{
    const cache_folder *f = *state;
    char want[512];
    expect_folder("off", "/x", "/y", "", ST_ENOTFOUND);
    expect_folder("", NULL, NULL, "", ST_ENOTFOUND);
    expect_folder(NULL, "relative", NULL, "", ST_ENOTFOUND);
    expect_folder(NULL, NULL, "relative", "", ST_ENOTFOUND);
    expect_folder("/a/b", "/x", "/y", "/a/b", 0);
    snprintf(want, sizeof want, "%s/stint", f->path);
    expect_folder("", f->path, "/y", want, 0);
    snprintf(want, sizeof want, "%s/.cache/stint", f->path);
    expect_folder(NULL, "relative", f->path, want, 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(f->path, 1, 1), 0);
        expect_folder(NULL, NULL, f->path, "", ST_EIO); /* sudo with another's HOME */
        assert_int_equal(chown(f->path, 0, 0), 0);
    }
}

static void what_was_announced_is_written(void **state)
{
    const cache_folder *f = *state;
    st_cache_file file;
    st_cached c = {0};
    assert_int_equal(st_cache_begin(&item_a, 4, &file, NULL), 0);
    assert_int_equal(st_cache_add(&file, "abc", 3, NULL), 0);
    assert_int_equal(st_cache_end(&file, &c, NULL), ST_EINVAL);
    assert_int_equal(st_cache_add(&file, "de", 2, NULL), ST_EINVAL);
    assert_int_equal(cache_folder_find(f, ".tmp-", NULL, 0), 1);
    st_cache_drop(&file);
    st_cache_drop(&file);
    assert_int_equal(st_cache_add(&file, "", 0, NULL), ST_EINVAL);
    assert_int_equal(cache_folder_find(f, "", NULL, 0), 0);
    assert_int_equal(st_cache_begin(&item_a, 2, &file, NULL), 0);
    assert_int_equal(st_cache_add(&file, "o", 1, NULL), 0);
    assert_int_equal(st_cache_add(&file, "k", 1, NULL), 0);
    assert_int_equal(st_cache_end(&file, &c, NULL), 0);
    st_cache_drop(&file);
    assert_memory_equal(c.data, "ok", 2);
    st_cache_close(&c);
}

/* The disk gets full while a file is written: at its first step, or at its end. */
static void expect_full(const cache_folder *f, size_t bytes, int add, int finish)
{
    static const char some[ST_CACHE_STEP + 9];
    struct rlimit before, low = {1 << 15, RLIM_INFINITY};
    st_cache_file file;
    st_cached c = {0};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low.rlim_max = before.rlim_max;
    assert_int_equal(st_cache_begin(&item_a, bytes, &file, NULL), 0);
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &low);
    int added = st_cache_add(&file, some, bytes, NULL);
    int ended = added ? added : st_cache_end(&file, &c, NULL);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, old);
    assert_int_equal(added, add);
    assert_int_equal(ended, finish);
    assert_null(c.data);
    st_cache_drop(&file);
    assert_int_equal(cache_folder_find(f, "", NULL, 0), 0);
}

static void a_disk_that_is_too_small(void **state)
{
    static const char some[1 << 16];
    const cache_folder *f = *state;
    struct rlimit before, low = {1 << 15, RLIM_INFINITY};
    st_cache_file file;
    st_err err = {0};
    assert_int_equal(st_cache_begin(&item_a, SIZE_MAX, &file, NULL), ST_ELIMIT);
    assert_int_equal(st_cache_begin(&item_a, SIZE_MAX / 4, &file, &err), ST_ELIMIT);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    low.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    int over = st_cache_write(&item_a, some, sizeof some, NULL);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(over, ST_ELIMIT); /* and no signal */
    assert_int_equal(cache_folder_find(f, "", NULL, 0), 0);
    expect_full(f, ST_CACHE_STEP + 9, ST_EIO, ST_EIO);
    expect_full(f, sizeof some, 0, ST_EIO);
}

/* Write, and read what somebody has written: whole, one byte over and over. */
static int meet(int number)
{
    static unsigned char mine[50000];
    memset(mine, number, sizeof mine);
    for (int i = 0; i < 40; i++) {
        st_cached c = {0};
        if (st_cache_write(&item_a, mine, sizeof mine, NULL) ||
            st_cache_open(&item_a, &c, NULL) || c.len != sizeof mine ||
            memcmp(c.data, c.data + 1, c.len - 1) != 0)
            return 1;
        st_cache_close(&c);
    }
    return 0;
}

/* Lengths around the steps in which files are written. */
static void steps_are_joined(void **state)
{
    static const size_t more[] = {0, 1, ST_CACHE_HEAD, ST_CACHE_STEP};
    unsigned char *bytes = malloc(2 * ST_CACHE_STEP);
    assert_non_null(bytes);
    (void)state;
    for (size_t i = 0; i < 2 * ST_CACHE_STEP; i++)
        bytes[i] = (unsigned char)(i % 251 + i / 65536);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        size_t n = ST_CACHE_STEP - ST_CACHE_HEAD + more[i], half = n / 3;
        st_cache_file file;
        st_cached c = {0};
        assert_int_equal(st_cache_begin(&item_a, n, &file, NULL), 0);
        assert_int_equal(st_cache_add(&file, bytes, half, NULL), 0);
        assert_int_equal(st_cache_add(&file, bytes + half, n - half, NULL), 0);
        assert_int_equal(st_cache_end(&file, &c, NULL), 0);
        assert_memory_equal(c.data, bytes, n);
        st_cache_close(&c);
        assert_int_equal(st_cache_open(&item_a, &c, NULL), 0);
        assert_int_equal(c.len, n);
        assert_memory_equal(c.data, bytes, n);
        st_cache_close(&c);
    }
    free(bytes);
}

static void writers_do_not_meet(void **state)
{
    const cache_folder *f = *state;
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0)
            _exit(meet(i + 1));
    }
    for (int i = 0; i < 4; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(cache_folder_find(f, "", NULL, 0), 1);
}

static void file_put(const char *path, size_t bytes, time_t age)
{
    static const char zeros[4096];
    const struct timespec times[2] = {{time(NULL) - age, 0}, {time(NULL) - age, 0}};
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(zeros, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void the_least_used_go(void **state)
{
    const cache_folder *f = *state;
    file_put(path_in(f, "old-" ID), 1000, 500);
    file_put(path_in(f, "new-" ID), 1000, 100);
    file_put(path_in(f, "kept-" ID), 1000, 900);
    file_put(path_in(f, "notes.txt"), 4000, 9000);
    file_put(path_in(f, "old-00"), 4000, 9000);
    file_put(path_in(f, ".tmp-1"), 10, 4000);
    file_put(path_in(f, ".tmp-2"), 10, 40);
    st_cache_trim(3000, NULL);
    assert_int_equal(cache_folder_find(f, "", NULL, 0), 6); /* without .tmp-1 */
    st_cache_trim(2500, "kept-" ID);
    assert_int_not_equal(access(path_in(f, "old-" ID), F_OK), 0);
    assert_int_equal(access(path_in(f, "new-" ID), F_OK), 0);
    st_cache_trim(0, "kept-" ID);
    assert_int_not_equal(access(path_in(f, "new-" ID), F_OK), 0);
    assert_int_equal(access(path_in(f, "kept-" ID), F_OK), 0);
    assert_int_equal(access(path_in(f, "notes.txt"), F_OK), 0);
    assert_int_equal(access(path_in(f, "old-00"), F_OK), 0);
    assert_int_equal(access(path_in(f, ".tmp-2"), F_OK), 0);
}

static void use_is_remembered(void **state)
{
    const cache_folder *f = *state;
    const struct timespec old[2] = {{1000, 0}, {1000, 0}};
    struct stat st;
    st_cached c;
    assert_int_equal(st_cache_write(&item_a, "a", 1, NULL), 0);
    assert_int_equal(utimensat(AT_FDCWD, path_in(f, FILE_NAME), old, 0), 0);
    assert_int_equal(st_cache_open(&item_a, &c, NULL), 0);
    st_cache_close(&c);
    assert_int_equal(stat(path_in(f, FILE_NAME), &st), 0);
    assert_true(st.st_mtime > 1000);
}

/* ---- the digest of a file ---- */

static void recall(const char *path, char ret[ST_DIGEST_TEXT])
{
    gguf *g = NULL;
    const char *hex;
    assert_int_equal(gguf_open(path, &g, NULL), 0);
    assert_int_equal(gguf_digest_recall(g, &hex, NULL), 0);
    memcpy(ret, hex, ST_DIGEST_TEXT);
    gguf_close(g);
}

static void truth(const char *path, char ret[ST_DIGEST_TEXT])
{
    char *bytes;
    size_t len;
    assert_int_equal(st_file_read(path, 1 << 24, &bytes, &len, NULL), 0);
    st_sha_of(bytes, len, ret);
    free(bytes);
}

static void model_write(const char *path, uint32_t value)
{
    gguf_writer *w = NULL;
    assert_int_equal(gguf_writer_new(&w, NULL), 0);
    assert_int_equal(gguf_put_u32(w, "value", value, NULL), 0);
    assert_int_equal(gguf_write(w, path, NULL), 0);
    gguf_writer_free(w);
}

static void wait_until_settled(const char *path)
{
    st_file_id id;
    assert_int_equal(st_file_id_get(path, &id, NULL), 0);
    while (!st_file_id_settled(&id))
        nanosleep(&(const struct timespec){0, 50000000}, NULL);
}

/* Put another digest into the kept file: is it used? */
static void lie_about(const char *path, const char *digest)
{
    char key[ST_DIGEST_TEXT] = "";
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 32, SEEK_SET), 0);
    assert_int_equal(fread(key, 1, 64, file), 64);
    fclose(file);
    const st_cache_item item = {"digest", strrchr(path, '-') + 1, key};
    assert_int_equal(st_cache_write(&item, digest, strlen(digest), NULL), 0);
}

static void a_digest_is_remembered_for_these_bytes_only(void **state)
{
    const cache_folder *f = *state;
    char model[512], kept[512], got[ST_DIGEST_TEXT], want[ST_DIGEST_TEXT];
    memcpy(model, path_in(f, "model.gguf"), sizeof model);
    model_write(model, 1);
    recall(model, got);
    truth(model, want);
    assert_string_equal(got, want);
    assert_int_equal(cache_folder_find(f, "digest-", NULL, 0), 0); /* it is too new */
    wait_until_settled(model);
    recall(model, got);
    assert_string_equal(got, want);
    assert_int_equal(cache_folder_find(f, "digest-", kept, sizeof kept), 1);
    lie_about(kept, KEY_A);
    recall(model, got);
    assert_string_equal(got, KEY_A); /* so it was not hashed */
    lie_about(kept, "no digest");
    recall(model, got);
    assert_string_equal(got, want);
    lie_about(kept, KEY_A);
    file_damage(model, 41, 1); /* the same inode and length */
    const struct timespec same[2] = {{1000, 0}, {1000, 0}};
    assert_int_equal(utimensat(AT_FDCWD, model, same, 0), 0);
    recall(model, got);
    truth(model, want);
    assert_string_equal(got, want);
    wait_until_settled(model);
    lie_about(kept, KEY_A);
    model_write(model, 2); /* another inode */
    recall(model, got);
    truth(model, want);
    assert_string_equal(got, want);
}

static void without_a_cache_it_is_hashed(void **state)
{
    const cache_folder *f = *state;
    char model[512], got[ST_DIGEST_TEXT], want[ST_DIGEST_TEXT];
    memcpy(model, path_in(f, "model.gguf"), sizeof model);
    model_write(model, 1);
    wait_until_settled(model);
    setenv("STINT_CACHE", "off", 1);
    recall(model, got);
    truth(model, want);
    assert_string_equal(got, want);
    setenv("STINT_CACHE", f->path, 1);
    assert_int_equal(cache_folder_find(f, "", NULL, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_IN_CACHE(what_is_written_is_read),
        TEST_IN_CACHE(another_key_replaces),
        TEST_IN_CACHE(damage_is_seen),
        TEST_IN_CACHE(what_is_not_ours_is_not_opened),
        TEST_IN_CACHE(a_folder_that_is_none),
        TEST_IN_CACHE(the_environment_says_where),
        TEST_IN_CACHE(what_was_announced_is_written),
        TEST_IN_CACHE(a_disk_that_is_too_small),
        TEST_IN_CACHE(steps_are_joined),
        TEST_IN_CACHE(writers_do_not_meet),
        TEST_IN_CACHE(the_least_used_go),
        TEST_IN_CACHE(use_is_remembered),
        TEST_IN_CACHE(a_digest_is_remembered_for_these_bytes_only),
        TEST_IN_CACHE(without_a_cache_it_is_hashed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
