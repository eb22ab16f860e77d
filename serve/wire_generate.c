/* serve/wire_generate.c - KServe's /generate: a text goes on. */
#include "base/mem.h"
#include "serve/gen.h"
#include "serve/route.h"
#include <pthread.h>
#include <string.h>

enum { NEW_TOKENS = 128, MOST_NEW = 1 << 20, MOST_ENDS = 64 };

typedef struct job {
    call *c;
    hub_use *use;
    gen_spec spec;
    gen g;
    pthread_mutex_t lock;
    sched_id id; /* 0: not under way */
    bool gone;
} job;

static void job_free(job *j)
{
    gen_done(&j->g);
    pthread_mutex_destroy(&j->lock);
    st_free(j);
}

static void reply(call *c, void *arg)
{
    job *j = arg;
    const char *finish = j->g.finish == GEN_LENGTH ? "length" : "stop";
    call_work work = {.model = hub_use_name(j->use),
                      .version = hub_use_version(j->use),
                      .n_prompt = j->g.n_prompt,
                      .n_cached = j->g.n_cached,
                      .n_new = j->g.n_new,
                      .finish = finish,
                      .queued_us = j->g.queued_us,
                      .first_us = j->g.first_us,
                      .total_us = j->g.total_us};
    if (j->g.finish == GEN_FAILED) {
        call_reply_error(c, "text_input", &j->g.err);
    } else {
        call_add_work(c, &work);
        json_t *text = json_stringn(j->g.text.len ? j->g.text.data : "", j->g.text.len);
        call_reply_json(c, 200,
                        json_pack("{s:s, s:s, s:o, s:s}", "model_name",
                                  hub_use_name(j->use), "model_version",
                                  hub_use_version(j->use), "text_output", text,
                                  "finish_reason", finish));
    }
    job_free(j);
}

static bool on_token(void *arg, const sched_token *token)
{
    job *j = arg;
    return gen_add(&j->g, &j->spec, token);
}

static void on_done(void *arg, const sched_result *result)
{
    job *j = arg;
    gen_end(&j->g, &j->spec, result);
    pthread_mutex_lock(&j->lock);
    j->id = 0;
    pthread_mutex_unlock(&j->lock);
    call_later(j->c, reply, j);
}

static void gone(void *arg)
{
    job *j = arg;
    pthread_mutex_lock(&j->lock);
    j->gone = true;
    if (j->id)
        hub_cancel(j->use, j->id);
    pthread_mutex_unlock(&j->lock);
}

/* The lock is held while it is put into the queue: done waits for its id. */
static int submit(job *j, const sched_request *request, st_err *err)
{
    pthread_mutex_lock(&j->lock);
    int rc = j->gone ? st_err_set(err, ST_ECANCELLED, "the client hung up")
                     : hub_submit(j->use, request, &j->id, err);
    pthread_mutex_unlock(&j->lock);
    return rc;
}

static void read_stops(const json_t *parameters, stop_set *stops)
{
    const json_t *stop = body_get(parameters, "stop");
    for (size_t i = 0; i < json_array_size(stop) && stops->n < STOP_MAX; i++) {
        const json_t *word = json_array_get(stop, i);
        stops->text[stops->n] = json_string_value(word);
        stops->len[stops->n] = json_string_length(word);
        stops->n++;
    }
}

static void check_stops(const json_t *parameters, problems *out)
{
    const json_t *stop = body_get(parameters, "stop");
    for (size_t i = 0; i < json_array_size(stop); i++) {
        size_t len = json_string_length(json_array_get(stop, i));
        if (len == 0 || len > STOP_MAX_LEN)
            problems_add(out, PROBLEM_COUNT, "parameters.stop", "each has 1 to %d bytes",
                         STOP_MAX_LEN);
    }
}

static sampler_opts how_of(const json_t *parameters)
{
    return (sampler_opts){
        .temperature = (float)body_number(parameters, "temperature", 0),
        .top_k = (uint32_t)body_integer(parameters, "top_k", 0),
        .top_p = (float)body_number(parameters, "top_p", 1),
        .repeat_penalty = 1,
        .seed = (uint64_t)body_integer(parameters, "seed", 0),
    };
}

static job *job_new(call *c, hub_use *use)
{
    job *j = st_zalloc_n(1, sizeof *j);
    if (j && pthread_mutex_init(&j->lock, NULL)) {
        st_free(j);
        return NULL;
    }
    if (!j)
        return NULL;
    gen_init(&j->g);
    j->c = c;
    j->use = use;
    j->spec.tok = hub_use_lm(use)->tok;
    j->spec.continues = true;
    return j;
}

