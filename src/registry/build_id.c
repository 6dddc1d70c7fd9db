#include "registry/build_id.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct build_id_text {
    char *text;
    size_t room;
};

/* Reads the notes of the first object, which is the program. */
static int build_id_from(struct dl_phdr_info *info, size_t size, void *context)
{
    struct build_id_text *to = context;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_NOTE) continue;
        const unsigned char *at = (const unsigned char *)(info->dlpi_addr + segment->p_vaddr);
        const unsigned char *end = at + segment->p_memsz;
        while (end - at >= (ptrdiff_t)sizeof(ElfW(Nhdr))) {
            ElfW(Nhdr) note;
            memcpy(&note, at, sizeof note);
            const unsigned char *name = at + sizeof note, *id = name + (note.n_namesz + 3) / 4 * 4;
            at = id + (note.n_descsz + 3) / 4 * 4;
            if (at > end) break;
            if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || memcmp(name, "GNU", 4) != 0)
                continue;
            for (size_t k = 0; k < note.n_descsz && 2 * k + 2 < to->room; k++)
                snprintf(to->text + 2 * k, 3, "%02x", id[k]);
            return 1;
        }
    }
    return 1;
}

char *build_id(char *text, size_t room)
{
    struct build_id_text to = {text, room};
    struct stat file;
    text[0] = '\0';
    dl_iterate_phdr(build_id_from, &to);
    if (!text[0] && stat("/proc/self/exe", &file) == 0)
        snprintf(text, room, "%lld bytes of %lld.%09ld", (long long)file.st_size,
                 (long long)file.st_mtim.tv_sec, file.st_mtim.tv_nsec);
    return text;
}
