/* grammar/schema_uri.c - the parts of a reference, taken from it or from its base. */
#include "grammar/schema_uri.h"

#include <stdbool.h>
#include <string.h>

typedef struct part {
    const char *at;
    size_t n;
    bool there;
} part;

typedef struct uri { /* without fragment */
    part scheme, authority, path, query;
} uri;

static bool scheme_char(char ch, bool first)
{
    bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
    return letter || (!first && ((ch >= '0' && ch <= '9') || strchr("+-.", ch)));
}

static uri split(const char *text, size_t len)
{
    uri u = {0};
    size_t i = 0;
    while (i < len && text[i] && scheme_char(text[i], i == 0))
        i++;
    if (i > 0 && i < len && text[i] == ':') {
        u.scheme = (part){text, i, true};
        text += i + 1;
        len -= i + 1;
    }
    if (len >= 2 && text[0] == '/' && text[1] == '/') {
        for (i = 2; i < len && text[i] != '/' && text[i] != '?';)
            i++;
        u.authority = (part){text + 2, i - 2, true};
        text += i;
        len -= i;
    }
    const char *mark = len ? memchr(text, '?', len) : NULL;
    size_t path = mark ? (size_t)(mark - text) : len;
    u.path = (part){text, path, true};
    if (mark)
        u.query = (part){mark + 1, len - path - 1, true};
    return u;
}

/* Append a path without its "." and ".." (section 5.2.4). */
static void add_path(const char *path, size_t len, st_buf *out)
{
    size_t begin = out->len;
    for (size_t i = 0; i < len && out->code == 0;) {
        size_t end = i + 1;
        while (end < len && path[end] != '/')
            end++;
        size_t from = path[i] == '/' ? i + 1 : i;
        bool dot = end - from == 1 && path[from] == '.';
        bool dots = end - from == 2 && path[from] == '.' && path[from + 1] == '.';
        if (dots) {
            while (out->len > begin && out->data[out->len - 1] != '/')
                out->len--;
            if (out->len > begin)
                out->len--;
        }
        if (!dot && !dots)
            st_buf_add(out, path + i, end - i);
        else if (end == len)
            st_buf_char(out, '/');
        i = end;
    }
}

static void merge_paths(const uri *b, const uri *r, st_buf *out)
{
    st_buf path;
    st_buf_init(&path, out->limit);
    size_t keep = b->path.n;
    while (keep > 0 && b->path.at[keep - 1] != '/')
        keep--;
    if (b->authority.there && b->path.n == 0)
        st_buf_char(&path, '/');
    else
        st_buf_add(&path, b->path.at, keep);
    st_buf_add(&path, r->path.at, r->path.n);
    if (path.code != 0 && out->code == 0)
        out->code = path.code;
    add_path(path.data ? path.data : "", path.len, out);
    st_buf_done(&path);
}

void uri_resolve(const char *base, const char *ref, size_t len, st_buf *out)
{
    uri b = split(base, strlen(base)), r = split(ref, len);
    const uri *from = r.scheme.there ? &r : &b; /* whose scheme */
    if (from->scheme.there) {
        st_buf_add(out, from->scheme.at, from->scheme.n);
        st_buf_char(out, ':');
    }
    bool own = r.scheme.there || r.authority.there;
    const part *authority = own ? &r.authority : &b.authority;
    if (authority->there) {
        st_buf_str(out, "//");
        st_buf_add(out, authority->at, authority->n);
    }
    const part *query = &r.query;
    if (own || (r.path.n > 0 && r.path.at[0] == '/')) {
        add_path(r.path.at, r.path.n, out);
    } else if (r.path.n == 0) {
        st_buf_add(out, b.path.at, b.path.n);
        if (!r.query.there)
            query = &b.query;
    } else {
        merge_paths(&b, &r, out);
    }
    if (query->there) {
        st_buf_char(out, '?');
        st_buf_add(out, query->at, query->n);
    }
}

static int hex(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    if (ch >= 'a' && ch <= 'f')
        return ch - 'a' + 10;
    return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

void uri_decode(const char *text, size_t len, st_buf *out)
{
    for (size_t i = 0; i < len; i++) {
        bool coded = text[i] == '%' && i + 2 < len && hex(text[i + 1]) >= 0 &&
                     hex(text[i + 2]) >= 0;
        st_buf_char(out,
                    coded ? (char)(hex(text[i + 1]) * 16 + hex(text[i + 2])) : text[i]);
        if (coded)
            i += 2;
    }
}
