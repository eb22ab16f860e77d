/* model/families.h - which architectures there are: one row a family. */
#ifndef MODEL_FAMILIES_H
#define MODEL_FAMILIES_H
#include "model/load.h"

/* The family of general.architecture; ST_EUNSUPPORTED names it and lists what there is. */
ST_NODISCARD int family_find(gguf_str arch, const family **ret_family, st_err *err);
#endif
