/* SPDX-License-Identifier: BSD-3-Clause */
#include "hb_exposition.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The weight that a header Accept gives a media type; -1: it isn't named. */
static double
weight_of(const char *accept, const char *type)
{
	size_t len = strlen(type);

	for (const char *p = accept; p != NULL; p = strchr(p, ',')) {
		p += strspn(p, ", \t");
		if (strncasecmp(p, type, len) != 0 || strchr(",; \t", p[len]) == NULL)
			continue;
		double q = 1;

		for (p += len; *p != '\0' && *p != ','; p++) {
			if (*p == ';' && strncasecmp(p + 1 + strspn(p + 1, " \t"), "q=", 2) == 0)
				q = atof(strchr(p, '=') + 1);
		}
		return q;
	}
	return -1;
}

enum hb_metrics_format
hb_metrics_wanted(const char *accept)
{
	double open = weight_of(accept, "application/openmetrics-text");

	return open > 0 && open >= weight_of(accept, "text/plain") ? HB_METRICS_OPEN
								   : HB_METRICS_CLASSIC;
}

const char *
hb_metrics_content_type(enum hb_metrics_format format)
{
	return format == HB_METRICS_OPEN
		       ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		       : "text/plain; version=0.0.4; charset=utf-8";
}
