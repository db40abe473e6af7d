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

unsigned unit_rounds(unsigned full)
{
    return getenv("UNIT_SHORT") ? full / 10 + 1 : full;
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
