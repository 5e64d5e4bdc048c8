/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hb_exposition: in which of its two text formats metrics are asked for and served. No state.
 */
#ifndef HB_EXPOSITION_H
#define HB_EXPOSITION_H

enum hb_metrics_format {
	HB_METRICS_OPEN,    /* OpenMetrics 1.0.0 */
	HB_METRICS_CLASSIC, /* Prometheus' text format 0.0.4, which `promtool check metrics` reads
			     */
};

/* The format for an HTTP header Accept, which may be NULL: OpenMetrics where it is asked for. */
enum hb_metrics_format hb_metrics_wanted(const char *accept);

/* The HTTP header Content-Type of a format. */
const char *hb_metrics_content_type(enum hb_metrics_format format);

#endif
