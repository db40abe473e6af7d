/*
 * Local TCP ports that are this process's for as long as it runs: the filter of a raw socket names
 * them before there is any connection from them, and nobody else's connection gets one of them.
 */
#ifndef COMMON_TUNNEL_LOCALPORTS_H
#define COMMON_TUNNEL_LOCALPORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOCALPORTS = 8 };

struct localports;

/* Takes LOCALPORTS ports that the kernel picks. Negative with a sentence in error. */
int localports_new(struct localports **ports, char *error, size_t error_size);
/* Accepts NULL. */
void localports_free(struct localports *ports);
/* Which these are. */
const uint16_t *localports_list(const struct localports *ports);
bool localports_has(const struct localports *ports, uint16_t port);
/*
 * Binds a TCP socket that is not connected yet (AF_INET or AF_INET6) to one of them: another one
 * each time, since the port of a connection that has ended cannot reach the same place for a while.
 * 0 or ERR_SYSTEM, errno says why.
 */
int localports_bind(struct localports *ports, int fd, int family);

#endif
