/* grammar/validate_uri.c - references resolved as RFC 3986, section 5.2, has it. */
#include "grammar/validate_priv.h"

#include <string.h>

typedef struct part { /* of the text that is split; s NULL: not there */
    const char *s;
    size_t n;
} part;

typedef struct uri {
    part scheme, authority, path, query, fragment;
} uri;

static size_t scheme_len(const char *s) /* 0: it has none */
{
    size_t n = 0;
    if (!((s[0] | 32) >= 'a' && (s[0] | 32) <= 'z'))
        return 0;
    while (s[n] && !strchr(":/?#", s[n]))
        n++;
    return s[n] == ':' ? n : 0;
}

static uri split(const char *s)
{
    uri u = {0};
    size_t n = scheme_len(s);
    if (n) {
        u.scheme = (part){s, n};
        s += n + 1;
    }
    if (s[0] == '/' && s[1] == '/') {
        u.authority = (part){s + 2, strcspn(s + 2, "/?#")};
        s += 2 + u.authority.n;
    }
    u.path = (part){s, strcspn(s, "?#")};
    s += u.path.n;
    if (*s == '?') {
        u.query = (part){s + 1, strcspn(s + 1, "#")};
        s += 1 + u.query.n;
    }
    if (*s == '#')
        u.fragment = (part){s + 1, strlen(s + 1)};
    return u;
}

/* Take "." and ".." out of a path, in place (5.2.4).  Returns its new length. */
static size_t remove_dots(char *path, size_t len)
{
    size_t from = 0, to = 0;
    bool rooted = len && path[0] == '/';
    while (from < len) {
        size_t n = 1; /* a segment with its leading '/' */
        while (from + n < len && path[from + n] != '/')
            n++;
        const char *s = path + from + (path[from] == '/');
        size_t name = n - (path[from] == '/');
        bool last = from + n == len;
        bool up = name == 2 && s[0] == '.' && s[1] == '.';
        if (up || (name == 1 && s[0] == '.')) {
            while (up && to > 0 && path[--to] != '/') {
            }
            if (last && (rooted || to > 0))
                path[to++] = '/';
        } else {
            size_t skip = to == 0 && !rooted && path[from] == '/';
            memmove(path + to, path + from + skip, n - skip);
            to += n - skip;
        }
        from += n;
    }
    return to;
}

static char *put(char *to, part p)
{
    if (p.n)
        memcpy(to, p.s, p.n);
    return to + p.n;
}

/* The path of a reference that is relative to the base's folder (5.2.3). */
static char *put_merged(char *to, const uri *base, part path)
{
    size_t folder = base->path.n;
    while (folder > 0 && base->path.s[folder - 1] != '/')
        folder--;
    if (base->authority.s && base->path.n == 0)
        *to++ = '/';
    to = put(to, (part){base->path.s, folder});
    return put(to, path);
}

static int hex(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (*s == '%' && hex(s[1]) >= 0 && hex(s[2]) >= 0 &&
            (s[1] != '0' || s[2] != '0')) {
            *to++ = (char)(hex(s[1]) * 16 + hex(s[2]));
            s += 2;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

static int copy_fragment(pool *p, part fragment, const char **ret, st_err *err)
{
    char *text = NULL;
    *ret = NULL;
    if (!fragment.s)
        return 0;
    int rc = pool_get(p, fragment.n + 1, 1, &text, err);
    if (rc < 0)
        return rc;
    put(text, fragment);
    unescape(text);
    *ret = text;
    return 0;
}

int validate_uri(pool *p, const char *base_text, const char *ref_text,
                 const char **ret_uri, const char **ret_fragment, st_err *err)
{
    uri base = split(base_text), ref = split(ref_text);
    char *text = NULL;
    int rc = pool_get(p, strlen(base_text) + strlen(ref_text) + 8, 1, &text, err);
    if (rc < 0)
        return rc;
    char *to = text;
    bool own = ref.scheme.s != NULL;
    part scheme = own ? ref.scheme : base.scheme;
    if (scheme.s) {
        to = put(to, scheme);
        *to++ = ':';
    }
    own = own || ref.authority.s;
    part authority = own ? ref.authority : base.authority;
    if (authority.s) {
        *to++ = '/';
        *to++ = '/';
        to = put(to, authority);
    }
    char *path = to;
    bool same = !own && ref.path.n == 0;
    if (same)
        to = put(to, base.path);
    else if (own || ref.path.s[0] == '/')
        to = put(to, ref.path);
    else
        to = put_merged(to, &base, ref.path);
    if (!same)
        to = path + remove_dots(path, (size_t)(to - path));
    part query = same && !ref.query.s ? base.query : ref.query;
    if (query.s) {
        *to++ = '?';
        to = put(to, query);
    }
    *to = '\0'; /* the path may have become shorter */
    *ret_uri = text;
    return copy_fragment(p, ref.fragment, ret_fragment, err);
}
