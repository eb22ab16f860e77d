/* model/families.c - which architectures there are: one row a family. */
#include "model/families.h"

#include <string.h>

#define ROW(name) &family_##name,
static const family *const families[] = {FAMILIES(ROW)};

int family_find(gguf_str arch, const family **ret_family, st_err *err)
{
    char names[160];
    size_t used = 0;
    for (size_t i = 0; i < ST_COUNT(families); i++) {
        size_t len = strlen(families[i]->arch);
        if (len == arch.len && !memcmp(families[i]->arch, arch.data, len)) {
            *ret_family = families[i];
            return 0;
        }
        if (used + len + 2 < sizeof names) {
            memcpy(names + used, families[i]->arch, len);
            names[used + len] = ' ';
            used += len + 1;
        }
    }
    names[used ? used - 1 : 0] = '\0';
    st_err_set(err, ST_EUNSUPPORTED, "the architecture '%.*s' is not supported",
               (int)(arch.len < 64 ? arch.len : 64), arch.data);
    st_err_hint(err, "supported: %s", names);
    return ST_EUNSUPPORTED;
}
