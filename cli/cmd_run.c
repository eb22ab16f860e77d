/* cli/cmd_run.c - stint run: text from a model, one prompt or rows of them.
 *
 * On a terminal the text appears as it is made.  Generation ends at the token that ends a
 * turn, after -n tokens, or at the end of the context. */
#include "cli/hold.h"
#include "cli/open.h"
#include "cli/tools.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "engine/sched.h"
#include <stdio.h>
#include <string.h>

typedef struct talk { /* what all prompts of a run share */
    lm *lm;
    sampler_opts how;
    hold hold;
    cli_tools tools;
    called called; /* the functions of the row under way; its set NULL: none */
    char *system;  /* with what the model is told about the grammar; NULL: none */
    uint32_t max_new;
    bool raw; /* the prompt is not put into the chat template */
    bool stream;
    sched *sched;
    int rc; /* of the first row whose answer was not whole */
} talk;

typedef struct reply {
    const talk *talk;
    st_buf text;
    size_t shown; /* bytes already written to the terminal */
    uint32_t n_prompt;
    uint32_t n_new;
    bool stopped; /* by the model */
    bool cut;     /* held, and not whole */
    int rc;
    st_err *err;
} reply;

/* Control characters of a model's text do not reach the terminal. */
static void show(const char *text, size_t len)
{
    bool terminal = cli_stdout_is_terminal();
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
        putchar(terminal && control ? '?' : c);
    }
    fflush(stdout);
}

/* Write what is new, except a character whose last bytes are still to come. */
static void show_whole_chars(reply *r)
{
    size_t end = r->shown, used;
    while (end < r->text.len) {
        uint32_t c = st_utf8_decode(r->text.data + end, r->text.len - end, &used);
        if (c == ST_UTF8_BAD && r->text.len - end < 4)
            break;
        end += used;
    }
    show(r->text.data + r->shown, end - r->shown);
    r->shown = end;
}

static int token_append(const talk *t, reply *r, int32_t id, st_err *err)
{
    if (t->hold.masker) /* the text that was held is its pieces */
        return tok_piece(t->lm->tok, id, &r->text, err);
    if (tok_is_control(t->lm->tok, id))
        return 0;
    if (r->n_new == 1) /* a text does not begin with the space of its first word */
        return tok_decode(t->lm->tok, &id, 1, false, &r->text, err);
    return tok_piece(t->lm->tok, id, &r->text, err);
}

static bool token_came(void *arg, const sched_token *token)
{
    reply *r = arg;
    const talk *t = r->talk;
    r->stopped = tok_is_end(t->lm->tok, token->id);
    if (r->stopped)
        return false;
    r->n_new++;
    r->rc = token_append(t, r, token->id, r->err);
    if (r->rc == 0 && t->stream)
        show_whole_chars(r);
    return r->rc == 0;
}

/* A held text is an answer when it is whole and another reading of the grammar agrees. */
static int held_check(reply *r, const sched_result *result)
{
    const grammar *g = r->talk->hold.grammar;
    int rc = ST_ELIMIT;
    r->cut = result->end != SCHED_END_DONE;
    if (r->cut) {
        st_err_set(r->err, rc, "the answer was cut after %u tokens: it is not whole",
                   r->n_new);
        st_err_hint(r->err, "allow more with --tokens or --ctx");
        return rc;
    }
    r->stopped = true;
    rc = grammar_validate(g, r->text.data ? r->text.data : "", r->text.len, r->err);
    if (rc < 0)
        st_err_at(r->err, "the finished answer does not fit the grammar");
    return rc;
}

static void reply_ended(void *arg, const sched_result *result)
{
    reply *r = arg;
    if (result->end == SCHED_END_ERROR && r->rc == 0)
        r->rc = st_err_set(r->err, result->err->code, "%s", result->err->message);
    if (r->rc == 0 && r->talk->hold.grammar)
        r->rc = held_check(r, result);
    if (r->rc == 0 && r->talk->stream)
        show(r->text.data ? r->text.data + r->shown : "", r->text.len - r->shown);
}

