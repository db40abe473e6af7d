#include "config.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/random.h"
#include "common/daemon/control.h"
#include "common/daemon/relayctl.h"

enum { TIMEOUT_MS = 5000 };

/* ---------------------------------------------------------------- one line each way */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits for events until deadline. 0, ERR_AGAIN when it passed, or ERR_SYSTEM. */
static int wait_for(int fd, short events, uint64_t deadline)
{
    struct pollfd pollfd = {.fd = fd, .events = events};
    uint64_t now;
    int rc;

    do {
        now = now_ms();
        if (now >= deadline)
            return ERR_AGAIN;
        rc = poll(&pollfd, 1, (int)(deadline - now));
    } while (rc < 0 && errno == EINTR);
    return rc > 0 ? 0 : rc == 0 ? ERR_AGAIN : ERR_SYSTEM;
}

int relayctl_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = TIMEOUT_MS / 1000};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        relayctl_complain("the path of a socket has at most %zu octets: %s",
                          sizeof(address.sun_path) - 1, path);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* A full queue of the daemon makes connect() wait; this bounds it. */
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    relayctl_complain("no daemon answers at %s: %s", path,
                      errno == EAGAIN ? "it is busy or stopped" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* A daemon that turns us away may have closed already: then its reply is there to read. */
static int send_line(int fd, const char *line, size_t length, uint64_t deadline)
{
    while (length > 0) {
        ssize_t n = send(fd, line, length, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return 0;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return ERR_SYSTEM;
        if (n < 0) {
            int rc = wait_for(fd, POLLOUT, deadline);

            if (rc < 0)
                return rc;
            continue;
        }
        line += n;
        length -= (size_t)n;
    }
    return 0;
}

/* Doubles *text when it is full. */
static int make_room(char **text, size_t *size, size_t length)
{
    char *larger;

    if (length < *size)
        return 0;
    if (*size > CONTROL_REPLY_MAX)
        return ERR_TOO_LONG;
    larger = realloc(*text, *size ? 2 * *size : 4096);
    if (!larger)
        return ERR_NOMEM;
    *text = larger;
    *size = *size ? 2 * *size : 4096;
    return 0;
}

/* One line, without its newline and terminated, for the caller to free; *text also on failure. */
static int receive_line(int fd, char **text, uint64_t deadline)
{
    size_t length = 0, size = 0;
    int rc;

    for (;;) {
        ssize_t n;
        char *end;

        rc = make_room(text, &size, length + 1);
        if (rc == 0)
            rc = wait_for(fd, POLLIN, deadline);
        if (rc < 0)
            return rc;
        n = recv(fd, *text + length, size - length - 1, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return n == 0 || errno == ECONNRESET ? ERR_CLOSED : ERR_SYSTEM;
        end = memchr(*text + length, '\n', (size_t)n);
        length += (size_t)n;
        if (end) {
            *end = '\0';
            return 0;
        }
    }
}

static int exchange(int fd, const char *path, const char *line, char **reply)
{
    uint64_t deadline = now_ms() + TIMEOUT_MS;
    int rc = send_line(fd, line, strlen(line), deadline);

    if (rc == 0)
        rc = receive_line(fd, reply, deadline);
    if (rc == ERR_AGAIN)
        relayctl_complain("no reply from %s in %d s", path, TIMEOUT_MS / 1000);
    else if (rc == ERR_SYSTEM)
        relayctl_complain("%s: %s", path, strerror(errno));
    else if (rc < 0)
        relayctl_complain("%s: the reply %s", path,
                          rc == ERR_CLOSED ? "is missing: the daemon closed the connection"
                                           : err_text(rc));
    return rc < 0 ? RELAYCTL_NO_DAEMON : RELAYCTL_DONE;
}

/* Sends request as one line. The line may hold a key. */
int relayctl_ask(int fd, const char *path, const json_t *request, char **reply)
{
    char line[CONTROL_LINE_MAX + 2];
    size_t length = json_dumpb(request, line, CONTROL_LINE_MAX + 1, JSON_COMPACT);
    int rc;

    if (length == 0 || length > CONTROL_LINE_MAX) {
        relayctl_complain("the request is longer than %d octets", CONTROL_LINE_MAX);
        return RELAYCTL_USAGE;
    }
    memcpy(line + length, "\n", 2);
    rc = exchange(fd, path, line, reply);
    wipe(line, sizeof(line));
    return rc;
}

/* ---------------------------------------------------------------- a list in pages */

/* What stands in the request for the page behind this one; 0: it is the last. */
static json_int_t next_page(const json_t *page)
{
    return json_integer_value(json_object_get(page, "next"));
}

/* Appends the rows of a page, and takes over where the next one begins. */
static int join(json_t *all, const json_t *page, const char *name)
{
    json_t *rows = json_object_get(page, name);
    json_int_t next = next_page(page);

    /* The number falls: a daemon that breaks this would keep us for ever. */
    if (!json_is_array(rows) || next < 0 || next >= next_page(all))
        return ERR_PROTOCOL;
    if (json_array_extend(json_object_get(all, name), rows) < 0)
        return ERR_NOMEM;
    return json_object_set_new(all, "next", json_integer(next));
}

/* Asks for the pages behind those in all. RELAYCTL_REFUSED: *line is the daemon's refusal. */
static int ask_pages(int fd, const char *path, json_t *request, json_t *all, const char *rows,
                     char **line)
{
    int rc = RELAYCTL_DONE;

    while (rc == RELAYCTL_DONE && next_page(all) > 0) {
        json_t *page = NULL;

        free(*line);
        *line = NULL;
        json_object_set_new(request, "after", json_integer(next_page(all)));
        rc = relayctl_ask(fd, path, request, line);
        if (rc == RELAYCTL_DONE)
            page = json_loads(*line, JSON_REJECT_DUPLICATES, NULL);
        if (rc == RELAYCTL_DONE && json_is_false(json_object_get(page, "ok"))) {
            rc = RELAYCTL_REFUSED;
        } else if (rc == RELAYCTL_DONE && join(all, page, rows) < 0) {
            relayctl_complain("%s: a page of the list does not follow the one before", path);
            rc = RELAYCTL_NO_DAEMON;
        }
        json_decref(page);
    }
    return rc;
}

static int as_one_line(json_t *all, char **line)
{
    json_object_del(all, "next");
    free(*line);
    *line = json_dumps(all, JSON_COMPACT);
    if (*line)
        return RELAYCTL_DONE;
    relayctl_complain("out of memory");
    return RELAYCTL_NO_DAEMON;
}

int relayctl_ask_all(int fd, const char *path, json_t *request, const char *rows, char **reply)
{
    int rc = relayctl_ask(fd, path, request, reply);
    json_t *all = rc == RELAYCTL_DONE ? json_loads(*reply, JSON_REJECT_DUPLICATES, NULL) : NULL;

    /* A daemon that knows no pages says no "next", and what is no list is shown as it came. */
    if (json_is_array(json_object_get(all, rows)) && json_object_get(all, "next")) {
        rc = ask_pages(fd, path, request, all, rows, reply);
        if (rc == RELAYCTL_DONE)
            rc = as_one_line(all, reply);
        else if (rc == RELAYCTL_REFUSED)
            rc = RELAYCTL_DONE;
    }
    json_decref(all);
    return rc;
}