/* 0: it is under way. */
static int start(job *j, const tok_ids *ids, const json_t *parameters, st_err *err)
{
    int32_t ends[MOST_ENDS];
    uint32_t n = 0, n_ends = 0;
    const int32_t *all = tok_ends(j->spec.tok, &n_ends);
    while (n < n_ends && n < MOST_ENDS) {
        ends[n] = all[n];
        n++;
    }
    read_stops(parameters, &j->spec.stops);
    sched_request request = {
        .class = call_class(j->c),
        .key = call_key(j->c),
        .tokens = ids->ids,
        .n = (uint32_t)ids->n,
        .deadline_us = call_deadline_us(j->c),
        .kind = SCHED_GENERATE,
        .generate = {.how = how_of(parameters),
                     .stop_ids = ends,
                     .n_stop = n,
                     .max_new =
                         (uint32_t)body_integer(parameters, "max_tokens", NEW_TOKENS),
                     .on_token = on_token},
        .done = on_done,
        .arg = j,
    };
    call_on_gone(j->c, gone, j);
    return submit(j, &request, err);
}

static hub_use *writer(call *c, problems *out)
{
    const char *version = call_path_value(c, 1);
    hub_use *use = call_use(c, call_path_value(c, 0), out);
    const lm *l = use ? hub_use_lm(use) : NULL;
    if (!use)
        return NULL;
    if (version && strcmp(version, hub_use_version(use)) != 0)
        problems_add(out, PROBLEM_NO_MODEL, "version", "'%s' is here in version %s",
                     hub_use_name(use), hub_use_version(use));
    else if (hub_use_contract(use) || !l || !model_about(l->model)->has_head ||
             !model_about(l->model)->causal)
        problems_add(out, PROBLEM_UNSUPPORTED, "model",
                     "'%s' writes no text: ask it with /infer", hub_use_name(use));
    else
        return use;
    return NULL;
}

static void generate(call *c)
{
    const json_t *body = call_body(c), *text = body_get(body, "text_input");
    const json_t *parameters = body_get(body, "parameters");
    problems p = {0};
    st_err err = {0};
    tok_ids ids = {0};
    hub_use *use = writer(c, &p);
    check_stops(parameters, &p);
    job *j = use && p.n == 0 ? job_new(c, use) : NULL;
    int rc = ST_ENOMEM;
    if (j)
        rc = tok_encode(j->spec.tok, json_string_value(text), json_string_length(text),
                        TOK_ADD | TOK_PARSE, &ids, &err);
    if (rc == 0)
        rc = start(j, &ids, parameters, &err);
    tok_ids_done(&ids);
    if (rc == 0)
        return;
    if (j)
        problems_from(&p, "text_input", &err);
    else if (use && p.n == 0)
        problems_add(&p, PROBLEM_SERVER, "", "no memory for a text");
    call_reply_problems(c, &p);
    if (j)
        job_free(j);
}

static const member parameters[] = {
    {"max_tokens", MEMBER_INTEGER, .min = 1, .max = MOST_NEW, .about = "128."},
    {"temperature", MEMBER_NUMBER, .max = 100, .about = "0: the likeliest token."},
    {"top_k", MEMBER_INTEGER, .max = 1 << 30, .about = "0: all."},
    {"top_p", MEMBER_NUMBER, .min = 0.000001, .max = 1, .about = "1: all."},
    {"seed", MEMBER_INTEGER, .max = 9007199254740992, .about = "0."},
    {"stop", MEMBER_ARRAY, .max = STOP_MAX, .items = MEMBER_STRING},
    {0},
};

static const member generate_body[] = {
    {"text_input", MEMBER_STRING, .need = true, .min = 1, .max = -1, .nul = true},
    {"parameters", MEMBER_OBJECT, .of = parameters},
    {0},
};

static const member generate_answer[] = {
    {"model_name", MEMBER_STRING, .need = true},
    {"model_version", MEMBER_STRING, .need = true},
    {"text_output", MEMBER_STRING, .need = true},
    {"finish_reason", MEMBER_STRING, .need = true, .words = "stop length"},
    {0},
};

const route wire_generate[] = {
    {"POST", "/v2/models/{model}/generate", "kserveGenerate", "A text goes on.",
     SCOPE_CLIENT, DIALECT_KSERVE, .body = generate_body, .answer = generate_answer,
     .handle = generate},
    {"POST", "/v2/models/{model}/versions/{version}/generate", "kserveGenerateVersion",
     "A text goes on.", SCOPE_CLIENT, DIALECT_KSERVE, .body = generate_body,
     .answer = generate_answer, .handle = generate},
    {0},
};