/* Answer a prompt of ids; `input` is what the answer may repeat parts of. */
static int answer(const talk *t, const tok_ids *ids, const char *input, size_t len,
                  reply *r, st_err *err)
{
    sched_id id;
    if (ids->n == 0)
        return st_err_set(err, ST_EINVAL, "the prompt is empty");
    if (ids->n > engine_n_ctx(t->lm->engine)) {
        st_err_set(err, ST_ELIMIT, "the prompt has %zu tokens, the context holds %u",
                   ids->n, engine_n_ctx(t->lm->engine));
        st_err_hint(err, "shorten it, or ask for a longer context with --ctx");
        return ST_ELIMIT;
    }
    r->talk = t;
    r->err = err;
    r->n_prompt = (uint32_t)ids->n;
    const sched_request ask = {
        .tokens = ids->ids,
        .n = r->n_prompt,
        .generate = {.how = t->how,
                     .max_new = t->max_new,
                     .held = {t->hold.masker, t->lm->tok, input, len},
                     .on_token = token_came},
        .done = reply_ended,
        .arg = r,
    };
    int rc = sched_submit(t->sched, &ask, &id, err);
    while (rc == 0 && sched_step(t->sched))
        ;
    return rc < 0 ? rc : r->rc;
}

static int prompt_encode(const talk *t, const char *text, size_t len, tok_ids *ids,
                         st_err *err)
{
    if (t->raw)
        return tok_encode(t->lm->tok, text, len, TOK_ADD, ids, err);
    return lm_prompt(t->lm, t->system, text, len, ids, err);
}

/* A conversation, with what the model is told about the grammar in its system turn. */
static int messages_encode(const talk *t, const json_t *messages, tok_ids *ids,
                           st_err *err)
{
    if (!t->hold.shown)
        return lm_chat(t->lm, messages, NULL, ids, err);
    json_t *turns = json_copy((json_t *)(uintptr_t)messages), *first = NULL;
    const json_t *old = json_array_get(messages, 0);
    const char *role = json_string_value(json_object_get(old, "role"));
    const char *said = json_string_value(json_object_get(old, "content"));
    int rc = ST_ENOMEM;
    if (role && said && strcmp(role, "system") == 0) {
        first = json_pack("{s:s, s:o?}", "role", "system", "content",
                          json_sprintf("%s\n\n%s", said, t->hold.shown));
        if (first && json_array_set_new(turns, 0, first) == 0)
            rc = 0;
    } else {
        first = json_pack("{s:s, s:s}", "role", "system", "content", t->hold.shown);
        if (first && json_array_insert_new(turns, 0, first) == 0)
            rc = 0;
    }
    rc = rc < 0 ? st_err_set(err, rc, "no memory for a prompt")
                : lm_chat(t->lm, turns, NULL, ids, err);
    json_decref(turns);
    return rc;
}

/* The text of the last message, or NULL. */
static const json_t *last_said(const json_t *messages)
{
    size_t n = json_array_size(messages);
    const json_t *text =
        n > 0 ? json_object_get(json_array_get(messages, n - 1), "content") : NULL;
    return json_is_string(text) ? text : NULL;
}

/* The text as JSON; bytes that are no character (a text cut short) become U+FFFD. */
static json_t *text_json(const st_buf *text)
{
    st_buf clean;
    size_t used;
    st_buf_init(&clean, SIZE_MAX / 2);
    for (size_t i = 0; i < text->len; i += used) {
        if (st_utf8_decode(text->data + i, text->len - i, &used) == ST_UTF8_BAD)
            st_buf_str(&clean, "\xEF\xBF\xBD");
        else
            st_buf_add(&clean, text->data + i, used);
    }
    json_t *value =
        clean.code ? NULL : json_stringn(clean.data ? clean.data : "", clean.len);
    st_buf_done(&clean);
    return value;
}

/* Functions of a row: its answer is held to content and calls. */
static int row_open(talk *t, const json_t *row, st_err *err)
{
    if (!t->tools.given && !json_object_get(row, "tools"))
        return 0;
    if (t->hold.grammar && !t->called.grammar)
        return st_err_set(err, ST_EINVAL,
                          "an answer that may call functions is held to nothing else");
    int rc = called_open(&t->tools, t->lm, row, &t->called, err);
    t->hold = (hold){.grammar = t->called.grammar, .masker = t->called.masker};
    return rc;
}

