/* base/compiler.h - the few compiler attributes we use, in one place. */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#define ST_NODISCARD __attribute__((warn_unused_result))
#define ST_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
/* Inlined also without optimisation, so that constants reach it. */
#define ST_INLINE static inline __attribute__((always_inline))
#define ST_ALIGNED(n) __attribute__((aligned(n)))
#define ST_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
