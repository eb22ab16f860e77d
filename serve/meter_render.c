/* serve/meter_render.c - /metrics: what was counted, what models and the process say. */
#include "serve/meter_priv.h"

#include "base/mem.h"
#include "serve/loaded.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char vllm_prefix[] = "vllm:";
static const char vllm_labels[] = "engine=\"0\"";

/* ---- models ---- */

typedef enum model_number {
    MODEL_RUNNING,
    MODEL_WAITING,
    MODEL_PAGES,
    MODEL_PREEMPTIONS,
    MODEL_NUMBERS
} model_number;

static const family of_model[MODEL_NUMBERS] = {
    [MODEL_RUNNING] = {"num_requests_running",
                       FAMILY_GAUGE,
                       true,
                       "Requests in the batch.",
                       {"model_name"},
                       NULL,
                       1},
    [MODEL_WAITING] = {"num_requests_waiting",
                       FAMILY_GAUGE,
                       true,
                       "Requests in the queue.",
                       {"model_name"},
                       NULL,
                       1},
    [MODEL_PAGES] = {"kv_cache_usage_perc",
                     FAMILY_GAUGE,
                     true,
                     "Share of the pages of keys and values that are in use, 0 to 1.",
                     {"model_name"},
                     NULL,
                     1},
    [MODEL_PREEMPTIONS] = {"num_preemptions_total",
                           FAMILY_COUNTER,
                           true,
                           "Requests that gave their pages up for others.",
                           {"model_name"},
                           NULL,
                           1},
};

typedef struct model_row {
    char labels[320];
    double numbers[MODEL_NUMBERS];
} model_row;

/* False: it has been unloaded meanwhile. */
static bool read_model(hub *h, const char *name, model_row *ret)
{
    hub_use *use;
    sched_stats s;
    if (hub_find(h, name, &use, NULL))
        return false;
    hub_sched_stats(use, &s);
    hub_done(use);
    const char *values[SERIES_LABELS] = {name};
    size_t n = series_labels(&of_model[0], values, ret->labels, sizeof ret->labels - 1);
    ret->labels[n] = '\0';
    uint32_t used = s.pages - s.pages_free - s.pages_cached;
    ret->numbers[MODEL_RUNNING] = s.live;
    ret->numbers[MODEL_WAITING] = s.waiting;
    ret->numbers[MODEL_PAGES] = s.pages ? (double)used / s.pages : 0;
    ret->numbers[MODEL_PREEMPTIONS] = (double)s.preemptions;
    return true;
}

static void put_models(const model_row *rows, uint32_t n, const char *prefix,
                       const char *more, st_buf *out)
{
    for (size_t k = 0; k < MODEL_NUMBERS && n; k++) {
        series_head(&of_model[k], prefix, out);
        for (uint32_t i = 0; i < n; i++)
            st_buf_fmt(out, "%s%s{%s%s%s} %.15g\n", prefix, of_model[k].name,
                       rows[i].labels, *more ? "," : "", more, rows[i].numbers[k]);
    }
}

/* ---- one number ---- */

static void put_one(st_buf *out, const char *name, const char *type, const char *help,
                    double value)
{
    st_buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type,
               name, value);
}

static void put_loaded(const hub_entry *list, uint32_t n, st_buf *out)
{
    static const family f = {"loaded_bytes",
                             FAMILY_GAUGE,
                             false,
                             "Memory that a model, task or adapter takes by itself.",
                             {"name", "kind", "version"},
                             NULL,
                             1};
    if (n)
        series_head(&f, "stint_", out);
    for (uint32_t i = 0; i < n; i++) {
        char labels[1024];
        const char *values[SERIES_LABELS] = {list[i].name, hub_kind_text(list[i].kind),
                                             list[i].version};
        size_t len = series_labels(&f, values, labels, sizeof labels);
        st_buf_fmt(out, "stint_loaded_bytes{%.*s} %.15g\n", (int)len, labels,
                   (double)list[i].bytes);
    }
}

static int put_hub(const meter *m, hub *h, st_buf *out, st_err *err)
{
    hub_entry *list;
    hub_stats all;
    uint32_t n;
    uint32_t n_models = 0;
    int rc = hub_list(h, &list, &n, err);
    if (rc)
        return rc;
    model_row *rows = st_alloc_n(n, sizeof *rows);
    for (uint32_t i = 0; i < n && rows; i++)
        if (list[i].kind == HUB_MODEL && read_model(h, list[i].name, &rows[n_models]))
            n_models++;
    if (rows) {
        put_loaded(list, n, out);
        put_models(rows, n_models, "stint_", "", out);
        if (m->vllm_names)
            put_models(rows, n_models, vllm_prefix, vllm_labels, out);
    }
    st_free(list);
    st_free(rows);
    if (!rows)
        return st_err_set(err, ST_ENOMEM, "metrics: out of memory");
    hub_stats_get(h, &all);
    put_one(out, "stint_work_running", "gauge",
            "Requests and inputs of tasks under way, of all models.", all.running);
    put_one(out, "stint_work_waiting", "gauge",
            "Requests and inputs of tasks that wait, of all models.", all.waiting);
    put_one(out, "stint_engine_stalled_seconds", "gauge",
            "Since the engine's thread last got on with work that there is.",
            (double)all.stalled_us / 1e6);
    return 0;
}

/* ---- the process ---- */

static double of_clock(clockid_t clock)
{
    struct timespec t = {0};
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double resident_bytes(double *ret_virtual)
{
    unsigned long long all = 0;
    unsigned long long resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%llu %llu", &all, &resident) != 2)
        all = resident = 0;
    if (f)
        fclose(f);
    double page = (double)sysconf(_SC_PAGESIZE);
    *ret_virtual = (double)all * page;
    return (double)resident * page;
}

static unsigned open_fds(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the folder itself */
}

static void put_process(const meter *m, st_buf *out)
{
    struct rlimit files = {0};
    double virtual_bytes;
    double resident = resident_bytes(&virtual_bytes);
    put_one(out, "process_cpu_seconds_total", "counter",
            "Processor time of all threads, user and system.",
            of_clock(CLOCK_PROCESS_CPUTIME_ID));
    put_one(out, "process_resident_memory_bytes", "gauge", "Memory in use.", resident);
    put_one(out, "process_virtual_memory_bytes", "gauge", "Memory asked for.",
            virtual_bytes);
    put_one(out, "process_start_time_seconds", "gauge", "Start, Unix time.", m->started);
    put_one(out, "process_open_fds", "gauge", "Open file descriptors.", open_fds());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
        put_one(out, "process_max_fds", "gauge", "Most file descriptors.",
                (double)files.rlim_cur);
    st_buf_fmt(out,
               "# HELP stint_build_info What runs.\n# TYPE stint_build_info gauge\n"
               "stint_build_info{version=\"%s\"} 1\n",
               STINT_VERSION);
}

int meter_render(meter *m, hub *h, st_buf *out, st_err *err)
{
    int rc = h ? put_hub(m, h, out, err) : 0;
    if (rc)
        return rc;
    for (size_t i = 0; i < METER_FAMILIES; i++)
        series_render(&m->tables[i], "stint_", "", out);
    for (size_t i = 0; i < METER_FAMILIES && m->vllm_names; i++)
        if (m->tables[i].family->vllm)
            series_render(&m->tables[i], vllm_prefix, vllm_labels, out);
    put_process(m, out);
    return out->code ? st_err_set(err, out->code, "metrics: %s", st_code_text(out->code))
                     : 0;
}
