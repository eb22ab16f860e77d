/* serve/meter.c - what the server counts. */
#include "serve/meter.h"

#include "base/mem.h"
#include <stdatomic.h>

struct meter {
    atomic_ullong n_answers;
};

int meter_new(bool vllm_names, meter **ret_meter, st_err *err)
{
    (void)vllm_names;
    meter *m = st_zalloc_n(1, sizeof *m);
    if (!m)
        return st_err_set(err, ST_ENOMEM, "no memory for counters");
    *ret_meter = m;
    return 0;
}

void meter_free(meter *m)
{
    st_free(m);
}

void meter_http(meter *m, const char *pattern, unsigned status, uint64_t total_us)
{
    (void)pattern;
    (void)status;
    (void)total_us;
    atomic_fetch_add(&m->n_answers, 1);
}

void meter_work(meter *m, const call_work *work)
{
    (void)m;
    (void)work;
}

void meter_decision(meter *m, const char *name, const char *version, const char *label,
                    const char *way, double confidence)
{
    (void)m;
    (void)name;
    (void)version;
    (void)label;
    (void)way;
    (void)confidence;
}

int meter_render(meter *m, hub *h, st_buf *out, st_err *err)
{
    (void)h;
    st_buf_fmt(out, "stint_http_requests_total %llu\n", atomic_load(&m->n_answers));
    return out->code < 0 ? st_err_set(err, out->code, "no memory for counters") : 0;
}
