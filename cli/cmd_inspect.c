/* cli/cmd_inspect.c - stint inspect: what is in a weights file.
 *
 * Text is for people: long strings and arrays are cut.  --json is whole, except that
 * tensor data are never printed. */
#include "cli/cli.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "gguf/gguf.h"
#include "gguf/safetensors.h"
#include "model/packed.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHOWN_VALUES = 6,  /* of an array, in text */
    SHOWN_BYTES = 100, /* of a string, in text */
};

static int64_t signed_at(const unsigned char *at, size_t bytes)
{
    uint64_t v = 0;
    memcpy(&v, at, bytes);
    if (bytes < 8 && v >> (bytes * 8 - 1))
        v |= ~(uint64_t)0 << (bytes * 8);
    return (int64_t)v;
}

/* An integer beyond JSON's signed 64 bits, or a number that JSON lacks, is a string. */
static json_t *json_real_or_text(double d)
{
    char text[32];
    json_t *json = json_real(d);
    if (json)
        return json;
    snprintf(text, sizeof text, "%g", d);
    return json_string(text);
}

static json_t *json_unsigned(uint64_t v)
{
    char text[32];
    if (v <= INT64_MAX)
        return json_integer((json_int_t)v);
    snprintf(text, sizeof text, "%" PRIu64, v);
    return json_string(text);
}

/* The value at *at; *at moves behind it. */
static json_t *json_value(gguf_type type, const unsigned char **at)
{
    const unsigned char *p = *at;
    uint64_t u = 0;
    double d;
    float f;
    if (type == GGUF_STRING) {
        memcpy(&u, p, sizeof u);
        *at += sizeof u + u;
        return cli_json_text((const char *)p + sizeof u, (size_t)u);
    }
    *at += gguf_type_bytes(type);
    memcpy(&u, p, gguf_type_bytes(type));
    switch (type) {
    case GGUF_F32:
        memcpy(&f, p, sizeof f);
        return json_real_or_text((double)f);
    case GGUF_F64:
        memcpy(&d, p, sizeof d);
        return json_real_or_text(d);
    case GGUF_BOOL:
        return json_boolean(u);
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64:
        return json_integer(signed_at(p, gguf_type_bytes(type)));
    default:
        return json_unsigned(u);
    }
}

/* The first `max` values of a key; an array stays an array. */
static json_t *json_key(const gguf_key *key, uint64_t max)
{
    const unsigned char *at = key->data;
    if (key->type != GGUF_ARRAY)
        return json_value(key->type, &at);
    json_t *list = json_array();
    for (uint64_t i = 0; i < key->n && i < max; i++) {
        if (json_array_append_new(list, json_value(key->elem, &at))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *json_dims(const uint64_t *dims, uint32_t n)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(list, json_unsigned(dims[i]));
    return list;
}

static json_t *json_tensor(const char *name, const char *type, const uint64_t *dims,
                           uint32_t n_dims, uint64_t n, size_t bytes)
{
    return json_pack("{s:s, s:s, s:o, s:I, s:I}", "name", name, "type", type, "dims",
                     json_dims(dims, n_dims), "elements", (json_int_t)n, "bytes",
                     (json_int_t)bytes);
}

/* Bytes of the packed weights that are kept for the next start, or why there are none. */
static int kept_bytes(const char *digest, uint64_t *ret, st_err *why)
{
    const st_cache_item plain = packed_item(digest, false),
                        narrow = packed_item(digest, true);
    uint64_t sum = 0;
    bool kept = st_cache_stat(&narrow, &sum, NULL) == 0;
    *ret = sum;
    if (st_cache_stat(&plain, &sum, why) == 0)
        *ret += sum;
    else if (!kept)
        return ST_ENOTFOUND;
    return 0;
}

static int gguf_as_json(gguf *g, st_err *err)
{
    const char *digest;
    int rc = gguf_digest(g, &digest, err);
    if (rc)
        return rc;
    uint64_t kept = 0;
    json_t *keys = json_object();
    json_t *tensors = json_array();
    int failed = 0;
    for (size_t i = 0; i < gguf_n_keys(g); i++) {
        const gguf_key *key = gguf_key_at(g, i);
        failed |= json_object_set_new(keys, key->name, json_key(key, UINT64_MAX));
    }
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        failed |= json_array_append_new(tensors,
                                        json_tensor(t->name, st_dtype_get(t->type)->name,
                                                    t->dims, t->n_dims, t->n, t->bytes));
    }
    if (failed) {
        json_decref(keys);
        json_decref(tensors);
        return st_err_set(err, ST_ENOMEM, "%s: out of memory", gguf_path(g));
    }
    return cli_print_json(
        json_pack("{s:s, s:i, s:I, s:s, s:o, s:o, s:o}", "format", "gguf", "version",
                  (int)gguf_version(g), "bytes", (json_int_t)gguf_file_bytes(g), "sha256",
                  digest, "packed_bytes",
                  kept_bytes(digest, &kept, NULL) ? json_null() : json_unsigned(kept),
                  "metadata", keys, "tensors", tensors),
        err);
}

static void print_bytes(uint64_t bytes)
{
    if (bytes < 10000)
        printf("%" PRIu64 " bytes", bytes);
    else if (bytes < 10000000)
        printf("%.1f kB", (double)bytes / 1e3);
    else
        printf("%.1f MB", (double)bytes / 1e6);
}

static void print_text(const char *text, size_t len)
{
    size_t shown = len;
    if (len > SHOWN_BYTES) {
        shown = SHOWN_BYTES;
        while (shown && ((unsigned char)text[shown] & 0xC0) == 0x80)
            shown--; /* never inside a character */
    }
    putchar('"');
    cli_put_text(stdout, text, shown);
    printf("\"%s", shown < len ? "..." : "");
}

/* The fewest digits that give the number back: most are stored as F32. */
static void print_real(double d)
{
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, d);
        double back = strtod(text, NULL);
        if (back == d || ((double)(float)d == d && (float)back == (float)d))
            break;
    }
    fputs(text, stdout);
}

