/* serve/wire_kserve.c - the Open Inference Protocol, version 2, as KServe speaks it.
 *
 * What a model is decides its tensors: a task reads texts ("text", BYTES) and gives
 * labels, confidences and probabilities, or what it wrote ("output"); a model made for
 * embeddings gives vectors; one that writes text answers /generate (wire_generate.c).
 * Tensors come as JSON. */
#include "base/mem.h"
#include "serve/asks.h"
#include "serve/call_priv.h"
#include "serve/param.h"
#include "serve/vectors.h"
#include <string.h>

enum { MOST_TEXTS = ASKS_MAX };

static bool any_problem(const problems *p)
{
    return p->n > 0 || p->out_of_memory;
}

/* The model of the path, in the version of the path where it names one. */
static hub_use *use_of_path(call *c, problems *out)
{
    const char *version = call_path_value(c, 1);
    hub_use *use = call_use(c, call_path_value(c, 0), out);
    if (!use || !version || strcmp(version, hub_use_version(use)) == 0)
        return use;
    problems_add(out, PROBLEM_NO_MODEL, "version", "'%s' is here in version %s",
                 hub_use_name(use), hub_use_version(use));
    return NULL;
}

/* ---- what is here ---- */

static void about_server(call *c)
{
    call_reply_json(c, 200,
                    json_pack("{s:s, s:s, s:[]}", "name", "stint", "version",
                              STINT_VERSION, "extensions"));
}

static void live(call *c)
{
    call_reply_json(c, 200, json_pack("{s:b}", "live", 1));
}

static void ready(call *c)
{
    bool good = server_state_get(call_server(c)) == SERVER_SERVING;
    call_reply_json(c, good ? 200 : 503, json_pack("{s:b}", "ready", good));
}

static void model_ready(call *c)
{
    problems p = {0};
    const hub_use *use = use_of_path(c, &p);
    if (use)
        call_reply_json(c, 200,
                        json_pack("{s:s, s:b}", "name", hub_use_name(use), "ready", 1));
    else
        call_reply_problems(c, &p);
}

static json_t *tensor_about(const char *name, const char *type, int columns)
{
    json_t *shape = columns ? json_pack("[i, i]", -1, columns) : json_pack("[i]", -1);
    return json_pack("{s:s, s:s, s:o}", "name", name, "datatype", type, "shape", shape);
}

static bool embeds(const hub_use *use)
{
    const lm *l = hub_use_lm(use);
    return l && model_about(l->model)->pooling != MODEL_POOL_NONE;
}

static json_t *outputs_about(const hub_use *use)
{
    const contract *k = hub_use_contract(use);
    const lm *l = hub_use_lm(use);
    json_t *list = json_array();
    if (k && contract_writes(k)) {
        json_array_append_new(list, tensor_about("output", "BYTES", 0));
    } else if (k) {
        json_array_append_new(list, tensor_about("label", "BYTES", 0));
        json_array_append_new(list, tensor_about("confidence", "FP64", 0));
        json_array_append_new(
            list, tensor_about("probabilities", "FP64", (int)k->question.n_options));
    } else if (embeds(use)) {
        json_array_append_new(
            list, tensor_about("embedding", "FP32", (int)model_about(l->model)->n_embd));
    } else {
        json_array_append_new(list, tensor_about("text_output", "BYTES", 0));
    }
    return list;
}

static void model_here(call *c)
{
    problems p = {0};
    const hub_use *use = use_of_path(c, &p);
    if (!use) {
        call_reply_problems(c, &p);
        return;
    }
    const char *in = hub_use_contract(use) || embeds(use) ? "text" : "text_input";
    call_reply_json(c, 200,
                    json_pack("{s:s, s:[s], s:s, s:[o], s:o}", "name", hub_use_name(use),
                              "versions", hub_use_version(use), "platform", "stint",
                              "inputs", tensor_about(in, "BYTES", 0), "outputs",
                              outputs_about(use)));
}

/* ---- infer: the tensors of a request ---- */

/* How many numbers a shape stands for; -1: it is none. */
static json_int_t shape_count(const json_t *shape)
{
    json_int_t n = 1;
    for (size_t i = 0; i < json_array_size(shape); i++) {
        json_int_t d = body_int(json_array_get(shape, i), -1);
        if (d < 1 || d > MOST_TEXTS || n * d > MOST_TEXTS)
            return -1;
        n *= d;
    }
    return json_array_size(shape) ? n : -1;
}

