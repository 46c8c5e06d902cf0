/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * What a guest sees of a VF and would notice if it changed. A primary
 * controller can't be asked for a secondary's Identify data, so it is its own,
 * less what only a primary has and what comes and goes; with the secondary's
 * controller id and resources, CAP, VS and the VF's configuration space.
 */
#include <inttypes.h>
#include <stdio.h>

#include <json-c/json.h>

#include <linux/pci_regs.h>

#include "drivers/nvme/dev.h"

#define STRAND_WAIT_NS UINT64_C(100000000)
#define CAPS_MAX 64

/* ---------------------------------------------------------- configuration space */

/* What drivers and guests change becomes zero. */
static void drop(uint8_t *config, unsigned int at, unsigned int len)
{
	if (at < PCI_CONFIG_SIZE)
		memset(config + at, 0, MIN(len, PCI_CONFIG_SIZE - at));
}

static void scrub_cap(uint8_t *c, unsigned int at)
{
	switch (c[at]) {
	case PCI_CAP_ID_PM:
		drop(c, at + PCI_PM_CTRL, 4);
		break;
	case PCI_CAP_ID_MSIX:
		c[at + PCI_MSIX_FLAGS + 1] &= PCI_MSIX_FLAGS_QSIZE >> 8;
		break;
	case PCI_CAP_ID_EXP:
		drop(c, at + PCI_EXP_DEVCTL, 4);
		drop(c, at + PCI_EXP_LNKCTL, 4);
		drop(c, at + PCI_EXP_SLTCTL, 4);
		drop(c, at + PCI_EXP_RTCTL, 2);
		drop(c, at + PCI_EXP_DEVCTL2, 4);
		drop(c, at + PCI_EXP_LNKCTL2, 4);
		break;
	default:
		break;
	}
}

static uint32_t config32(const uint8_t *c, unsigned int at)
{
	le32 v;

	memcpy(&v, c + at, sizeof(v));
	return le32_get(v);
}

/* Of an extended capability that is not known to be constant, the header counts. */
static void scrub_ecap(uint8_t *c, unsigned int at)
{
	unsigned int id = config32(c, at) & 0xffff;

	if (id == PCI_EXT_CAP_ID_ERR)
		drop(c, at + 4, 0x44);
	else if (id == PCI_EXT_CAP_ID_DSN)
		drop(c, at + 4, 8);	/* no guest of QEMU sees it; hosts differ in it */
	else if (id == PCI_EXT_CAP_ID_ARI)
		drop(c, at + 4, 4);
}

static void config_scrub(uint8_t *c)
{
	unsigned int at, n;

	drop(c, PCI_COMMAND, 4);
	drop(c, PCI_CACHE_LINE_SIZE, 2);
	drop(c, PCI_BIST, 1);
	drop(c, PCI_BASE_ADDRESS_0, 24);
	drop(c, PCI_ROM_ADDRESS, 4);
	drop(c, PCI_INTERRUPT_LINE, 1);
	for (at = c[PCI_CAPABILITY_LIST] & ~3u, n = 0; at >= 0x40 && n < CAPS_MAX; n++) {
		scrub_cap(c, at);
		at = c[at + PCI_CAP_LIST_NEXT] & ~3u;
	}
	for (at = PCI_CFG_SPACE_SIZE, n = 0; at >= PCI_CFG_SPACE_SIZE && n < CAPS_MAX; n++) {
		unsigned int next = config32(c, at) >> 20 & ~3u;

		scrub_ecap(c, at);
		at = next;
	}
}

static int config_take(struct pci_function *vf, uint8_t *c)
{
	unsigned int i;
	bool busy;

	if (env_strand_lock_for(&vf->strand, STRAND_WAIT_NS) < 0)
		return -EBUSY;
	busy = pci_reset_busy(vf);
	for (i = 0; i < PCI_CONFIG_SIZE; i += 4) {
		le32 v = le32_of(pci_config_read(vf, (uint16_t)i, 4));

		memcpy(c + i, &v, sizeof(v));
	}
	env_strand_unlock(&vf->strand);
	if (busy)
		return -EBUSY;
	config_scrub(c);
	return 0;
}

