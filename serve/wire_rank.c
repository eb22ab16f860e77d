/* serve/wire_rank.c - texts compared and sorted: /rerank, /score, /classify.
 *
 * Relevance is the cosine of two vectors of a model made for embeddings, 1 at most: each
 * text is read by itself.  A class is a task's answer. */
#include "base/clock.h"
#include "base/mem.h"
#include "serve/asks.h"
#include "serve/id.h"
#include "serve/param.h"
#include "serve/route.h"
#include "serve/vectors.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_DOCUMENTS = VECTORS_MAX_TEXTS - 1 };

/* A document is a text or {"text"}. */
static const json_t *document_text(const json_t *d)
{
    return json_is_object(d) ? json_object_get(d, "text") : d;
}

static json_t *usage_of(uint32_t n_tokens)
{
    return json_pack("{s:I, s:I}", "prompt_tokens", (json_int_t)n_tokens, "total_tokens",
                     (json_int_t)n_tokens);
}

static void add_text(vectors *v, const json_t *text, const char *param, problems *out)
{
    if (json_is_string(text))
        vectors_add_text(v, json_string_value(text), json_string_length(text), param,
                         out);
    else
        problems_add(out, PROBLEM_TYPE, param, "a text is wanted");
}

static bool any_problem(const problems *p)
{
    return p->n > 0 || p->out_of_memory;
}

/* ---- /rerank ---- */

typedef struct ranked {
    uint32_t index;
    double score;
} ranked;

/* Best first; equal ones in the order they came. */
static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static json_t *ranked_json(call *c, const ranked *list, size_t n)
{
    const json_t *documents = body_get(call_body(c), "documents");
    bool with_text = body_bool(call_body(c), "return_documents", true);
    json_t *results = json_array();
    for (size_t i = 0; results && i < n; i++) {
        json_t *one = json_pack("{s:i, s:f}", "index", (int)list[i].index,
                                "relevance_score", list[i].score);
        json_t *text =
            (json_t *)(uintptr_t)document_text(json_array_get(documents, list[i].index));
        if (one && with_text)
            json_object_set_new(one, "document", json_pack("{s:O}", "text", text));
        json_array_append_new(results, one);
    }
    return results;
}

static void rerank_reply(call *c, vectors *v, const st_err *why)
{
    size_t n = json_array_size(body_get(call_body(c), "documents"));
    size_t top = (size_t)body_integer(call_body(c), "top_n", (int64_t)n);
    ranked *list = why ? NULL : st_alloc_n(n, sizeof *list);
    char id[ID_MAX];
    if (why) {
        call_reply_error(c, "documents", why);
    } else if (!list) {
        call_reply_json(c, 200, NULL);
    } else {
        for (uint32_t i = 0; i < n; i++)
            list[i] = (ranked){i, vectors_cosine(v, 0, i + 1)};
        qsort(list, n, sizeof *list, by_score);
        id_make("rerank-", id);
        call_reply_json(c, 200,
                        json_pack("{s:s, s:s, s:o, s:o}", "id", id, "model",
                                  body_text(call_body(c), "model", ""), "usage",
                                  usage_of(vectors_n_tokens(v)), "results",
                                  ranked_json(c, list, top < n ? top : n)));
    }
    st_free(list);
    vectors_free(v);
}

static void rerank(call *c)
{
    const json_t *body = call_body(c), *documents = body_get(body, "documents");
    size_t n = json_array_size(documents);
    char param[PROBLEM_PARAM_MAX];
    problems p = {0};
    hub_use *use = call_use(c, NULL, &p);
    vectors *v = use ? vectors_new(c, use, (uint32_t)n + 1, false, &p) : NULL;
    if (v)
        add_text(v, body_get(body, "query"), "query", &p);
    for (size_t i = 0; v && i < n; i++) {
        param_index(param, "documents", i);
        add_text(v, document_text(json_array_get(documents, i)), param, &p);
    }
    if (v && !any_problem(&p)) {
        vectors_run(v, rerank_reply, NULL);
        return;
    }
    call_reply_problems(c, &p);
    vectors_free(v);
}

/* ---- /score ---- */

/* One text or many. */
static size_t n_texts(const json_t *texts)
{
    return json_is_array(texts) ? json_array_size(texts) : 1;
}

static void add_texts(vectors *v, const json_t *texts, const char *name, problems *out)
{
    char param[PROBLEM_PARAM_MAX];
    if (!json_is_array(texts))
        add_text(v, texts, name, out);
    for (size_t i = 0; i < json_array_size(texts); i++) {
        param_index(param, name, i);
        add_text(v, json_array_get(texts, i), param, out);
    }
}

