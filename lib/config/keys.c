/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The key file. Its values are read as text whatever they look like: a key of digits only is no
 * number. No error says what a key is.
 */
#include "hb_change.h"
#include "doc.h"

#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define EPOCHS 256
#define EPOCHS_HELD 2
#define TEXT_MAX 4095

struct raw_keys {
	struct raw_epochs {
		char *key[EPOCHS];
	} epochs;
	char *issuer;
};

static const struct hb_hint hints[] = {
	{"epochs", "write one or two keys by their number from 0 to 255, each as 32 hex digits"},
	{"issuer", "write the issuer's key as 32 hex digits"},
	{"", "write epochs with one or two keys by their number, and the issuer's key if there is "
	     "one"},
};

/* libcyaml has no mapping with keys that are not known before: so each of the 256 is one that may
 * be there. `name` holds their names. */
static void
list_epochs(cyaml_schema_field_t fields[EPOCHS + 1], char name[EPOCHS][4])
{
	for (unsigned i = 0; i < EPOCHS; i++) {
		snprintf(name[i], sizeof(name[i]), "%hhu", (uint8_t)i);
		fields[i] = (cyaml_schema_field_t)CYAML_FIELD_STRING_PTR(
			name[i], CYAML_FLAG_OPTIONAL, struct raw_epochs, key[0], 1, TEXT_MAX);
		fields[i].data_offset += i * (uint32_t)sizeof(char *);
	}
	fields[EPOCHS] = (cyaml_schema_field_t)CYAML_FIELD_END;
}

static int
from_hex(const struct hb_doc *d, struct hb_spot at, const char *text, uint8_t key[HB_KEY_BYTES],
	struct hb_error *e)
{
	size_t len = strlen(text), hex = 0;

	while (isxdigit((unsigned char)text[hex]))
		hex++;
	if (hex != len)
		return hb_lines_fail(&d->lines, at, e, EINVAL,
			"has something else than hex digits, as its character %zu", hex + 1);
	if (len != 2 * HB_KEY_BYTES)
		return hb_lines_fail(&d->lines, at, e, EINVAL, "has %zu hex digits, not %d", len,
			2 * HB_KEY_BYTES);
	sodium_hex2bin(key, HB_KEY_BYTES, text, len, NULL, NULL, NULL);
	return 0;
}

static int
take_keys(struct hb_keyring *k, const struct hb_doc *d, struct hb_error *e)
{
	const struct raw_keys *raw = d->raw;
	const struct hb_node *epochs = hb_node_child(d->lines.root, "epochs");
	int rc = 0;

	if (epochs->children < 1 || epochs->children > EPOCHS_HELD)
		return hb_lines_fail(&d->lines, (struct hb_spot){.node = epochs}, e, EINVAL,
			"has %u keys, where 1 or %d belong", epochs->children, EPOCHS_HELD);
	for (const struct hb_node *n = epochs->first; n != NULL && rc == 0; n = n->next) {
		unsigned i = (unsigned)strtoul(n->key, NULL, 10);

		rc = from_hex(
			d, (struct hb_spot){.node = n}, raw->epochs.key[i], k->epoch_key[i], e);
		k->epoch_held[i] = true;
	}
	if (rc == 0 && raw->issuer != NULL) {
		struct hb_spot at = {.node = d->lines.root, .child = "issuer"};

		rc = from_hex(d, at, raw->issuer, k->issuer, e);
		k->issuer_held = true;
	}
	return rc;
}

int
hb_keys_load(struct hb_keyring *k, const char *path, struct hb_error *e)
{
	char name[EPOCHS][4];
	cyaml_schema_field_t epochs[EPOCHS + 1];
	const cyaml_schema_field_t fields[] = {
		CYAML_FIELD_MAPPING("epochs", CYAML_FLAG_DEFAULT, struct raw_keys, epochs, epochs),
		CYAML_FIELD_STRING_PTR(
			"issuer", CYAML_FLAG_OPTIONAL, struct raw_keys, issuer, 1, TEXT_MAX),
		CYAML_FIELD_END,
	};
	const cyaml_schema_value_t top = {
		CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_keys, fields),
	};
	const struct hb_schema schema = {.top = &top, .hints = hints, .secret = true};
	struct hb_doc d;

	list_epochs(epochs, name);
	int rc = hb_doc_read(&d, path, &schema, e);
	if (rc != 0)
		return rc;
	*k = (struct hb_keyring){0};
	rc = take_keys(k, &d, e);
	hb_doc_free(&d);
	if (rc != 0)
		explicit_bzero(k, sizeof(*k));
	return rc;
}

/* ---- while the program runs --------------------------------------------------------- */

static unsigned
keys_held(const struct hb_keyring *k)
{
	unsigned held = 0;

	for (unsigned i = 0; i < EPOCHS; i++)
		held += k->epoch_held[i];
	return held;
}

int
hb_config_key_add(struct hb_config *c, unsigned epoch, struct hb_error *e)
{
	struct hb_keyring *k = &c->keys, file;
	int rc;

	if (epoch >= EPOCHS)
		return hb_fail(e, EINVAL, "key epoch %u: is outside 0 to %d; write one of these",
			epoch, EPOCHS - 1);
	if (k->epoch_held[epoch])
		return hb_fail(e, EEXIST,
			"key epoch %u: is held already; to replace it, retire it first: "
			"hongbaoctl key retire %u",
			epoch, epoch);
	if (keys_held(k) >= EPOCHS_HELD)
		return hb_fail(e, ENOSPC,
			"key epoch %u: %u keys are held, which are the most; retire one first: "
			"hongbaoctl key retire EPOCH",
			epoch, keys_held(k));
	rc = hb_keys_load(&file, c->keys_path, e);
	if (rc != 0)
		return rc;
	if (file.epoch_held[epoch]) {
		memcpy(k->epoch_key[epoch], file.epoch_key[epoch], HB_KEY_BYTES);
		k->epoch_held[epoch] = true;
	} else {
		rc = hb_fail(e, ENOENT,
			"key epoch %u: %s has no such key; write it under epochs there", epoch,
			c->keys_path);
	}
	explicit_bzero(&file, sizeof(file));
	return rc;
}

int
hb_config_key_retire(struct hb_config *c, unsigned epoch, struct hb_error *e)
{
	struct hb_keyring *k = &c->keys;

	if (epoch >= EPOCHS || !k->epoch_held[epoch])
		return hb_fail(e, ENOENT,
			"key epoch %u: is not held; see which are: hongbaoctl key list", epoch);
	if (keys_held(k) == 1)
		return hb_fail(e, EPERM,
			"key epoch %u: is the only key, without which no request would be taken; "
			"add another first: hongbaoctl key add EPOCH",
			epoch);
	explicit_bzero(k->epoch_key[epoch], HB_KEY_BYTES);
	k->epoch_held[epoch] = false;
	return 0;
}
