/* tests/fuzz/fuzz.h - the one function that a fuzz target defines (libFuzzer's name).
 *
 * A target gives the bytes to one parser, walks over what came out, releases it and
 * returns 0.  It must not depend on anything but the bytes. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
#endif