static void print_json_value(const json_t *value)
{
    if (json_is_string(value)) {
        print_text(json_string_value(value), json_string_length(value));
    } else if (json_is_real(value)) {
        print_real(json_real_value(value));
    } else if (json_is_boolean(value)) {
        fputs(json_is_true(value) ? "true" : "false", stdout);
    } else {
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    }
}

static int print_key(const gguf_key *key, st_err *err)
{
    json_t *value = json_key(key, SHOWN_VALUES);
    if (!value)
        return st_err_set(err, ST_ENOMEM, "key '%s': out of memory", key->name);
    printf("  ");
    cli_put_text(stdout, key->name, strlen(key->name));
    printf(" (%s", gguf_type_name(key->elem));
    if (key->type == GGUF_ARRAY) {
        printf("[%" PRIu64 "]): ", key->n);
        for (size_t i = 0; i < json_array_size(value); i++) {
            printf("%s", i ? ", " : "");
            print_json_value(json_array_get(value, i));
        }
        puts(key->n > SHOWN_VALUES ? ", ..." : "");
    } else {
        printf("): ");
        print_json_value(value);
        putchar('\n');
    }
    json_decref(value);
    return 0;
}

static void print_tensor(const char *name, const char *type, const uint64_t *dims,
                         uint32_t n_dims, size_t bytes)
{
    char shape[SAFET_MAX_DIMS * 22] = "scalar";
    size_t len = 0;
    for (uint32_t i = 0; i < n_dims; i++)
        len += (size_t)snprintf(shape + len, sizeof shape - len, "%s%" PRIu64,
                                i ? " x " : "", dims[i]);
    printf("  %-8s %-22s ", type, shape);
    cli_put_text(stdout, name, strlen(name));
    printf("  ");
    print_bytes(bytes);
    putchar('\n');
}

