#include "bus/inbox.h"

#include <stdbool.h>
#include <stddef.h>

void sl_inbox_push(struct sl_inbox *inbox, struct sl_inbox_item *item)
{
    item->next = __atomic_load_n(&inbox->newest, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&inbox->newest, &item->next, item, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        ;
}

struct sl_inbox_item *sl_inbox_take(struct sl_inbox *inbox)
{
    if (__atomic_load_n(&inbox->newest, __ATOMIC_RELAXED) == NULL)
        return NULL;
    return __atomic_exchange_n(&inbox->newest, NULL, __ATOMIC_ACQUIRE);
}
