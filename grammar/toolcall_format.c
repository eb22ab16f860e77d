/* grammar/toolcall_format.c - how families of models write calls: one row each.
 *
 * A format is recognised by what the chat template itself writes.  The first row that
 * fits counts, so special ones stand before general ones.  Formats that write arguments
 * in other ways than as a JSON object are not here: such a model is told to use "json".
 */
#include "grammar/toolcall_priv.h"

#include "base/mem.h"
#include <string.h>

#define NAMED "{\"name\": \"$name\", \"arguments\": $arguments}"
#define NAMED_PARAMETERS "{\"name\": \"$name\", \"parameters\": $arguments}"
#define COHERE_CALL                                                                      \
    "{\"tool_call_id\": \"$id\", \"tool_name\": \"$name\", \"parameters\": $arguments}"

static const toolcall_format formats[] = {
    {
        /* Mistral Small 3.2 */
        .name = "mistral-id",
        .marks = {"[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"},
        .trigger = "[TOOL_CALLS]",
        .first = "[TOOL_CALLS]",
        .call = "$name[CALL_ID]$id[ARGS]$arguments",
        .between = "[TOOL_CALLS]",
        .end = "",
        .id = "[a-zA-Z0-9]{9}",
        .markers = {"[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"},
    },
    {
        /* Ministral, Devstral, Magistral: tokenizers from v11 on */
        .name = "mistral-args",
        .marks = {"[TOOL_CALLS]", "[ARGS]"},
        .trigger = "[TOOL_CALLS]",
        .first = "[TOOL_CALLS]",
        .call = "$name[ARGS]$arguments",
        .between = "[TOOL_CALLS]",
        .end = "",
        .markers = {"[TOOL_CALLS]", "[ARGS]"},
    },
    {
        /* Mistral and Mixtral 0.3, Nemo, Large 2407 */
        .name = "mistral",
        .marks = {"[TOOL_CALLS]"},
        .trigger = "[TOOL_CALLS]",
        .first = "[TOOL_CALLS][",
        .call = NAMED,
        .object = true,
        .between = ", ",
        .end = "]",
        .markers = {"[TOOL_CALLS]"},
    },
    {
        /* Llama 3.1, 3.2, 3.3 */
        .name = "llama3",
        .marks = {"<|start_header_id|>", "ipython", "\"parameters\": "},
        .trigger = "{\"name\": \"",
        .leads = true,
        .tag = "<|python_tag|>",
        .first = "",
        .call = NAMED_PARAMETERS,
        .object = true,
        .between = "; ",
        .end = "",
        .markers = {"<|python_tag|>"},
    },
    {
        .name = "functionary-3.2",
        .marks = {">>>all", ">>>", "!<function="},
        .trigger = ">>>",
        .content = "all\n",
        .first = "",
        .behind = ">>>",
        .call = "$name\n$arguments",
        .between = ">>>",
        .end = "",
    },
    {
        .name = "functionary-3.1",
        .marks = {"<function=", "</function>", "!<parameter="},
        .trigger = "<function=",
        .first = "",
        .call = "<function=$name>$arguments</function>",
        .between = "",
        .end = "",
    },
    {
        .name = "firefunction",
        .marks = {"functools["},
        .trigger = "functools[",
        .first = "functools[",
        .call = NAMED,
        .object = true,
        .between = ", ",
        .end = "]",
    },
    {
        /* Nemotron Nano 2 */
        .name = "nemotron",
        .marks = {"<TOOLCALL>[", "</TOOLCALL>"},
        .trigger = "<TOOLCALL>",
        .first = "<TOOLCALL>[",
        .call = NAMED,
        .object = true,
        .between = ", ",
        .end = "]</TOOLCALL>",
        .markers = {"<TOOLCALL>", "</TOOLCALL>"},
    },
    {
        .name = "apriel",
        .marks = {"<tool_calls>[", "</tool_calls>"},
        .trigger = "<tool_calls>",
        .first = "<tool_calls>[",
        .call = NAMED,
        .object = true,
        .between = ", ",
        .end = "]</tool_calls>",
        .markers = {"<tool_calls>", "</tool_calls>"},
    },
    {
        .name = "minimax-m1",
        .marks = {"<tool_calls>", "</tool_calls>", "\"arguments\""},
        .trigger = "<tool_calls>",
        .first = "<tool_calls>\n",
        .call = NAMED,
        .object = true,
        .between = "\n",
        .end = "\n</tool_calls>",
        .markers = {"<tool_calls>", "</tool_calls>"},
    },
    {
        .name = "apertus",
        .marks = {"<|tools_prefix|>", "<|tools_suffix|>"},
        .trigger = "<|tools_prefix|>",
        .first = "<|tools_prefix|>[",
        .call = "{\"$name\": $arguments}",
        .between = ", ",
        .end = "]<|tools_suffix|>",
        .markers = {"<|tools_prefix|>", "<|tools_suffix|>"},
    },
    {
        .name = "deepseek-v3.1",
        .marks = {"<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>", "!```json"},
        .trigger = "<｜tool▁calls▁begin｜>",
        .first = "<｜tool▁calls▁begin｜>",
        .call = "<｜tool▁call▁begin｜>$name<｜tool▁sep｜>$arguments<｜tool▁call▁end｜>",
        .between = "",
        .end = "<｜tool▁calls▁end｜>",
        .markers = {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>",
                    "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"},
    },
    {
        .name = "kimi-k2",
        .marks = {"<|tool_calls_section_begin|>", "<|tool_call_argument_begin|>"},
        .trigger = "<|tool_calls_section_begin|>",
        .first = "<|tool_calls_section_begin|>",
        .call = "<|tool_call_begin|>functions.$name:$id<|tool_call_argument_begin|>"
                "$arguments<|tool_call_end|>",
        .between = "",
        .end = "<|tool_calls_section_end|>",
        .id = "[0-9]{1,3}",
        .markers = {"<|tool_calls_section_begin|>", "<|tool_call_begin|>",
                    "<|tool_call_argument_begin|>", "<|tool_call_end|>",
                    "<|tool_calls_section_end|>"},
    },
    {
        /* Command R7B, Command A */
        .name = "cohere",
        .marks = {"<|START_ACTION|>", "<|END_ACTION|>", "tool_call_id"},
        .trigger = "<|START_ACTION|>",
        .first = "<|START_ACTION|>[\n    ",
        .call = COHERE_CALL,
        .object = true,
        .between = ",\n    ",
        .end = "\n]<|END_ACTION|>",
        .id = "[0-9]{1,3}",
        .markers = {"<|START_ACTION|>", "<|END_ACTION|>"},
    },
    {
        .name = "solar",
        .marks = {"<|tool_calls|>", "<|tool_call:begin|>", "<|tool_call:args|>"},
        .trigger = "<|tool_calls|>",
        .first = "<|tool_calls|>",
        .call = "<|tool_call:begin|>$id<|tool_call:name|>$name<|tool_call:args|>"
                "$arguments<|tool_call:end|>",
        .between = "",
        .end = "",
        .id = "[a-zA-Z0-9_-]{1,40}",
        .markers = {"<|tool_calls|>", "<|tool_call:begin|>", "<|tool_call:name|>",
                    "<|tool_call:args|>", "<|tool_call:end|>"},
    },
    {
        /* Hermes 2 and 3, Qwen 2.5 and 3, Granite 4, SmolLM3, MiMo, ... */
        .name = "hermes",
        .marks = {"<tool_call>", "arguments", "!<arg_key>", "!<function=", "!minimax["},
        .trigger = "<tool_call>",
        .first = "<tool_call>\n",
        .call = NAMED,
        .object = true,
        .between = "\n</tool_call>\n<tool_call>\n",
        .end = "\n</tool_call>",
        .markers = {"<tool_call>", "</tool_call>"},
    },
    {
        /* Everything else: toolset_instructions asks for it. */
        .name = "json",
        .trigger = "<tool_call>",
        .first = "<tool_call>[",
        .call = NAMED,
        .object = true,
        .between = ", ",
        .end = "]</tool_call>",
        .markers = {"<tool_call>", "</tool_call>"},
    },
};