static void row_close(talk *t)
{
    if (t->called.tools)
        t->hold = (hold){0}; /* what was lent */
    called_done(&t->called);
}

/* A prompt as a conversation. */
static int called_prompt(const talk *t, const json_t *prompt, tok_ids *ids, st_err *err)
{
    json_t *turns = json_array();
    json_t *user = json_pack("{s:s, s:O}", "role", "user", "content", prompt);
    int rc = turns && user ? 0 : ST_ENOMEM;
    if (t->system)
        rc |= json_array_append_new(
            turns, json_pack("{s:s, s:s}", "role", "system", "content", t->system));
    rc |= json_array_append(turns, user);
    rc = rc ? st_err_set(err, ST_ENOMEM, "no memory for a prompt")
            : called_encode(&t->called, t->lm, turns, ids, err);
    json_decref(user);
    json_decref(turns);
    return rc;
}

static int row_encode(const talk *t, const json_t *row, const json_t **ret_input,
                      tok_ids *ids, st_err *err)
{
    const json_t *prompt = json_object_get(row, "prompt");
    const json_t *messages = json_object_get(row, "messages");
    if (t->called.set && json_is_string(prompt) && !messages) {
        *ret_input = prompt;
        return called_prompt(t, prompt, ids, err);
    }
    if (t->called.set && json_is_array(messages) && !prompt) {
        *ret_input = last_said(messages);
        return called_encode(&t->called, t->lm, messages, ids, err);
    }
    if (json_is_string(prompt) && !messages) {
        *ret_input = prompt;
        return prompt_encode(t, json_string_value(prompt), json_string_length(prompt),
                             ids, err);
    }
    if (json_is_array(messages) && !prompt) {
        *ret_input = last_said(messages);
        return messages_encode(t, messages, ids, err);
    }
    return st_err_set(err, ST_EFORMAT,
                      "a row has either a string \"prompt\" or an array \"messages\"");
}

static int called_print(const reply *r, st_err *err)
{
    json_t *answer = NULL;
    int rc = called_read(&r->talk->called, &r->text, &answer, err);
    if (rc == 0 &&
        (json_object_set_new(answer, "prompt_tokens",
                             json_integer((json_int_t)r->n_prompt)) ||
         json_object_set_new(answer, "tokens", json_integer((json_int_t)r->n_new)))) {
        json_decref(answer);
        rc = st_err_set(err, ST_ENOMEM, "no memory for an answer");
    }
    return rc < 0 ? rc : cli_print_json(answer, err);
}

static int row_print(const reply *r, st_err *err)
{
    const char *finish = r->stopped ? "stop" : "length";
    if (r->cut)
        return cli_print_json(json_pack("{s:s, s:i, s:i, s:s}", "error",
                                        "the answer was cut: it is not whole",
                                        "prompt_tokens", (int)r->n_prompt, "tokens",
                                        (int)r->n_new, "finish", finish),
                              err);
    if (r->talk->called.set)
        return called_print(r, err);
    return cli_print_json(json_pack("{s:o?, s:i, s:i, s:s}", "text", text_json(&r->text),
                                    "prompt_tokens", (int)r->n_prompt, "tokens",
                                    (int)r->n_new, "finish", finish),
                          err);
}

static int row_answer(void *arg, json_t *row, size_t line, st_err *err)
{
    talk *t = arg;
    const json_t *input = NULL;
    tok_ids ids = {0};
    reply r = {0};
    (void)line;
    st_buf_init(&r.text, 16 << 20);
    int rc = row_open(t, row, err);
    if (rc == 0)
        rc = row_encode(t, row, &input, &ids, err);
    if (rc == 0)
        rc =
            answer(t, &ids, json_string_value(input), json_string_length(input), &r, err);
    if (rc < 0 && r.cut) { /* the other rows go on; the end is an error */
        t->rc = rc;
        rc = 0;
    }
    if (rc == 0)
        rc = row_print(&r, err);
    st_buf_done(&r.text);
    tok_ids_done(&ids);
    row_close(t);
    return rc;
}