static void score_reply(call *c, vectors *v, const st_err *why)
{
    size_t n1 = n_texts(body_get(call_body(c), "text_1"));
    size_t n2 = n_texts(body_get(call_body(c), "text_2"));
    char id[ID_MAX];
    if (why) {
        call_reply_error(c, "text_2", why);
        vectors_free(v);
        return;
    }
    json_t *data = json_array();
    for (uint32_t i = 0; data && i < n2; i++)
        json_array_append_new(
            data,
            json_pack("{s:i, s:s, s:f}", "index", (int)i, "object", "score", "score",
                      vectors_cosine(v, n1 == 1 ? 0 : i, (uint32_t)n1 + i)));
    id_make("score-", id);
    call_reply_json(c, 200,
                    json_pack("{s:s, s:s, s:I, s:s, s:o, s:o}", "id", id, "object",
                              "list", "created", (json_int_t)st_clock_unix(), "model",
                              body_text(call_body(c), "model", ""), "data", data, "usage",
                              usage_of(vectors_n_tokens(v))));
    vectors_free(v);
}

static void score(call *c)
{
    const json_t *one = body_get(call_body(c), "text_1");
    const json_t *two = body_get(call_body(c), "text_2");
    size_t n1 = n_texts(one), n2 = n_texts(two);
    problems p = {0};
    vectors *v = NULL;
    hub_use *use = call_use(c, NULL, &p);
    if (n1 != 1 && n1 != n2)
        problems_add(&p, PROBLEM_COUNT, "text_1",
                     "one text, or as many as text_2 has: %zu, not %zu", n2, n1);
    if (n1 + n2 > VECTORS_MAX_TEXTS)
        problems_add(&p, PROBLEM_COUNT, "text_2", "at most %d texts", VECTORS_MAX_TEXTS);
    if (use && !any_problem(&p))
        v = vectors_new(c, use, (uint32_t)(n1 + n2), false, &p);
    if (v) {
        add_texts(v, one, "text_1", &p);
        add_texts(v, two, "text_2", &p);
    }
    if (v && !any_problem(&p)) {
        vectors_run(v, score_reply, NULL);
        return;
    }
    call_reply_problems(c, &p);
    vectors_free(v);
}

/* ---- /classify ---- */

static json_t *class_json(const asked *one, const question *q, uint32_t i)
{
    json_t *probs = json_array();
    for (uint32_t k = 0; probs && k < q->n_options; k++)
        json_array_append_new(probs, json_real(one->probs[k]));
    return json_pack("{s:i, s:s, s:o, s:i}", "index", (int)i, "label",
                     q->options[one->decided.answer].value, "probs", probs, "num_classes",
                     (int)q->n_options);
}

static void classify_reply(call *c, asks *a)
{
    problems p = {0};
    char id[ID_MAX];
    const question *q = &hub_use_contract(a->use)->question;
    asks_problems(a, "input", !json_is_array(body_get(call_body(c), "input")), &p);
    if (any_problem(&p)) {
        call_reply_problems(c, &p);
        asks_free(a);
        return;
    }
    json_t *data = json_array();
    for (uint32_t i = 0; data && i < a->n; i++)
        json_array_append_new(data, class_json(&a->list[i], q, i));
    id_make("classify-", id);
    call_reply_json(c, 200,
                    json_pack("{s:s, s:s, s:I, s:s, s:o, s:o}", "id", id, "object",
                              "list", "created", (json_int_t)st_clock_unix(), "model",
                              hub_use_name(a->use), "data", data, "usage",
                              usage_of(a->n_tokens)));
    asks_free(a);
}

static void classify(call *c)
{
    const json_t *input = body_get(call_body(c), "input");
    size_t n = n_texts(input);
    problems p = {0};
    hub_use *use = call_use(c, NULL, &p);
    if (n > ASKS_MAX)
        problems_add(&p, PROBLEM_COUNT, "input", "at most %d texts", ASKS_MAX);
    asks *a = use && !any_problem(&p) ? asks_new(c, use, (uint32_t)n, &p) : NULL;
    if (a && contract_writes(hub_use_contract(use)))
        problems_add(&p, PROBLEM_UNSUPPORTED, "model",
                     "the task '%s' writes its answer and has no classes",
                     hub_use_name(use));
    for (size_t i = 0; a && i < n; i++) {
        const json_t *text = json_is_array(input) ? json_array_get(input, i) : input;
        a->list[i].text = json_string_value(text);
        a->list[i].len = json_string_length(text);
    }
    if (a && !any_problem(&p)) {
        asks_run(a, classify_reply, NULL);
        return;
    }
    call_reply_problems(c, &p);
    asks_free(a);
}

/* ---- the routes ---- */

