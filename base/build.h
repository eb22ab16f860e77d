/* base/build.h - which build of the program this is. */
#ifndef BASE_BUILD_H
#define BASE_BUILD_H
#include <stddef.h>

/* The linker's build ID of the object that this code is in (ELF note NT_GNU_BUILD_ID): it
 * differs whenever the code does.  Returns its length, at most `room`; 0 when it is not
 * known. */
size_t st_build_id(unsigned char *ret, size_t room);
#endif