static int rows_answer(talk *t, const char *input, st_err *err)
{
    int rc = cli_each_row(input ? input : "-", row_answer, t, err);
    return rc < 0 || t->rc == 0 ? rc
                                : st_err_set(err, t->rc, "not all answers are whole");
}

static int operand_answer(talk *t, const char *prompt, st_err *err)
{
    tok_ids ids = {0};
    reply r = {0};
    if (!prompt) {
        st_err_set(err, ST_EINVAL, "no prompt");
        st_err_hint(err, "give the prompt, or rows with --jsonl");
        return ST_EINVAL;
    }
    if (t->tools.given) { /* as a row */
        json_t *row =
            json_pack("{s:o?}", "prompt", cli_json_text(prompt, strlen(prompt)));
        int rc = row ? row_answer(t, row, 1, err)
                     : st_err_set(err, ST_ENOMEM, "no memory for a prompt");
        json_decref(row);
        return rc < 0 || t->rc == 0 ? rc : st_err_set(err, t->rc, "the answer was cut");
    }
    t->stream = !t->hold.grammar; /* what is held is shown when it is known to fit */
    st_buf_init(&r.text, 16 << 20);
    int rc = prompt_encode(t, prompt, strlen(prompt), &ids, err);
    if (rc == 0)
        rc = answer(t, &ids, prompt, strlen(prompt), &r, err);
    if (rc == 0 && !t->stream)
        show_whole_chars(&r);
    if (t->stream ? r.n_new > 0 : rc == 0)
        putchar('\n');
    st_buf_done(&r.text);
    tok_ids_done(&ids);
    return rc;
}

/* The options of the draw: all numbers, each named in its own error. */
static int how_read(const cli_args *args, talk *t, st_err *err)
{
    double temp, top_p, min_p, repeat, frequency, presence;
    uint64_t top_k, seed, n;
    int rc = cli_f64(args, "temp", 0, 0, 100, &temp, err);
    if (rc < 0 || (rc = cli_u64(args, "top-k", 0, 0, 1 << 24, &top_k, err)) < 0 ||
        (rc = cli_f64(args, "top-p", 1, 1e-6, 1, &top_p, err)) < 0 ||
        (rc = cli_f64(args, "min-p", 0, 0, 0.999, &min_p, err)) < 0 ||
        (rc = cli_f64(args, "repeat-penalty", 1, 0.01, 100, &repeat, err)) < 0 ||
        (rc = cli_f64(args, "frequency-penalty", 0, -2, 2, &frequency, err)) < 0 ||
        (rc = cli_f64(args, "presence-penalty", 0, -2, 2, &presence, err)) < 0 ||
        (rc = cli_u64(args, "seed", 0, 0, UINT64_MAX, &seed, err)) < 0 ||
        (rc = cli_u64(args, "tokens", 256, 1, 1 << 24, &n, err)) < 0)
        return rc;
    t->max_new = (uint32_t)n;
    t->how = (sampler_opts){
        .temperature = (float)temp,
        .top_k = (uint32_t)top_k,
        .top_p = (float)top_p,
        .min_p = (float)min_p,
        .repeat_penalty = (float)repeat,
        .frequency_penalty = (float)frequency,
        .presence_penalty = (float)presence,
        .seed = seed,
    };
    return 0;
}

/* What is said in the system turn. */
static int system_make(const char *given, bool raw, talk *t, st_err *err)
{
    const char *shown = raw ? NULL : t->hold.shown;
    st_buf text;
    if (raw && given)
        return st_err_set(err, ST_EINVAL,
                          "--raw has no system turn: put it into the prompt");
    if (!given && !shown)
        return 0;
    st_buf_init(&text, SIZE_MAX / 2);
    st_buf_str(&text, given ? given : "");
    st_buf_str(&text, given && shown ? "\n\n" : "");
    st_buf_str(&text, shown ? shown : "");
    t->system = st_buf_detach(&text, NULL);
    st_buf_done(&text);
    return t->system ? 0 : st_err_set(err, ST_ENOMEM, "no memory for a system turn");
}

