/* gguf/convert.h - a Hugging Face model folder written as one GGUF file.
 *
 * Reads config.json, model.safetensors and the tokenizer's files; what would change the
 * meaning and cannot be expressed is refused by name, never dropped.  A family is one
 * file convert_FAMILY.c and one row in convert.c.
 *
 * Threads: any, on different folders. */
#ifndef GGUF_CONVERT_H
#define GGUF_CONVERT_H
#include "base/dtype.h"
#include "base/err.h"
#include "base/progress.h"

/* `matrix` is the format of the large matrices: ST_F32, ST_F16 or ST_Q8_0; vectors,
 * positions and token types stay F32.  `name` becomes general.name. */
ST_NODISCARD int convert_folder(const char *folder, const char *out_path,
                                const char *name, st_dtype matrix,
                                const st_progress *progress, st_err *err);
#endif
