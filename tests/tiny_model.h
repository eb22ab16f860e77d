/* tests/tiny_model.h - a model of random weights that chats, small enough to serve under
 * the thread sanitizer.
 *
 * One of the goldens, with a chat template and a longer context put into its header. */
#ifndef TESTS_TINY_MODEL_H
#define TESTS_TINY_MODEL_H
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "tests/here.h"
#include <stdio.h>
#include <string.h>

#define TINY_SOURCE "../shared/goldens/logits/llama-gqa/model-f32.gguf"

enum { TINY_CONTEXT = 2048, TINY_ALIGN = 32, TINY_HEAD = 24, TINY_STRING = 8 };

/* One key with the template, filled with a comment to a multiple of the alignment: what
 * stands behind it keeps its offsets. */
static inline void tiny_template(st_buf *out)
{
    static const char key[] = "tokenizer.chat_template";
    static const char text[] =
        "{%- for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}"
        "{%- endfor %}{%- if add_generation_prompt %}{{ 'assistant: ' }}{%- endif %}";
    uint64_t n_key = sizeof key - 1, n_text = sizeof text - 1, comment = 4;
    uint32_t type = TINY_STRING;
    while ((8 + n_key + 4 + 8 + n_text + comment) % TINY_ALIGN != 0)
        comment++;
    n_text += comment;
    st_buf_add(out, &n_key, 8);
    st_buf_str(out, key);
    st_buf_add(out, &type, 4);
    st_buf_add(out, &n_text, 8);
    st_buf_str(out, "{#");
    for (uint64_t i = 4; i < comment; i++)
        st_buf_char(out, '-');
    st_buf_str(out, "#}");
    st_buf_str(out, text);
}

/* Write the model to `path`.  False, said loudly: the golden is not here. */
static inline bool tiny_model_write(const char *path)
{
    static const char context[] = "llama.context_length";
    char *data;
    size_t len, at;
    uint64_t n_keys;
    uint32_t n_ctx = TINY_CONTEXT;
    st_buf out;
    st_err err = {0};
    if (!is_here(TINY_SOURCE))
        return false;
    assert_int_equal(st_file_read(TINY_SOURCE, 1 << 24, &data, &len, &err), 0);
    for (at = 0; memcmp(data + at, context, sizeof context - 1) != 0; at++)
        assert_true(at < len / 2);
    memcpy(data + at + sizeof context - 1 + 4, &n_ctx, 4); /* behind its type */
    memcpy(&n_keys, data + 16, 8);
    n_keys++;
    memcpy(data + 16, &n_keys, 8);
    st_buf_init(&out, 1 << 24);
    st_buf_add(&out, data, TINY_HEAD);
    tiny_template(&out);
    st_buf_add(&out, data + TINY_HEAD, len - TINY_HEAD);
    assert_int_equal(out.code, 0);
    assert_int_equal(st_file_write(path, out.data, out.len, &err), 0);
    st_buf_done(&out);
    st_free(data);
    return true;
}
#endif
