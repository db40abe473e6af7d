#include "common/base/err.h"

const char *err_text(int code)
{
    switch (code) {
    case 0:
        return "success";
#define X(name, number, text)                                                                      \
    case ERR_##name:                                                                               \
        return text;
        ERR_LIST(X)
#undef X
    default:
        return "unknown error";
    }
}
