/* Calls by the ng protocol at a running pair, and how long offer and answer take; see usage(). */
#include "config.h" /* _GNU_SOURCE */

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "tests/tools/cli.h"

enum {
    SDP_SIZE = 1024,
    REPLY_SIZE = 65536,
    KEY_OCTETS = 30,
    PATIENCE_S = 10,
    PORTS_PER_IP = 20000,
    FIRST_PORT = 2000,
};

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(
        to,
        "usage: ngbench [--outside IP] [--inside IP] IP:PORT COMMAND\n"
        "  fill FIRST N        N calls with two SAs each, one right after the other\n"
        "  calls FIRST N RATE  RATE of them each second; prints of each request, and of both\n"
        "                      together: median, 99th percentile and longest (us)\n"
        "  pass FIRST N RATE   the same number, each asked for and ended at once\n"
        "  delete FIRST N      ends them\n"
        "Calls have the numbers FIRST to FIRST + N - 1. The caller is outside, at 127.0.1.100\n"
        "or --outside, who is called is inside, at 127.0.2.100 or --inside; or above, with more\n"
        "than %d calls.\n",
        PORTS_PER_IP);
    exit(status);
}

/* ---------------------------------------------------------------- one request */

struct asker {
    int fd;
    struct addr outside, inside; /* the first phone's */
};

static int connect_to(const char *text)
{
    struct addr to = cli_addr("IP:PORT", text), any = {0};
    struct sockaddr_storage name;
    socklen_t length = addr_to_sockaddr(&to, &name);
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd;

    any.family = to.family;
    fd = cli_socket(&any);
    if (connect(fd, (struct sockaddr *)&name, length) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
        cli_die("%s: %s", text, strerror(errno));
    return fd;
}

/* Each datagram has its own cookie: what comes late is no answer to the next one. */
static void send_request(int fd, const char *cookie, json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT), *datagram = NULL;
    int length = text ? asprintf(&datagram, "%s %s", cookie, text) : -1;

    if (length < 0)
        cli_die("out of memory");
    if (send(fd, datagram, (size_t)length, 0) < 0)
        cli_die("a request could not be sent: %s", strerror(errno));
    free(datagram);
    free(text);
    json_decref(request);
}

static json_t *receive_reply(int fd, const char *cookie)
{
    static char memory[REPLY_SIZE];
    size_t skip = strlen(cookie) + 1;
    json_t *reply;
    ssize_t length;

    do {
        length = recv(fd, memory, sizeof(memory), 0);
        if (length < 0)
            cli_die("no reply in %d s: %s", PATIENCE_S, strerror(errno));
    } while ((size_t)length < skip || memcmp(memory, cookie, skip - 1) != 0);
    reply = json_loadb(memory + skip, (size_t)length - skip, 0, NULL);
    if (!reply)
        cli_die("a reply that is no JSON");
    return reply;
}

/* Takes the request over. The time from sending to the reply, which has to be a good one. */
static unsigned ask(int fd, json_t *request)
{
    static unsigned long long number;
    char cookie[32];
    const char *result;
    json_t *reply;
    uint64_t began_us;
    unsigned took_us;

    snprintf(cookie, sizeof(cookie), "bench%llu", ++number);
    began_us = clock_now_us();
    send_request(fd, cookie, request);
    reply = receive_reply(fd, cookie);
    took_us = (unsigned)(clock_now_us() - began_us);
    result = json_string_value(json_object_get(reply, "result"));
    if (!result || strcmp(result, "ok") != 0)
        cli_die("refused: %s", json_dumps(reply, 0));
    json_decref(reply);
    return took_us;
}

/* ---------------------------------------------------------------- a call */

/* As a phone says it: one audio line, with RTCP at the next port. */
static void write_sdp(char sdp[SDP_SIZE], struct addr at, unsigned n)
{
    uint8_t material[KEY_OCTETS];
    char key[4 * KEY_OCTETS / 3 + 8], ip[ADDR_TEXT_SIZE];
    unsigned port = FIRST_PORT + 2 * (n % PORTS_PER_IP);

    random_bytes(material, sizeof(material));
    base64_encode(material, sizeof(material), key);
    at.ip[3] = (uint8_t)(at.ip[3] + n / PORTS_PER_IP);
    addr_format_ip(&at, ip, sizeof(ip));
    snprintf(sdp, SDP_SIZE,
             "v=0\r\no=bench %u 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n"
             "m=audio %u RTP/SAVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
             "a=rtpmap:101 telephone-event/8000\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\r\n"
             "a=sendrecv\r\n",
             n, ip, ip, port, key);
}

static json_t *request_of(const char *command, unsigned n)
{
    char call[64], tag[64];

    snprintf(call, sizeof(call), "ngbench-%u@bench.example", n);
    snprintf(tag, sizeof(tag), "caller-%u", n);
    return json_pack("{s:s, s:s, s:s}", "command", command, "call-id", call, "from-tag", tag);
}