/* ---------------------------------------------------------------------- Identify */

/* What a secondary shows of @id. */
static void identify_scrub(struct nvme_id_ctrl *id, uint16_t cntlid)
{
	id->cntlid = le16_of(cntlid);
	id->oacs = le16_of(le16_get(id->oacs) &
			   (uint16_t)~(NVME_OACS_VIRT_MGMT | NVME_OACS_HMLM | NVME_OACS_NS_MGMT));
	memset(id->tnvmcap, 0, sizeof(id->tnvmcap));
	memset(id->unvmcap, 0, sizeof(id->unvmcap));
	id->cmmrtd = id->nmmrtd = id->mcudmq = id->mnsudmq = le16_of(0);
	id->minmrtg = id->maxmrtg = id->trattr = 0;
	id->mcmr = id->nmcmr = id->mcdqpc = le16_of(0);
}

/* ------------------------------------------------------------------------- facts */

struct facts {
	uint8_t format_uuid[16];
	struct nvme_id_ctrl id;
	uint64_t cap;
	uint32_t vs;
	uint16_t cntlid, vq, vi;
	uint8_t config[PCI_CONFIG_SIZE];
};

static int facts_take(struct nvme_dev *dev, struct pci_function *vf, struct facts *f)
{
	const struct dev_secondary *s = &dev->sec[pci_vf_index(vf)];

	env_strand_lock(&dev->fn->strand);
	memcpy(f->format_uuid, dev->format_uuid, sizeof(f->format_uuid));
	f->id = dev->id;
	f->cap = dev->cap;
	f->vs = dev->vs;
	f->cntlid = s->cntlid;
	f->vq = s->vq;
	f->vi = s->vi;
	env_strand_unlock(&dev->fn->strand);
	identify_scrub(&f->id, f->cntlid);
	return config_take(vf, f->config);
}

static void add_text(json_object *o, const char *key, const char *text, size_t len)
{
	while (len && (text[len - 1] == ' ' || !text[len - 1]))
		len--;
	json_object_object_add(o, key, json_object_new_string_len(text, (int)len));
}

static void add_hex(json_object *o, const char *key, uint64_t v, int digits)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%0*" PRIx64, digits, v);
	json_object_object_add(o, key, json_object_new_string(text));
}

/* Enough of a digest to tell two apart. */
static void add_digest(json_object *o, const char *key, const void *data, size_t len)
{
	uint8_t out[32];
	struct digest d;
	char text[20];

	digest_init(&d);
	digest_add(&d, data, len);
	digest_end(&d, out);
	snprintf(text, sizeof(text), "%02x%02x%02x%02x%02x%02x%02x%02x", out[0], out[1], out[2], out[3],
		 out[4], out[5], out[6], out[7]);
	json_object_object_add(o, key, json_object_new_string(text));
}

/* In the order in which a difference is worth naming: the sums come last. */
static json_object *facts_json(const struct nvme_dev *dev, const struct pci_function *vf,
			       const struct facts *f)
{
	json_object *o = json_object_new_object();

	add_hex(o, "vendor", vf->shape.vendor, 4);
	add_hex(o, "device", vf->shape.device, 4);
	add_hex(o, "class", vf->shape.class_code, 6);
	add_text(o, "model", f->id.mn, sizeof(f->id.mn));
	add_text(o, "firmware", f->id.fr, sizeof(f->id.fr));
	add_text(o, "serial", f->id.sn, sizeof(f->id.sn));
	add_text(o, "subnqn", f->id.subnqn, strnlen(f->id.subnqn, sizeof(f->id.subnqn)));
	add_hex(o, "cntlid", f->cntlid, 4);
	json_object_object_add(o, "queue_resources", json_object_new_int(f->vq));
	json_object_object_add(o, "interrupt_resources", json_object_new_int(f->vi));
	add_hex(o, "cap", f->cap, 16);
	add_hex(o, "vs", f->vs, 8);
	json_object_object_add(o, "mdts", json_object_new_int(f->id.mdts));
	add_hex(o, "oncs", le16_get(f->id.oncs), 4);
	add_hex(o, "ctratt", le32_get(f->id.ctratt), 8);
	add_digest(o, "identify", &f->id, sizeof(f->id));
	add_digest(o, "config", f->config, sizeof(f->config));
	return o;
}

