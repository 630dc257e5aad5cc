#define _GNU_SOURCE
#include "allocator/api/recording.h"

#include "allocator/api/message.h"
#include "allocator/arena/arena_record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FD_MIN = 500 }; /* out of the way of programs that count on the numbers they get */

static struct {
    kiln_arena_record_t record;
    bool on;
    int fd;
    dev_t
        device;  /* of the file: programs close descriptors that are not theirs, and then get the */
    ino_t inode; /* same number for a file of their own */
} recording;

static bool is_our_file(void)
{
    struct stat status;
    return fstat(recording.fd, &status) == 0 && status.st_dev == recording.device &&
           status.st_ino == recording.inode;
}

static void sink(void *ctx, const char *text, size_t bytes)
{
    (void)ctx;
    int errno_before = errno;
    while (bytes > 0 && recording.on) {
        ssize_t wrote = is_our_file() ? write(recording.fd, text, bytes) : 0;
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) {
            recording.on = false; /* a trace with a gap would not replay */
            break;
        }
        text += wrote;
        bytes -= (size_t)wrote;
    }
    errno = errno_before;
}

_Noreturn static void refuse(const char *path, int error)
{
    kiln_message_t message;
    message.length_bytes = 0;
    kiln_message_put(&message, "kiln: KILN_OPTIONS: record=");
    kiln_message_put(&message, path);
    kiln_message_put(&message, ": cannot create this file (");
    kiln_message_put(&message, strerrordesc_np(error));
    kiln_message_put(&message, "); name one in a folder that may be written\n");
    kiln_message_write(&message);
    _exit(2);
}

static bool create(const char *path)
{
    int low_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (low_fd < 0) {
        if (errno == EEXIST) return false;
        refuse(path, errno);
    }
    int fd = fcntl(low_fd, F_DUPFD_CLOEXEC, FD_MIN);
    if (fd >= 0)
        close(low_fd);
    else
        fd = low_fd;
    struct stat status;
    if (fstat(fd, &status) != 0) refuse(path, errno);
    recording.fd = fd;
    recording.device = status.st_dev;
    recording.inode = status.st_ino;
    return true;
}

void kiln_recording_begin(const char *path, kiln_heap_config_t *config)
{
    if (path[0] == '\0') return;
    if (!recording.on && !create(path)) return;
    recording.on = true;
    kiln_arena_record_init(&recording.record, config->os, sink, NULL);
    config->arena_os = &recording.record.os_record.os;
    config->log = &recording.record.log;
}

void kiln_recording_started(const kiln_heap_t *heap)
{
    if (!recording.on) return;
    kiln_arena_record_started(&recording.record, &heap->arena, KILN_ARENA_AMD64,
                              heap->config.image_end, heap->config.brk);
}

void kiln_recording_stop(void)
{
    if (!recording.on) return;
    recording.on = false;
    kiln_arena_record_stop(&recording.record);
}
