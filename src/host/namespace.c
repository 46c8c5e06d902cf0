/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Namespaces by name: made on a store, attached to at most one function. Control thread. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "host/ownership.h"
#include <ferry/sriov.h>

#include "host/rpc.h"
#include "host/text.h"

struct host_ns *host_ns_find(struct host *h, const char *name, struct ferry_err *err)
{
	struct host_ns *ns;

	list_for_each(ns, &h->namespaces, link)
		if (!strcmp(ns->name, name))
			return ns;
	ferry_err_set(err, ENOENT, "E-NS-UNKNOWN", "ferry namespace list",
		      "no namespace %s on host %s", name, h->name);
	return NULL;
}

void host_ns_free(struct host_ns *ns)
{
	host_shared_close(ns->shared);
	if (ns->dev)
		block_put(ns->dev);
	list_del(&ns->link);
	free(ns);
}

static bool same_name(struct host *h, const char *name)
{
	return host_ns_find(h, name, NULL);
}

static int check_store(const struct host_ns *ns, struct ferry_err *err)
{
	uint64_t size = atomic_load(&ns->dev->size), lba = UINT64_C(1) << ns->lba_shift;

	if (size < lba || size % lba)
		return ferry_err_set(err, EINVAL, "E-NS-TOO-SMALL", "give --size",
				     "%s: %" PRIu64 " bytes are no whole number of logical blocks of %"
				     PRIu64, ns->dev->spec, size, lba);
	if (ns->dev->align > lba)
		return ferry_err_set(err, EINVAL, "E-NS-LBA", "use --lba 4096",
				     "%s can only be accessed in blocks of %u bytes", ns->dev->spec,
				     ns->dev->align);
	return 0;
}

/* null and memory have no size of their own; a file that is to be made needs one. */
static int open_store(struct host_ns *ns, json_object *params, struct ferry_err *err)
{
	const char *backing = rpc_str(params, "backing", "");
	const char *path = strncmp(backing, "file:", 5) ? NULL : backing + 5;
	uint64_t size = rpc_uint(params, "size", 0);
	bool existed = path && !access(path, F_OK);
	bool theirs = ns->shared && !host_shared_owned(ns->shared);
	unsigned int flags = ns->shared ? BLOCK_OPEN_SHARED : 0;
	int ret;

	if (!size && (!strcmp(backing, "null") || !strcmp(backing, "memory")))
		return ferry_err_set(err, EINVAL, "E-NS-SIZE", "give --size", "a %s namespace needs a size",
				     backing);
	if (size % (UINT64_C(1) << ns->lba_shift))
		return ferry_err_set(err, EINVAL, "E-NS-SIZE", NULL,
				     "size %" PRIu64 " is no multiple of the logical block, %u bytes",
				     size, 1u << ns->lba_shift);
	if (ns->read_only)
		flags |= BLOCK_OPEN_RDONLY;
	else if (size && !theirs)
		flags |= BLOCK_OPEN_CREATE;
	/* What another host writes is taken as it is. */
	if (theirs && path)
		size = 0;
	ret = block_open(backing, size, flags, &ns->dev, err);
	if (ret < 0)
		return ret;
	ret = check_store(ns, err);
	if (ret < 0 && path && !existed)
		unlink(path);
	return ret;
}

/* The record lies beside a file; for a block device somebody has to say where. */
static int open_record(struct host *h, struct host_ns *ns, json_object *params, struct ferry_err *err)
{
	const char *backing = rpc_str(params, "backing", ""), *file = rpc_str(params, "owner_file", NULL);
	char path[sizeof(ns->owner_file) + sizeof(OWNER_SUFFIX)];

	if (!rpc_bool(params, "shared", false)) {
		if (file)
			return ferry_err_set(err, EINVAL, "E-NS-SHARED", "use --shared",
					     "owner_file: the namespace is not shared");
		return 0;
	}
	if (ns->read_only)
		return ferry_err_set(err, EINVAL, "E-NS-SHARED", "leave --shared out",
				     "a read-only namespace has no owner");
	if (strncmp(backing, "file:", 5) && strncmp(backing, "block:", 6))
		return ferry_err_set(err, EINVAL, "E-NS-SHARED", "use file:PATH",
				     "no other host can reach %s", backing);
	if (!file && backing[0] == 'b')
		return ferry_err_set(err, EINVAL, "E-NS-OWNER-FILE",
				     "--owner-file PATH, on storage that all hosts reach",
				     "a shared block device needs a file for its owner record");
	if (file)
		snprintf(path, sizeof(path), "%s", file);
	else
		snprintf(path, sizeof(path), "%s" OWNER_SUFFIX, backing + 5);
	snprintf(ns->owner_file, sizeof(ns->owner_file), "%s", file ? file : "");
	return host_shared_open(h, path, ns->uuid, &ns->shared, err);
}

