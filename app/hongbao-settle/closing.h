/* SPDX-License-Identifier: BSD-3-Clause */
/* closing: what is left in the journal of a hongbaod that is gone goes back to the shared budgets
 * that it came of, by records in that very journal: so whoever starts on it again has nothing to
 * give of them. One thread; nobody else may have the journal. */
#ifndef HONGBAO_SETTLE_CLOSING_H
#define HONGBAO_SETTLE_CLOSING_H

#include "hb_journal.h"

/* Returns how many envelopes go back, durably, or -errno with e: -EBUSY: a hongbaod has the
 * journal; -EILSEQ: it is damaged, or its books aren't right; nothing was written then. */
int64_t closing_run(const char *path, uint32_t host, struct hb_error *e);

#endif
