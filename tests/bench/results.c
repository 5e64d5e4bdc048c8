/* SPDX-License-Identifier: BSD-3-Clause */
#include "results.h"

#include <stdio.h>
#include <stdlib.h>

void
results_begin(struct results *r, unsigned rounds)
{
	*r = (struct results){.rounds = rounds};
}

static struct result *
find(struct results *r, const char *name, const char *unit)
{
	for (unsigned i = 0; i < r->count; i++) {
		if (strcmp(r->of[i].name, name) == 0)
			return &r->of[i];
	}
	if (r->count == RESULTS_MAX)
		exit(HB_EXIT_FAILED);
	struct result *new = &r->of[r->count++];

	*new = (struct result){
		.name = name, .unit = unit, .value = calloc(r->rounds, sizeof(*new->value))};
	if (new->value == NULL)
		exit(HB_EXIT_HOST);
	return new;
}

const char *
results_name(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);

	va_end(ap);
	if (n < 0)
		exit(HB_EXIT_HOST);
	return text;
}

void
results_add(struct results *r, const char *name, const char *unit, double value)
{
	struct result *of = find(r, name, unit);

	if (of->values == r->rounds)
		exit(HB_EXIT_FAILED);
	of->value[of->values++] = value;
}

void
results_note(bool json, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf(json ? "{\"note\": \"%s\"}\n" : "%s\n", text);
}

static void
print_json(const struct result *of)
{
	printf("{\"name\": \"%s\", \"unit\": \"%s\", \"values\": [", of->name, of->unit);
	for (unsigned i = 0; i < of->values; i++)
		printf("%s%.7g", i == 0 ? "" : ", ", of->value[i]);
	printf("]}\n");
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void
print_text(struct result *of)
{
	unsigned n = of->values;

	qsort(of->value, n, sizeof(*of->value), by_value);
	printf("%-44s %12.1f   (%.1f to %.1f) %s\n", of->name,
		(of->value[(n - 1) / 2] + of->value[n / 2]) / 2, of->value[0], of->value[n - 1],
		of->unit);
}

void
results_end(struct results *r, bool json)
{
	for (unsigned i = 0; i < r->count; i++) {
		if (json)
			print_json(&r->of[i]);
		else
			print_text(&r->of[i]);
		free(r->of[i].value);
	}
	r->count = 0;
}
