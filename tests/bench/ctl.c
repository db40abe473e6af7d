#include "tests/bench/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/tools/cli.h"

struct ctl {
    FILE *in, *out;
    char *line;
    size_t size;
};

struct ctl *ctl_open(const char *path)
{
    struct ctl *ctl = calloc(1, sizeof(*ctl));
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(name.sun_path))
        cli_die("%s: this path is too long for a socket", path);
    memcpy(name.sun_path, path, strlen(path) + 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
        cli_die("%s: %s", path, strerror(errno));
    if (!ctl || !(ctl->in = fdopen(fd, "r")) || !(ctl->out = fdopen(dup(fd), "w")))
        cli_die("%s: out of memory", path);
    return ctl;
}

void ctl_close(struct ctl *ctl)
{
    if (!ctl)
        return;
    fclose(ctl->in);
    fclose(ctl->out);
    free(ctl->line);
    free(ctl);
}

json_t *ctl_ask(struct ctl *ctl, json_t *request)
{
    json_t *reply;
    json_error_t error;

    if (!request || json_dumpf(request, ctl->out, JSON_COMPACT) < 0 ||
        fputc('\n', ctl->out) == EOF || fflush(ctl->out) == EOF)
        cli_die("the control socket takes no request");
    if (getline(&ctl->line, &ctl->size, ctl->in) <= 0)
        cli_die("the control socket gives no reply");
    reply = json_loads(ctl->line, 0, &error);
    if (!reply)
        cli_die("the control socket's reply is not JSON: %s", error.text);
    if (!json_is_true(json_object_get(reply, "ok")))
        cli_die("%s is refused: %s", json_string_value(json_object_get(request, "command")),
                json_string_value(json_object_get(reply, "error")));
    json_decref(request);
    return reply;
}