static int run(cli_args *args, st_err *err)
{
    static const sched_opts one = {.max_requests = 1, .max_live = 1};
    talk t = {.raw = cli_flag(args, "raw")};
    int rc = how_read(args, &t, err);
    if (rc == 0)
        rc = cli_tools_read(args, &t.tools, err);
    if (rc == 0 && t.raw && t.tools.given)
        rc =
            st_err_set(err, ST_EINVAL, "--raw has no functions: they need a chat format");
    if (rc == 0)
        rc = cli_open_model(args, &t.lm, err);
    if (rc < 0)
        goto out;
    if (!model_about(t.lm->model)->has_head) {
        rc = st_err_set(err, ST_EUNSUPPORTED, "the model '%s' gives no logits",
                        model_about(t.lm->model)->arch);
        st_err_hint(err, "an encoder makes embeddings: stint embed");
        goto out;
    }
    rc = cli_hold(args, t.lm->tok, &t.hold, err);
    if (rc == 0)
        rc = system_make(cli_get(args, "system"), t.raw, &t, err);
    if (rc == 0)
        rc = sched_new(t.lm->engine, &one, &t.sched, err);
    if (rc < 0)
        goto out;
    if (cli_flag(args, "jsonl"))
        rc = rows_answer(&t, cli_get(args, "input"), err);
    else
        rc = operand_answer(&t, cli_operand(args, 0), err);
out:
    sched_free(t.sched);
    st_free(t.system);
    hold_done(&t.hold);
    cli_tools_done(&t.tools);
    lm_close(t.lm);
    return rc;
}

static const cli_option flags[] = {
    CLI_MODEL_OPTIONS,
    {"system", 's', "TEXT", "A system turn before the prompt."},
    {"raw", 0, NULL, "Continue the prompt as plain text, without the chat format."},
    {"tokens", 'n', "N", "Most tokens to make (256)."},
    {"temp", 0, "X", "Temperature; 0 takes the likeliest token (default)."},
    {"top-k", 0, "K", "Draw among the K likeliest tokens."},
    {"top-p", 0, "P", "Draw among the likeliest tokens that hold the mass P."},
    {"min-p", 0, "P", "Leave out tokens under P times the likeliest."},
    {"repeat-penalty", 0, "X", "Divide the scores of tokens that occurred."},
    {"frequency-penalty", 0, "X", "Lower a score by X for each occurrence."},
    {"presence-penalty", 0, "X", "Lower the scores of tokens that occurred by X."},
    {"seed", 0, "N", "The same seed draws the same text (0)."},
    CLI_HOLD_OPTIONS,
    CLI_TOOLS_OPTIONS,
    {"jsonl", 0, NULL,
     "Read rows {\"prompt\"} or {\"messages\"}; write rows {\"text\"}."},
    {"input", 'i', "FILE", "Where the rows are; standard input when not given."},
    {0},
};

const cli_command cli_run = {
    .name = "run",
    .summary = "let a model answer a prompt",
    .operands = "[PROMPT]",
    .max_operands = 1,
    .options = flags,
    .details =
        "The prompt goes through the model's own chat format as a user turn. What it "
        "spells is data: it cannot end the turn or begin another. A held answer is "
        "printed when "
        "it is whole and was checked once more, else it is an error; a row then has "
        "\"error\" in place of \"text\".\n"
        "With --tools the answer is one line of JSON: \"content\", and \"tool_calls\" "
        "as in OpenAI's API. A call names a function of the file, and its arguments fit "
        "the function's parameters: the model can write nothing else. A row of --jsonl "
        "may have \"tools\", \"tool_choice\" and \"parallel_tool_calls\" of its own.",

    .example =
        "stint run -m smollm2-135m-instruct 'Write one sentence about the sea.'\n"
        "The sea is a vast and mysterious realm that exists beneath the waves, a vast\n"
        "and mysterious realm that exists beneath the waves.",
    .run = run,
};
