/* serve/wire_embeddings.c - POST /v1/embeddings: texts to vectors of length 1.
 *
 * A model made for embeddings pools as its maker says; of one that writes text it is the
 * mean over the final states of all tokens, as other servers take it. */
#include "base/mem.h"
#include "serve/param.h"
#include "serve/route.h"
#include "serve/vectors.h"
#include <sodium/utils.h>
#include <string.h>

enum { ANSWER_MAX = 1 << 30 };

/* One text, many, the tokens of one, or those of many. */
typedef enum input_kind { INPUT_TEXT, INPUT_TEXTS, INPUT_IDS, INPUT_MANY_IDS } input_kind;

static input_kind kind_of(const json_t *input)
{
    if (json_is_string(input))
        return INPUT_TEXT;
    const json_t *first = json_array_get(input, 0);
    return json_is_integer(first) ? INPUT_IDS
           : json_is_array(first) ? INPUT_MANY_IDS
                                  : INPUT_TEXTS;
}

static void add_one(vectors *v, const json_t *one, input_kind kind, const char *param,
                    problems *out)
{
    if (kind == INPUT_TEXT || kind == INPUT_TEXTS) {
        if (json_is_string(one))
            vectors_add_text(v, json_string_value(one), json_string_length(one), param,
                             out);
        else
            problems_add(out, PROBLEM_TYPE, param,
                         "a string, like the texts before it, is wanted");
    } else if (json_is_array(one)) {
        vectors_add_ids(v, one, param, out);
    } else {
        problems_add(out, PROBLEM_TYPE, param, "a list of token ids is wanted");
    }
}

static vectors *read_input(call *c, hub_use *use, problems *out)
{
    const json_t *input = body_get(call_body(c), "input");
    input_kind kind = kind_of(input);
    bool one = kind == INPUT_TEXT || kind == INPUT_IDS;
    size_t n = one ? 1 : json_array_size(input);
    char param[PROBLEM_PARAM_MAX];
    if (n == 0 || n > VECTORS_MAX_TEXTS) {
        problems_add(out, PROBLEM_COUNT, "input", "1 to %d texts, not %zu",
                     VECTORS_MAX_TEXTS, n);
        return NULL;
    }
    vectors *v = vectors_new(c, use, (uint32_t)n, true, out);
    for (size_t i = 0; v && i < n; i++) {
        param_index(param, "input", i);
        add_one(v, one ? input : json_array_get(input, i), kind, one ? "input" : param,
                out);
    }
    return v;
}

/* A length other than the model's would need a model that was made for it. */
static void check_dimensions(const call *c, const hub_use *use, problems *out)
{
    int64_t wanted = body_integer(call_body(c), "dimensions", 0);
    const lm *l = hub_use_lm(use);
    if (wanted && l && wanted != model_about(l->model)->n_embd)
        problems_add(out, PROBLEM_UNSUPPORTED, "dimensions",
                     "'%s' gives %u numbers, and no other count", hub_use_name(use),
                     model_about(l->model)->n_embd);
}

static void write_floats(st_buf *out, const float *x, uint32_t n)
{
    st_buf_char(out, '[');
    for (uint32_t i = 0; i < n; i++)
        st_buf_fmt(out, "%s%.9g", i ? "," : "", (double)x[i]);
    st_buf_char(out, ']');
}

/* Little-endian floats, as the machine has them. */
static void write_base64(st_buf *out, const float *x, uint32_t n)
{
    size_t bytes = n * sizeof *x;
    size_t room = sodium_base64_encoded_len(bytes, sodium_base64_VARIANT_ORIGINAL);
    st_buf_char(out, '"');
    if (st_buf_room(out, room) == 0) {
        sodium_bin2base64(out->data + out->len, room, (const unsigned char *)x, bytes,
                          sodium_base64_VARIANT_ORIGINAL);
        out->len += room - 1;
    }
    st_buf_char(out, '"');
}

