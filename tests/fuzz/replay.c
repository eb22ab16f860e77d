/* tests/fuzz/replay.c - run a fuzz target over its corpus without a fuzzer.
 *
 * usage: replay_NAME FOLDER.  Each file is given whole and cut at sixteen places, in a
 * block of exactly its size.  An empty folder is a failure: it would test nothing. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CUTS = 16, MAX_FILE = 1 << 20 };

static void give(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    if (!copy)
        abort();
    if (len)
        memcpy(copy, data, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static int replay_file(const char *path, uint8_t *room)
{
    FILE *in = fopen(path, "rb");
    if (!in) {
        fprintf(stderr, "%s: cannot open\n", path);
        return -1;
    }
    size_t len = fread(room, 1, MAX_FILE, in);
    int failed = ferror(in) || len == MAX_FILE;
    fclose(in);
    if (failed) {
        fprintf(stderr, "%s: cannot read, or 1 MiB and more\n", path);
        return -1;
    }
    for (size_t i = 0; i < CUTS; i++)
        give(room, len * i / CUTS);
    give(room, len);
    return 0;
}

static int replay_folder(const char *folder, uint8_t *room)
{
    char path[4096];
    int n = 0;
    struct dirent *entry;
    DIR *dir = opendir(folder);
    if (!dir) {
        fprintf(stderr, "%s: cannot open the folder\n", folder);
        return -1;
    }
    while (n >= 0 && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        n = replay_file(path, room) ? -1 : n + 1;
    }
    closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    uint8_t *room = malloc(MAX_FILE);
    int n = room && argc == 2 ? replay_folder(argv[1], room) : -1;
    free(room);
    printf("%d files replayed\n", n);
    return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
