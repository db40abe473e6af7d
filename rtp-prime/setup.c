#include "config.h"

#include "rtp-prime/setup.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"

enum { KEEPALIVE_DEFAULT_S = 15, KEEPALIVE_MAX_S = 3600, DSCP_EF = 46, DSCP_MAX = 63 };

enum option_id {
    OPTION_LISTEN = 256,
    OPTION_RELAY,
    OPTION_FROM,
    OPTION_CLIENT,
    OPTION_MUX,
    OPTION_SSRC,
    OPTION_DSCP,
    OPTION_KEEPALIVE,
};

static const struct {
    struct option option;
    const char *argument, *help;
} table[] = {
    {{"listen", required_argument, NULL, OPTION_LISTEN},
     "ADDR:PORT",
     "the client sends RTP here, RTCP to the next port"},
    {{"relay", required_argument, NULL, OPTION_RELAY},
     "ADDR:PORT",
     "the relay takes RTP' here, RTCP' at the next port"},
    {{"from", required_argument, NULL, OPTION_FROM},
     "ADDR:PORT",
     "RTP' leaves from here, RTCP' from the next port"},
    {{"client", required_argument, NULL, OPTION_CLIENT},
     "ADDR[:PORT]",
     "the client's address, and where it listens (default: where it sends from)"},
    {{"mux", no_argument, NULL, OPTION_MUX}, "", "RTCP on the RTP ports, too (RFC 5761)"},
    {{"ssrc", required_argument, NULL, OPTION_SSRC},
     "N",
     "the client may send RTP under this SSRC only"},
    {{"dscp", required_argument, NULL, OPTION_DSCP}, "N", "of what is sent (default 46)"},
    {{"keepalive", required_argument, NULL, OPTION_KEEPALIVE},
     "SECONDS",
     "keeps firewalls to the relay open (default 15; 0: does not)"},
    {{"help", no_argument, NULL, 'h'}, "", "this text"},
    {{"version", no_argument, NULL, 'V'}, "", "the version"},
};

enum { TABLE_SIZE = sizeof(table) / sizeof(table[0]) };

void setup_print_help(FILE *to)
{
    fprintf(to,
            "Usage: rtp-prime --listen ADDR:PORT --relay ADDR:PORT --from ADDR:PORT [OPTION...]\n"
            "Makes an RTP client speak RTP' with a media relay.\n\n");
    for (size_t i = 0; i < TABLE_SIZE; i++)
        fprintf(to, "  --%-9s %-12s %s\n", table[i].option.name, table[i].argument, table[i].help);
    fprintf(to, "\nSIGUSR1 prints what became of the packets, and so does the end.\n"
                "Exit status: 0 ended by SIGTERM or SIGINT, 1 could not start, 2 usage.\n");
}

/* ---------------------------------------------------------------- values */

static int read_addr(struct addr *addr, const char *name, const char *text, char *error,
                     size_t error_size)
{
    if (addr_parse(text, addr) == 0)
        return 0;
    snprintf(error, error_size,
             "--%s: \"%s\" is not an IP address with a port; 192.0.2.1:5004 or "
             "[2001:db8::1]:5004 would be right",
             name, text);
    return ERR_INVALID;
}

static int read_client(struct addr *addr, const char *text, char *error, size_t error_size)
{
    if (addr_parse(text, addr) == 0 || addr_parse_ip(text, addr) == 0)
        return 0;
    snprintf(error, error_size,
             "--client: \"%s\" is not an IP address; 192.0.2.1, 192.0.2.1:5004 or "
             "[2001:db8::1]:5004 would be right",
             text);
    return ERR_INVALID;
}

/* Decimal, or hexadecimal with 0x. */
static int read_number(uint32_t *out, const char *name, const char *text, uint32_t max, char *error,
                       size_t error_size)
{
    bool hex = strncmp(text, "0x", 2) == 0;
    const char *digits = hex ? text + 2 : text;
    size_t length = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");
    unsigned long long value;

    errno = 0;
    value = strtoull(digits, NULL, hex ? 16 : 10);
    if (length == 0 || digits[length] != '\0' || errno != 0 || value > max) {
        snprintf(error, error_size, "--%s: \"%s\" is not a number from 0 to %u", name, text, max);
        return ERR_INVALID;
    }
    *out = (uint32_t)value;
    return 0;
}

static int take(struct setup *setup, int id, const char *name, char *error, size_t size)
{
    switch (id) {
    case OPTION_LISTEN:
        return read_addr(&setup->listen, name, optarg, error, size);
    case OPTION_RELAY:
        return read_addr(&setup->relay, name, optarg, error, size);
    case OPTION_FROM:
        return read_addr(&setup->from, name, optarg, error, size);
    case OPTION_CLIENT:
        return read_client(&setup->client, optarg, error, size);
    case OPTION_MUX:
        setup->mux = true;
        return 0;
    case OPTION_SSRC:
        setup->ssrc_given = true;
        return read_number(&setup->ssrc, name, optarg, UINT32_MAX, error, size);
    case OPTION_DSCP:
        return read_number(&setup->dscp, name, optarg, DSCP_MAX, error, size);
    case OPTION_KEEPALIVE:
        return read_number(&setup->keepalive_s, name, optarg, KEEPALIVE_MAX_S, error, size);
    case 'h':
        setup->action = SETUP_HELP;
        return 0;
    default:
        setup->action = SETUP_VERSION;
        return 0;
    }
}

