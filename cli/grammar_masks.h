/* cli/grammar_masks.h - stint grammar masks: how long masks take. */
#ifndef CLI_GRAMMAR_MASKS_H
#define CLI_GRAMMAR_MASKS_H
#include "base/err.h"

/* Measure over the rows {"schema", "tests": [{"data", "valid"}]} of a file with the
 * tokenizer of a GGUF file, and print the figures. */
int grammar_masks(const char *vocab_path, const char *rows_path, st_err *err);
#endif
