/* kernels/kern_none.c - the tables of an architecture that has only the C twin. */
#include "kernels/layout.h"

const kern *kern_native(st_isa isa)
{
    (void)isa;
    return NULL;
}
