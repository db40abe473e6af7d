/* A client of the inner relay's control socket: one request, one reply. */
#ifndef TESTS_BENCH_CTL_H
#define TESTS_BENCH_CTL_H

#include <jansson.h>

struct ctl;

/* Each ends the program with a message when it fails: the bench cannot go on without. */
struct ctl *ctl_open(const char *path);
void ctl_close(struct ctl *ctl);
/* Takes the request over. The reply, which is {"ok": true, ...}, belongs to the caller. */
json_t *ctl_ask(struct ctl *ctl, json_t *request);

#endif
