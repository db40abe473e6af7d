/*
 * The control socket: a Unix stream socket of mode 0660 that takes one JSON
 * object per line and answers each with one. The peer's credentials are
 * checked: root, the daemon's own user, and members of the socket's group.
 */
#ifndef COMMON_DAEMON_CONTROL_H
#define COMMON_DAEMON_CONTROL_H

#include <stddef.h>

struct ev_loop;
struct control;
struct json_t;

enum { CONTROL_LINE_MAX = 16 * 1024, CONTROL_CLIENTS_MAX = 16 };

/*
 * One command. request is borrowed; the result is owned by the caller: an
 * object {"ok": true, ...}, or what control_refuse() makes.
 */
struct control_command {
    const char *name;
    struct json_t *(*run)(void *ctx, const struct json_t *request);
};

/*
 * commands is ended by name NULL and must outlive the control. A stale socket
 * that nobody listens on is replaced, anything else at path is an error. group NULL or "": the process's own.
 */
int control_open(struct control **control, struct ev_loop *loop, const char *path,
                 const char *group, const struct control_command *commands, void *ctx,
                 char *error, size_t error_size);
/* Removes the socket. Accepts NULL. */
void control_close(struct control *control);

/* {"ok": false, "error": text, "field": field}; field may be NULL. */
struct json_t *control_refuse(const char *field, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * The parser by itself, for tests: answers one line (without its newline). The
 * result is owned by the caller and never NULL but without memory.
 */
struct json_t *control_answer(const struct control_command *commands, void *ctx, const char *line,
                              size_t length);

#endif
