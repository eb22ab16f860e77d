/* tests/cache_folder.h - a cache of a test's own, and its files. */
#ifndef TESTS_CACHE_FOLDER_H
#define TESTS_CACHE_FOLDER_H
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct cache_folder {
    char path[64];
    char *before; /* $STINT_CACHE */
} cache_folder;

static void cache_folder_make(cache_folder *f)
{
    const char *before = getenv("STINT_CACHE");
    f->before = before ? strdup(before) : NULL;
    snprintf(f->path, sizeof f->path, "/tmp/stint-cache-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    setenv("STINT_CACHE", f->path, 1);
}

/* How many files begin with `prefix`; the path of the last one when ret_path. */
static int cache_folder_find(const cache_folder *f, const char *prefix, char *ret_path,
                             size_t room)
{
    int n = 0;
    const struct dirent *entry;
    DIR *dir = opendir(f->path);
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        n++;
        if (ret_path)
            snprintf(ret_path, room, "%s/%s", f->path, entry->d_name);
    }
    closedir(dir);
    return n;
}

static void cache_folder_clear(const cache_folder *f)
{
    char path[512];
    while (cache_folder_find(f, "", path, sizeof path))
        assert_int_equal(remove(path), 0);
}

static void cache_folder_done(cache_folder *f)
{
    cache_folder_clear(f);
    assert_int_equal(rmdir(f->path), 0);
    if (f->before)
        setenv("STINT_CACHE", f->before, 1);
    else
        unsetenv("STINT_CACHE");
    free(f->before);
}

/* A test with such a folder as its state. */
static inline int cache_folder_setup(void **state)
{
    static cache_folder folder;
    cache_folder_make(&folder);
    *state = &folder;
    return 0;
}

static inline int cache_folder_teardown(void **state)
{
    cache_folder_done(*state);
    return 0;
}
#define TEST_IN_CACHE(test)                                                              \
    cmocka_unit_test_setup_teardown(test, cache_folder_setup, cache_folder_teardown)

/* Change the byte at `at` of a file, or cut the file there. */
static void file_damage(const char *path, long at, int flip)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    if (flip) {
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        int byte = fgetc(file);
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        assert_int_equal(fputc(byte ^ flip, file), byte ^ flip);
    } else {
        assert_int_equal(ftruncate(fileno(file), at), 0);
    }
    assert_int_equal(fclose(file), 0);
}
#endif
