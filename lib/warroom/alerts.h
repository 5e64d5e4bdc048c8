/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * alerts: what is wrong now and since when, and what was wrong and is over. Each second everything
 * that is wrong is raised again; what isn't raised any more for HB_ALERT_HOLD_S is over and becomes
 * an incident, so that what comes and goes by the second is one alert. One thread; memory is fixed.
 */
#ifndef HB_WARROOM_ALERTS_H
#define HB_WARROOM_ALERTS_H

#include "hb_base.h"

#include <jansson.h>

/* Open at the same time; more are counted. */
#define HB_ALERTS_MAX 128
#define HB_ALERTS_SHOWN 64
/* Those that are over: the last ones. */
#define HB_INCIDENTS_MAX 256
#define HB_ALERT_HOLD_S 5

enum hb_severity {
	HB_CRITICAL,
	HB_WARNING,
	HB_NOTICE,
};

/* What is said of it. */
struct hb_alert_words {
	enum hb_severity severity;
	char text[224];
	char remedy[160]; /* "": there is none */
};

struct hb_alert {
	char id[32];
	struct hb_alert_words is;    /* when it was raised last */
	struct hb_alert_words worst; /* since it is open: an incident's */
	uint64_t since_us, until_us; /* the wall clock's; until: of an incident */
	uint64_t raised_id;	     /* the second in which it was raised last */
};

struct hb_alerts {
	struct hb_alert open[HB_ALERTS_MAX];
	unsigned count;
	unsigned crowded; /* of this second, for which there was no room */
	struct hb_alert incident[HB_INCIDENTS_MAX];
	uint64_t incidents; /* ever; the last is at (incidents - 1) % HB_INCIDENTS_MAX */
	uint64_t id;	    /* of this second */
	uint64_t time_us;
};

/* A second begins. */
void hb_alerts_begin(struct hb_alerts *a, uint64_t id, uint64_t time_us);

/* Something is wrong. remedy: NULL, or what to do. An open alert's text and severity are of the
 * last second in which it was raised, the worst of it where it is raised more than once; an
 * incident's are of the time when it was worst. */
void hb_alerts_raise(struct hb_alerts *a, const char *id, enum hb_severity severity,
	const char *remedy, const char *fmt, ...) HB_PRINTF(5, 6);

/* Everything that is wrong has been raised. */
void hb_alerts_end(struct hb_alerts *a);

/* Whether an alert is open. */
bool hb_alerts_open(const struct hb_alerts *a, const char *id);

/* Sets `alerts` and `alerts_not_shown`, the worst first; and the incidents, the oldest first. */
void hb_alerts_put(const struct hb_alerts *a, json_t *o);
json_t *hb_alerts_incidents(const struct hb_alerts *a);

#endif
