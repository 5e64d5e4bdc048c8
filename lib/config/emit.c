/* SPDX-License-Identifier: BSD-3-Clause */
#include "emit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 4

/* libyaml's writer: returns 1, 0 when there is no memory. There is always room for a NUL. */
static int
append(void *to, unsigned char *bytes, size_t n)
{
	struct hb_emit *m = to;

	if (m->room - m->used <= n) {
		size_t room = 2 * (m->used + n) + 1024;
		char *text = realloc(m->text, room);

		if (text == NULL)
			return 0;
		m->text = text;
		m->room = room;
	}
	memcpy(m->text + m->used, bytes, n);
	m->used += n;
	m->text[m->used] = '\0';
	return 1;
}

/* made: whether the event could be made at all. It is the emitter's from then on. */
static void
emit(struct hb_emit *m, int made, yaml_event_t *ev)
{
	if (!made)
		m->failed = true;
	else if (m->failed)
		yaml_event_delete(ev);
	else if (!yaml_emitter_emit(&m->emitter, ev))
		m->failed = true;
}

void
hb_emit_begin(struct hb_emit *m)
{
	yaml_event_t ev;

	*m = (struct hb_emit){0};
	if (!yaml_emitter_initialize(&m->emitter)) {
		m->failed = true;
		return;
	}
	yaml_emitter_set_output(&m->emitter, append, m);
	yaml_emitter_set_unicode(&m->emitter, 1);
	yaml_emitter_set_width(&m->emitter, -1);
	yaml_emitter_set_indent(&m->emitter, 2);
	emit(m, yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING), &ev);
	emit(m, yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1), &ev);
}

char *
hb_emit_finish(struct hb_emit *m)
{
	yaml_event_t ev;

	emit(m, yaml_document_end_event_initialize(&ev, 1), &ev);
	emit(m, yaml_stream_end_event_initialize(&ev), &ev);
	yaml_emitter_delete(&m->emitter);
	if (!m->failed)
		return m->text;
	free(m->text);
	return NULL;
}

void
hb_emit_mapping(struct hb_emit *m, bool flow)
{
	yaml_event_t ev;

	emit(m,
		yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1,
			flow ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE),
		&ev);
}

void
hb_emit_list(struct hb_emit *m, bool flow)
{
	yaml_event_t ev;

	emit(m,
		yaml_sequence_start_event_initialize(&ev, NULL, NULL, 1,
			flow ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE),
		&ev);
}

void
hb_emit_mapping_end(struct hb_emit *m)
{
	yaml_event_t ev;

	emit(m, yaml_mapping_end_event_initialize(&ev), &ev);
}

void
hb_emit_list_end(struct hb_emit *m)
{
	yaml_event_t ev;

	emit(m, yaml_sequence_end_event_initialize(&ev), &ev);
}

static void
emit_scalar(struct hb_emit *m, const char *text, yaml_scalar_style_t style)
{
	yaml_event_t ev;

	emit(m,
		yaml_scalar_event_initialize(
			&ev, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text), 1, 1, style),
		&ev);
}

void
hb_emit_plain(struct hb_emit *m, const char *text)
{
	emit_scalar(m, text, YAML_PLAIN_SCALAR_STYLE);
}

void
hb_emit_number(struct hb_emit *m, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	hb_emit_plain(m, text);
}

void
hb_emit_quoted(struct hb_emit *m, const char *text)
{
	emit_scalar(m, text, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

/* Passes a value's event on. Returns 0 or -EINVAL. */
static int
pass_on(struct hb_emit *m, yaml_event_t *ev, int *depth, unsigned *documents)
{
	switch (ev->type) {
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		if (++*depth > DEPTH_MAX)
			break;
		emit(m, 1, ev);
		return 0;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		--*depth;
		emit(m, 1, ev);
		return 0;
	case YAML_SCALAR_EVENT:
		emit(m, 1, ev);
		return 0;
	case YAML_DOCUMENT_START_EVENT:
		if (++*documents > 1)
			break;
		yaml_event_delete(ev);
		return 0;
	case YAML_ALIAS_EVENT:
		break;
	default:
		yaml_event_delete(ev);
		return 0;
	}
	yaml_event_delete(ev);
	return -EINVAL;
}

int
hb_emit_yaml(struct hb_emit *m, const char *yaml)
{
	yaml_event_type_t type = YAML_NO_EVENT;
	yaml_parser_t parser;
	yaml_event_t ev;
	unsigned documents = 0;
	int depth = 0, rc = 0;

	if (!yaml_parser_initialize(&parser)) {
		m->failed = true;
		return 0;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)yaml, strlen(yaml));
	while (rc == 0 && type != YAML_STREAM_END_EVENT) {
		if (!yaml_parser_parse(&parser, &ev)) {
			rc = -EINVAL;
			break;
		}
		type = ev.type;
		rc = pass_on(m, &ev, &depth, &documents);
	}
	yaml_parser_delete(&parser);
	return rc == 0 && documents == 0 ? -EINVAL : rc;
}

/* RFC 3629: shortest form, no surrogates, up to U+10FFFF. */
bool
hb_is_utf8(const char *text)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *p = (const unsigned char *)text;

	while (*p != '\0') {
		unsigned n = *p < 0x80 ? 1 : *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
		uint32_t c = n == 1 ? *p : *p & (0x7fu >> n);

		if ((*p >= 0x80 && *p < 0xc0) || *p >= 0xf8)
			return false;
		for (unsigned i = 1; i < n; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return false;
			c = c << 6 | (p[i] & 0x3f);
		}
		if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return false;
		p += n;
	}
	return true;
}
