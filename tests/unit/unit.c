#include "tests/unit/unit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

int unit_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static unsigned share(void)
{
    const char *text = getenv("MEDIA_RELAY_TEST_SHARE");
    char *end;
    unsigned long percent;

    if (!text)
        return 100;
    percent = strtoul(text, &end, 10);
    if (end == text || *end || percent < 1 || percent > 100) {
        fprintf(stderr, "MEDIA_RELAY_TEST_SHARE is \"%s\", not 1 to 100 percent\n", text);
        abort();
    }
    return (unsigned)percent;
}

unsigned unit_rounds(unsigned full)
{
    unsigned rounds = (unsigned)((unsigned long long)full * share() / 100);

    return rounds > 0 ? rounds : 1;
}

unsigned unit_stride(unsigned most)
{
    unsigned stride = 100 / share();

    return stride < most ? stride : most;
}

static unsigned nibble(char c)
{
    if (!isxdigit((unsigned char)c))
        abort();
    return isdigit((unsigned char)c) ? (unsigned)(c - '0')
                                     : (unsigned)(tolower((unsigned char)c) - 'a' + 10);
}

size_t unit_hex(const char *hex, uint8_t *out, size_t size)
{
    size_t n = 0;

    while (*hex) {
        if (isspace((unsigned char)*hex)) {
            hex++;
            continue;
        }
        if (n == size)
            abort();
        out[n++] = (uint8_t)(nibble(hex[0]) << 4 | nibble(hex[1]));
        hex += 2;
    }
    return n;
}
