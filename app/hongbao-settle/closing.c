/* SPDX-License-Identifier: BSD-3-Clause */
#include "closing.h"

#include "../hongbao-audit/books.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The first thing that is wrong with the books. */
static char fault[256];

static void
note_fault(const char *line)
{
	if (fault[0] == '\0')
		snprintf(fault, sizeof(fault), "%s", line);
}

static int
read_books(struct hb_journal_reader *r, struct books *b, struct hb_error *e)
{
	const struct hb_record *record;
	int n, err = 0;

	while (err == 0 && (n = hb_journal_read(r, &record, e)) > 0) {
		for (int i = 0; err == 0 && i < n; i++)
			err = books_enter(b, &record[i]);
	}
	if (err != 0)
		return hb_fail(e, -err, "journal %s: no memory to read it", r->path);
	if (n < 0)
		return n;
	books_close(b);
	return b->faults == 0 ? 0
			      : hb_fail(e, EILSEQ, "journal %s: %s; try: hongbao-audit %s", r->path,
					fault, r->path);
}

/* ---- what is left --------------------------------------------------------------------- */

static bool
is_left(const struct book *book, const struct block *k, uint32_t i)
{
	uint64_t at = k->at + i;

	return !(book->given[at / 8] >> (at % 8) & 1);
}

static void
note_tier(struct hb_record *out, uint32_t amount)
{
	unsigned i = 1;

	while (i <= out[0].amount && out[i].amount != amount)
		i++;
	if (i > out[0].amount) {
		out[0].amount++;
		out[i] = (struct hb_record){.type = HB_RECORD_TIER,
			.op = (uint8_t)(i - 1),
			.campaign = out[0].campaign,
			.amount = amount,
			.time_us = out[0].time_us};
	}
	out[i].seq++;
}

/* Writes the records of the next stretch that is left of a block, from *i on. Returns how many. */
static unsigned
cut_stretch(struct hb_record *out, uint16_t campaign, const struct book *book,
	const struct block *k, uint32_t *i)
{
	while (*i < k->count && !is_left(book, k, *i))
		++*i;
	if (*i == k->count)
		return 0;
	out[0] = (struct hb_record){.type = HB_RECORD_RETURN,
		.campaign = campaign,
		.id = k->number,
		.aux = *i,
		.time_us = hb_wall_us()};
	for (; *i < k->count && is_left(book, k, *i); ++*i) {
		uint32_t amount = book->amount[k->at + *i];

		out[0].seq++;
		out[0].user += amount;
		if (k->tiered)
			note_tier(out, amount);
	}
	return 1 + out[0].amount;
}

/* Where records gather for a batch. */
struct batch {
	struct hb_journal *journal;
	unsigned n;
	int64_t envelopes;
};

static int
commit(struct batch *b, struct hb_error *e)
{
	int err = b->n == 0 ? 0 : hb_journal_commit(b->journal, b->n);

	b->n = 0;
	return err == 0 ? 0
			: hb_fail(e, -err, "journal: cannot write what goes back: %s",
				  strerror(-err));
}

static int
give_back(struct batch *b, uint16_t campaign, const struct book *book, struct hb_error *e)
{
	int err = 0;

	for (unsigned k = 0; k < book->blocks && err == 0; k++) {
		uint32_t i = 0;
		unsigned n = 1, most;

		while (n > 0 && err == 0) {
			struct hb_record *room = hb_journal_room(b->journal, &most);

			if (b->n + HB_RETURN_RECORDS_MAX > most) {
				err = commit(b, e);
				continue;
			}
			n = cut_stretch(room + b->n, campaign, book, &book->block[k], &i);
			b->envelopes += n > 0 ? room[b->n].seq : 0;
			b->n += n;
		}
	}
	return err;
}

static int64_t
write_returns(struct hb_disk *disk, const struct hb_journal_reader *r, const struct books *b,
	struct hb_error *e)
{
	struct hb_journal journal;
	struct batch batch = {.journal = &journal};
	int err = hb_journal_resume(&journal, disk, r, 0, e);

	if (err != 0)
		return err;
	for (unsigned c = 0; c < HB_COUNT_OF(b->of) && err == 0; c++) {
		if (b->of[c] != NULL && b->of[c]->blocks > 0)
			err = give_back(&batch, (uint16_t)c, b->of[c], e);
	}
	if (err == 0)
		err = commit(&batch, e);
	hb_journal_end(&journal);
	return err != 0 ? err : batch.envelopes;
}

/* ---- all of it ------------------------------------------------------------------------ */

int64_t
closing_run(const char *path, uint32_t host, struct hb_error *e)
{
	static struct hb_journal_reader reader;
	static struct hb_disk_directory directory;
	struct books *b = calloc(1, sizeof(*b));
	int64_t rc;

	if (b == NULL)
		return hb_fail(e, ENOMEM, "journal %s: no memory to read it", path);
	b->say = note_fault;
	if ((rc = hb_disk_open(&directory, path, e)) != 0) {
		free(b);
		return rc;
	}
	if ((rc = hb_journal_read_disk(&reader, &directory.disk, path, e)) == 0) {
		rc = read_books(&reader, b, e);
		if (rc == 0 && reader.host != host)
			rc = hb_fail(e, EINVAL, "journal %s is host %u's, not host %u's", path,
				reader.host, host);
		if (rc == 0)
			rc = write_returns(&directory.disk, &reader, b, e);
		hb_journal_read_end(&reader);
	}
	hb_disk_close(&directory);
	books_free(b);
	free(b);
	return rc;
}
