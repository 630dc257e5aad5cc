#define _GNU_SOURCE
#include "allocator/api/module.h"

#include "allocator/os/linux_syscall.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>

extern int find_object(void *address, struct dl_find_object *result) __asm__("_dl_find_object")
    __attribute__((weak));

bool kiln_module_has(uintptr_t address)
{
    struct dl_find_object object;
    return find_object && find_object((void *)address, &object) == 0;
}

static const struct link_map *find(uintptr_t address, kiln_module_t *out)
{
    struct dl_find_object object;
    if (!find_object || find_object((void *)address, &object) != 0) return NULL;
    out->path[0] = '\0';
    out->bias = object.dlfo_link_map ? object.dlfo_link_map->l_addr : 0;
    out->start = (uintptr_t)object.dlfo_map_start;
    out->end = (uintptr_t)object.dlfo_map_end;
    out->frame_header = object.dlfo_eh_frame;
    return object.dlfo_link_map;
}

bool kiln_module_find(uintptr_t address, kiln_module_t *out)
{
    return find(address, out) != NULL;
}

static void read_program_path(char *path)
{
    long bytes = kiln_linux_call(__NR_readlinkat, (uintptr_t)AT_FDCWD, (uintptr_t)"/proc/self/exe",
                                 (uintptr_t)path, KILN_MODULE_PATH_MAX_BYTES - 1, 0);
    path[kiln_linux_failed(bytes) ? 0 : bytes] = '\0';
}

bool kiln_module_find_named(uintptr_t address, kiln_module_t *out)
{
    const struct link_map *map = find(address, out);
    if (!map) return false;
    const char *name = map->l_name ? map->l_name : "";
    size_t bytes = strnlen(name, KILN_MODULE_PATH_MAX_BYTES - 1);
    memcpy(out->path, name, bytes);
    out->path[bytes] = '\0';
    if (bytes == 0) read_program_path(out->path);
    return true;
}
