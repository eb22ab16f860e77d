/* tests/fuzz/fuzz_tokenizer.c - any bytes as a vocabulary and a text.
 *
 * Bytes that start with "GGUF" are a file, and its last bytes are the text.  Others are a
 * vocabulary to be put together: algorithm, pre-tokeniser, options, then tokens, merges
 * and the text, parted by 0xFF and, within a part, by 0xFE.  A token starts with a byte
 * that is its type and score.  Whatever comes out, literal text gives no control token,
 * and every id can be decoded. */
#include "base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/vocab_bytes.h"
#include "tokenizer/tokenizer.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_PIECES = 300, MAX_MERGES = 200, TEXT_AT_END = 300, HEAD = 4, N_BYTES = 256 };

static void check_ids(const tok *t, const tok_ids *ids, unsigned flags)
{
    st_buf out;
    st_buf_init(&out, 1 << 24);
    for (size_t i = 0; i < ids->n; i++) {
        if (ids->ids[i] < 0 || (uint32_t)ids->ids[i] >= tok_n_vocab(t))
            abort();
        if (flags == TOK_LITERAL && tok_is_control(t, ids->ids[i]))
            abort();
        if (tok_piece(t, ids->ids[i], &out, NULL))
            abort();
    }
    if (tok_decode(t, ids->ids, ids->n, flags & 1, &out, NULL))
        abort();
    st_buf_done(&out);
}

static void use(const gguf *g, const char *text, size_t len)
{
    tok *t;
    st_err err = {0};
    if (tok_new(g, &t, &err)) {
        if (!err.code || !err.message[0])
            abort();
        return;
    }
    for (unsigned flags = 0; flags < 4; flags++) {
        tok_ids ids = {0};
        if (tok_encode(t, text, len, flags, &ids, NULL) == 0)
            check_ids(t, &ids, flags);
        tok_ids_done(&ids);
    }
    unsigned char *marks = st_alloc(len);
    tok_ids ids = {0};
    if (marks) {
        memset(marks, 1, len);
        if (!tok_encode_marked(t, text, marks, len, TOK_PARSE, &ids, NULL))
            check_ids(t, &ids, TOK_LITERAL); /* all of it is data */
    }
    tok_ids_done(&ids);
    st_free(marks);
    tok_free(t);
}

/* The bytes up to the mark or the end; `*data` moves behind the mark. */
static gguf_str take(const char **data, const char *end, int mark)
{
    const char *stop = *data < end ? memchr(*data, mark, (size_t)(end - *data)) : NULL;
    gguf_str part = {*data, (size_t)((stop ? stop : end) - *data)};
    *data = stop ? stop + 1 : end;
    return part;
}

typedef struct made { /* a vocabulary put together from bytes */
    vocab_spec spec;
    gguf_str tokens[N_BYTES + MAX_PIECES];
    int32_t types[N_BYTES + MAX_PIECES];
    float scores[N_BYTES + MAX_PIECES];
    gguf_str merges[MAX_MERGES];
    char bytes[N_BYTES][8];
} made;

static void add_token(made *m, gguf_str token, int32_t type, float score)
{
    size_t i = m->spec.n_tokens++;
    m->tokens[i] = token;
    m->types[i] = type;
    m->scores[i] = score;
}

static void add_bytes(made *m, bool level)
{
    for (unsigned b = 0; b < N_BYTES; b++) {
        gguf_str byte = {m->bytes[b], 6};
        if (level)
            byte = vocab_byte(b, m->bytes[b]);
        else
            snprintf(m->bytes[b], sizeof m->bytes[b], "<0x%02X>", b);
        add_token(m, byte, level ? 1 : 6, 0);
    }
}

static void make(made *m, const char *data, const char *end, gguf_str *ret_text)
{
    static const char *const models[] = {"gpt2", "llama", "gemma4", "bert"};
    static const char *const pres[] = {"gpt-2",  "llama3",         "qwen2",
                                       "falcon", "deepseek-llm",   "deepseek-v3",
                                       "tekken", "deepseek-coder", "bloom"};
    unsigned model = (unsigned char)data[0] % 4, options = (unsigned char)data[2];
    m->spec = (vocab_spec){.model = models[model],
                           .pre = pres[(unsigned char)data[1] % ST_COUNT(pres)],
                           .name = options & 1 ? "phi-3" : "x"};
    if (model < 3 && !(options & 2))
        add_bytes(m, model == 0);
    uint32_t first = (uint32_t)m->spec.n_tokens;
    m->spec.ids[0].key = "tokenizer.ggml.unknown_token_id";
    m->spec.ids[0].value = first + (unsigned char)data[3] % 4;
    m->spec.ids[1].key = "tokenizer.ggml.bos_token_id";
    m->spec.ids[1].value = first;
    m->spec.flags[0].key = "tokenizer.ggml.add_space_prefix";
    m->spec.flags[0].value = options & 4;
    data += HEAD;
    gguf_str tokens = take(&data, end, 0xFF), merges = take(&data, end, 0xFF);
    const char *at = tokens.data;
    while (at < tokens.data + tokens.len && m->spec.n_tokens < first + MAX_PIECES) {
        gguf_str t = take(&at, tokens.data + tokens.len, 0xFE);
        unsigned kind = t.len ? (unsigned char)t.data[0] : 0;
        if (t.len)
            t.data++, t.len--;
        add_token(m, t, (int32_t)(kind % 6), (float)(kind / 6) - 20);
    }
    for (at = merges.data;
         at < merges.data + merges.len && m->spec.n_merges < MAX_MERGES;)
        m->merges[m->spec.n_merges++] = take(&at, merges.data + merges.len, 0xFE);
    *ret_text = (gguf_str){data, (size_t)(end - data)};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static made m; /* too large for the stack; filled anew each time */
    const char *text = (const char *)data;
    gguf *g;
    st_buf file;
    gguf_str rest;
    if (len >= 4 && memcmp(data, "GGUF", 4) == 0) {
        size_t n = len < TEXT_AT_END ? len : TEXT_AT_END;
        if (!gguf_open_bytes(data, len, &g, NULL)) {
            use(g, text + len - n, n);
            gguf_close(g);
        }
        return 0;
    }
    if (len < HEAD)
        return 0;
    make(&m, text, text + len, &rest);
    m.spec.tokens = m.tokens;
    m.spec.types = m.types;
    m.spec.n_types = m.spec.n_tokens;
    m.spec.scores = m.scores;
    m.spec.n_scores = m.spec.n_tokens;
    m.spec.merges = m.merges;
    vocab_build(&m.spec, &file);
    if (!file.code && !gguf_open_bytes(file.data, file.len, &g, NULL)) {
        use(g, rest.data, rest.len);
        gguf_close(g);
    }
    st_buf_done(&file);
    return 0;
}