enum { GENERIC = ST_COUNT(formats) - 1 };

static bool fits(const toolcall_format *format, const char *chat_template)
{
    for (int i = 0; i < FORMAT_MARKS && format->marks[i]; i++) {
        const char *mark = format->marks[i];
        bool without = mark[0] == '!';
        if ((strstr(chat_template, mark + without) != NULL) == without)
            return false;
    }
    return true;
}

const toolcall_format *toolcall_format_of(const char *chat_template)
{
    for (uint32_t i = 0; chat_template && i < GENERIC; i++) {
        if (fits(&formats[i], chat_template))
            return &formats[i];
    }
    return &formats[GENERIC];
}

const toolcall_format *toolcall_format_named(const char *name)
{
    for (uint32_t i = 0; i < ST_COUNT(formats); i++) {
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    }
    return NULL;
}

const toolcall_format *toolcall_format_at(uint32_t i)
{
    return i < ST_COUNT(formats) ? &formats[i] : NULL;
}

const char *toolcall_format_name(const toolcall_format *format)
{
    return format->name;
}

bool toolcall_format_is_own(const toolcall_format *format)
{
    return format != &formats[GENERIC];
}

bool call_next(const char **at, call_piece *ret_piece, const char **ret_text,
               size_t *ret_len)
{
    static const struct {
        const char *word;
        call_piece piece;
    } words[] = {
        {"$name", PIECE_NAME}, {"$arguments", PIECE_ARGUMENTS}, {"$id", PIECE_ID}};
    const char *s = *at;
    if (*s == '\0')
        return false;
    *ret_text = s;
    for (size_t i = 0; i < ST_COUNT(words); i++) {
        size_t len = strlen(words[i].word);
        if (strncmp(s, words[i].word, len) == 0) {
            *ret_piece = words[i].piece;
            *ret_len = len;
            *at = s + len;
            return true;
        }
    }
    *ret_piece = PIECE_TEXT;
    *ret_len = 1 + strcspn(s + 1, "$");
    *at = s + *ret_len;
    return true;
}

static void call_write(const toolcall_format *format, const toolcall *call, st_buf *out)
{
    const char *at = format->call, *text;
    call_piece piece;
    size_t len;
    while (call_next(&at, &piece, &text, &len)) {
        switch (piece) {
        case PIECE_TEXT:
            st_buf_add(out, text, len);
            break;
        case PIECE_NAME:
            st_buf_str(out, call->name);
            break;
        case PIECE_ARGUMENTS:
            st_buf_str(out, call->arguments);
            break;
        case PIECE_ID:
            st_buf_str(out, call->id);
            break;
        }
    }
}

int toolcalls_write(const toolcall_format *format, const toolcalls *calls, st_buf *out,
                    st_err *err)
{
    bool content = calls->content_len > 0 || calls->n == 0;
    if (content && format->content)
        st_buf_str(out, format->content);
    st_buf_add(out, calls->content, calls->content_len);
    for (uint32_t i = 0; i < calls->n; i++) {
        if (i > 0)
            st_buf_str(out, format->between);
        else
            st_buf_str(out, content && format->behind ? format->behind : format->first);
        call_write(format, &calls->calls[i], out);
    }
    if (calls->n > 0)
        st_buf_str(out, format->end);
    return out->code ? st_err_set(err, out->code, "no room for the calls") : 0;
}
