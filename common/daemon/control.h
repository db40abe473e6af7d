/*
 * The control socket: a Unix stream socket of mode 0660 that takes one JSON
 * object per line and answers each with one. The peer's credentials are
 * checked: root, the daemon's own user, and members of the socket's group.
 */
#ifndef COMMON_DAEMON_CONTROL_H
#define COMMON_DAEMON_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ev_loop;
struct control;
struct json_t;

enum {
    CONTROL_LINE_MAX = 16 * 1024, /* octets of a request, without its newline */
    CONTROL_CLIENTS_MAX = 16,
    CONTROL_IDLE_SECONDS = 60, /* a client that sends and takes nothing for so long is closed */
    CONTROL_REPLY_MAX = 64 * 1024 * 1024,
};

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
 * that nobody listens on is replaced, anything else at path is an error. group NULL or "": the
 * process's own.
 */
int control_open(struct control **control, struct ev_loop *loop, const char *path,
                 const char *group, const struct control_command *commands, void *ctx, char *error,
                 size_t error_size);
/*
 * Closes all clients and removes the socket, if it is still ours. Accepts
 * NULL. Not from inside a command.
 */
void control_close(struct control *control);

/*
 * Makes jansson wipe what it frees: requests carry keys. For the daemon's
 * start, before anything else uses jansson.
 */
void control_wipe_json(void);

/*
 * Other limits than CONTROL_IDLE_SECONDS and CONTROL_REPLY_MAX, for clients
 * that come from now on. For tests.
 */
void control_set_limits(struct control *control, double idle_seconds, size_t reply_octets);

/* Who is at the other end of a connection: user, group, and supplementary groups. */
struct control_peer {
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t group_count;
};
/* Whether peer may command a daemon that runs as owner and whose socket belongs to group. */
bool control_peer_allowed(const struct control_peer *peer, uid_t owner, gid_t group);

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