static int gguf_as_text(gguf *g, st_err *err)
{
    uint64_t n = 0, kept;
    const char *digest;
    st_err why = {0};
    int rc = gguf_digest(g, &digest, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < gguf_n_tensors(g); i++)
        n += gguf_tensor_at(g, i)->n;
    printf("GGUF version %u, ", gguf_version(g));
    print_bytes(gguf_file_bytes(g));
    printf(", %" PRIu64 " weights\nsha256 %s\npacked weights: ", n, digest);
    if (kept_bytes(digest, &kept, &why) == 0)
        print_bytes(kept);
    else
        printf("not kept (%s)", why.message);
    printf("\n\n%zu keys\n", gguf_n_keys(g));
    for (size_t i = 0; i < gguf_n_keys(g) && !rc; i++)
        rc = print_key(gguf_key_at(g, i), err);
    printf("\n%zu tensors (first dimension is the row)\n", gguf_n_tensors(g));
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        print_tensor(t->name, st_dtype_get(t->type)->name, t->dims, t->n_dims, t->bytes);
    }
    return rc;
}

static int inspect_gguf(const char *path, bool json, st_err *err)
{
    gguf *g;
    int rc = gguf_open(path, &g, err);
    if (rc)
        return rc;
    rc = json ? gguf_as_json(g, err) : gguf_as_text(g, err);
    gguf_close(g);
    return rc;
}

static int safet_as_json(const safet *s, st_err *err)
{
    json_t *meta = json_object();
    json_t *tensors = json_array();
    for (size_t i = 0; i < safet_n_meta(s); i++)
        json_object_set_new(meta, safet_meta_key(s, i),
                            json_string(safet_meta(s, safet_meta_key(s, i))));
    for (size_t i = 0; i < safet_n_tensors(s); i++) {
        const safet_tensor *t = safet_tensor_at(s, i);
        json_array_append_new(
            tensors, json_tensor(t->name, t->dtype, t->dims, t->n_dims, t->n, t->bytes));
    }
    return cli_print_json(json_pack("{s:s, s:o, s:o}", "format", "safetensors",
                                    "metadata", meta, "tensors", tensors),
                          err);
}

static void safet_as_text(const safet *s)
{
    printf("safetensors\n\n%zu keys\n", safet_n_meta(s));
    for (size_t i = 0; i < safet_n_meta(s); i++) {
        const char *key = safet_meta_key(s, i);
        const char *value = safet_meta(s, key);
        printf("  ");
        cli_put_text(stdout, key, strlen(key));
        printf(": ");
        print_text(value, strlen(value));
        putchar('\n');
    }
    printf("\n%zu tensors (last dimension is the row)\n", safet_n_tensors(s));
    for (size_t i = 0; i < safet_n_tensors(s); i++) {
        const safet_tensor *t = safet_tensor_at(s, i);
        print_tensor(t->name, t->dtype, t->dims, t->n_dims, t->bytes);
    }
}

static int inspect_safet(const char *path, bool json, st_err *err)
{
    safet *s;
    int rc = safet_open(path, &s, err);
    if (rc)
        return rc;
    if (json)
        rc = safet_as_json(s, err);
    else
        safet_as_text(s);
    safet_close(s);
    return rc;
}

static int run(cli_args *args, st_err *err)
{
    const char *path = cli_operand(args, 0);
    char magic[4] = {0};
    FILE *file = fopen(path, "rb");
    if (file) { /* what cannot be read is reported by the reader below */
        if (fread(magic, 1, sizeof magic, file) < sizeof magic)
            magic[0] = 0;
        fclose(file);
    }
    size_t len = strlen(path);
    bool named = len > 12 && strcmp(path + len - 12, ".safetensors") == 0;
    bool is_gguf = memcmp(magic, "GGUF", sizeof magic) == 0;
    return named && !is_gguf ? inspect_safet(path, cli_flag(args, "json"), err)
                             : inspect_gguf(path, cli_flag(args, "json"), err);
}

static const cli_option options[] = {
    {"json", 0, NULL, "Print one JSON object with everything but the weights."},
    {0},
};

const cli_command cli_inspect = {
    .name = "inspect",
    .summary = "show metadata, tensors and sizes of a GGUF or safetensors file",
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .options = options,
    .details =
        "The whole header is checked first; a damaged file is refused with the place\n"
        "of the damage. A file named *.safetensors without GGUF's first bytes is\n"
        "read as safetensors, any other as GGUF. The digest is always hashed from the\n"
        "whole file.",
    .example = "stint inspect model.gguf\n"
               "GGUF version 3, 98.9 MB, 134515008 weights\n"
               "...",
    .run = run,
};
