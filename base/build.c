/* base/build.c - the build ID, read from the loaded object's notes. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "base/build.h"

#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct search {
    unsigned char *ret;
    size_t room;
    size_t len; /* of what was found */
} search;

static size_t padded(size_t n)
{
    return (n + 3) / 4 * 4;
}

/* Notes: lengths of name and description, type, name, description, each padded. */
static void notes_read(const unsigned char *at, size_t left, search *s)
{
    ElfW(Nhdr) note;
    while (left >= sizeof note) {
        memcpy(&note, at, sizeof note);
        size_t name = padded(note.n_namesz), desc = padded(note.n_descsz);
        at += sizeof note;
        left -= sizeof note;
        if (name > left || desc > left - name)
            return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            memcmp(at, "GNU", 4) == 0 && note.n_descsz <= s->room) {
            memcpy(s->ret, at + name, note.n_descsz);
            s->len = note.n_descsz;
        }
        at += name + desc;
        left -= name + desc;
    }
}

static bool holds(const struct dl_phdr_info *object, uintptr_t address)
{
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_LOAD &&
            address - (object->dlpi_addr + part->p_vaddr) < part->p_memsz)
            return true;
    }
    return false;
}

static int look_at(struct dl_phdr_info *object, size_t size, void *arg)
{
    (void)size;
    if (!holds(object, (uintptr_t)&st_build_id))
        return 0;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_NOTE)
            notes_read((const unsigned char *)(object->dlpi_addr + part->p_vaddr),
                       part->p_memsz, arg);
    }
    return 1;
}

size_t st_build_id(unsigned char *ret, size_t room)
{
    search s = {.ret = ret, .room = room};
    dl_iterate_phdr(look_at, &s);
    return s.len;
}
