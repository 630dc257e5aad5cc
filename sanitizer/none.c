/* Nobody watches (watch.h). */
#include "sanitizer/watch.h"

#include <stddef.h>

const kiln_watcher_t *kiln_watch(void)
{
    return NULL;
}

const kiln_os_t *kiln_watch_os(const kiln_os_t *os)
{
    return os;
}
