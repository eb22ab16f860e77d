/* serve/param.c - the place of a field in a body, as text. */
#include "serve/param.h"

#include "base/mem.h"
#include "base/utf8.h"
#include <stdlib.h>
#include <string.h>

static bool word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '-';
}

static bool is_word(const char *s)
{
    if (!*s)
        return false;
    while (word_char(*s))
        s++;
    return !*s;
}

typedef struct place {
    char *text;
    size_t n;
    bool full;
} place;

static void add(place *p, const char *s, size_t n)
{
    if (p->full || p->n + n >= PROBLEM_PARAM_MAX) {
        p->full = true;
        return;
    }
    memcpy(p->text + p->n, s, n);
    p->n += n;
}

/* Begin with `at`; it may be in `ret` itself. */
static place begin(char *ret, const char *at)
{
    place p = {ret, strnlen(at, PROBLEM_PARAM_MAX - 1), false};
    memmove(ret, at, p.n);
    return p;
}

static void end(place *p)
{
    if (p->full) {
        if (p->n > PROBLEM_PARAM_MAX - 4)
            p->n = PROBLEM_PARAM_MAX - 4;
        while (p->n && (p->text[p->n] & 0xC0) == 0x80)
            p->n--;
        memcpy(p->text + p->n, "...", 3);
        p->n += 3;
    }
    p->text[p->n] = '\0';
}

void param_name(char ret_param[PROBLEM_PARAM_MAX], const char *at, const char *name)
{
    place p = begin(ret_param, at);
    if (is_word(name)) {
        if (p.n)
            add(&p, ".", 1);
        add(&p, name, strlen(name));
    } else {
        add(&p, "[\"", 2);
        for (const char *c = name; *c; c++) {
            if (*c == '"' || *c == '\\')
                add(&p, "\\", 1);
            add(&p, c, 1);
        }
        add(&p, "\"]", 2);
    }
    end(&p);
}

void param_index(char ret_param[PROBLEM_PARAM_MAX], const char *at, size_t i)
{
    char text[24];
    place p = begin(ret_param, at);
    add(&p, text, (size_t)snprintf(text, sizeof text, "[%zu]", i));
    end(&p);
}

/* ---- taken apart again ---- */

static json_t *quoted(const char **s)
{
    char name[PROBLEM_PARAM_MAX];
    size_t n = 0;
    const char *c = *s;
    for (; *c && *c != '"' && n < sizeof name; c++) {
        if (*c == '\\' && c[1])
            c++;
        name[n++] = *c;
    }
    c += *c == '"';
    *s = c + (*c == ']');
    size_t bad = 0;
    if (!st_utf8_valid(name, n, &bad))
        n = bad;
    return json_stringn(name, n);
}

static json_t *part(const char **s)
{
    if (**s == '.')
        ++*s;
    if (**s == '[' && (*s)[1] == '"') {
        *s += 2;
        return quoted(s);
    }
    if (**s == '[') {
        char *behind;
        long long i = strtoll(*s + 1, &behind, 10);
        *s = behind + (*behind == ']');
        return json_integer(i);
    }
    size_t n = strcspn(*s, ".[");
    const char *name = st_utf8_valid(*s, n, NULL) ? *s : "?";
    json_t *text = json_stringn(name, name == *s ? n : 1);
    *s += n;
    return text;
}

json_t *param_loc(const char *param)
{
    json_t *loc = json_array();
    int bad = !loc || json_array_append_new(loc, json_string("body"));
    while (!bad && *param)
        bad = json_array_append_new(loc, part(&param));
    if (bad) {
        json_decref(loc);
        return NULL;
    }
    return loc;
}
