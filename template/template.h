/* template/template.h - the Jinja that models ship as chat templates, sandboxed.
 *
 * Source: the Jinja 3.1 template documentation; behaviour as Hugging Face transformers
 * configures it (trim_blocks, lstrip_blocks, loop controls, tojson without HTML escaping,
 * raise_exception, strftime_now, generation blocks).  There is no import, no include, no
 * attribute that reaches outside the given values, and every render has a step limit, an
 * output limit and a depth limit.
 *
 * Every byte of the output knows where it came from: bytes of the template's own text are
 * unmarked, bytes of the variables are marked as data, through concatenation, slicing,
 * filters and macros.  The tokenizer makes control tokens only of unmarked bytes, so what
 * a user writes can never end a turn.
 *
 * Threads: a parsed template is immutable; renders share nothing. */
#ifndef TEMPLATE_TEMPLATE_H
#define TEMPLATE_TEMPLATE_H
#include "base/buf.h"
#include "base/err.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tmpl tmpl;

typedef struct tmpl_opts {
    uint64_t max_steps;   /* 0: 10 million */
    size_t max_output;    /* bytes; 0: 16 MiB */
    size_t max_memory;    /* bytes of all values ever made; 0: 256 MiB */
    int64_t now_unix;     /* strftime_now, seconds, shown as UTC; 0: the clock */
} tmpl_opts;

typedef struct tmpl_out {
    st_buf text;
    st_buf marks; /* one byte for each byte of text: 1 data, 0 the template's own */
} tmpl_out;
void tmpl_out_init(tmpl_out *out);
void tmpl_out_done(tmpl_out *out);

/* Parse; an error names line and column. */
ST_NODISCARD int tmpl_parse(const char *source, size_t len, tmpl **ret_tmpl, st_err *err);
void tmpl_free(tmpl *t); /* NULL allowed */

/* Render with the members of the JSON object `vars` as variables.  Strings of vars are
 * data, except the values of bos_token, eos_token, pad_token, unk_token.
 * ST_ERAISED carries the template's own message; ST_ELIMIT a limit; ST_EFORMAT an
 * operation that Jinja would refuse too, with its line. */
ST_NODISCARD int tmpl_render(const tmpl *t, const json_t *vars, const tmpl_opts *opts,
                             tmpl_out *out, st_err *err);
#endif