/* ---------------------------------------------------------------- what does not go together */

struct addr setup_rtcp(const struct setup *setup, const struct addr *rtp)
{
    struct addr rtcp = *rtp;

    if (!setup->mux && rtp->port > 0)
        rtcp.port++;
    return rtcp;
}

static int check_port(const struct setup *setup, const char *name, const struct addr *addr,
                      char *error, size_t size)
{
    if (setup->mux || addr->port < UINT16_MAX)
        return 0;
    snprintf(error, size, "--%s: port 65535 has no next port for RTCP; a lower one would be right",
             name);
    return ERR_RANGE;
}

static int check_target(const char *name, const struct addr *addr, char *error, size_t size)
{
    enum addr_kind kind = addr_kind(addr);

    if (kind == ADDR_PUBLIC || kind == ADDR_PRIVATE || kind == ADDR_LOOPBACK)
        return 0;
    snprintf(error, size, "--%s: nothing can be sent to %s; the address of one host would be right",
             name, addr_kind_text(kind));
    return ERR_INVALID;
}

static int check_family(const char *name, const struct addr *addr, const char *other_name,
                        const struct addr *other, char *error, size_t size)
{
    if (addr->family == other->family)
        return 0;
    snprintf(error, size, "--%s is IPv%d and --%s IPv%d; both must have one IP version", name,
             addr->family, other_name, other->family);
    return ERR_INVALID;
}

/* True where two addresses, each with the RTCP port behind it, have a port in common. */
static bool meet(const struct setup *setup, const struct addr *a, const struct addr *b)
{
    struct addr a_rtcp = setup_rtcp(setup, a), b_rtcp = setup_rtcp(setup, b);

    return addr_equal(a, b) || addr_equal(a, &b_rtcp) || addr_equal(&a_rtcp, b);
}

/* What goes to one of our own sockets would go round and round. */
static int check_loops(const struct setup *setup, char *error, size_t size)
{
    const struct {
        const char *name, *other_name;
        const struct addr *addr, *other;
    } pairs[] = {
        {"relay", "listen", &setup->relay, &setup->listen},
        {"relay", "from", &setup->relay, &setup->from},
        {"client", "listen", &setup->client, &setup->listen},
        {"client", "from", &setup->client, &setup->from},
        {"listen", "from", &setup->listen, &setup->from},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (pairs[i].addr->port > 0 && meet(setup, pairs[i].addr, pairs[i].other)) {
            snprintf(error, size, "--%s and --%s have a port in common; other ports would be right",
                     pairs[i].name, pairs[i].other_name);
            return ERR_INVALID;
        }
    return 0;
}

static int check(const struct setup *setup, char *error, size_t size)
{
    const struct {
        const char *name;
        const struct addr *addr;
    } needed[] = {{"listen", &setup->listen}, {"relay", &setup->relay}, {"from", &setup->from}};
    int code = 0;

    for (size_t i = 0; code == 0 && i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (needed[i].addr->family == 0) {
            snprintf(error, size, "--%s is missing; --help lists the options", needed[i].name);
            return ERR_INVALID;
        }
        code = check_port(setup, needed[i].name, needed[i].addr, error, size);
    }
    if (code == 0)
        code = check_target("relay", &setup->relay, error, size);
    if (code == 0)
        code = check_family("from", &setup->from, "relay", &setup->relay, error, size);
    if (code == 0 && setup->client.family != 0) {
        code = check_port(setup, "client", &setup->client, error, size);
        if (code == 0)
            code = check_target("client", &setup->client, error, size);
        if (code == 0)
            code = check_family("client", &setup->client, "listen", &setup->listen, error, size);
    }
    return code == 0 ? check_loops(setup, error, size) : code;
}

int setup_read(struct setup *setup, int argc, char **argv, char *error, size_t error_size)
{
    struct option options[TABLE_SIZE + 1] = {{0}};
    int id, at = 0, code = 0;

    for (size_t i = 0; i < TABLE_SIZE; i++)
        options[i] = table[i].option;
    *setup = (struct setup){.dscp = DSCP_EF, .keepalive_s = KEEPALIVE_DEFAULT_S};
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    while (code == 0) {
        int word = optind > 0 ? optind : 1;

        id = getopt_long(argc, argv, ":hV", options, &at);
        if (id == -1)
            break;
        if (id == '?' || id == ':') {
            snprintf(error, error_size, "%s: %s; --help lists the options", argv[word],
                     id == ':' ? "its value is missing" : "no such option");
            return ERR_INVALID;
        }
        code = take(setup, id, options[at].name, error, error_size);
    }
    if (code < 0 || setup->action != SETUP_RUN)
        return code;
    if (optind < argc) {
        snprintf(error, error_size, "\"%s\" is no option; --help lists them", argv[optind]);
        return ERR_INVALID;
    }
    return check(setup, error, error_size);
}