static void facts_digest(const struct pci_function *vf, const struct facts *f, uint8_t out[32])
{
	const struct pci_shape *s = &vf->shape;
	le64 words[] = {
		le64_of(s->vendor | (uint64_t)s->device << 16 | (uint64_t)s->subsys_vendor << 32 |
			(uint64_t)s->subsys_device << 48),
		le64_of(s->class_code | (uint64_t)s->revision << 24 | (uint64_t)f->vs << 32),
		le64_of(f->cap),
		le64_of(f->cntlid | (uint64_t)f->vq << 16 | (uint64_t)f->vi << 32),
	};
	struct digest d;

	digest_init(&d);
	digest_add(&d, words, sizeof(words));
	digest_add(&d, &f->id, sizeof(f->id));
	digest_add(&d, f->config, sizeof(f->config));
	digest_end(&d, out);
}

/* All zero where the function can't be asked: that equals nothing. */
void identity_describe(struct nvme_dev *dev, struct pci_function *vf, struct lm_identity *id)
{
	auto_free struct facts *f = calloc(1, sizeof(*f));
	json_object *o;

	memset(id, 0, sizeof(*id));
	snprintf(id->text, sizeof(id->text), "{}");
	if (!f || facts_take(dev, vf, f) < 0)
		return;
	memcpy(id->format_uuid, f->format_uuid, sizeof(id->format_uuid));
	facts_digest(vf, f, id->digest);
	o = facts_json(dev, vf, f);
	snprintf(id->text, sizeof(id->text), "%s",
		 json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
						JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

/* ------------------------------------------------------------------------- check */

/* The first item that differs, into @err. @text comes from another host. */
static int differs(const char *theirs, const char *ours, struct ferry_err *err)
{
	json_object *a = json_tokener_parse(theirs), *b = json_tokener_parse(ours), *other;
	const char *key = "identity", *was = "?", *is = "?";

	if (a && b && json_object_is_type(a, json_type_object)) {
		json_object_object_foreach(b, name, value) {
			if (json_object_object_get_ex(a, name, &other) &&
			    json_object_equal(other, value))
				continue;
			key = name;
			is = json_object_get_string(value);
			was = json_object_object_get_ex(a, name, &other) && other
				? json_object_get_string(other) : "nothing";
			break;
		}
	}
	ferry_err_set(err, EINVAL, "E-LM-IDENTITY", "give both functions the same shape and names",
		      "%s differs: it is %.100s there, %.100s here", key, was, is);
	json_object_put(a);
	json_object_put(b);
	return -EINVAL;
}

int identity_check(struct nvme_dev *dev, struct pci_function *vf, const struct lm_identity *id,
		   struct ferry_err *err)
{
	auto_free struct lm_identity *ours = malloc(sizeof(*ours));
	static const uint8_t unknown[sizeof(ours->digest)];
	auto_free char *text = NULL;

	if (!ours)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
	identity_describe(dev, vf, ours);
	if (!memcmp(unknown, ours->digest, sizeof(unknown)))
		return ferry_err_set(err, EBUSY, "E-FUNCTION-BUSY", "try again",
				     "the function can't be asked what it is: it is held up or being reset");
	if (memcmp(id->format_uuid, ours->format_uuid, sizeof(ours->format_uuid)))
		return ferry_err_set(err, EINVAL, "E-LM-FORMAT", "run the same version on both hosts",
				     "format_uuid differs: its state has another format");
	if (!memcmp(id->digest, ours->digest, sizeof(ours->digest)))
		return 0;
	text = strndup(id->text, sizeof(id->text));
	return differs(text ? text : "", ours->text, err);
}
