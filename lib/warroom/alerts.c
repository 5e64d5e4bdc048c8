/* SPDX-License-Identifier: BSD-3-Clause */
#include "alerts.h"

#include "hb_figures.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const severity_name[] = {
	[HB_CRITICAL] = "critical",
	[HB_WARNING] = "warning",
	[HB_NOTICE] = "notice",
};

static struct hb_alert *
find(const struct hb_alerts *a, const char *id)
{
	for (unsigned i = 0; i < a->count; i++) {
		if (strcmp(a->open[i].id, id) == 0)
			return (struct hb_alert *)&a->open[i];
	}
	return NULL;
}

void
hb_alerts_begin(struct hb_alerts *a, uint64_t id, uint64_t time_us)
{
	a->id = id;
	a->time_us = time_us;
	a->crowded = 0;
}

void
hb_alerts_raise(struct hb_alerts *a, const char *id, enum hb_severity severity, const char *remedy,
	const char *fmt, ...)
{
	struct hb_alert *of = find(a, id);
	va_list ap;

	if (of == NULL && a->count == HB_ALERTS_MAX) {
		a->crowded++;
		return;
	}
	if (of == NULL) {
		of = &a->open[a->count++];
		*of = (struct hb_alert){.worst.severity = severity, .since_us = a->time_us};
		snprintf(of->id, sizeof(of->id), "%s", id);
	}
	bool again = of->raised_id == a->id;

	of->raised_id = a->id;
	if (again && severity > of->is.severity)
		return;
	of->is.severity = severity;
	snprintf(of->is.remedy, sizeof(of->is.remedy), "%s", remedy == NULL ? "" : remedy);
	va_start(ap, fmt);
	vsnprintf(of->is.text, sizeof(of->is.text), fmt, ap);
	va_end(ap);
	if (severity <= of->worst.severity)
		of->worst = of->is;
}

void
hb_alerts_end(struct hb_alerts *a)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < a->count; i++) {
		struct hb_alert *of = &a->open[i];

		if (of->raised_id + HB_ALERT_HOLD_S > a->id) {
			a->open[kept++] = *of;
			continue;
		}
		of->until_us = a->time_us;
		a->incident[a->incidents++ % HB_INCIDENTS_MAX] = *of;
	}
	a->count = kept;
}

bool
hb_alerts_open(const struct hb_alerts *a, const char *id)
{
	return find(a, id) != NULL;
}

/* ---- JSON ---------------------------------------------------------------------------- */

static json_t *
alert_json(const struct hb_alert *of)
{
	const struct hb_alert_words *words = of->until_us != 0 ? &of->worst : &of->is;
	json_t *o = json_object();

	hb_put_text(o, "id", of->id);
	hb_put_text(o, "severity", severity_name[words->severity]);
	hb_put(o, "since_us", of->since_us);
	if (of->until_us != 0)
		hb_put(o, "until_us", of->until_us);
	hb_put_text(o, "text", words->text);
	if (words->remedy[0] != '\0')
		hb_put_text(o, "try", words->remedy);
	return o;
}

/* The worst first; of the same severity, what has been so for the longest. */
static int
compare(const void *x, const void *y)
{
	const struct hb_alert *const *a = x, *const *b = y;

	if ((*a)->is.severity != (*b)->is.severity)
		return (*a)->is.severity < (*b)->is.severity ? -1 : 1;
	if ((*a)->since_us != (*b)->since_us)
		return (*a)->since_us < (*b)->since_us ? -1 : 1;
	return strcmp((*a)->id, (*b)->id);
}

void
hb_alerts_put(const struct hb_alerts *a, json_t *o)
{
	const struct hb_alert *sorted[HB_ALERTS_MAX];
	unsigned shown = a->count < HB_ALERTS_SHOWN ? a->count : HB_ALERTS_SHOWN;
	json_t *list = json_array();

	for (unsigned i = 0; i < a->count; i++)
		sorted[i] = &a->open[i];
	qsort(sorted, a->count, sizeof(*sorted), compare);
	for (unsigned i = 0; i < shown; i++)
		json_array_append_new(list, alert_json(sorted[i]));
	json_object_set_new(o, "alerts", list);
	hb_put(o, "alerts_not_shown", a->count - shown + a->crowded);
}

json_t *
hb_alerts_incidents(const struct hb_alerts *a)
{
	uint64_t first = a->incidents < HB_INCIDENTS_MAX ? 0 : a->incidents - HB_INCIDENTS_MAX;
	json_t *list = json_array();

	for (uint64_t i = first; i < a->incidents; i++)
		json_array_append_new(list, alert_json(&a->incident[i % HB_INCIDENTS_MAX]));
	return list;
}
