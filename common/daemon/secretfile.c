#include "common/daemon/secretfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/random.h"

/* Another one's file could be changed by another one. */
static int check_file(int fd, char *error, size_t error_size)
{
    struct stat status;

    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        snprintf(error, error_size, "it is not a regular file");
    else if (status.st_uid != 0 && status.st_uid != geteuid())
        snprintf(error, error_size, "it is another user's; the daemon's or root's would be right");
    else if (status.st_mode & 077)
        snprintf(error, error_size, "others may use it (mode %04o); chmod 600 would be right",
                 (unsigned)status.st_mode & 07777);
    else
        return 0;
    return ERR_CONFIG;
}

static int read_line(int fd, char *out, size_t size, char *error, size_t error_size)
{
    ssize_t count = read(fd, out, size);
    char *end;

    if (count < 0) {
        snprintf(error, error_size, "it cannot be read: %s", strerror(errno));
        return ERR_SYSTEM;
    }
    end = memchr(out, '\n', (size_t)count);
    if (!end && (size_t)count == size) {
        snprintf(error, error_size, "its line is too long; at most %zu octets would be right",
                 size - 1);
        return ERR_TOO_LONG;
    }
    if (!end)
        end = out + count;
    else if (end + 1 != out + count) {
        snprintf(error, error_size, "it has more than one line");
        return ERR_CONFIG;
    }
    *end = '\0';
    for (const char *at = out; at < end; at++) {
        if ((unsigned char)*at >= 0x20 && *at != 0x7f)
            continue;
        snprintf(error, error_size, "it has a control character");
        return ERR_CONFIG;
    }
    if (end > out)
        return 0;
    snprintf(error, error_size, "it is empty");
    return ERR_CONFIG;
}

int secretfile_read(const char *path, char *out, size_t size, char *error, size_t error_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int result = ERR_SYSTEM;

    if (fd < 0) {
        snprintf(error, error_size, "it cannot be opened: %s", strerror(errno));
    } else {
        result = check_file(fd, error, error_size);
        if (result == 0)
            result = read_line(fd, out, size, error, error_size);
        close(fd);
    }
    if (result < 0)
        wipe(out, size);
    return result;
}
