#include "protocol/expiry.h"

#include "protocol/ascii.h"
#include "protocol/number.h"

enum { DAY_S = 86400, DAYS_PER_YEAR_CYCLE = 146097 }; /* the calendar repeats after 400 years */

bool sl_ttl_parse(struct sl_bytes text, uint64_t *ttl_s)
{
    return sl_number_parse_canonical(text, SL_TTL_S_MAX, ttl_s);
}

/* Takes exactly `digits` digits off the front of `rest`. */
static bool take_digits(struct sl_bytes *rest, size_t digits, int *value)
{
    *value = 0;
    if (rest->size < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (!sl_ascii_is_digit(rest->data[i]))
            return false;
        *value = *value * 10 + (rest->data[i] - '0');
    }
    *rest = sl_bytes_from(*rest, digits);
    return true;
}

/* Takes one byte, in either case, off the front of `rest`. */
static bool take_mark(struct sl_bytes *rest, uint8_t mark)
{
    if (rest->size == 0 || sl_ascii_lower(rest->data[0]) != mark)
        return false;
    *rest = sl_bytes_from(*rest, 1);
    return true;
}

/* ["." 1*DIGIT], cut to milliseconds. */
static bool take_fraction(struct sl_bytes *rest, int *ms)
{
    *ms = 0;
    if (!take_mark(rest, '.'))
        return true;
    int weight = 100;
    size_t digits = 0;
    for (; digits < rest->size && sl_ascii_is_digit(rest->data[digits]); digits++) {
        *ms += weight * (rest->data[digits] - '0');
        weight /= 10;
    }
    *rest = sl_bytes_from(*rest, digits);
    return digits > 0;
}

/* "Z" or ("+" / "-") hour ":" minute, in seconds east of UTC. */
static bool take_zone(struct sl_bytes *rest, int *east_s)
{
    *east_s = 0;
    if (take_mark(rest, 'z'))
        return true;
    bool west = take_mark(rest, '-');
    if (!west && !take_mark(rest, '+'))
        return false;
    int hour, minute;
    if (!take_digits(rest, 2, &hour) || !take_mark(rest, ':') || !take_digits(rest, 2, &minute))
        return false;
    if (hour > 23 || minute > 59)
        return false;
    *east_s = (hour * 60 + minute) * (west ? -60 : 60);
    return true;
}

static bool is_date(int year, int month, int day)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    if (month < 1 || month > 12 || day < 1)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (leap && month == 2 ? 1 : 0);
}

/* Days since 1970-01-01. Years are counted from March, so that the leap day is a year's last. */
static int64_t days_since_1970(int year, int month, int day)
{
    int march_year = year - (month <= 2 ? 1 : 0) + 400; /* the extra cycle keeps it positive */
    int march_month = (month + 9) % 12;
    int cycle = march_year / 400;
    int year_of_cycle = march_year % 400;
    int day_of_year = (153 * march_month + 2) / 5 + day - 1;
    int day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
    return (int64_t)(cycle - 1) * DAYS_PER_YEAR_CYCLE + day_of_cycle - 719468;
}

bool sl_expires_at_parse(struct sl_bytes text, int64_t *ms)
{
    *ms = 0;
    int year, month, day, hour, minute, second, fraction_ms, east_s;
    if (!take_digits(&text, 4, &year) || !take_mark(&text, '-') || !take_digits(&text, 2, &month) ||
        !take_mark(&text, '-') || !take_digits(&text, 2, &day) || !is_date(year, month, day))
        return false;
    if (!take_mark(&text, 't') || !take_digits(&text, 2, &hour) || !take_mark(&text, ':') ||
        !take_digits(&text, 2, &minute) || !take_mark(&text, ':') ||
        !take_digits(&text, 2, &second) || hour > 23 || minute > 59 || second > 60)
        return false;
    if (!take_fraction(&text, &fraction_ms) || !take_zone(&text, &east_s) || text.size != 0)
        return false;

    int64_t utc_s = days_since_1970(year, month, day) * DAY_S;
    utc_s += hour * 3600 + minute * 60 + second - east_s;
    if (second == 60 && utc_s % DAY_S != 0)
        return false; /* leap seconds end a day of UTC */
    *ms = utc_s * 1000 + fraction_ms;
    return true;
}