/* The texts of the one tensor that is wanted; NULL with problems. */
static const json_t *texts_of(const json_t *body, problems *out)
{
    const json_t *inputs = body_get(body, "inputs");
    const json_t *tensor = json_array_get(inputs, 0);
    const json_t *data = body_get(tensor, "data");
    if (json_array_size(inputs) != 1) {
        problems_add(out, PROBLEM_COUNT, "inputs", "one tensor, \"text\", is wanted");
        return NULL;
    }
    if (strcmp(body_text(tensor, "name", ""), "text") != 0)
        problems_add(out, PROBLEM_VALUE, "inputs[0].name", "\"text\" is wanted");
    if (strcmp(body_text(tensor, "datatype", ""), "BYTES") != 0)
        problems_add(out, PROBLEM_VALUE, "inputs[0].datatype", "BYTES is wanted");
    if (shape_count(body_get(tensor, "shape")) != (json_int_t)json_array_size(data))
        problems_add(out, PROBLEM_COUNT, "inputs[0].shape",
                     "does not fit %zu texts (at most %d)", json_array_size(data),
                     MOST_TEXTS);
    return any_problem(out) ? NULL : data;
}

/* ---- infer: the tensors of an answer ---- */

static json_t *tensor(const char *name, const char *type, uint32_t rows, uint32_t columns,
                      json_t *data)
{
    json_t *shape = columns ? json_pack("[i, i]", (int)rows, (int)columns)
                            : json_pack("[i]", (int)rows);
    return json_pack("{s:s, s:s, s:o, s:o}", "name", name, "datatype", type, "shape",
                     shape, "data", data);
}

static bool wanted(const json_t *body, const char *name)
{
    const json_t *outputs = body_get(body, "outputs");
    bool any = json_array_size(outputs) == 0;
    for (size_t i = 0; i < json_array_size(outputs); i++)
        any |= strcmp(body_text(json_array_get(outputs, i), "name", ""), name) == 0;
    return any;
}

/* Outputs that the model does not have. */
static void check_outputs(const json_t *body, const hub_use *use, problems *out)
{
    const json_t *outputs = body_get(body, "outputs");
    json_t *there = outputs_about(use);
    for (size_t i = 0; i < json_array_size(outputs); i++) {
        const char *name = body_text(json_array_get(outputs, i), "name", "");
        bool known = false;
        for (size_t k = 0; k < json_array_size(there); k++)
            known |= strcmp(body_text(json_array_get(there, k), "name", ""), name) == 0;
        if (!known)
            problems_add(out, PROBLEM_VALUE, "outputs", "'%s' has no output '%s'",
                         hub_use_name(use), name);
    }
    json_decref(there);
}

static void reply_tensors(call *c, const hub_use *use, json_t *outputs)
{
    json_t *body = json_pack("{s:s, s:s, s:o}", "model_name", hub_use_name(use),
                             "model_version", hub_use_version(use), "outputs", outputs);
    const json_t *id = body_get(call_body(c), "id");
    if (body && id)
        json_object_set(body, "id", (json_t *)(uintptr_t)id);
    call_reply_json(c, 200, body);
}

static void add_tensor(json_t *outputs, const json_t *body, json_t *made)
{
    if (wanted(body, body_text(made, "name", "")))
        json_array_append_new(outputs, made);
    else
        json_decref(made);
}

static json_t *decided_tensors(const call *c, const asks *a)
{
    const question *q = &hub_use_contract(a->use)->question;
    json_t *outputs = json_array(), *labels = json_array(), *sure = json_array();
    json_t *probs = json_array();
    for (uint32_t i = 0; i < a->n; i++) {
        const asked *one = &a->list[i];
        json_array_append_new(labels, json_string(q->options[one->decided.answer].value));
        json_array_append_new(sure, json_real(one->decided.confidence));
        for (uint32_t k = 0; k < q->n_options; k++)
            json_array_append_new(probs, json_real(one->probs[k]));
    }
    const json_t *body = call_body(c);
    add_tensor(outputs, body, tensor("label", "BYTES", a->n, 0, labels));
    add_tensor(outputs, body, tensor("confidence", "FP64", a->n, 0, sure));
    add_tensor(outputs, body, tensor("probabilities", "FP64", a->n, q->n_options, probs));
    return outputs;
}

