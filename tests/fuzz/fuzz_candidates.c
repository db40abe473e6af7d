/*
 * Candidates: the input is a program that adds, hears, changes and removes SAs. What must hold:
 * every group and every search has the SAs whose fields say so.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/candidatesmodel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *wrong = candidatesmodel_run(data, size);

    if (!wrong)
        return 0;
    fprintf(stderr, "the groups differ from the list: %s\n", wrong);
    abort();
}
