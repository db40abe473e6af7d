/*
 * What a pair of relays cannot do without, and nothing else: the bench measures it beside the pair,
 * to tell what a pair costs from what this one costs. See usage().
 */
#include "config.h" /* _GNU_SOURCE */

#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/random.h"
#include "common/srtp/hmac.h"
#include "tests/bench/tlspair.h"
#include "tests/tools/cli.h"

enum {
    BATCH = 32,
    SINKS_MAX = 4096,
    PACKET_MAX = 2048,
    LABEL_AT = 2, /* in a frame: length, label, packet */
    FRAME_ADDS = 7,
    SSRC_AT = 8,
    TAG_OCTETS = 10,
    KEY_OCTETS = 20,
};

struct bare {
    struct addr listen, sink;
    unsigned sinks;
    uint32_t first_ssrc;
    struct timespec rest;
    int udp;
    SSL *tls;
    struct hmac_key keys[SINKS_MAX];
    unsigned good; /* tags; none is, but nobody can know */
    uint8_t input[4 * 65536];
};

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(
        to,
        "usage: barepair --listen IP:PORT --sink IP:PORT [--sinks N] [--first-ssrc N] [--rest US]\n"
        "One process takes SRTP packets at --listen, computes the HMAC of each, and writes all "
        "that\n"
        "wait into a TLS connection; the other one reads them there, computes the HMAC once more "
        "and\n"
        "sends each to sink (SSRC - first) %% N. They wait in recvmmsg and in SSL_read; with "
        "--rest the\n"
        "first one sleeps before it looks again. No SAs, no keys that fit, no control. Prints "
        "\"ready\"\n"
        "and the second process's pid, and works until it is killed.\n");
    exit(status);
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static unsigned stream_of(const struct bare *bare, const uint8_t *packet)
{
    return (get_u32(packet + SSRC_AT) - bare->first_ssrc) % bare->sinks;
}

static void verify(struct bare *bare, const uint8_t *packet, size_t length)
{
    static const uint8_t roc[4];
    uint8_t tag[HMAC_OCTETS];

    hmac_tag(&bare->keys[stream_of(bare, packet)], packet, length - TAG_OCTETS, roc, sizeof(roc),
             tag);
    bare->good += memcmp(tag, packet + length - TAG_OCTETS, TAG_OCTETS) == 0;
}

static size_t put_frame(uint8_t *at, const uint8_t *packet, size_t length)
{
    at[0] = (uint8_t)(length >> 8);
    at[1] = (uint8_t)length;
    memcpy(at + LABEL_AT, packet + SSRC_AT, FRAME_ADDS - LABEL_AT);
    memcpy(at + FRAME_ADDS, packet, length);
    return FRAME_ADDS + length;
}

/* How many came. Waits for the first one, if it may. */
static int take_batch(struct bare *bare, int flags)
{
    static uint8_t data[BATCH][PACKET_MAX], record[BATCH * (PACKET_MAX + FRAME_ADDS)];
    struct sockaddr_in from[BATCH];
    struct mmsghdr heads[BATCH];
    struct iovec iov[BATCH];
    size_t length = 0;
    int count;

    for (unsigned i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){data[i], sizeof(data[i])};
        heads[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &from[i],
                                                .msg_namelen = sizeof(from[i]),
                                                .msg_iov = &iov[i],
                                                .msg_iovlen = 1}};
    }
    count = recvmmsg(bare->udp, heads, BATCH, flags, NULL);
    for (int i = 0; i < count; i++) {
        if (heads[i].msg_len <= SSRC_AT + 4 + TAG_OCTETS)
            continue;
        verify(bare, data[i], heads[i].msg_len);
        length += put_frame(record + length, data[i], heads[i].msg_len);
    }
    if (length > 0 && SSL_write(bare->tls, record, (int)length) != (int)length)
        exit(EXIT_FAILURE);
    return count;
}

static _Noreturn void outer(struct bare *bare)
{
    for (;;) {
        int count = take_batch(bare, MSG_WAITFORONE);

        while (count == BATCH)
            count = take_batch(bare, MSG_DONTWAIT);
        if (bare->rest.tv_nsec > 0)
            nanosleep(&bare->rest, NULL);
    }
}

