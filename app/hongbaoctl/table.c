/* SPDX-License-Identifier: BSD-3-Clause */
#include "table.h"

#include "ctl.h"

#include <stdlib.h>

struct cell *
table_at(const struct table *t, size_t row, size_t column)
{
	return &t->cell[row * t->columns + column];
}

/* Every key that a row has, in the order in which they come first. */
static json_t *
keys_of(const json_t *array)
{
	json_t *keys = ctl_must(json_object()), *row, *value;
	const char *key;
	size_t i;

	json_array_foreach(array, i, row)
	{
		json_object_foreach(row, key, value)
		{
			if (json_object_get(keys, key) == NULL)
				json_object_set_new(keys, key, json_true());
		}
	}
	return keys;
}

static void
set_text(struct cell *c, char *text)
{
	free(c->text);
	c->text = text;
	c->width = text_width(text);
}

/* A row of counters may be of money: {"counter": "given_fen", "count": 1, ...}. */
static void
make_money(const struct table *t, size_t row, const json_t *o, json_t *keys)
{
	const char *key, *name = NULL;
	char number[48], *text;
	size_t column = 0;
	json_t *mark;

	json_object_foreach(keys, key, mark)
	{
		const json_t *v = json_object_get(o, key);
		struct cell *c = table_at(t, row, column);

		if (column++ == 0) {
			name = json_string_value(v);
			size_t n = name == NULL ? 0 : strlen(name);
			if (n < 5 || strcmp(name + n - 4, "_fen") != 0)
				return;
			set_text(c, text_title(name, IN_LINE));
		} else if (json_is_number(v)) {
			text_yuan(json_number_value(v), number);
			if (asprintf(&text, "%s yuan", number) < 0)
				text = NULL;
			set_text(c, ctl_must(text));
		}
	}
}

void
table_make(struct table *t, const json_t *array)
{
	json_t *keys = keys_of(array), *mark;
	const char *key;
	size_t column = 0;

	t->rows = json_array_size(array) + 1;
	t->columns = json_object_size(keys);
	t->cell = ctl_must(calloc(t->rows * t->columns + 1, sizeof(*t->cell)));
	json_object_foreach(keys, key, mark)
	{
		struct cell *head = table_at(t, 0, column);

		head->text = text_title(key, IN_COLUMN);
		head->width = text_width(head->text);
		head->paint = PAINT_TITLE;
		for (size_t i = 1; i < t->rows; i++) {
			const json_t *row = json_array_get(array, i - 1);

			cell_make(
				table_at(t, i, column), key, json_object_get(row, key), IN_COLUMN);
			head->right |= table_at(t, i, column)->right;
		}
		column++;
	}
	for (size_t i = 1; i < t->rows; i++)
		make_money(t, i, json_array_get(array, i - 1), keys);
	json_decref(keys);
}

void
table_free(struct table *t)
{
	for (size_t i = 0; i < t->rows * t->columns; i++)
		cell_free(&t->cell[i]);
	free(t->cell);
}
