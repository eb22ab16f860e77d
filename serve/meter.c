/* serve/meter.c - what the server counts: which number goes into which family. */
#include "serve/meter_priv.h"

#include "base/clock.h"
#include "base/mem.h"
#include <stdio.h>

static const double latencies[] = {.001, .002, .005, .01, .02, .05, .1, .2,
                                   .5,   1,    2,    5,   10,  30,  60, 0};
static const double sizes[] = {1,   2,    5,    10,   20,    50,    100, 200,
                               500, 1000, 2000, 5000, 10000, 50000, 0};
static const double shares[] = {.1, .2, .3, .4, .5, .6, .7, .8, .9, .95, .99, 1, 0};

#define TIMES FAMILY_HISTOGRAM, true
#define OF_MODEL {"model_name"}, latencies, 1e6

static const family families[METER_FAMILIES] = {
    [METER_HTTP] = {"http_requests_total",
                    FAMILY_COUNTER,
                    false,
                    "Requests answered.",
                    {"route", "status"},
                    NULL,
                    1},
    [METER_HTTP_TIME] = {"http_request_duration_seconds",
                         FAMILY_HISTOGRAM,
                         false,
                         "From a request's first byte to the end of its answer.",
                         {"route"},
                         latencies,
                         1e6},
    [METER_PROMPT] = {"prompt_tokens_total",
                      FAMILY_COUNTER,
                      true,
                      "Tokens of prompts.",
                      {"model_name"},
                      NULL,
                      1},
    [METER_NEW] = {"generation_tokens_total",
                   FAMILY_COUNTER,
                   true,
                   "Tokens generated.",
                   {"model_name"},
                   NULL,
                   1},
    [METER_ASKED] = {"prefix_cache_queries_total",
                     FAMILY_COUNTER,
                     true,
                     "Tokens of prompts that were looked for in kept pages.",
                     {"model_name"},
                     NULL,
                     1},
    [METER_HELD] = {"prefix_cache_hits_total",
                    FAMILY_COUNTER,
                    true,
                    "Tokens of prompts that were found there.",
                    {"model_name"},
                    NULL,
                    1},
    [METER_DONE] = {"request_success_total",
                    FAMILY_COUNTER,
                    true,
                    "Requests finished, by what ended them.",
                    {"model_name", "finished_reason"},
                    NULL,
                    1},
    [METER_FIRST] = {"time_to_first_token_seconds", TIMES,
                     "From submit to the first token.", OF_MODEL},
    [METER_GAP] = {"inter_token_latency_seconds", TIMES,
                   "Between two tokens: a request's mean, once for each.", OF_MODEL},
    [METER_TOTAL] = {"e2e_request_latency_seconds", TIMES,
                     "From submit to the last token.", OF_MODEL},
    [METER_QUEUE] = {"request_queue_time_seconds", TIMES,
                     "From submit to the first step.", OF_MODEL},
    [METER_PREFILL] = {"request_prefill_time_seconds", TIMES,
                       "From the first step to the first token.", OF_MODEL},
    [METER_DECODE] = {"request_decode_time_seconds", TIMES,
                      "From the first token to the last.", OF_MODEL},
    [METER_PROMPT_SIZE] = {"request_prompt_tokens",
                           FAMILY_HISTOGRAM,
                           true,
                           "Tokens of a prompt.",
                           {"model_name"},
                           sizes,
                           1},
    [METER_NEW_SIZE] = {"request_generation_tokens",
                        FAMILY_HISTOGRAM,
                        true,
                        "Tokens generated for a request.",
                        {"model_name"},
                        sizes,
                        1},
    [METER_DECIDED] = {"decisions_total",
                       FAMILY_COUNTER,
                       false,
                       "Decisions answered, by what was decided and which way.",
                       {"task", "version", "label", "route"},
                       NULL,
                       1},
    [METER_CONFIDENCE] = {"confidence",
                          FAMILY_HISTOGRAM,
                          false,
                          "Probability of what was decided.",
                          {"task", "route"},
                          shares,
                          1e6},
};

int meter_new(bool vllm_names, meter **ret_meter, st_err *err)
{
    meter *m = st_zalloc_n(1, sizeof *m);
    if (!m)
        return st_err_set(err, ST_ENOMEM, "metrics: out of memory");
    for (size_t i = 0; i < METER_FAMILIES; i++)
        series_init(&m->tables[i], &families[i]);
    m->vllm_names = vllm_names;
    m->started = (double)st_clock_unix();
    *ret_meter = m;
    return 0;
}

void meter_free(meter *m)
{
    for (size_t i = 0; m && i < METER_FAMILIES; i++)
        series_done(&m->tables[i]);
    st_free(m);
}

void meter_http(meter *m, const char *route, unsigned status, uint64_t total_us)
{
    char code[16];
    snprintf(code, sizeof code, "%u", status);
    const char *labels[SERIES_LABELS] = {route ? route : "other", code};
    series_add(&m->tables[METER_HTTP], labels, 1);
    series_observe(&m->tables[METER_HTTP_TIME], labels, total_us, 1);
}

static uint64_t between(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

void meter_work(meter *m, const call_work *w)
{
    const char *labels[SERIES_LABELS] = {w->model, w->finish};
    series_table *t = m->tables;
    series_add(&t[METER_PROMPT], labels, w->n_prompt);
    series_add(&t[METER_ASKED], labels, w->n_prompt);
    series_add(&t[METER_HELD], labels, w->n_cached);
    series_add(&t[METER_NEW], labels, w->n_new);
    series_observe(&t[METER_PROMPT_SIZE], labels, w->n_prompt, 1);
    series_observe(&t[METER_QUEUE], labels, w->queued_us, 1);
    series_observe(&t[METER_TOTAL], labels, w->total_us, 1);
    if (w->finish)
        series_add(&t[METER_DONE], labels, 1);
    if (w->n_new)
        series_observe(&t[METER_NEW_SIZE], labels, w->n_new, 1);
    if (!w->first_us)
        return;
    uint64_t decode = between(w->first_us, w->total_us);
    series_observe(&t[METER_FIRST], labels, w->first_us, 1);
    series_observe(&t[METER_PREFILL], labels, between(w->queued_us, w->first_us), 1);
    series_observe(&t[METER_DECODE], labels, decode, 1);
    if (w->n_new > 1)
        series_observe(&t[METER_GAP], labels, decode / (w->n_new - 1), w->n_new - 1);
}

void meter_decision(meter *m, const char *task_name, const char *version,
                    const char *label, const char *route, double confidence)
{
    const char *labels[SERIES_LABELS] = {task_name, version, label, route};
    const char *way[SERIES_LABELS] = {task_name, route};
    series_add(&m->tables[METER_DECIDED], labels, 1);
    if (confidence >= 0 && confidence <= 1)
        series_observe(&m->tables[METER_CONFIDENCE], way,
                       (uint64_t)(confidence * 1e6 + 0.5), 1);
}
