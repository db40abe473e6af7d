#include "config.h" /* _GNU_SOURCE */

#include "tests/tools/cli.h"

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "common/base/base64.h"

void cli_die(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(CLI_USAGE);
}

uint64_t cli_number(const char *option, const char *text, uint64_t min, uint64_t max)
{
    bool hex = strncmp(text, "0x", 2) == 0;
    const char *digits = hex ? text + 2 : text;
    uint64_t value;
    char *end;

    errno = 0;
    value = strtoull(digits, &end, hex ? 16 : 10);
    if (*digits == '-' || *digits == '\0' || *end != '\0' || errno != 0 || value < min ||
        value > max)
        cli_die("--%s wants a number from %llu to %llu, not \"%s\"", option,
                (unsigned long long)min, (unsigned long long)max, text);
    return value;
}

double cli_real(const char *option, const char *text, double min, double max)
{
    char *end;
    double value = strtod(text, &end);

    if (*text == '\0' || *end != '\0' || !isfinite(value) || value < min || value > max)
        cli_die("--%s wants a number from %g to %g, not \"%s\"", option, min, max, text);
    return value;
}

struct addr cli_addr(const char *option, const char *text)
{
    struct addr addr;

    if (addr_parse(text, &addr) < 0)
        cli_die("--%s wants IP:PORT or [IP]:PORT, not \"%s\"", option, text);
    return addr;
}

void cli_key(struct cli_key *key, const char *suite, const char *base64)
{
    int octets;

    key->suite = suite_find(suite ? suite : "AES_CM_128_HMAC_SHA1_80");
    if (!key->suite)
        cli_die("--suite wants one of %s, not \"%s\"", suite_names(), suite);
    octets = base64_decode(base64, key->material, sizeof(key->material));
    if (octets != (int)suite_material_octets(key->suite))
        cli_die("--key wants %zu octets of key and salt in base64 for %s",
                suite_material_octets(key->suite), key->suite->name);
}

void cli_key_of(const struct cli_key *key, uint32_t n, uint8_t material[SUITE_KEY_MAX_OCTETS])
{
    memcpy(material, key->material, SUITE_KEY_MAX_OCTETS);
    for (unsigned i = 0; key->derive && i < 4; i++)
        material[key->suite->key_octets - 1 - i] ^= (uint8_t)(n >> (8 * i));
}

void cli_raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int cli_socket(const struct addr *local)
{
    const int buffer = 4 * 1024 * 1024, one = 1;
    struct sockaddr_storage name;
    socklen_t length = addr_to_sockaddr(local, &name);
    char text[ADDR_TEXT_SIZE];
    int fd = socket(local->family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0) {
        if (local->family == 6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) < 0)
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    }
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, length) < 0) {
        fprintf(stderr, "%s: cannot bind UDP %s: %s\n", program_invocation_short_name,
                addr_format(local, text, sizeof(text)), strerror(errno));
        exit(EXIT_FAILURE);
    }
    return fd;
}
