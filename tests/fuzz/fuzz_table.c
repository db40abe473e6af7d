/*
 * The SA table: the input is a program that inserts, removes, moves and walks SAs. What must hold:
 * every answer of the table is that of a list which is searched from end to end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/tablemodel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *wrong = tablemodel_run(data, size);

    if (!wrong)
        return 0;
    fprintf(stderr, "the table differs from the list: %s\n", wrong);
    abort();
}