static const member rerank_body[] = {
    {"model", MEMBER_STRING, .about = "One made for embeddings."},
    {"query", MEMBER_STRING, .need = true, .nul = true},
    {"documents", MEMBER_ARRAY, .need = true, .min = 1, .max = MOST_DOCUMENTS,
     .items = MEMBER_STRING | MEMBER_OBJECT, .about = "Texts, or objects with \"text\"."},
    {"top_n", MEMBER_INTEGER, .min = 1, .max = 1 << 20},
    {"return_documents", MEMBER_BOOL, .about = "Yes, unless it says no."},
    {"user", MEMBER_STRING, .use = MEMBER_IDLE},
    {0},
};

static const member usage[] = {
    {"prompt_tokens", MEMBER_INTEGER, .need = true},
    {"total_tokens", MEMBER_INTEGER, .need = true},
    {0},
};

static const member result[] = {
    {"index", MEMBER_INTEGER, .need = true},
    {"relevance_score", MEMBER_NUMBER, .need = true,
     .about = "The cosine of two vectors: -1 to 1."},
    {"document", MEMBER_OBJECT, .about = "Its text."},
    {0},
};

static const member rerank_answer[] = {
    {"id", MEMBER_STRING, .need = true},
    {"model", MEMBER_STRING, .need = true},
    {"usage", MEMBER_OBJECT, .need = true, .of = usage},
    {"results", MEMBER_ARRAY, .need = true, .of = result, .about = "The best first."},
    {0},
};

static const member score_body[] = {
    {"model", MEMBER_STRING, .about = "One made for embeddings."},
    {"text_1", MEMBER_STRING | MEMBER_ARRAY, .need = true, .min = 1, .max = -1,
     .items = MEMBER_STRING, .nul = true},
    {"text_2", MEMBER_STRING | MEMBER_ARRAY, .need = true, .min = 1, .max = -1,
     .items = MEMBER_STRING, .nul = true},
    {"user", MEMBER_STRING, .use = MEMBER_IDLE},
    {0},
};

static const member score_one[] = {
    {"index", MEMBER_INTEGER, .need = true},
    {"object", MEMBER_STRING, .need = true, .words = "score"},
    {"score", MEMBER_NUMBER, .need = true},
    {0},
};

static const member score_answer[] = {
    {"id", MEMBER_STRING, .need = true},
    {"object", MEMBER_STRING, .need = true, .words = "list"},
    {"created", MEMBER_INTEGER, .need = true},
    {"model", MEMBER_STRING, .need = true},
    {"data", MEMBER_ARRAY, .need = true, .of = score_one},
    {"usage", MEMBER_OBJECT, .need = true, .of = usage},
    {0},
};

static const member classify_body[] = {
    {"model", MEMBER_STRING, .about = "A task."},
    {"input", MEMBER_STRING | MEMBER_ARRAY, .need = true, .min = 1, .max = -1,
     .items = MEMBER_STRING, .nul = true},
    {"user", MEMBER_STRING, .use = MEMBER_IDLE},
    {0},
};

static const member class_one[] = {
    {"index", MEMBER_INTEGER, .need = true},
    {"label", MEMBER_STRING, .need = true},
    {"probs", MEMBER_ARRAY, .need = true, .items = MEMBER_NUMBER,
     .about = "In the order of the contract's options."},
    {"num_classes", MEMBER_INTEGER, .need = true},
    {0},
};

static const member classify_answer[] = {
    {"id", MEMBER_STRING, .need = true},
    {"object", MEMBER_STRING, .need = true, .words = "list"},
    {"created", MEMBER_INTEGER, .need = true},
    {"model", MEMBER_STRING, .need = true},
    {"data", MEMBER_ARRAY, .need = true, .of = class_one},
    {"usage", MEMBER_OBJECT, .need = true, .of = usage},
    {0},
};

#define RERANK(path, id)                                                                 \
    {                                                                                    \
        "POST", path, id, "Documents by their nearness to a query.", SCOPE_CLIENT,       \
            .body = rerank_body, .answer = rerank_answer, .handle = rerank               \
    }
#define SCORE(path, id)                                                                  \
    {                                                                                    \
        "POST", path, id, "How near texts are to each other.", SCOPE_CLIENT,             \
            .body = score_body, .answer = score_answer, .handle = score                  \
    }
#define CLASSIFY(path, id)                                                               \
    {                                                                                    \
        "POST", path, id, "The class that a task gives to texts.", SCOPE_CLIENT,         \
            .body = classify_body, .answer = classify_answer, .handle = classify         \
    }

const route wire_rank[] = {
    RERANK("/rerank", "rerank"),       RERANK("/v1/rerank", "rerankV1"),
    SCORE("/score", "score"),          SCORE("/v1/score", "scoreV1"),
    CLASSIFY("/classify", "classify"), {0},
};