static void insert_by_name(struct host *h, struct host_ns *ns)
{
	struct host_ns *it;

	list_for_each(it, &h->namespaces, link)
		if (strcmp(it->name, ns->name) > 0)
			break;
	list_add_tail(&it->link, &ns->link);
}

int host_ns_create(struct host *h, json_object *params, struct ferry_err *err)
{
	const char *name = rpc_str(params, "name", ""), *uuid = rpc_str(params, "uuid", NULL);
	uint64_t lba = rpc_uint(params, "lba", 512);
	struct host_ns *ns;
	int ret;

	if (same_name(h, name))
		return ferry_err_set(err, EEXIST, "E-NS-EXISTS", "choose another name",
				     "a namespace %s exists already", name);
	if (lba != 512 && lba != 4096)
		return ferry_err_set(err, EINVAL, "E-PARAM-VALUE", NULL, "lba: %" PRIu64
				     " is none of: 512, 4096", lba);
	ns = calloc(1, sizeof(*ns));
	if (!ns)
		return ferry_err_set(err, ENOMEM, "E-NO-MEMORY", NULL, "no memory");
	list_init(&ns->link);
	snprintf(ns->name, sizeof(ns->name), "%s", name);
	ns->lba_shift = lba == 4096 ? 12 : 9;
	ns->read_only = rpc_bool(params, "read_only", false);
	if (uuid)
		text_uuid_parse(uuid, ns->uuid);
	ret = open_record(h, ns, params, err);
	if (!ret && !uuid && !ns->shared)
		text_uuid_random(ns->uuid);
	if (!ret)
		ret = open_store(ns, params, err);
	if (ret < 0) {
		host_ns_free(ns);
		return ret;
	}
	if (ns->shared)
		host_shared_ready(ns->shared, ns->dev);
	insert_by_name(h, ns);
	return 0;
}

int host_ns_add(struct host_ns *ns, struct host_fn *hf, uint32_t nsid, struct ferry_err *err)
{
	struct nvme_ns_config cfg = { .nsid = nsid, .lba_shift = ns->lba_shift, .name = ns->name };
	int ret;

	if (ns->fn)
		return ferry_err_set(err, EBUSY, "E-NS-ATTACHED", "detach it first",
				     "namespace %s is attached to " PCI_BDF_FMT, ns->name,
				     PCI_BDF_ARG(ns->fn->fn->bdf));
	cfg.not_owned = ns->shared && !host_shared_owned(ns->shared);
	memcpy(cfg.uuid, ns->uuid, sizeof(cfg.uuid));
	ret = nvme_ns_add(hf->ss, ns->dev, &cfg, &nsid, err);
	if (ret < 0)
		return ret;
	ns->fn = hf;
	ns->nsid = nsid;
	return 0;
}

int host_ns_attach(struct host_ns *ns, struct host_fn *hf, uint32_t nsid, struct ferry_err *err)
{
	int ret = host_ns_add(ns, hf, nsid, err);

	if (ret < 0)
		return ret;
	ret = nvme_ns_attach(hf->ss, ns->nsid, hf->cntlid, err);
	if (ret < 0) {
		(void)nvme_ns_remove(hf->ss, ns->nsid, NULL);
		ns->fn = NULL;
		ns->nsid = 0;
	}
	return ret;
}

/* From the function and its VFs, whose controller ids follow. Which it was attached to, as bits. */
static uint64_t detach_all(struct host_ns *ns, struct ferry_err *err)
{
	unsigned int i, vfs = pci_sriov_total(ns->fn->fn);
	uint64_t was = 0;

	for (i = 0; i <= vfs && i < 64; i++)
		if (!nvme_ns_detach(ns->fn->ss, ns->nsid, (uint16_t)(ns->fn->cntlid + i), err))
			was |= UINT64_C(1) << i;
	return was;
}

