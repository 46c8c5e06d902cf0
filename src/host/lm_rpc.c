/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * The methods about migratable functions: lm_describe, state_save, state_load.
 *
 * Saving and loading are chains of asynchronous operations on a struct
 * lm_controller. Each step begins with the host lock held and ends on the
 * control strand, where the next begins. The stream goes to and comes from a
 * file that the client passed along: it may be larger than a line.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <ferry/nvme_driver.h>
#include <ferry/sriov.h>

#include "host/lm_rpc.h"
#include "host/ownership.h"
#include "host/text.h"
#include "vfio/state_stream.h"

static const char driver_name[] = "nvme-vfio-pci";

static struct lm_controller *wanted(struct rpc_call *c, struct pci_function **fn, struct ferry_err *err)
{
	const char *address = rpc_str(c->params, "address", "");
	struct lm_controller *lm;
	struct pci_bdf bdf;

	*fn = pci_bdf_parse(address, &bdf) < 0 ? NULL : pci_find(&c->h->vfio.bus, bdf);
	if (!*fn) {
		ferry_err_set(err, ENODEV, "E-FUNCTION-UNKNOWN", "ferry ls", "no function %s on host %s",
			      address, c->h->name);
		return NULL;
	}
	lm = lm_find(&c->h->vfio.bus, *fn);
	if (!lm)
		ferry_err_set(err, EOPNOTSUPP, "E-LM-NO-CONTROLLER",
			      "use a VF whose PF is bound to nvme",
			      "nothing controls the migration of function %s", address);
	return lm;
}

static bool in_use(struct pci_function *fn)
{
	struct vfio_device *d = vfio_device_of(fn);
	struct vfio_device_info_ext info = { 0 };

	if (d)
		vfio_device_describe(d, &info);
	return info.open;
}

/* ----------------------------------------------------------------- describe */

static void add_text(json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, text ? json_object_new_string(text) : NULL);
}

static void add_reason(json_object *list, const struct ferry_err *err)
{
	json_object *o = json_object_new_object();

	add_text(o, "code", err->code);
	add_text(o, "message", err->msg);
	add_text(o, "hint", err->hint);
	json_object_array_add(list, o);
}

