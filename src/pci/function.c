/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* A function's life: its shape is checked, its state and runtime are made and freed. */
#include "pci/internal.h"

#define BAR32_MAX (UINT64_C(1) << 31)

static bool ranges_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

static uint64_t msix_table_size(const struct pci_shape *s)
{
	return (uint64_t)s->msix_vectors * PCI_MSIX_ENTRY_SIZE;
}

static uint64_t msix_pba_size(const struct pci_shape *s)
{
	return ((uint64_t)s->msix_vectors + 63) / 64 * 8;
}

static bool inside_bar(const struct pci_shape *s, unsigned int bar, uint64_t off, uint64_t len)
{
	return bar < PCI_BARS && off <= s->bar[bar].size && len <= s->bar[bar].size - off;
}

static bool msix_shape_ok(const struct pci_shape *s)
{
	if (!s->msix_vectors)
		return true;
	if (s->msix_vectors > PCI_MSIX_MAX)
		return false;
	if (!IS_ALIGNED(s->msix_off, PCI_PAGE) || !IS_ALIGNED(s->pba_off, PCI_PAGE))
		return false;
	if (!inside_bar(s, s->msix_bar, s->msix_off, msix_table_size(s)) ||
	    !inside_bar(s, s->pba_bar, s->pba_off, msix_pba_size(s)))
		return false;
	return s->msix_bar != s->pba_bar || !ranges_overlap(s->msix_off, msix_table_size(s),
							    s->pba_off, msix_pba_size(s));
}

/* A page that is mapped without being polled holds neither table nor PBA. */
static bool safe_area_ok(const struct pci_shape *s, unsigned int bar, uint64_t off, uint64_t len)
{
	if (!len || !IS_ALIGNED(off, PCI_PAGE) || !IS_ALIGNED(len, PCI_PAGE))
		return false;
	if (!inside_bar(s, bar, off, len))
		return false;
	if (!s->msix_vectors)
		return true;
	if (bar == s->msix_bar && ranges_overlap(off, len, s->msix_off, msix_table_size(s)))
		return false;
	return bar != s->pba_bar || !ranges_overlap(off, len, s->pba_off, msix_pba_size(s));
}

static bool bar_shape_ok(const struct pci_shape *s, unsigned int bar)
{
	const struct pci_bar *b = &s->bar[bar];
	unsigned int i;

	if (!b->size)
		return b->nr_safe == 0;
	if (b->size < PCI_PAGE || (b->size & (b->size - 1)))
		return false;
	if (b->is_64) {
		if (bar + 1 >= PCI_BARS || s->bar[bar + 1].size)
			return false;
	} else if (b->size > BAR32_MAX) {
		return false;
	}
	if (b->nr_safe > ARRAY_SIZE(b->safe))
		return false;
	for (i = 0; i < b->nr_safe; i++)
		if (!safe_area_ok(s, bar, b->safe[i].off, b->safe[i].len))
			return false;
	return true;
}

static bool shape_ok(const struct pci_function *fn)
{
	const struct pci_shape *s = &fn->shape;
	unsigned int i;

	if (s->class_code > 0xffffff)
		return false;
	if (fn->physfn && (s->intx || !fn->physfn->sriov))
		return false;
	for (i = 0; i < PCI_BARS; i++)
		if (!bar_shape_ok(s, i))
			return false;
	return msix_shape_ok(s);
}

static bool ops_ok(const struct pci_model_ops *ops)
{
	return ops && ops->bar_read && ops->bar_write && ops->reset &&
	       (!ops->bar_mapped || ops->bar_unmapped);
}

/* All that init owns; what the model sets before (ops, shape, bdf, PF) stays. */
static void function_clear(struct pci_function *fn)
{
	const struct pci_model_ops *ops = fn->ops;
	struct pci_shape shape = fn->shape;
	struct pci_bdf bdf = fn->bdf;
	struct pci_function *physfn = fn->physfn;
	unsigned int vf_index = fn->vf_index;

	memset(fn, 0, sizeof(*fn));
	fn->ops = ops;
	fn->shape = shape;
	fn->bdf = bdf;
	fn->physfn = physfn;
	fn->vf_index = vf_index;
	atomic_store(&fn->msix_count, shape.msix_vectors);
	list_init(&fn->dma_logs);
	list_init(&fn->reset_waiters);
	list_init(&fn->bus_link);
}

int pci_function_init(struct pci_function *fn, struct ferry_env *env, struct env_poller *poller)
{
	int err;

	if (!ops_ok(fn->ops) || !shape_ok(fn))
		return -EINVAL;
	function_clear(fn);

	fn->state = calloc(1, pci_state_size(&fn->shape));
	if (!fn->state)
		return -ENOMEM;
	err = config_rules_grow(fn, PCI_CFG_SPACE_SIZE);
	if (err)
		goto free_state;
	config_header_build(fn);
	err = pci_caps_build(fn);
	if (err)
		goto free_rules;
	msix_reset(fn);
	err = dma_init(fn);
	if (err)
		goto free_rules;
	err = env_strand_init(&fn->strand, env, poller);
	if (err)
		goto release_dma;
	return 0;

release_dma:
	dma_release(fn);
free_rules:
	free(take_ptr(fn->config_rule));
free_state:
	free(take_ptr(fn->state));
	return err;
}

void pci_function_release(struct pci_function *fn)
{
	assert(!fn->bus && !fn->resetting);
	env_strand_release(&fn->strand);
	dma_release(fn);
	sriov_release(fn);
	free(take_ptr(fn->config_rule));
	free(take_ptr(fn->state));
}
