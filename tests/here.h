/* tests/here.h - is what a test needs on this machine?  Says loudly when it is not. */
#ifndef TESTS_HERE_H
#define TESTS_HERE_H
#include <stdbool.h>
#include <unistd.h>

static inline bool is_here(const char *path)
{
    if (access(path, R_OK) == 0)
        return true;
    print_message("SKIP: %s is not here\n", path);
    return false;
}
#endif
