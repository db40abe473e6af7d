/*
 * The other end of TURN over TLS, for the bench: takes UDP packets and hands them to a TURN server
 * as ChannelData in a TLS connection (RFC 8656), a channel for each destination. See usage().
 */
#include "config.h" /* _GNU_SOURCE */

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/random.h"
#include "tests/tools/cli.h"

enum {
    BATCH = 64,
    CHANNELS_MAX = 4096,
    FIRST_CHANNEL = 0x4000,
    RECORD_OCTETS = 16384, /* of one SSL_write at most */
    STUN_HEADER_OCTETS = 20,
    STUN_MAX_OCTETS = 2048,
    CHANNEL_HEADER_OCTETS = 4,
    ALLOCATE = 0x0003,
    CHANNEL_BIND = 0x0009,
    SUCCESS = 0x0100,
    TYPE_MASK = 0x3fff,
    CHANNEL_NUMBER = 0x000c,
    XOR_PEER_ADDRESS = 0x0012,
    REQUESTED_TRANSPORT = 0x0019,
    SSRC_AT = 8,
};
static const uint32_t magic_cookie = 0x2112a442;

struct gate {
    struct addr server, listen, sink;
    unsigned sinks;
    uint32_t first_ssrc;
    int udp;
    SSL *tls;
    uint8_t record[RECORD_OCTETS + 2048];
    size_t length;
};

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(
        to,
        "usage: turngate --server IP:PORT --listen IP:PORT --sink IP:PORT [--sinks N]\n"
        "                [--first-ssrc N]\n"
        "Allocates a relay address at the TURN server (TLS, no credentials, any certificate),\n"
        "binds a channel to each of N sinks (that address and the next ones; default 1), prints\n"
        "\"ready\", and sends each RTP packet that comes to --listen to sink (SSRC - first) %% N\n"
        "until it is killed. Permissions are not renewed: it is of use for 5 minutes.\n");
    exit(status);
}

static void put_u16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    put_u16(at, value >> 16);
    put_u16(at + 2, value & 0xffff);
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---------------------------------------------------------------- requests */

static void write_all(struct gate *gate, const uint8_t *data, size_t length)
{
    if (SSL_write(gate->tls, data, (int)length) != (int)length)
        cli_die("the TURN server has closed the connection");
}

static void read_all(struct gate *gate, uint8_t *data, size_t length)
{
    for (size_t at = 0; at < length;) {
        int n = SSL_read(gate->tls, data + at, (int)(length - at));

        if (n <= 0)
            cli_die("the TURN server has closed the connection");
        at += (size_t)n;
    }
}

/* One request with these attributes, whose answer has to be a success. */
static void ask(struct gate *gate, const char *name, unsigned type, const uint8_t *attributes,
                size_t length)
{
    uint8_t message[STUN_MAX_OCTETS];
    unsigned answer;

    put_u16(message, type);
    put_u16(message + 2, (unsigned)length);
    put_u32(message + 4, magic_cookie);
    random_bytes(message + 8, 12);
    memcpy(message + STUN_HEADER_OCTETS, attributes, length);
    write_all(gate, message, STUN_HEADER_OCTETS + length);
    read_all(gate, message, STUN_HEADER_OCTETS);
    answer = (unsigned)message[0] << 8 | message[1];
    length = (size_t)message[2] << 8 | message[3];
    if (length > sizeof(message))
        cli_die("the TURN server speaks something else");
    read_all(gate, message, length);
    if ((answer & TYPE_MASK) != (type | SUCCESS))
        cli_die("the TURN server refuses %s (0x%04x)", name, answer);
}

static void bind_channel(struct gate *gate, unsigned n)
{
    uint8_t attributes[20] = {0};
    uint32_t ip = get_u32(gate->sink.ip) + n;

    put_u16(attributes, CHANNEL_NUMBER);
    put_u16(attributes + 2, 4);
    put_u16(attributes + 4, FIRST_CHANNEL + n);
    put_u16(attributes + 8, XOR_PEER_ADDRESS);
    put_u16(attributes + 10, 8);
    attributes[13] = 1; /* IPv4 */
    put_u16(attributes + 14, gate->sink.port ^ magic_cookie >> 16);
    put_u32(attributes + 16, ip ^ magic_cookie);
    ask(gate, "ChannelBind", CHANNEL_BIND, attributes, sizeof(attributes));
}

