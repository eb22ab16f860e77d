/* cli/hold.c - from options to a grammar over a model's tokens. */
#include "cli/hold.h"

#include "base/compiler.h"
#include "base/file.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_FILE = 16 << 20, MOST_CHOICES = 64 };

static int choices_read(const cli_args *args, grammar **ret, st_err *err)
{
    const char *texts[MOST_CHOICES];
    size_t lens[MOST_CHOICES];
    uint32_t n = 0;
    while (n < MOST_CHOICES && (texts[n] = cli_get_nth(args, "choice", n))) {
        lens[n] = strlen(texts[n]);
        n++;
    }
    return grammar_choices(texts, lens, n, ret, err);
}

/* What the model is told: the schema in compact form. */
static int schema_show(const char *text, size_t len, char **ret, st_err *err)
{
    json_error_t why;
    json_t *root = json_loadb(text, len, JSON_DECODE_ANY, &why);
    char *compact = root ? json_dumps(root, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    st_buf out;
    st_buf_init(&out, SIZE_MAX / 2);
    st_buf_str(&out, "Answer in JSON that fits this schema: ");
    st_buf_str(&out, compact ? compact : "");
    *ret = compact ? st_buf_detach(&out, NULL) : NULL;
    st_buf_done(&out);
    free(compact);
    json_decref(root);
    return *ret ? 0
                : st_err_set(err, ST_ENOMEM, "a schema cannot be shown to the model: %s",
                             root ? "out of memory" : why.text);
}

static int schema_read(const char *path, bool shows, hold *h, st_err *err)
{
    const grammar_schema_opts opts = {.space = GRAMMAR_SPACED};
    grammar_refusal why = {0};
    char *text;
    size_t len;
    int rc = st_file_read(path, MOST_FILE, &text, &len, err);
    if (rc < 0)
        return rc;
    rc = grammar_schema(text, len, &opts, &h->grammar, &why, err);
    if (rc < 0)
        st_err_at(err, "%s", path);
    else if (shows)
        rc = schema_show(text, len, &h->shown, err);
    st_free(text);
    return rc;
}

static int gbnf_read_file(const char *path, grammar **ret, st_err *err)
{
    char *text;
    size_t len;
    int rc = st_file_read(path, MOST_FILE, &text, &len, err);
    if (rc < 0)
        return rc;
    rc = grammar_gbnf(text, len, ret, err);
    if (rc < 0)
        st_err_at(err, "%s", path);
    st_free(text);
    return rc;
}

static int grammar_read(const cli_args *args, hold *h, st_err *err)
{
    static const char *const ways[] = {"schema", "regex", "grammar", "choice"};
    const char *way = NULL, *value;
    for (size_t i = 0; i < ST_COUNT(ways); i++) {
        if (!cli_flag(args, ways[i]))
            continue;
        if (way)
            return st_err_set(err, ST_EINVAL, "--%s and --%s: an answer is held one way",
                              way, ways[i]);
        way = ways[i];
    }
    if (cli_flag(args, "no-schema-prompt") && (!way || strcmp(way, "schema") != 0))
        return st_err_set(err, ST_EINVAL, "--no-schema-prompt without --schema");
    if (!way)
        return 0;
    value = cli_get(args, way);
    if (strcmp(way, "schema") == 0)
        return schema_read(value, !cli_flag(args, "no-schema-prompt"), h, err);
    if (strcmp(way, "regex") == 0)
        return grammar_regex(value, strlen(value), &h->grammar, err);
    if (strcmp(way, "grammar") == 0)
        return gbnf_read_file(value, &h->grammar, err);
    return choices_read(args, &h->grammar, err);
}

int cli_hold(const cli_args *args, const tok *t, hold *ret, st_err *err)
{
    hold h = {0};
    int rc = grammar_read(args, &h, err);
    if (rc == 0 && h.grammar)
        rc = vocab_new(t, &h.vocab, err);
    if (rc == 0 && h.grammar)
        rc = masker_new(h.grammar, h.vocab, NULL, &h.masker, err);
    if (rc < 0)
        hold_done(&h);
    else
        *ret = h;
    return rc;
}

void hold_done(hold *h)
{
    masker_free(h->masker);
    vocab_free(h->vocab);
    grammar_free(h->grammar);
    st_free(h->shown);
    *h = (hold){0};
}