int host_ns_detach(struct host_ns *ns, struct ferry_err *err)
{
	unsigned int i;
	uint64_t was;
	int ret;

	if (!ns->fn)
		return ferry_err_set(err, EINVAL, "E-NS-DETACHED", NULL,
				     "namespace %s is attached to no function", ns->name);
	/* A guest may have detached it before us. */
	was = detach_all(ns, err);
	ret = nvme_ns_remove(ns->fn->ss, ns->nsid, err);
	if (ret < 0 && ret != -ENOENT) {
		for (i = 0; i < 64; i++)
			if (was >> i & 1)
				(void)nvme_ns_attach(ns->fn->ss, ns->nsid,
						     (uint16_t)(ns->fn->cntlid + i), NULL);
		return ret;
	}
	ns->fn = NULL;
	ns->nsid = 0;
	return 0;
}

void host_ns_forget(struct host *h, const struct host_fn *hf)
{
	struct host_ns *ns;

	list_for_each(ns, &h->namespaces, link)
		if (ns->fn == hf) {
			ns->fn = NULL;
			ns->nsid = 0;
		}
}

static bool still_there(const struct host_ns *ns)
{
	struct nvme_ns_info *info = calloc(NVME_NSID_MAX, sizeof(*info));
	unsigned int i, n;
	bool found = !info;

	n = info ? nvme_ns_list(ns->fn->ss, info, NVME_NSID_MAX) : 0;
	for (i = 0; i < MIN(n, NVME_NSID_MAX); i++)
		if (info[i].nsid == ns->nsid && !memcmp(info[i].uuid, ns->uuid, sizeof(ns->uuid)))
			found = true;
	free(info);
	return found;
}

void host_ns_refresh(struct host *h)
{
	struct host_ns *ns;

	list_for_each(ns, &h->namespaces, link)
		if (ns->fn && !still_there(ns)) {
			ns->fn = NULL;
			ns->nsid = 0;
		}
}

int host_ns_claim(struct host_ns *ns, const uint64_t *epoch, struct ferry_err *err)
{
	int ret;

	if (!ns->shared)
		return ferry_err_set(err, EINVAL, "E-NS-SHARED", NULL, "namespace %s is not shared",
				     ns->name);
	ret = host_shared_claim(ns->shared, epoch, epoch ? *epoch : 0, err);
	if (!ret && ns->fn)
		nvme_ns_own(ns->fn->ss, ns->nsid, true);
	return ret;
}

json_object *host_ns_params(const struct host_ns *ns)
{
	json_object *o = json_object_new_object();
	char uuid[TEXT_UUID_LEN];

	json_object_object_add(o, "name", json_object_new_string(ns->name));
	json_object_object_add(o, "backing", json_object_new_string(ns->dev->spec));
	json_object_object_add(o, "size", json_object_new_uint64(atomic_load(&ns->dev->size)));
	json_object_object_add(o, "lba", json_object_new_int(1 << ns->lba_shift));
	json_object_object_add(o, "uuid", json_object_new_string(text_uuid(ns->uuid, uuid)));
	if (ns->read_only)
		json_object_object_add(o, "read_only", json_object_new_boolean(true));
	if (ns->shared)
		json_object_object_add(o, "shared", json_object_new_boolean(true));
	if (ns->owner_file[0])
		json_object_object_add(o, "owner_file", json_object_new_string(ns->owner_file));
	return o;
}

json_object *host_ns_json(const struct host_ns *ns)
{
	json_object *o = host_ns_params(ns);
	char address[PCI_BDF_LEN];

	json_object_object_del(o, "read_only");
	json_object_object_del(o, "owner_file");
	json_object_object_del(o, "shared");
	json_object_object_add(o, "shared", json_object_new_boolean(!!ns->shared));
	json_object_object_add(o, "owned", json_object_new_boolean(!ns->shared ||
								   host_shared_owned(ns->shared)));
	json_object_object_add(o, "owner", ns->shared ? host_shared_json(ns->shared) : NULL);
	json_object_object_add(o, "read_only", json_object_new_boolean(ns->dev->read_only));
	if (ns->fn) {
		snprintf(address, sizeof(address), PCI_BDF_FMT, PCI_BDF_ARG(ns->fn->fn->bdf));
		json_object_object_add(o, "address", json_object_new_string(address));
		json_object_object_add(o, "nsid", json_object_new_uint64(ns->nsid));
	} else {
		json_object_object_add(o, "address", NULL);
		json_object_object_add(o, "nsid", NULL);
	}
	return o;
}
