/* tests/fuzz/fuzz_rows.c - any bytes as data rows: the first byte picks CSV or JSON
 * lines. */
#include "task/data.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

static void use(const data_set *set)
{
    data_repeats repeats;
    data_overlap overlap;
    for (uint32_t i = 0; i < set->n; i++) {
        const data_row *row = &set->rows[i];
        if (row->len == 0 || row->text[row->len] != '\0' || row->label > 1)
            abort();
    }
    if (data_find_repeats(set, &repeats, NULL) == 0 && repeats.n >= set->n && set->n)
        abort();
    if (data_compare(set, set, &overlap, NULL) == 0 && overlap.n != set->n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const question_option options[] = {{"a", NULL}, {"b", "second"}};
    const question q = {QUESTION_CHOICE, "?", options, 2, false};
    const data_opts opts = {.keep_going = true};
    const char *path = len && data[0] == 'c' ? "rows.csv" : "rows.jsonl";
    data_set *set;
    st_err err = {0};
    if (len == 0)
        return 0;
    if (data_parse(path, (const char *)data + 1, len - 1, &q, &opts, &set, &err)) {
        if (!err.code || !err.message[0])
            abort();
        return 0;
    }
    use(set);
    data_free(set);
    return 0;
}