static void reply(call *c, vectors *v, const st_err *why)
{
    uint32_t n = (uint32_t)(uintptr_t)vectors_arg(v);
    bool base64 =
        strcmp(body_text(call_body(c), "encoding_format", "float"), "base64") == 0;
    if (why) {
        call_reply_error(c, "input", why);
        vectors_free(v);
        return;
    }
    st_buf text;
    st_buf_init(&text, ANSWER_MAX);
    st_buf_str(&text, "{\"object\":\"list\",\"data\":[");
    for (uint32_t i = 0; i < n; i++) {
        st_buf_fmt(&text, "%s{\"object\":\"embedding\",\"index\":%u,\"embedding\":",
                   i ? "," : "", i);
        (base64 ? write_base64 : write_floats)(&text, vectors_of(v, i),
                                               vectors_n_embd(v));
        st_buf_char(&text, '}');
    }
    json_t *rest =
        json_pack("{s:s, s:{s:I, s:I}}", "model", body_text(call_body(c), "model", ""),
                  "usage", "prompt_tokens", (json_int_t)vectors_n_tokens(v),
                  "total_tokens", (json_int_t)vectors_n_tokens(v));
    char *tail = rest ? json_dumps(rest, JSON_COMPACT) : NULL;
    st_buf_fmt(&text, "],%s", tail ? tail + 1 : "");
    if (tail && !text.code)
        call_reply_text(c, 200, "application/json", text.data, text.len);
    else
        call_reply_json(c, 200, NULL);
    st_free(tail);
    json_decref(rest);
    st_buf_done(&text);
    vectors_free(v);
}

static void embeddings(call *c)
{
    problems p = {0};
    vectors *v = NULL;
    hub_use *use = call_use(c, NULL, &p);
    if (use) {
        check_dimensions(c, use, &p);
        v = read_input(c, use, &p);
    }
    if (p.n > 0 || p.out_of_memory || !v) {
        call_reply_problems(c, &p);
        vectors_free(v);
        return;
    }
    const json_t *input = body_get(call_body(c), "input");
    input_kind kind = kind_of(input);
    size_t n = kind == INPUT_TEXT || kind == INPUT_IDS ? 1 : json_array_size(input);
    vectors_run(v, reply, (void *)(uintptr_t)n);
}

static const member request[] = {
    {"model", MEMBER_STRING, .need = true},
    {"input", MEMBER_STRING | MEMBER_ARRAY, .need = true, .min = 1, .max = -1,
     .nul = true, .items = MEMBER_STRING | MEMBER_INTEGER | MEMBER_ARRAY,
     .about = "A text, texts, the token ids of one, or of many."},
    {"encoding_format", MEMBER_STRING, .words = "float base64",
     .about = "base64: of 32-bit floats, little-endian."},
    {"dimensions", MEMBER_INTEGER, .min = 1, .max = 1 << 20,
     .about = "Only what the model gives."},
    {"user", MEMBER_STRING, .use = MEMBER_IDLE},
    {0},
};

static const member one[] = {
    {"object", MEMBER_STRING, .need = true, .words = "embedding"},
    {"index", MEMBER_INTEGER, .need = true},
    {"embedding", MEMBER_ARRAY | MEMBER_STRING, .need = true, .items = MEMBER_NUMBER},
    {0},
};

static const member usage[] = {
    {"prompt_tokens", MEMBER_INTEGER, .need = true},
    {"total_tokens", MEMBER_INTEGER, .need = true},
    {0},
};

static const member answer[] = {
    {"object", MEMBER_STRING, .need = true, .words = "list"},
    {"data", MEMBER_ARRAY, .need = true, .of = one},
    {"model", MEMBER_STRING, .need = true},
    {"usage", MEMBER_OBJECT, .need = true, .of = usage},
    {0},
};

const route wire_embeddings[] = {
    {"POST", "/v1/embeddings", "createEmbedding", "Texts to vectors of length 1.",
     SCOPE_CLIENT, .body = request, .answer = answer, .handle = embeddings},
    {0},
};
