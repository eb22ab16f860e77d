/* cli/extract.h - answers of tasks that write, for the commands that give them. */
#ifndef CLI_EXTRACT_H
#define CLI_EXTRACT_H
#include "cli/cli.h"
#include "task/extraction.h"

/* Decide one text and print it: as JSON, or for a person to read. */
ST_NODISCARD int extract_text(extraction *x, const char *text, bool json, bool explain,
                              st_err *err);
/* Decide the rows of a set: a line each, or (report) figures over them.  ST_ELIMIT when
 * rows have no answer. */
ST_NODISCARD int extract_rows(extraction *x, const data_set *set, bool report,
                              bool explain, st_err *err);
#endif