/* Whole frames at the front: sends them, and returns their octets. */
static size_t send_batch(struct bare *bare, const uint8_t *input, size_t length)
{
    struct sockaddr_in to[BATCH];
    struct mmsghdr heads[BATCH];
    struct iovec iov[BATCH];
    unsigned count = 0;
    size_t at = 0;

    while (count < BATCH && length - at > FRAME_ADDS) {
        const uint8_t *packet = input + at + FRAME_ADDS;
        size_t octets = (size_t)input[at] << 8 | input[at + 1];

        if (length - at < FRAME_ADDS + octets)
            break;
        verify(bare, packet, octets);
        to[count] = (struct sockaddr_in){
            .sin_family = AF_INET,
            .sin_port = htons(bare->sink.port),
            .sin_addr.s_addr = htonl(get_u32(bare->sink.ip) + stream_of(bare, packet))};
        iov[count] = (struct iovec){(void *)packet, octets};
        heads[count] = (struct mmsghdr){.msg_hdr = {.msg_name = &to[count],
                                                    .msg_namelen = sizeof(to[count]),
                                                    .msg_iov = &iov[count],
                                                    .msg_iovlen = 1}};
        count++;
        at += FRAME_ADDS + octets;
    }
    if (count > 0)
        (void)sendmmsg(bare->udp, heads, count, 0);
    return at;
}

static _Noreturn void inner(struct bare *bare)
{
    size_t length = 0;

    for (;;) {
        int count = SSL_read(bare->tls, bare->input + length, (int)(sizeof(bare->input) - length));
        size_t at = 0, sent;

        if (count <= 0)
            exit(EXIT_SUCCESS);
        length += (size_t)count;
        while ((sent = send_batch(bare, bare->input + at, length - at)) > 0)
            at += sent;
        memmove(bare->input, bare->input + at, length - at);
        length -= at;
    }
}

static void make_keys(struct bare *bare)
{
    uint8_t key[KEY_OCTETS];

    for (unsigned i = 0; i < bare->sinks; i++) {
        random_bytes(key, sizeof(key));
        hmac_init(&bare->keys[i], key, sizeof(key));
    }
}

static _Noreturn void run(struct bare *bare)
{
    const struct addr any = {.family = 4};
    SSL *tls[2];
    pid_t pid;

    make_keys(bare);
    tlspair_open(tls);
    prctl(PR_SET_TIMERSLACK, 1000);
    pid = fork();
    if (pid < 0)
        cli_die("no second process");
    if (pid == 0) {
        close(SSL_get_fd(tls[0])); /* or it would not see the end */
        bare->tls = tls[1];
        bare->udp = cli_socket(&any);
        inner(bare);
    }
    bare->tls = tls[0];
    bare->udp = cli_socket(&bare->listen);
    printf("ready %d\n", (int)pid);
    fflush(stdout);
    outer(bare);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
                                            {"sink", required_argument, NULL, 'k'},
                                            {"sinks", required_argument, NULL, 'n'},
                                            {"first-ssrc", required_argument, NULL, 'f'},
                                            {"rest", required_argument, NULL, 'r'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static struct bare bare = {.sinks = 1, .first_ssrc = 0x10000000};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'l')
            bare.listen = cli_addr("listen", optarg);
        else if (option == 'k')
            bare.sink = cli_addr("sink", optarg);
        else if (option == 'n')
            bare.sinks = (unsigned)cli_number("sinks", optarg, 1, SINKS_MAX);
        else if (option == 'f')
            bare.first_ssrc = (uint32_t)cli_number("first-ssrc", optarg, 0, UINT32_MAX);
        else if (option == 'r')
            bare.rest.tv_nsec = 1000 * (long)cli_number("rest", optarg, 0, 100000);
        else
            usage(option == 'h' ? stdout : stderr, option == 'h' ? 0 : CLI_USAGE);
    }
    if (bare.listen.family != 4 || bare.sink.family != 4)
        usage(stderr, CLI_USAGE);
    run(&bare);
}
