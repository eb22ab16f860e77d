/* cli/tools.c - functions that a model may call, in stint run.
 *
 * Each row compiles its own functions; the vocabulary's trie is made once. */
#include "cli/tools.h"

#include "base/file.h"
#include "base/mem.h"
#include "task/chat.h"
#include <string.h>

enum { TOOLS_FILE_MAX = 16 << 20 };

/* tool_choice as JSON: a word, or the name of a function. */
static json_t *choice_json(const char *which)
{
    static const char *const words[] = {"auto", "none", "required"};
    for (size_t i = 0; i < ST_COUNT(words); i++) {
        if (strcmp(which, words[i]) == 0)
            return json_string(which);
    }
    return json_pack("{s:s, s:{s:s}}", "type", "function", "function", "name", which);
}

int cli_tools_read(const cli_args *args, cli_tools *ret, st_err *err)
{
    const char *path = cli_get(args, "tools"), *which = cli_get(args, "tool-choice");
    char *text = NULL;
    size_t len;
    uint64_t most;
    json_error_t why;
    ret->given = path || which || cli_flag(args, "no-parallel-tool-calls") ||
                 cli_get(args, "max-tool-calls");
    int rc = cli_u64(args, "max-tool-calls", 0, 1, 1 << 20, &most, err);
    if (rc == 0 && path)
        rc = st_file_read(path, TOOLS_FILE_MAX, &text, &len, err);
    if (rc < 0)
        return rc;
    ret->max_calls = (uint32_t)most;
    ret->one_call = cli_flag(args, "no-parallel-tool-calls");
    if (path) {
        ret->tools = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
        if (!ret->tools)
            rc = st_err_set(err, ST_EFORMAT, "%s: line %d, column %d: %s", path, why.line,
                            why.column, why.text);
    }
    if (rc == 0 && which && !(ret->choice = choice_json(which)))
        rc = st_err_set(err, ST_EINVAL, "--tool-choice is not UTF-8 text");
    st_free(text);
    return rc;
}

void cli_tools_done(cli_tools *t)
{
    vocab_free(t->vocab);
    json_decref(t->tools);
    json_decref(t->choice);
    *t = (cli_tools){0};
}

void called_done(called *c)
{
    masker_free(c->masker);
    grammar_free(c->grammar);
    toolset_free(c->set);
    st_free(c->text);
    st_free(c->choice);
    *c = (called){0};
}

int called_open(cli_tools *t, const lm *l, const json_t *row, called *ret, st_err *err)
{
    const json_t *parallel = json_object_get(row, "parallel_tool_calls");
    const json_t *choice = json_object_get(row, "tool_choice");
    const json_t *tools = json_object_get(row, "tools");
    choice = choice ? choice : t->choice;
    ret->tools = tools ? tools : t->tools;
    if (!ret->tools) {
        st_err_set(err, ST_EINVAL, "no functions");
        st_err_hint(err, "give them with --tools, or in the row as \"tools\"");
        return ST_EINVAL;
    }
    if (parallel && !json_is_boolean(parallel))
        return st_err_set(err, ST_EINVAL, "parallel_tool_calls is true or false");
    ret->text = json_dumps(ret->tools, JSON_COMPACT | JSON_ENCODE_ANY);
    ret->choice = choice ? json_dumps(choice, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (!ret->text || (choice && !ret->choice))
        return st_err_set(err, ST_ENOMEM, "no memory for functions");
    const toolset_opts opts = {.choice = ret->choice,
                               .choice_len = ret->choice ? strlen(ret->choice) : 0,
                               .one_call = t->one_call || json_is_false(parallel),
                               .max_calls = t->max_calls};
    ret->format = toolcall_format_of(tok_chat_template(l->tok));
    int rc = toolset_new(ret->text, strlen(ret->text), &opts, &ret->set, NULL, err);
    if (rc == 0)
        rc = grammar_tools(ret->set, ret->format, &ret->grammar, NULL, err);
    if (rc == 0 && !t->vocab)
        rc = vocab_new(l->tok, &t->vocab, err);
    if (rc == 0)
        rc = masker_new(ret->grammar, t->vocab, NULL, &ret->masker, err);
    return rc;
}

int called_encode(const called *c, const lm *l, const json_t *messages, tok_ids *ids,
                  st_err *err)
{
    const chat_tools with = {.tools = c->tools, .set = c->set, .format = c->format};
    return chat_encode(l, messages, &with, NULL, ids, err);
}

/* Calls as OpenAI's API has them.  An id that the model did not write is its number in
 * nine characters, which is what the strictest template takes. */
static json_t *calls_json(const toolcalls *calls)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < calls->n; i++) {
        const toolcall *c = &calls->calls[i];
        char id[32];
        snprintf(id, sizeof id, "call%05u", i);
        json_t *call =
            json_pack("{s:s, s:s, s:{s:s, s:s}}", "id", c->id[0] ? c->id : id, "type",
                      "function", "function", "name", c->name, "arguments", c->arguments);
        json_array_append_new(list, call);
    }
    return list;
}

int called_read(const called *c, const st_buf *text, json_t **ret, st_err *err)
{
    toolcalls calls;
    int rc = toolcalls_read(c->set, c->format, text->data ? text->data : "", text->len,
                            &calls, err);
    if (rc < 0)
        return rc;
    json_t *list = calls_json(&calls), *answer = NULL;
    if (list && json_array_size(list) == calls.n)
        answer = json_pack(
            "{s:o, s:O, s:s}", "content",
            calls.content_len > 0 ? cli_json_text(calls.content, calls.content_len)
                                  : json_null(),
            "tool_calls", list, "finish", calls.n > 0 ? "tool_calls" : "stop");
    json_decref(list);
    toolcalls_done(&calls);
    if (!answer)
        return st_err_set(err, ST_ENOMEM, "no memory for an answer");
    *ret = answer;
    return 0;
}
