/* What must not be found where a key must not be, in the form of memsearch; see usage(). */
#include "config.h" /* _GNU_SOURCE */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/base64.h"
#include "tests/tools/cli.h"
#include "tests/unit/reference.h"

enum { LINE_SIZE = 512, PIECE = 8, NAME_MAX_OCTETS = 40, LABELS = 6, LABEL_AT = 7 };

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(to,
            "usage: keyneedles <KEYS\n"
            "Reads lines NAME SUITE BASE64 (master key and salt) and prints lines NAME.WHAT.N HEX\n"
            "with all that follows from them, in pieces of %d octets, so that a rest is found,\n"
            "too: WHAT is master-key, master-salt, text (the base64), input-1 to input-5 (of the\n"
            "key derivation: the salt with a label), rtp-cipher, rtp-auth, rtp-salt, rtcp-cipher,\n"
            "rtcp-auth, rtcp-salt.\n",
            PIECE);
    exit(status);
}

/* The last piece ends with the octets, so that it may overlap the one before. */
static void print(const char *name, const char *what, const void *octets, size_t length)
{
    for (size_t at = 0; at < length; at += PIECE) {
        const uint8_t *piece =
            (const uint8_t *)octets + (at + PIECE > length ? length - PIECE : at);

        printf("%s.%s.%zu ", name, what, at / PIECE);
        for (size_t i = 0; i < PIECE; i++)
            printf("%02x", piece[i]);
        putchar('\n');
    }
}

static void print_session(const char *name, const struct suite *suite, const uint8_t *material,
                          bool rtcp)
{
    const char *protocol = rtcp ? "rtcp" : "rtp";
    struct reference_keys keys;
    char what[16];

    reference_keys(suite, material, rtcp, &keys);
    snprintf(what, sizeof(what), "%s-cipher", protocol);
    print(name, what, keys.cipher, suite->key_octets);
    snprintf(what, sizeof(what), "%s-salt", protocol);
    print(name, what, keys.salt, suite->salt_octets);
    snprintf(what, sizeof(what), "%s-auth", protocol);
    if (!suite->aead)
        print(name, what, keys.auth, sizeof(keys.auth));
}

/* RFC 3711 section 4.3.1: x = master salt XOR label * 2^48; label 0 is the salt itself. */
static void print_inputs(const char *name, const struct suite *suite, const uint8_t *salt)
{
    uint8_t input[SUITE_KEY_MAX_OCTETS];
    char what[16];

    for (unsigned label = 1; label < LABELS; label++) {
        memcpy(input, salt, suite->salt_octets);
        input[LABEL_AT] ^= (uint8_t)label;
        snprintf(what, sizeof(what), "input-%u", label);
        print(name, what, input, suite->salt_octets);
    }
}

static void print_all(const char *name, const char *suite, const char *base64)
{
    struct cli_key key = {0};

    cli_key(&key, suite, base64);
    print(name, "master-key", key.material, key.suite->key_octets);
    print(name, "master-salt", key.material + key.suite->key_octets, key.suite->salt_octets);
    print_inputs(name, key.suite, key.material + key.suite->key_octets);
    print(name, "text", base64, strlen(base64));
    print_session(name, key.suite, key.material, false);
    print_session(name, key.suite, key.material, true);
}

int main(int argc, char **argv)
{
    char line[LINE_SIZE], name[NAME_MAX_OCTETS + 1], suite[64], base64[256];

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        usage(stdout, 0);
    if (argc != 1)
        usage(stderr, CLI_USAGE);
    while (fgets(line, sizeof(line), stdin)) {
        if (sscanf(line, "%40s %63s %255s", name, suite, base64) != 3)
            cli_die("a line is not \"NAME SUITE BASE64\"");
        print_all(name, suite, base64);
    }
    return 0;
}
