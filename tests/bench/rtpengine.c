#include "config.h" /* _GNU_SOURCE */

#include "tests/bench/rtpengine.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/tools/cli.h"

enum { SDP_SIZE = 1024, REPLY_SIZE = 65536, PATIENCE_S = 10 };

int rtpengine_open(const struct addr *ng)
{
    struct sockaddr_storage name;
    socklen_t length = addr_to_sockaddr(ng, &name);
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(ng->family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&name, length) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
        cli_die("rtpengine: %s", strerror(errno));
    return fd;
}

/* Takes the request over. Each has its own cookie: what comes late is no answer to the next one. */
static json_t *ask(int fd, json_t *request)
{
    static char memory[REPLY_SIZE];
    static unsigned number;
    char cookie[32], *text = json_dumps(request, JSON_COMPACT), *datagram;
    int skip = snprintf(cookie, sizeof(cookie), "%ld_%u ", (long)getpid(), number++);
    const char *result;
    ssize_t length;
    json_t *reply;

    if (!text || asprintf(&datagram, "%s%s", cookie, text) < 0)
        cli_die("out of memory");
    if (send(fd, datagram, strlen(datagram), 0) < 0)
        cli_die("rtpengine: %s", strerror(errno));
    do {
        length = recv(fd, memory, sizeof(memory), 0);
        if (length < 0)
            cli_die("rtpengine gives no reply in %d s: %s", PATIENCE_S, strerror(errno));
    } while (length < skip || memcmp(memory, cookie, (size_t)skip) != 0);
    reply = json_loadb(memory + skip, (size_t)(length - skip), 0, NULL);
    result = json_string_value(json_object_get(reply, "result"));
    if (!result || strcmp(result, "ok") != 0)
        cli_die("rtpengine refuses: %.*s", (int)(length - skip), memory + skip);
    free(datagram);
    free(text);
    json_decref(request);
    return reply;
}

static void write_sdp(char sdp[SDP_SIZE], const struct addr *at, const char *suite, const char *key)
{
    char ip[ADDR_TEXT_SIZE], crypto[256] = "";

    addr_format_ip(at, ip, sizeof(ip));
    if (key)
        snprintf(crypto, sizeof(crypto), "a=crypto:1 %s inline:%s\r\n", suite, key);
    snprintf(sdp, SDP_SIZE,
             "v=0\r\no=- 1 1 IN IP%d %s\r\ns=-\r\nc=IN IP%d %s\r\nt=0 0\r\nm=audio %u RTP/%s 96\r\n"
             "a=rtpmap:96 L16/8000\r\n%sa=sendrecv\r\n",
             at->family, ip, at->family, ip, at->port, key ? "SAVP" : "AVP", crypto);
}

/* Of its c= and m= lines. */
static struct addr addr_of_sdp(const char *sdp)
{
    const char *c = strstr(sdp ? sdp : "", "c=IN IP"), *m = strstr(sdp ? sdp : "", "m=audio ");
    struct addr addr;
    char ip[ADDR_TEXT_SIZE];
    unsigned port;

    if (!c || !m || sscanf(c, "c=IN IP%*c %47[0-9a-fA-F.:]", ip) != 1 ||
        sscanf(m, "m=audio %u", &port) != 1 || addr_parse_ip(ip, &addr) < 0)
        cli_die("rtpengine's SDP has no address: %s", sdp ? sdp : "none");
    addr.port = (uint16_t)port;
    return addr;
}

struct addr rtpengine_call(int fd, unsigned n, const struct addr *from, const struct addr *to,
                           const char *suite, const char *key)
{
    char sdp[SDP_SIZE], call[64];
    struct addr addr;
    json_t *reply;

    snprintf(call, sizeof(call), "relaybench-%u", n);
    write_sdp(sdp, from, suite, key);
    json_decref(ask(fd, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "command", "offer", "call-id",
                                  call, "from-tag", "from", "sdp", sdp, "ICE", "remove",
                                  "transport-protocol", "RTP/AVP")));
    write_sdp(sdp, to, NULL, NULL);
    reply = ask(fd, json_pack("{s:s, s:s, s:s, s:s, s:s}", "command", "answer", "call-id", call,
                              "from-tag", "from", "to-tag", "to", "sdp", sdp));
    addr = addr_of_sdp(json_string_value(json_object_get(reply, "sdp")));
    json_decref(reply);
    return addr;
}

void rtpengine_end(int fd, unsigned n)
{
    char call[64];

    snprintf(call, sizeof(call), "relaybench-%u", n);
    json_decref(ask(fd, json_pack("{s:s, s:s, s:s, s:i}", "command", "delete", "call-id", call,
                                  "from-tag", "from", "delete-delay", 0)));
}
