/* grammar/formats_made.c - times with leap seconds and host names, state by state.
 *
 * A second 60 is allowed where it is 23:59 in UTC, so the minute of the day has to be
 * kept until the offset has been read: 1440 copies of what is between them. */
#include "grammar/formats.h"

#include "grammar/dfa_build.h"
#include <stdio.h>
#include <string.h>

enum {
    DAY = 24 * 60,  /* minutes */
    MAX_NAME = 253, /* octets of a host name without the root's dot, RFC 1035 */
    MAX_LABEL = 63,
};

/* A draft under way; the first failure sticks. */
typedef struct maker {
    dfa_draft w;
    int rc;
    st_err *err;
} maker;

static uint32_t add(maker *m, bool accepted)
{
    uint32_t state = DFA_DEAD;
    if (!m->rc)
        m->rc = dfa_draft_add(&m->w, accepted, &state, m->err);
    return state;
}

static void way(maker *m, uint32_t from, char byte, uint32_t to)
{
    if (!m->rc)
        dfa_draft_row(&m->w, from)[m->w.class_of[(uint8_t)byte]] = to;
}

static void ways(maker *m, uint32_t from, char lo, char hi, uint32_t to)
{
    for (int byte = lo; byte <= hi; byte++)
        way(m, from, (char)byte, to);
}

/* The state behind a byte, made where there is none. */
static uint32_t after(maker *m, uint32_t from, char byte)
{
    if (m->rc)
        return DFA_DEAD;
    uint32_t to = dfa_draft_row(&m->w, from)[m->w.class_of[(uint8_t)byte]];
    if (to == DFA_DEAD) {
        to = add(m, false);
        way(m, from, byte, to);
    }
    return to;
}

static uint32_t read_text(maker *m, uint32_t from, const char *text)
{
    for (; *text; text++)
        from = after(m, from, *text);
    return from;
}

/* "hh:mm" of a minute of the day. */
static void clock_text(uint32_t minute, char text[16])
{
    snprintf(text, 16, "%02u:%02u", minute / 60 % 24, minute % 60);
}

/* A fraction behind a state; returns the state behind its digits. */
static uint32_t add_fraction(maker *m, uint32_t from)
{
    uint32_t point = after(m, from, '.'), digits = add(m, false);
    ways(m, point, '0', '9', digits);
    ways(m, digits, '0', '9', digits);
    return digits;
}

/* The second digit of seconds up to 59, a fraction and any offset. */
static uint32_t add_seconds(maker *m, uint32_t end)
{
    uint32_t second = add(m, false), whole = add(m, false), offset = add(m, false);
    ways(m, second, '0', '9', whole);
    uint32_t digits = add_fraction(m, whole);
    for (int i = 0; i < 2; i++) {
        uint32_t from = i ? digits : whole;
        way(m, from, 'Z', end);
        way(m, from, 'z', end);
        way(m, from, '+', offset);
        way(m, from, '-', offset);
    }
    uint32_t early = add(m, false), late = add(m, false), hour = add(m, false);
    ways(m, offset, '0', '1', early);
    way(m, offset, '2', late);
    ways(m, early, '0', '9', hour);
    ways(m, late, '0', '3', hour);
    uint32_t minute = after(m, hour, ':'), last = add(m, false);
    ways(m, minute, '0', '5', last);
    ways(m, last, '0', '9', end);
    return second;
}

/* offsets[v]: reads v minutes as "hh:mm". */
static void add_offsets(maker *m, uint32_t end, uint32_t offsets[DAY])
{
    uint32_t units[10], minutes[60], hours[10 * 60];
    for (uint32_t i = 0; i < 10; i++) {
        units[i] = add(m, false);
        way(m, units[i], (char)('0' + i), end);
    }
    for (uint32_t i = 0; i < 60; i++) {
        uint32_t tens = add(m, false);
        minutes[i] = add(m, false);
        way(m, minutes[i], ':', tens);
        way(m, tens, (char)('0' + i / 10), units[i % 10]);
    }
    for (uint32_t i = 0; i < 600; i++) { /* the hour's last digit and the minute */
        hours[i] = add(m, false);
        way(m, hours[i], (char)('0' + i / 60), minutes[i % 60]);
    }
    for (uint32_t v = 0; v < DAY; v++) {
        offsets[v] = add(m, false);
        way(m, offsets[v], (char)('0' + v / 600), hours[v % 600]);
    }
}

/* Read a time from `start` on. */
static void add_time(maker *m, uint32_t start)
{
    uint32_t offsets[DAY], end = add(m, true), second = add_seconds(m, end);
    char text[16];
    add_offsets(m, end, offsets);
    for (uint32_t now = 0; now < DAY; now++) {
        clock_text(now, text);
        uint32_t colon = read_text(m, read_text(m, start, text), ":");
        ways(m, colon, '0', '5', second);
        uint32_t leap = read_text(m, colon, "60");
        uint32_t digits = add_fraction(m, leap);
        for (int i = 0; i < 2; i++) {
            uint32_t from = i ? digits : leap;
            /* now - offset = 23:59 */
            way(m, from, '+', offsets[(now + 1) % DAY]);
            way(m, from, '-', offsets[DAY - 1 - now]);
            if (now == DAY - 1) {
                way(m, from, 'Z', end);
                way(m, from, 'z', end);
            }
        }
    }
}

