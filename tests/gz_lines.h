/* tests/gz_lines.h - the lines of a compressed file that lies beside the project. */
#ifndef TESTS_GZ_LINES_H
#define TESTS_GZ_LINES_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct gz_lines {
    FILE *pipe;
    char *line; /* without its '\n' */
    size_t cap, len;
} gz_lines;

static inline gz_lines gz_open(const char *path)
{
    char command[512];
    snprintf(command, sizeof command, "gzip -dc '%s'", path);
    return (gz_lines){.pipe = popen(command, "r")};
}

static inline bool gz_next(gz_lines *in)
{
    ssize_t n = in->pipe ? getline(&in->line, &in->cap, in->pipe) : -1;
    if (n <= 0)
        return false;
    in->len = (size_t)n - (in->line[n - 1] == '\n');
    in->line[in->len] = '\0';
    return true;
}

/* False when not everything could be read. */
static inline bool gz_close(gz_lines *in)
{
    bool ok = in->pipe && pclose(in->pipe) == 0;
    free(in->line);
    return ok;
}
#endif
