/* cli/cmd_bench.c - stint bench: what bench/ measures, as lines or JSON, for one or
 * several numbers of threads. */
#include "bench/bench.h"
#include "cli/open.h"

#include <errno.h>
#include <stdlib.h>

enum { MAX_SWEEP = 32, MAX_THREADS = 256, MAX_RUNS = 1000 };

typedef struct sweep { /* numbers of threads to measure with */
    unsigned counts[MAX_SWEEP];
    unsigned n;
} sweep;

static int parse_threads(const char *text, sweep *ret_sweep, st_err *err)
{
    sweep s = {{0}, 0};
    if (!text) { /* all processors */
        *ret_sweep = (sweep){{0}, 1};
        return 0;
    }
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        unsigned long n = strtoul(at, &end, 10);
        bool digit = *at >= '0' && *at <= '9';
        if (!digit || errno || n < 1 || n > MAX_THREADS || (*end && *end != ',') ||
            s.n == MAX_SWEEP) {
            st_err_set(err, ST_EINVAL, "--threads '%s' is no list of thread counts",
                       text);
            st_err_hint(err, "write up to %d numbers from 1 to %d, as 1,2,4", MAX_SWEEP,
                        MAX_THREADS);
            return ST_EINVAL;
        }
        s.counts[s.n++] = (unsigned)n;
        at = end;
        if (!*at)
            break;
    }
    *ret_sweep = s;
    return 0;
}

static void print_text(const char *path, const bench_report *r)
{
    printf("%s, %s kernels, %u threads\n", path, st_isa_name(r->isa), r->n_threads);
    printf("limits       %10.1f G int8 multiplications a second, %.1f GB a second read\n",
           r->limits.int8_macs_per_s / 1e9, r->limits.read_bytes_per_s / 1e9);
    for (uint32_t i = 0; i < r->n_figures; i++) {
        const bench_figure *f = &r->figures[i];
        printf("%-12s %10.1f %-16s %5.1f %% of the limit", f->name, f->per_s, f->unit,
               100 * f->limit_share);
        if (f->tokens_per_s > 0)
            printf(", %.1f tokens a second, %.1f a step", f->tokens_per_s,
                   f->tokens_per_step);
        putchar('\n');
    }
    fflush(stdout);
}

static int print_json(const char *path, const bench_report *r, st_err *err)
{
    json_t *out = json_pack("{s:s, s:s, s:i, s:{s:f, s:f}}", "model", path, "isa",
                            st_isa_name(r->isa), "threads", (int)r->n_threads, "limits",
                            "int8_macs_per_s", r->limits.int8_macs_per_s,
                            "read_bytes_per_s", r->limits.read_bytes_per_s);
    for (uint32_t i = 0; out && i < r->n_figures; i++) {
        const bench_figure *f = &r->figures[i];
        json_t *figure =
            json_pack("{s:f, s:f}", f->unit, f->per_s, "limit_share", f->limit_share);
        if (figure && f->tokens_per_s > 0 &&
            (json_object_set_new(figure, "tokens_per_s", json_real(f->tokens_per_s)) ||
             json_object_set_new(figure, "tokens_per_step",
                                 json_real(f->tokens_per_step)))) {
            json_decref(figure);
            figure = NULL;
        }
        if (json_object_set_new(out, f->name, figure) < 0) {
            json_decref(out);
            out = NULL;
        }
    }
    if (!out)
        return st_err_set(err, ST_ENOMEM, "no memory for a report");
    return cli_print_json(out, err);
}

static int measure(const cli_args *args, const lm *l, const sweep *threads,
                   bench_opts *opts, st_err *err)
{
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < threads->n; i++) {
        bench_report report;
        opts->engine.n_threads = threads->counts[i];
        rc = bench_run(l->model, opts, &report, err);
        if (rc == 0 && cli_flag(args, "json"))
            rc = print_json(l->path, &report, err);
        else if (rc == 0)
            print_text(l->path, &report);
    }
    return rc;
}

static int run(cli_args *args, st_err *err)
{
    lm_opts how = {.int8 = !cli_flag(args, "exact")};
    sweep threads;
    uint64_t runs;
    lm *l = NULL;
    int rc = parse_threads(cli_get(args, "threads"), &threads, err);
    if (rc < 0 || (rc = cli_u64(args, "runs", 0, 1, MAX_RUNS, &runs, err)) < 0 ||
        (rc = cli_engine_opts(args, &how.engine, err)) < 0 ||
        (rc = cli_open_model_with(args, &how, &l, err)) < 0)
        return rc;
    bench_opts opts = {.engine = how.engine,
                       .tok = l->tok,
                       .only = cli_get(args, "only"),
                       .runs = (unsigned)runs};
    rc = measure(args, l, &threads, &opts, err);
    lm_close(l);
    return rc;
}

static const cli_option flags[] = {
    CLI_MODEL_OPTION,
    {"threads", 't', "N,...", "Threads, or several to compare; default all processors."},
    CLI_ENGINE_OPTIONS,
    {"only", 0, "NAME,...", "Measure only these of the names below."},
    {"runs", 0, "N", "Repetitions, of which the median is shown; 5."},
    {"exact", 0, NULL, "Float weights as they are; else in 8 bits, as tasks read them."},
    {"json", 0, NULL, "Print one JSON object a line, one for each number of threads."},
    {0},
};

const cli_command cli_bench = {
    .name = "bench",
    .summary = "measure a model's speed against this machine's limits",
    .operands = "",
    .options = flags,
    .details =
        "prefill runs 512 tokens at once; decode makes one token after another for one "
        "stream, decode_16 for sixteen in step; mixed writes eight texts while prompts, "
        "decisions and short texts arrive; extract reads orders of six fields from "
        "messages, "
        "as JSON held to a schema, one after the other, extract_16 sixteen at a time; "
        "decide scores 12 labels of 3 tokens after 32 "
        "new tokens; options asks for 77 options listed in 650 tokens of instructions, "
        "16 "
        "requests waiting, as an answer held to them would be drawn, options_free as the "
        "model would say them by itself; heads runs 64 texts of 20 tokens to the layer "
        "that fitted heads read; embed runs 32 texts of 32 tokens. The limits are "
        "measured "
        "between them: multiplications of a plain int8 loop in the cache, and bytes read "
        "from memory by a plain loop. A share is of the one that the work runs into "
        "first.",
    .example = "stint bench -m smollm2-135m-instruct",
    .run = run,
};