static json_t *written_tensors(const asks *a)
{
    json_t *texts = json_array();
    for (uint32_t i = 0; i < a->n; i++)
        json_array_append_new(texts, json_string(a->list[i].written));
    return json_pack("[o]", tensor("output", "BYTES", a->n, 0, texts));
}

static void task_reply(call *c, asks *a)
{
    problems p = {0};
    asks_problems(a, "inputs[0].data", false, &p);
    if (any_problem(&p))
        call_reply_problems(c, &p);
    else
        reply_tensors(c, a->use,
                      contract_writes(hub_use_contract(a->use)) ? written_tensors(a)
                                                                : decided_tensors(c, a));
    asks_free(a);
}

static void vectors_reply(call *c, vectors *v, const st_err *why)
{
    const hub_use *use = vectors_arg(v);
    uint32_t d = vectors_n_embd(v);
    if (why) {
        call_reply_error(c, "inputs[0].data", why);
        vectors_free(v);
        return;
    }
    size_t n = json_array_size(
        body_get(json_array_get(body_get(call_body(c), "inputs"), 0), "data"));
    json_t *data = json_array();
    for (size_t i = 0; i < n * d; i++)
        json_array_append_new(data, json_real((double)vectors_of(v, 0)[i]));
    reply_tensors(c, use,
                  json_pack("[o]", tensor("embedding", "FP32", (uint32_t)n, d, data)));
    vectors_free(v);
}

/* ---- infer ---- */

static bool ask_texts(call *c, hub_use *use, const json_t *texts, problems *out)
{
    uint32_t n = (uint32_t)json_array_size(texts);
    asks *a = asks_new(c, use, n, out);
    for (uint32_t i = 0; a && i < n; i++) {
        a->list[i].text = json_string_value(json_array_get(texts, i));
        a->list[i].len = json_string_length(json_array_get(texts, i));
    }
    if (a)
        asks_run(a, task_reply, NULL);
    return a;
}

static bool embed_texts(call *c, hub_use *use, const json_t *texts, problems *out)
{
    size_t n = json_array_size(texts);
    char param[PROBLEM_PARAM_MAX];
    vectors *v = vectors_new(c, use, (uint32_t)n, false, out);
    for (size_t i = 0; v && i < n; i++) {
        const json_t *text = json_array_get(texts, i);
        param_index(param, "inputs[0].data", i);
        vectors_add_text(v, json_string_value(text), json_string_length(text), param,
                         out);
    }
    if (v && !any_problem(out)) {
        vectors_run(v, vectors_reply, use);
        return true;
    }
    vectors_free(v);
    return false;
}

static void infer(call *c)
{
    problems p = {0};
    hub_use *use = use_of_path(c, &p);
    const json_t *texts = texts_of(call_body(c), &p);
    if (use && !hub_use_contract(use) && !embeds(use))
        problems_add(&p, PROBLEM_UNSUPPORTED, "model",
                     "'%s' writes text: ask it with /generate", hub_use_name(use));
    else if (use)
        check_outputs(call_body(c), use, &p);
    bool runs = false;
    if (use && texts && !any_problem(&p))
        runs = hub_use_contract(use) ? ask_texts(c, use, texts, &p)
                                     : embed_texts(c, use, texts, &p);
    if (!runs)
        call_reply_problems(c, &p);
}

/* ---- the routes ---- */

static const member tensor_in[] = {
    {"name", MEMBER_STRING, .need = true, .about = "text"},
    {"datatype", MEMBER_STRING, .need = true, .about = "BYTES"},
    {"shape", MEMBER_ARRAY, .need = true, .min = 1, .max = 8, .items = MEMBER_INTEGER},
    {"data", MEMBER_ARRAY, .need = true, .min = 1, .max = MOST_TEXTS,
     .items = MEMBER_STRING, .about = "Texts, in one row."},
    {"parameters", MEMBER_OBJECT, .use = MEMBER_REFUSE},
    {0},
};

static const member tensor_wanted[] = {
    {"name", MEMBER_STRING, .need = true, .about = "An output of the model."},
    {"parameters", MEMBER_OBJECT, .use = MEMBER_REFUSE},
    {0},
};

