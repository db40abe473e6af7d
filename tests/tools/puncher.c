/*
 * Connects to somebody who tells it where another one like it comes from, and then to that one, by
 * simultaneous open; see usage().
 */
#include "config.h"

#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/tunnel/punch.h"
#include "tests/tools/cli.h"

enum { PINGS = 20, MESSAGE_OCTETS = 16 };

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(to,
            "usage: puncher --rendezvous IP:PORT\n"
            "Connects there, reads a line with the IP:PORT of another one, and connects to that\n"
            "from the same local port. Prints one JSON line: whether it is open, after how many\n"
            "ms and tries, and the shortest round trip of 20.\n");
    exit(status);
}

static int meet(const struct addr *there, struct addr *local)
{
    struct sockaddr_storage name;
    socklen_t length = addr_to_sockaddr(there, &name);
    int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || punch_share(fd) < 0 || connect(fd, (struct sockaddr *)&name, length) < 0)
        cli_die("the rendezvous cannot be reached");
    length = sizeof(name);
    if (getsockname(fd, (struct sockaddr *)&name, &length) < 0)
        cli_die("no name");
    *local = addr_from_sockaddr((struct sockaddr *)&name);
    return fd;
}

static struct addr read_line(int fd)
{
    char text[128];
    struct addr addr;
    size_t length = 0;

    while (length < sizeof(text) - 1 && read(fd, text + length, 1) == 1 && text[length] != '\n')
        length++;
    text[length] = '\0';
    if (addr_parse(text, &addr) < 0)
        cli_die("the rendezvous says no address: %s", text);
    return addr;
}

static enum punch_state run(struct punch *punch)
{
    enum punch_state state;

    while ((state = punch_go_on(punch, clock_now_us())) == PUNCH_WAITS) {
        struct pollfd at = {.fd = punch->fd, .events = POLLOUT};

        (void)poll(&at, 1, 20);
    }
    return state;
}

/* "p" or "q" and a clock, each of MESSAGE_OCTETS: pings, and what comes back. */
static void say(int fd, char kind, uint64_t clock_us)
{
    uint8_t memory[MESSAGE_OCTETS] = {(uint8_t)kind};

    memcpy(memory + 8, &clock_us, 8);
    (void)send(fd, memory, sizeof(memory), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* 0: fewer than PINGS came back within 5 s. */
static uint64_t ping(int fd)
{
    uint64_t end_us = clock_now_us() + 5000000, rtt_us = UINT64_MAX, next_us = 0;
    unsigned back = 0, answered = 0;

    while (clock_now_us() < end_us && (back < PINGS || answered < PINGS)) {
        struct pollfd at = {.fd = fd, .events = POLLIN};
        uint8_t memory[MESSAGE_OCTETS];
        uint64_t clock_us;

        if (clock_now_us() >= next_us && back < PINGS) {
            say(fd, 'p', clock_now_us());
            next_us = clock_now_us() + 20000;
        }
        if (poll(&at, 1, 5) <= 0)
            continue;
        if (recv(fd, memory, sizeof(memory), MSG_WAITALL) != (ssize_t)sizeof(memory))
            break;
        memcpy(&clock_us, memory + 8, 8);
        if (memory[0] == 'p') {
            say(fd, 'q', clock_us);
            answered++;
            continue;
        }
        back++;
        if (clock_now_us() - clock_us < rtt_us)
            rtt_us = clock_now_us() - clock_us;
    }
    return back >= PINGS ? rtt_us : 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"rendezvous", required_argument, NULL, 'r'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct addr there = {.family = 0}, local, other;
    struct punch punch;
    uint64_t began_us, rtt_us = 0;
    bool open;
    int id, fd;

    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (id == 'r')
            there = cli_addr("--rendezvous", optarg);
        else
            usage(id == 'h' ? stdout : stderr, id == 'h' ? 0 : CLI_USAGE);
    }
    if (there.family == 0)
        usage(stderr, CLI_USAGE);
    fd = meet(&there, &local);
    other = read_line(fd);
    began_us = clock_now_us();
    punch_begin(&punch, &local, &other, began_us);
    open = run(&punch) == PUNCH_IS_OPEN;
    began_us = clock_now_us() - began_us;
    if (open)
        rtt_us = ping(punch.fd);
    printf(
        "{\"open\": %s, \"after_ms\": %.1f, \"tries\": %u, \"rtt_ms\": %.2f, \"error\": \"%s\"}\n",
        open ? "true" : "false", (double)began_us / 1000, punch.tries, (double)rtt_us / 1000,
        open ? "" : strerror(punch.error));
    punch_end(&punch);
    close(fd);
    return 0;
}