static void begin(maker *m, const uint8_t class_of[256], uint32_t n_classes, st_err *err)
{
    *m = (maker){.err = err};
    m->rc = dfa_draft_init(&m->w, class_of, n_classes, err);
}

static int finish(maker *m, dfa **ret)
{
    int rc = m->rc ? m->rc : dfa_finish(&m->w, false, ret, m->err);
    dfa_draft_done(&m->w);
    return rc;
}

static const char time_bytes[] = "0123456789:.+-TtZz";

/* A class for each byte of a time and one for all others. */
static void begin_time(maker *m, st_err *err)
{
    uint8_t class_of[256] = {0};
    for (size_t i = 0; time_bytes[i]; i++)
        class_of[(uint8_t)time_bytes[i]] = (uint8_t)(i + 1);
    begin(m, class_of, sizeof time_bytes, err);
}

int format_time(dfa **ret, st_err *err)
{
    maker m;
    begin_time(&m, err);
    m.w.start = add(&m, false);
    add_time(&m, m.w.start);
    return finish(&m, ret);
}

int format_date_time(dfa **ret, st_err *err)
{
    maker m;
    dfa *date;
    int rc = format_date_prefix(&date, err);
    if (rc < 0)
        return rc;
    uint32_t behind = DFA_DEAD;
    begin_time(&m, err);
    for (uint32_t s = 1; s < date->n_states; s++)
        behind = date->label[add(&m, false)] ? s : behind;
    for (uint32_t s = 1; s < date->n_states; s++) {
        for (size_t i = 0; time_bytes[i]; i++)
            way(&m, s, time_bytes[i], dfa_step(date, s, (uint8_t)time_bytes[i]));
    }
    m.w.start = date->start;
    dfa_free(date);
    add_time(&m, behind);
    return finish(&m, ret);
}

/* What a host name tells apart. */
enum { NAME_OTHER, NAME_X, NAME_N, NAME_LETTER, NAME_HYPHEN, NAME_DOT, NAME_CLASSES };

/* The states of host names that have the same number of octets left.  [q]: q of them may
 * still be of the present label. */
typedef struct name_row {
    uint32_t plain[MAX_LABEL], hyphen[MAX_LABEL]; /* behind a letter or digit; a hyphen */
    uint32_t start;                               /* of a label */
    uint32_t x, xn, xn_hyphen;                    /* behind what may become "xn--" */
} name_row;

static void name_way(maker *m, uint32_t from, int class, uint32_t to)
{
    if (!m->rc)
        dfa_draft_row(&m->w, from)[class] = to;
}

/* Ways inside a label with room for q more octets. */
static void label_ways(maker *m, uint32_t from, const name_row *next, uint32_t q)
{
    for (int class = NAME_X; q > 0 && class <= NAME_LETTER; class ++)
        name_way(m, from, class, next->plain[q - 1]);
    if (q > 0)
        name_way(m, from, NAME_HYPHEN, next->hyphen[q - 1]);
}

/* The row with `left` octets left, from the one with one less. */
static void make_row(maker *m, const name_row *next, uint32_t left, name_row *row)
{
    uint32_t room = left < MAX_LABEL - 1 ? left : MAX_LABEL - 1;
    for (uint32_t q = 0; q <= room; q++) {
        row->plain[q] = add(m, true);
        row->hyphen[q] = add(m, false);
        label_ways(m, row->plain[q], next, q);
        label_ways(m, row->hyphen[q], next, q);
        name_way(m, row->plain[q], NAME_DOT, next->start);
    }
    row->start = add(m, false);
    row->x = add(m, true);
    row->xn = add(m, true);
    row->xn_hyphen = add(m, false);
    if (left == 0)
        return;
    uint32_t behind = room < left ? room : left - 1; /* a label's first octet */
    for (int class = NAME_X; class <= NAME_LETTER; class ++)
        name_way(m, row->start, class, next->plain[behind]);
    name_way(m, row->start, NAME_X, next->x);
    label_ways(m, row->x, next, room);
    name_way(m, row->x, NAME_N, next->xn);
    label_ways(m, row->xn, next, left < MAX_LABEL - 2 ? left : MAX_LABEL - 2);
    name_way(m, row->xn, NAME_HYPHEN, next->xn_hyphen);
    label_ways(m, row->xn_hyphen, next, left < MAX_LABEL - 3 ? left : MAX_LABEL - 3);
    name_way(m, row->xn_hyphen, NAME_HYPHEN, DFA_DEAD);
    name_way(m, row->x, NAME_DOT, next->start);
    name_way(m, row->xn, NAME_DOT, next->start);
}

int format_hostname(dfa **ret, st_err *err)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    uint8_t class_of[256] = {['-'] = NAME_HYPHEN, ['.'] = NAME_DOT};
    name_row rows[2] = {0};
    maker m;
    for (size_t i = 0; letters[i]; i++)
        class_of[(uint8_t)letters[i]] = NAME_LETTER;
    class_of['x'] = class_of['X'] = NAME_X;
    class_of['n'] = class_of['N'] = NAME_N;
    begin(&m, class_of, NAME_CLASSES, err);
    for (uint32_t left = 0; left <= MAX_NAME; left++)
        make_row(&m, &rows[(left + 1) % 2], left, &rows[left % 2]);
    m.w.start = rows[MAX_NAME % 2].start;
    return finish(&m, ret);
}
