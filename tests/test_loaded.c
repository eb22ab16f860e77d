/* tests/test_loaded.c - what admin routes loaded, kept through restarts and where memory
 * runs out; the crew's queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "serve/crew.h"
#include "serve/id.h"
#include "serve/loaded.h"
#include "tests/fault.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/stint-loaded-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_drop(void **state)
{
    char path[96];
    (void)state;
    snprintf(path, sizeof path, "%s/loaded.json", folder);
    unlink(path);
    return rmdir(folder);
}

static const loaded_row tiny = {HUB_MODEL, "tiny", "models/tiny.gguf", NULL, 1};
static const loaded_row named = {HUB_MODEL, "named", "smollm2", NULL, 1};
static const loaded_row polite = {HUB_ADAPTER, "polite", "/a/polite", "tiny", 0.5};
static const loaded_row better = {HUB_ADAPTER, "polite", "/a/better", "tiny", 0.25};

static loaded *open_good(void)
{
    loaded *l;
    st_err err = {0};
    if (loaded_open(folder, &l, &err) < 0)
        fail_msg("%s", err.message);
    return l;
}

static void kept_in_order(void **state)
{
    char here[1024], whole[1100];
    loaded_row row;
    st_err err = {0};
    (void)state;
    assert_non_null(getcwd(here, sizeof here));
    snprintf(whole, sizeof whole, "%s/models/tiny.gguf", here);
    loaded *l = open_good();
    assert_int_equal(loaded_count(l), 0);
    assert_int_equal(loaded_put(l, &polite, &err), 0);
    assert_int_equal(loaded_put(l, &tiny, &err), 0);
    assert_int_equal(loaded_put(l, &named, &err), 0);
    assert_int_equal(loaded_put(l, &better, &err), 0); /* comes last, where its base is */
    loaded_free(l);

    l = open_good();
    assert_int_equal(loaded_count(l), 3);
    loaded_get(l, 0, &row);
    assert_string_equal(row.name, "tiny");
    assert_string_equal(row.path, whole);
    loaded_get(l, 1, &row);
    assert_string_equal(row.path, "smollm2"); /* a name stays one */
    loaded_get(l, 2, &row);
    assert_int_equal(row.kind, HUB_ADAPTER);
    assert_string_equal(row.path, "/a/better");
    assert_string_equal(row.base, "tiny");
    assert_true(row.scale == 0.25);
    assert_true(loaded_has(l, "tiny"));
    assert_int_equal(loaded_drop(l, "tiny", &err), 0);
    assert_int_equal(loaded_drop(l, "nobody", &err), 0);
    assert_false(loaded_has(l, "tiny"));
    loaded_free(l);
    l = open_good();
    assert_int_equal(loaded_count(l), 2);
    loaded_free(l);
}

/* Where it cannot be written, nothing has changed. */
static void not_written(void **state)
{
    st_err err = {0};
    loaded *l = open_good();
    uint32_t n = loaded_count(l);
    char path[96], away[96];
    (void)state;
    snprintf(path, sizeof path, "%s", folder);
    snprintf(away, sizeof away, "%s.away", folder);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(loaded_put(l, &tiny, &err), ST_EIO);
    assert_int_equal(loaded_count(l), n);
    assert_false(loaded_has(l, "tiny"));
    assert_int_equal(rename(away, path), 0);
    loaded_free(l);
}

static int without_memory(void *arg)
{
    loaded *l;
    st_err err = {0};
    (void)arg;
    int rc = loaded_open(folder, &l, &err);
    if (rc < 0)
        return rc;
    rc = loaded_put(l, &tiny, &err);
    assert_int_equal(loaded_has(l, "tiny"), rc == 0);
    if (rc == 0)
        rc = loaded_drop(l, "tiny", &err);
    if (rc < 0 && loaded_has(l, "tiny")) { /* as it was: not dropped */
        st_err again = {0};
        assert_int_equal(loaded_drop(l, "tiny", &again), 0);
    }
    loaded_free(l);
    return rc;
}

static void memory_runs_out(void **state)
{
    (void)state;
    assert_true(fault_sweep(without_memory, NULL, 1) > 5);
}

/* ---- the crew ---- */

typedef struct count_job {
    crew_job job;
    crew *crew;
    atomic_uint *n;
    unsigned again; /* how often it goes on */
} count_job;

static void count(crew_job *job)
{
    count_job *c = (count_job *)job;
    atomic_fetch_add(c->n, 1);
    if (c->again > 0) {
        c->again--;
        crew_push(c->crew, &c->job);
    }
}

enum { JOBS = 50, AGAIN = 20 };

static void queue_and_end(void **state)
{
    static count_job jobs[JOBS];
    atomic_uint n = 0;
    crew *c;
    st_err err = {0};
    (void)state;
    assert_int_equal(crew_new(3, JOBS - 1, &c, &err), 0);
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = (count_job){{count, NULL}, c, &n, AGAIN};
        assert_int_equal(crew_enter(c, &jobs[i].job), i < JOBS - 1);
    }
    assert_int_equal(n, 0); /* nothing runs before it may */
    crew_push(c, &jobs[JOBS - 1].job);
    crew_go(c);
    crew_free(c); /* everything is run first */
    assert_int_equal(n, JOBS * (AGAIN + 1));
}

static int crew_without_memory(void *arg)
{
    crew *c;
    st_err err = {0};
    (void)arg;
    int rc = crew_new(2, 4, &c, &err);
    if (rc == 0)
        crew_free(c);
    return rc;
}

static void crew_memory(void **state)
{
    (void)state;
    assert_true(fault_sweep(crew_without_memory, NULL, 1) > 1);
}

static void ids(void **state)
{
    char one[ID_MAX], two[ID_MAX];
    (void)state;
    id_make("chatcmpl-", one);
    id_make("chatcmpl-", two);
    assert_int_equal(strlen(one), 9 + ID_DRAWN);
    assert_int_equal(strncmp(one, "chatcmpl-", 9), 0);
    assert_string_not_equal(one, two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_in_order),   cmocka_unit_test(not_written),
        cmocka_unit_test(memory_runs_out), cmocka_unit_test(queue_and_end),
        cmocka_unit_test(crew_memory),     cmocka_unit_test(ids),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
