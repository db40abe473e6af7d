#include "common/daemon/reportvalue.h"

json_t *report_number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

json_t *report_addr(const struct addr *addr)
{
    char text[ADDR_TEXT_SIZE];

    return addr && addr->family ? json_string(addr_format(addr, text, sizeof(text))) : json_null();
}

json_t *report_ip(const struct addr *addr)
{
    char text[ADDR_TEXT_SIZE];

    return addr && addr->family ? json_string(addr_format_ip(addr, text, sizeof(text)))
                                : json_null();
}