static json_t *media_request(const struct asker *asker, const char *command, unsigned n)
{
    bool answer = strcmp(command, "answer") == 0;
    json_t *request = request_of(command, n);
    char sdp[SDP_SIZE], tag[64];

    write_sdp(sdp, answer ? asker->inside : asker->outside, n);
    snprintf(tag, sizeof(tag), "called-%u", n);
    if (answer)
        json_object_set_new(request, "to-tag", json_string(tag));
    json_object_set_new(request, "sdp", json_string(sdp));
    json_object_set_new(request, "direction",
                        answer ? json_pack("[s, s]", "internal", "external")
                               : json_pack("[s, s]", "external", "internal"));
    json_object_set_new(request, "replace", json_pack("[s, s]", "origin", "session-connection"));
    return request;
}

/* ---------------------------------------------------------------- many */

static void fill(const struct asker *asker, unsigned first, unsigned count)
{
    for (unsigned n = first; n < first + count; n++) {
        (void)ask(asker->fd, media_request(asker, "offer", n));
        (void)ask(asker->fd, media_request(asker, "answer", n));
    }
}

static void delete_all(const struct asker *asker, unsigned first, unsigned count)
{
    for (unsigned n = first; n < first + count; n++)
        (void)ask(asker->fd, request_of("delete", n));
}

static void wait_until(uint64_t at_us)
{
    uint64_t now_us = clock_now_us();
    struct timespec left = {0};

    if (now_us >= at_us)
        return;
    left.tv_sec = (time_t)((at_us - now_us) / 1000000);
    left.tv_nsec = (long)((at_us - now_us) % 1000000 * 1000);
    nanosleep(&left, NULL);
}

/* Calls that come and go. */
static void pass(const struct asker *asker, unsigned first, unsigned count, unsigned rate)
{
    uint64_t began_us = clock_now_us();

    for (unsigned i = 0; i < count; i++) {
        wait_until(began_us + (uint64_t)i * 1000000 / rate);
        fill(asker, first + i, 1);
        (void)ask(asker->fd, request_of("query", first + i));
        delete_all(asker, first + i, 1);
    }
}

/* ---------------------------------------------------------------- times */

static int compare(const void *a, const void *b)
{
    const unsigned *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void print_times(const char *what, unsigned *took_us, unsigned count)
{
    qsort(took_us, count, sizeof(*took_us), compare);
    printf("%-16s %8u %8u %8u\n", what, took_us[count / 2], took_us[(count - 1) * 99 / 100],
           took_us[count - 1]);
}

static void measure(const struct asker *asker, unsigned first, unsigned count, unsigned rate)
{
    unsigned *took_us = calloc(3 * (size_t)count, sizeof(*took_us));
    uint64_t began_us = clock_now_us();

    if (!took_us)
        cli_die("out of memory");
    for (unsigned i = 0; i < count; i++) {
        wait_until(began_us + (uint64_t)i * 1000000 / rate);
        took_us[i] = ask(asker->fd, media_request(asker, "offer", first + i));
        took_us[count + i] = ask(asker->fd, media_request(asker, "answer", first + i));
        took_us[2 * count + i] = took_us[i] + took_us[count + i];
    }
    printf("%-16s %8s %8s %8s\n", "us", "median", "p99", "longest");
    print_times("offer", took_us, count);
    print_times("answer", took_us + count, count);
    print_times("offer and answer", took_us + 2 * count, count);
    free(took_us);
}

/* The options, and how many words they were. */
static int take_options(struct asker *asker, int argc, char **argv)
{
    int at = 1;

    if (addr_parse_ip("127.0.1.100", &asker->outside) < 0 ||
        addr_parse_ip("127.0.2.100", &asker->inside) < 0)
        abort();
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        struct addr *addr = strcmp(argv[at], "--outside") == 0  ? &asker->outside
                            : strcmp(argv[at], "--inside") == 0 ? &asker->inside
                                                                : NULL;

        if (!addr)
            usage(stderr, CLI_USAGE);
        if (addr_parse_ip(argv[at + 1], addr) < 0 || addr->family != 4)
            cli_die("%s: %s is no IPv4 address", argv[at], argv[at + 1]);
    }
    return at - 1;
}

int main(int argc, char **argv)
{
    struct asker asker;
    unsigned first, count;
    int options;

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        usage(stdout, 0);
    options = take_options(&asker, argc, argv);
    argc -= options;
    argv += options;
    if (argc < 5)
        usage(stderr, CLI_USAGE);
    asker.fd = connect_to(argv[1]);
    first = (unsigned)cli_number("FIRST", argv[3], 0, 1000000);
    count = (unsigned)cli_number("N", argv[4], 1, 1000000);
    if (strcmp(argv[2], "fill") == 0 && argc == 5)
        fill(&asker, first, count);
    else if (strcmp(argv[2], "delete") == 0 && argc == 5)
        delete_all(&asker, first, count);
    else if (strcmp(argv[2], "pass") == 0 && argc == 6)
        pass(&asker, first, count, (unsigned)cli_number("RATE", argv[5], 1, 100000));
    else if (strcmp(argv[2], "calls") == 0 && argc == 6)
        measure(&asker, first, count, (unsigned)cli_number("RATE", argv[5], 1, 100000));
    else
        usage(stderr, CLI_USAGE);
    return 0;
}