static const member infer_body[] = {
    {"id", MEMBER_STRING, .about = "Comes back with the answer."},
    {"inputs", MEMBER_ARRAY, .need = true, .of = tensor_in},
    {"outputs", MEMBER_ARRAY, .of = tensor_wanted,
     .about = "All, unless some are named."},
    {"parameters", MEMBER_OBJECT, .use = MEMBER_REFUSE},
    {0},
};

static const member tensor_out[] = {
    {"name", MEMBER_STRING, .need = true},
    {"datatype", MEMBER_STRING, .need = true},
    {"shape", MEMBER_ARRAY, .need = true, .items = MEMBER_INTEGER},
    {"data", MEMBER_ARRAY, .need = true, .items = MEMBER_STRING | MEMBER_NUMBER},
    {0},
};

static const member infer_answer[] = {
    {"model_name", MEMBER_STRING, .need = true},
    {"model_version", MEMBER_STRING, .need = true},
    {"id", MEMBER_STRING, .about = "Of the request, where it had one."},
    {"outputs", MEMBER_ARRAY, .need = true, .of = tensor_out},
    {0},
};

static const member server_answer[] = {
    {"name", MEMBER_STRING, .need = true},
    {"version", MEMBER_STRING, .need = true},
    {"extensions", MEMBER_ARRAY, .need = true, .items = MEMBER_STRING},
    {0},
};

static const member live_answer[] = {
    {"live", MEMBER_BOOL, .need = true},
    {0},
};

static const member ready_answer[] = {
    {"ready", MEMBER_BOOL, .need = true},
    {0},
};

static const member model_ready_answer[] = {
    {"name", MEMBER_STRING, .need = true},
    {"ready", MEMBER_BOOL, .need = true},
    {0},
};

static const member tensor_shape[] = {
    {"name", MEMBER_STRING, .need = true},
    {"datatype", MEMBER_STRING, .need = true},
    {"shape", MEMBER_ARRAY, .need = true, .items = MEMBER_INTEGER},
    {0},
};

static const member model_answer[] = {
    {"name", MEMBER_STRING, .need = true},
    {"versions", MEMBER_ARRAY, .need = true, .items = MEMBER_STRING},
    {"platform", MEMBER_STRING, .need = true},
    {"inputs", MEMBER_ARRAY, .need = true, .of = tensor_shape},
    {"outputs", MEMBER_ARRAY, .need = true, .of = tensor_shape},
    {0},
};

#define ROUTE(method, path, id, about, scope)                                            \
    method, path, id, about, scope, DIALECT_KSERVE

const route wire_kserve[] = {
    {ROUTE("GET", "/v2", "kserveServer", "The server.", SCOPE_OPEN), .quick = true,
     .answer = server_answer, .handle = about_server},
    {ROUTE("GET", "/v2/health/live", "kserveLive", "Is it up?", SCOPE_OPEN),
     .quick = true, .answer = live_answer, .handle = live},
    {ROUTE("GET", "/v2/health/ready", "kserveReady", "May it be given requests?",
           SCOPE_OPEN),
     .quick = true, .answer = ready_answer, .handle = ready},
    {ROUTE("GET", "/v2/models/{model}", "kserveModel", "A model's tensors.",
           SCOPE_CLIENT),
     .answer = model_answer, .handle = model_here},
    {ROUTE("GET", "/v2/models/{model}/versions/{version}", "kserveModelVersion",
           "A model's tensors.", SCOPE_CLIENT),
     .answer = model_answer, .handle = model_here},
    {ROUTE("GET", "/v2/models/{model}/ready", "kserveModelReady", "Is it loaded?",
           SCOPE_CLIENT),
     .answer = model_ready_answer, .handle = model_ready},
    {ROUTE("GET", "/v2/models/{model}/versions/{version}/ready",
           "kserveModelVersionReady", "Is it loaded?", SCOPE_CLIENT),
     .answer = model_ready_answer, .handle = model_ready},
    {ROUTE("POST", "/v2/models/{model}/infer", "kserveInfer",
           "Texts to a task's answers, or to vectors.", SCOPE_CLIENT),
     .body = infer_body, .answer = infer_answer, .handle = infer},
    {ROUTE("POST", "/v2/models/{model}/versions/{version}/infer", "kserveInferVersion",
           "Texts to a task's answers, or to vectors.", SCOPE_CLIENT),
     .body = infer_body, .answer = infer_answer, .handle = infer},
    {0},
};