static json_object *identity_json(struct lm_controller *lm)
{
	struct lm_identity *id = calloc(1, sizeof(*id));
	json_object *o = json_object_new_object(), *text;
	char uuid[TEXT_UUID_LEN], hex[65];
	unsigned int i;

	if (!id)
		return o;
	lm->ops->describe(lm, id);
	for (i = 0; i < sizeof(id->digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", id->digest[i]);
	add_text(o, "format", text_uuid(id->format_uuid, uuid));
	add_text(o, "digest", hex);
	text = json_tokener_parse(id->text);
	json_object_object_add(o, "text", text ? text : json_object_new_object());
	free(id);
	return o;
}

static json_object *namespaces_json(struct lm_controller *lm)
{
	struct nvme_ns_info *info = calloc(NVME_NSID_MAX, sizeof(*info));
	struct nvme_ctrl *ctrl = nvme_ctrl_of(lm->fn);
	json_object *list = json_object_new_array(), *o;
	unsigned int i, n = 0;
	char uuid[TEXT_UUID_LEN];
	bool others;

	if (info && ctrl)
		n = nvme_ns_list(nvme_ctrl_subsys(ctrl), info, NVME_NSID_MAX);
	for (i = 0; i < MIN(n, NVME_NSID_MAX); i++) {
		if (!nvme_ns_attached_to(nvme_ctrl_subsys(ctrl), info[i].nsid, lm->cntlid, &others))
			continue;
		o = json_object_new_object();
		add_text(o, "name", info[i].name);
		json_object_object_add(o, "nsid", json_object_new_uint64(info[i].nsid));
		add_text(o, "uuid", text_uuid(info[i].uuid, uuid));
		json_object_object_add(o, "size", json_object_new_uint64(info[i].size));
		json_object_object_add(o, "lba", json_object_new_int(1 << info[i].lba_shift));
		add_text(o, "store", info[i].store);
		json_object_array_add(list, o);
	}
	free(info);
	return list;
}

/* What function_set on another host has to be told to make the like. Namespaces are the caller's. */
static json_object *provision_json(struct lm_controller *lm)
{
	struct nvme_dev *dev = lm->owner ? nvme_dev_of(lm->owner) : NULL;
	struct nvme_secondary s = { 0 };
	json_object *o = json_object_new_object();

	if (!dev || nvme_dev_secondary(dev, pci_vf_index(lm->fn), &s) < 0)
		return o;
	json_object_object_add(o, "vq", json_object_new_int(s.vq));
	json_object_object_add(o, "vi", json_object_new_int(s.vi));
	add_text(o, "driver", lm->fn->driver ? lm->fn->driver->name : driver_name);
	return o;
}

/* Every reason why it can't move, not only the first. */
static json_object *reasons_json(struct lm_controller *lm)
{
	json_object *list = json_object_new_array();
	struct ferry_err err = { 0 };
	char bdf[PCI_BDF_LEN];

	snprintf(bdf, sizeof(bdf), PCI_BDF_FMT, PCI_BDF_ARG(lm->fn->bdf));
	if (!lm->migratable) {
		ferry_err_set(&err, EPERM, "E-LM-NOT-MIGRATABLE", "ferry function set --migratable",
			      "function %s is not provisioned to be migratable", bdf);
		add_reason(list, &err);
	}
	if (!lm->fn->driver || strcmp(lm->fn->driver->name, driver_name)) {
		ferry_err_set(&err, EPERM, "E-LM-DRIVER", "ferry driver bind",
			      "function %s is bound to %s, not to %s", bdf,
			      lm->fn->driver ? lm->fn->driver->name : "no driver", driver_name);
		add_reason(list, &err);
	}
	if (lm_owner_check(lm, &err) < 0)
		add_reason(list, &err);
	return list;
}

void lm_describe(struct rpc_call *c)
{
	struct ferry_err err = { 0 };
	struct lm_controller *lm;
	struct pci_function *fn;
	json_object *o = NULL, *reasons;
	char text[16];

	vfio_host_lock(&c->h->vfio);
	lm = wanted(c, &fn, &err);
	if (fn) {
		o = json_object_new_object();
		add_text(o, "schema", "ferry.lm.v1");
		add_text(o, "address", rpc_str(c->params, "address", ""));
		add_text(o, "type", nvme_ctrl_of(fn) ? "nvme" : NULL);
		add_text(o, "driver", fn->driver ? fn->driver->name : NULL);
		json_object_object_add(o, "in_use", json_object_new_boolean(in_use(fn)));
		json_object_object_add(o, "migratable", json_object_new_boolean(lm && lm->migratable));
		if (lm) {
			snprintf(text, sizeof(text), "0x%04x", lm->cntlid);
			add_text(o, "cntlid", text);
			json_object_object_add(o, "identity", identity_json(lm));
			json_object_object_add(o, "namespaces", namespaces_json(lm));
			json_object_object_add(o, "provision", provision_json(lm));
		}
		reasons = lm ? reasons_json(lm) : json_object_new_array();
		if (!lm)
			add_reason(reasons, &err);
		json_object_object_add(o, "reasons", reasons);
	}
	vfio_host_unlock(&c->h->vfio);
	if (o)
		rpc_reply(c, o);
	else
		rpc_fail(c, &err);
}

/* ------------------------------------------------------------- save and load */

struct state_job {
	struct host *h;
	struct rpc_call *c;
	struct pci_function *fn;	/* stays while an operation is in flight */
	struct lm_controller *lm;
	struct lm_op op;
	void (*next)(struct state_job *j, int err);	/* host lock held */
	struct state_writer out;
	struct state_parser in;
	uint8_t *image, token[LM_TOKEN_MAX];
	size_t have, size, token_len;
	bool offer, open, saving, suspended;
	int fd, result;
	struct ferry_err err;
};

static void job_step(struct lm_op *op, int err)
{
	struct state_job *j = container_of(op, struct state_job, op);
	struct vfio_host *h = &j->h->vfio;	/* the last step frees @j */

	vfio_host_lock(h);
	if (lm_find(&h->bus, j->fn) != j->lm) {
		j->lm = NULL;
		err = err ? err : -ENODEV;
	}
	j->next(j, err);
	vfio_host_unlock(h);
}

static struct lm_op *then(struct state_job *j, void (*next)(struct state_job *, int))
{
	j->next = next;
	return &j->op;
}

static void job_answer(struct state_job *j)
{
	json_object *o;

	if (j->result < 0) {
		if (!j->err.num)
			ferry_err_set(&j->err, -j->result, "E-LM-STATE", NULL, "%s",
				      strerror(-j->result));
		rpc_fail(j->c, &j->err);
	} else {
		o = json_object_new_object();
		add_text(o, "schema", "ferry.state.v1");
		json_object_object_add(o, "bytes", json_object_new_uint64(j->saving ? j->out.len : j->in.total));
		json_object_object_add(o, "image_bytes", json_object_new_uint64(j->saving ? j->have
											  : j->in.image_len));
		json_object_object_add(o, "offered", json_object_new_boolean(j->saving && j->offer));
		rpc_reply(j->c, o);
	}
	close(j->fd);
	if (j->saving)
		state_writer_release(&j->out);
	else
		state_parser_release(&j->in);
	free(j->image);
	free(j);
}

static void resumed(struct state_job *j, int err)
{
	if (!j->result)
		j->result = err;
	job_answer(j);
}

/* What was taken back, if anything was offered, may run again. */
static void own_again(struct state_job *j, int err)
{
	if (!j->result)
		j->result = err;
	if (j->lm)
		j->lm->ops->resume(j->lm, then(j, resumed));
	else
		job_answer(j);
}

/* The end of both: closed, and running again unless the storage was given away. */
static void job_end(struct state_job *j, int err)
{
	j->result = err;
	if (j->open && j->lm && j->saving)
		j->lm->ops->save_close(j->lm);
	else if (j->open && j->lm)
		j->lm->ops->load_close(j->lm);
	j->open = false;
	if (!j->lm || !j->suspended || (j->saving && j->offer && !err))
		job_answer(j);
	else
		lm_owner_run(j->lm, then(j, own_again));
}

static int write_stream(struct state_job *j)
{
	struct lm_identity *id = calloc(1, sizeof(*id));
	size_t done = 0;
	int ret = id ? 0 : -ENOMEM;

	if (!ret) {
		j->lm->ops->describe(j->lm, id);
		ret = state_write_begin(&j->out, id);
	}
	if (!ret)
		ret = state_write_image(&j->out, j->image, j->have, j->token, j->token_len);
	free(id);
	while (!ret && done < j->out.len) {
		ssize_t n = pwrite(j->fd, j->out.buf + done, j->out.len - done, (off_t)done);

		if (n < 0 && errno != EINTR)
			ret = -errno;
		else if (n > 0)
			done += (size_t)n;
	}
	return ret;
}

static void offered(struct state_job *j, int err)
{
	j->token_len = err ? 0 : (size_t)j->op.size;
	job_end(j, err ? err : write_stream(j));
}

static void read_on(struct state_job *j, int err)
{
	if (!err)
		j->have += (size_t)j->op.size;
	if (err || (!j->op.size && j->have < j->size))
		job_end(j, err ? err : -EIO);
	else if (j->have < j->size)
		j->lm->ops->save_read(j->lm, then(j, read_on), j->have, j->image + j->have,
				      j->size - j->have, true);
	else if (j->offer)
		lm_owner_offer(j->lm, then(j, offered), j->token);
	else
		job_end(j, write_stream(j));
}

static void sized(struct state_job *j, int err)
{
	j->size = err ? 0 : (size_t)j->op.size;
	if (!err && (!j->size || j->size > LM_STATE_MAX))
		err = -EMSGSIZE;
	if (!err)
		j->image = malloc(j->size);
	if (!err && !j->image)
		err = -ENOMEM;
	if (err)
		job_end(j, err);
	else
		j->lm->ops->save_read(j->lm, then(j, read_on), 0, j->image, j->size, true);
}

static void save_opened(struct state_job *j, int err)
{
	j->open = !err;
	if (err)
		job_end(j, err);
	else
		j->lm->ops->save_size(j->lm, then(j, sized));
}

static void save_suspended(struct state_job *j, int err)
{
	j->suspended = !err;
	if (err)
		job_end(j, err);
	else
		j->lm->ops->save_open(j->lm, then(j, save_opened));
}

static void load_accepted(struct state_job *j, int err)
{
	job_end(j, err);
}

static void loaded(struct state_job *j, int err)
{
	if (!err && j->in.token_len)
		lm_owner_accept(j->lm, then(j, load_accepted), j->in.token, j->in.token_len);
	else
		job_end(j, err);
}

static void load_opened(struct state_job *j, int err)
{
	j->open = !err;
	if (err)
		job_end(j, err);
	else
		j->lm->ops->load_write(j->lm, then(j, loaded), 0, j->in.image, j->in.image_len, true);
}

static void load_suspended(struct state_job *j, int err)
{
	j->suspended = !err;
	if (err)
		job_end(j, err);
	else
		j->lm->ops->load_open(j->lm, then(j, load_opened));
}

/* A stream that fits, whole, before anything is touched. */
static int compat(void *arg, const struct lm_identity *id)
{
	struct state_job *j = arg;

	return j->lm->ops->check(j->lm, id, &j->err);
}

static int read_stream(struct state_job *j)
{
	uint8_t buf[16384];
	off_t at = 0;
	ssize_t n;
	int ret;

	state_parser_init(&j->in, compat, j);
	while ((n = pread(j->fd, buf, sizeof(buf), at)) > 0) {
		ret = state_parser_feed(&j->in, buf, (size_t)n);
		if (ret < 0)
			return j->err.num ? ret : ferry_err_set(&j->err, -ret, "E-STATE-STREAM", NULL,
				"the stream is not sound near byte %lld: %s", (long long)at, strerror(-ret));
		at += n;
	}
	if (n < 0)
		return -errno;
	return j->in.complete ? 0 : ferry_err_set(&j->err, EINVAL, "E-STATE-STREAM", NULL,
						  "the stream ends early, after %lld bytes", (long long)at);
}

static int job_check(struct state_job *j, struct rpc_call *c)
{
	struct stat st;

	j->lm = wanted(c, &j->fn, &j->err);
	if (!j->lm)
		return -j->err.num;
	if (in_use(j->fn) || j->lm->gone)
		return ferry_err_set(&j->err, EBUSY, "E-FUNCTION-IN-USE", "end the program that uses it",
				     "a client has function %s open", rpc_str(c->params, "address", ""));
	if (fstat(j->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return ferry_err_set(&j->err, EBADF, "E-STATE-FD", NULL, "no regular file came along");
	return j->saving ? 0 : read_stream(j);
}

static void state_start(struct rpc_call *c, bool saving)
{
	struct state_job *j = calloc(1, sizeof(*j));
	struct ferry_err err = { 0 };
	int ret;

	if (!j || c->nr_fds != 1) {
		ferry_err_set(&err, j ? EBADF : ENOMEM, j ? "E-STATE-FD" : "E-NO-MEMORY", NULL,
			      j ? "%u descriptors came, not 1" : "no memory", c->nr_fds);
		free(j);
		rpc_fail(c, &err);
		return;
	}
	*j = (struct state_job){ .h = c->h, .c = c, .fd = c->fds[0], .saving = saving,
				 .offer = rpc_bool(c->params, "offer", false) };
	c->nr_fds = 0;
	lm_op_init(&j->op, &c->h->vfio.control, job_step);
	vfio_host_lock(&c->h->vfio);
	ret = job_check(j, c);
	if (ret < 0) {
		j->result = ret;
		job_answer(j);
	} else {
		j->lm->ops->suspend(j->lm, then(j, saving ? save_suspended : load_suspended));
	}
	vfio_host_unlock(&c->h->vfio);
}

void lm_state_save(struct rpc_call *c)
{
	state_start(c, true);
}

void lm_state_load(struct rpc_call *c)
{
	state_start(c, false);
}

const struct rpc_param lm_save_params[] = {
	{ "address", RPC_ADDRESS, .required = true, .help = "PCI address" },
	{ "offer", RPC_BOOL, .help = "its storage goes along: here it stays suspended" }, { NULL },
};