static void allocate(struct gate *gate)
{
    static const uint8_t udp[8] = {0, REQUESTED_TRANSPORT, 0, 4, IPPROTO_UDP};

    ask(gate, "Allocate", ALLOCATE, udp, sizeof(udp));
    for (unsigned n = 0; n < gate->sinks; n++)
        bind_channel(gate, n);
}

static void connect_tls(struct gate *gate)
{
    struct sockaddr_storage name;
    socklen_t length = addr_to_sockaddr(&gate->server, &name);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    const int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&name, length) < 0)
        cli_die("the TURN server: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
    gate->tls = SSL_new(ctx);
    if (!gate->tls || !SSL_set_fd(gate->tls, fd) || SSL_connect(gate->tls) != 1)
        cli_die("the TLS handshake with the TURN server fails");
}

/* ---------------------------------------------------------------- packets */

static void flush(struct gate *gate)
{
    if (gate->length > 0)
        write_all(gate, gate->record, gate->length);
    gate->length = 0;
}

/* In a stream, ChannelData is padded to four octets (RFC 8656 section 12.5). */
static void add(struct gate *gate, const uint8_t *packet, size_t length)
{
    size_t padded = (length + 3) & ~(size_t)3;
    uint8_t *at;

    if (length <= SSRC_AT + 4)
        return;
    if (gate->length + CHANNEL_HEADER_OCTETS + padded > RECORD_OCTETS)
        flush(gate);
    at = gate->record + gate->length;
    put_u16(at, FIRST_CHANNEL + (get_u32(packet + SSRC_AT) - gate->first_ssrc) % gate->sinks);
    put_u16(at + 2, (unsigned)length);
    memcpy(at + CHANNEL_HEADER_OCTETS, packet, length);
    memset(at + CHANNEL_HEADER_OCTETS + length, 0, padded - length);
    gate->length += CHANNEL_HEADER_OCTETS + padded;
}

static _Noreturn void carry(struct gate *gate)
{
    static uint8_t data[BATCH][2048];
    struct mmsghdr heads[BATCH];
    struct iovec iov[BATCH];
    struct pollfd wait = {.fd = gate->udp, .events = POLLIN};

    for (unsigned i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){data[i], sizeof(data[i])};
        heads[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
    }
    for (;;) {
        int n = recvmmsg(gate->udp, heads, BATCH, MSG_DONTWAIT, NULL);

        for (int i = 0; i < n; i++)
            add(gate, data[i], heads[i].msg_len);
        if (n < BATCH)
            flush(gate);
        if (n <= 0)
            poll(&wait, 1, -1);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"server", required_argument, NULL, 's'},
                                            {"listen", required_argument, NULL, 'l'},
                                            {"sink", required_argument, NULL, 'k'},
                                            {"sinks", required_argument, NULL, 'n'},
                                            {"first-ssrc", required_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static struct gate gate = {.sinks = 1, .first_ssrc = 0x10000000};
    int option, at = 0;

    while ((option = getopt_long(argc, argv, "", options, &at)) != -1) {
        if (option == 's')
            gate.server = cli_addr("server", optarg);
        else if (option == 'l')
            gate.listen = cli_addr("listen", optarg);
        else if (option == 'k')
            gate.sink = cli_addr("sink", optarg);
        else if (option == 'n')
            gate.sinks = (unsigned)cli_number("sinks", optarg, 1, CHANNELS_MAX);
        else if (option == 'f')
            gate.first_ssrc = (uint32_t)cli_number("first-ssrc", optarg, 0, UINT32_MAX);
        else
            usage(option == 'h' ? stdout : stderr, option == 'h' ? 0 : CLI_USAGE);
    }
    if (gate.server.family != 4 || gate.listen.family != 4 || gate.sink.family != 4)
        usage(stderr, CLI_USAGE);
    connect_tls(&gate);
    allocate(&gate);
    gate.udp = cli_socket(&gate.listen);
    puts("ready");
    fflush(stdout);
    carry(&gate);
}
