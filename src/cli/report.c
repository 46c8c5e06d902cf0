/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * ferry migration report: one move as a drawing. An HTML page that needs
 * nothing else, or the bare SVG. Time runs from left to right; the time in
 * which no VM ran is shaded across all lanes.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cli/migration.h"

#define WIDTH 1000.0
#define LEFT 110.0
#define RIGHT 20.0
#define LANE 34.0

struct chart {
	FILE *f;
	json_object *o;
	uint64_t from, to;		/* ns since 1970 */
	uint64_t stop, resume;		/* no VM ran; 0: there was no such time */
	double y;
};

static uint64_t nanoseconds(json_object *o, const char *key)
{
	json_object *v = record_get(o, key, NULL);

	return v ? json_object_get_uint64(v) : 0;
}

static double at_x(const struct chart *c, uint64_t t)
{
	t = MIN(MAX(t, c->from), c->to);
	return LEFT + (WIDTH - LEFT - RIGHT) * (double)(t - c->from) / (double)(c->to - c->from);
}

/* Text of others between tags. */
static void escaped(FILE *f, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '<': fputs("&lt;", f); break;
		case '>': fputs("&gt;", f); break;
		case '&': fputs("&amp;", f); break;
		case '"': fputs("&quot;", f); break;
		default: fputc(*s, f);
		}
}

static void label(const struct chart *c, double x, double y, const char *anchor, const char *text)
{
	fprintf(c->f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
	escaped(c->f, text);
	fputs("</text>\n", c->f);
}

/* A box with its name in it, if there is room, and a tool tip. */
static void bar(const struct chart *c, uint64_t from, uint64_t to, const char *class, const char *text)
{
	double x = at_x(c, from), w = MAX(at_x(c, to) - x, 1.0);

	fprintf(c->f, "<g><title>");
	escaped(c->f, text);
	fprintf(c->f, " %.1f ms</title><rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
		(double)(to - from) / 1e6, class, x, c->y + 4, w, LANE - 12);
	if (w > 7.0 * (double)strlen(text))
		label(c, x + 4, c->y + LANE - 15, "start", text);
	fputs("</g>\n", c->f);
}

static void lane(struct chart *c, const char *name)
{
	label(c, LEFT - 8, c->y + LANE - 15, "end", name);
	fprintf(c->f, "<line class=\"rule\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", LEFT,
		c->y + LANE - 4, WIDTH - RIGHT, c->y + LANE - 4);
}

/* -------------------------------------------------------------------- lanes */

static void draw_phases(struct chart *c)
{
	json_object *list = record_get(c->o, "phases", NULL), *p;
	size_t i;

	lane(c, "phases");
	for (i = 0; list && i < json_object_array_length(list); i++) {
		uint64_t end;

		p = json_object_array_get_idx(list, i);
		end = nanoseconds(p, "end_ns");
		bar(c, nanoseconds(p, "start_ns"), end ? end : c->to, i % 2 ? "b" : "a",
		    record_text(p, "name", NULL, "?"));
	}
	c->y += LANE;
}

/* The states that one device went through on one side, each until the next. */
static void draw_states(struct chart *c, const char *device, const char *side)
{
	json_object *list = record_get(c->o, "device_events", NULL), *e, *last = NULL;
	char name[64];
	size_t i, n = json_object_array_length(list);
	unsigned int k = 0;

	snprintf(name, sizeof(name), "%.20s %s", device, side);
	lane(c, name);
	for (i = 0; i <= n; i++) {
		e = i < n ? json_object_array_get_idx(list, i) : NULL;
		if (e && (strcmp(record_text(e, "device", NULL, ""), device) ||
			  strcmp(record_text(e, "side", NULL, ""), side)))
			continue;
		if (last)
			bar(c, nanoseconds(last, "t_ns"), e ? nanoseconds(e, "t_ns") : c->to,
			    k++ % 2 ? "b" : "a", record_text(last, "to", NULL, "?"));
		last = e;
	}
	c->y += LANE;
}

static bool seen_before(json_object *list, size_t i)
{
	json_object *e = json_object_array_get_idx(list, i);
	size_t k;

	for (k = 0; k < i; k++) {
		json_object *o = json_object_array_get_idx(list, k);

		if (!strcmp(record_text(e, "device", NULL, ""), record_text(o, "device", NULL, "")) &&
		    !strcmp(record_text(e, "side", NULL, ""), record_text(o, "side", NULL, "")))
			return true;
	}
	return false;
}

static void draw_devices(struct chart *c)
{
	json_object *list = record_get(c->o, "device_events", NULL);
	size_t i;

	for (i = 0; list && i < json_object_array_length(list); i++)
		if (!seen_before(list, i))
			draw_states(c, record_text(json_object_array_get_idx(list, i), "device", NULL, "?"),
				    record_text(json_object_array_get_idx(list, i), "side", NULL, "?"));
}

/* How fast @key grows from sample to sample; a side of its own does not continue the other's. */
static void draw_rate(struct chart *c, const char *name, const char *key, double unit, const char *unit_name)
{
	json_object *list = record_get(c->o, "samples", NULL), *a, *b;
	size_t n = list ? json_object_array_length(list) : 0, i;
	double *rate = calloc(n + 1, sizeof(*rate)), top = 0, h = 2 * LANE - 8;
	char text[64];

	for (i = 1; rate && i < n; i++) {
		double dt;

		a = json_object_array_get_idx(list, i - 1);
		b = json_object_array_get_idx(list, i);
		dt = (double)(nanoseconds(b, "t_ns") - nanoseconds(a, "t_ns")) / 1e9;
		rate[i] = -1;
		if (dt <= 0 || !record_get(a, key, NULL) || !record_get(b, key, NULL) ||
		    strcmp(record_text(a, "side", NULL, ""), record_text(b, "side", NULL, "")))
			continue;
		rate[i] = MAX(record_number(b, key, NULL) - record_number(a, key, NULL), 0) / dt / unit;
		top = MAX(top, rate[i]);
	}
	if (top > 0) {
		c->y += LANE;
		lane(c, name);
		snprintf(text, sizeof(text), "max %.0f %s", top, unit_name);
		label(c, LEFT + 4, c->y - LANE + 16, "start", text);
		for (i = 1; i < n; i++) {
			double x0 = at_x(c, nanoseconds(json_object_array_get_idx(list, i - 1), "t_ns"));
			double x1 = at_x(c, nanoseconds(json_object_array_get_idx(list, i), "t_ns"));

			if (rate[i] >= 0)
				fprintf(c->f, "<rect class=\"rate\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
					"height=\"%.1f\"/>\n", x0, c->y + LANE - 4 - h * rate[i] / top,
					MAX(x1 - x0, 0.5), h * rate[i] / top);
		}
		c->y += LANE;
	}
	free(rate);
}

static void draw_axis(struct chart *c)
{
	double total = (double)(c->to - c->from) / 1e9, step = 0.001;
	char text[32];
	unsigned int i;

	for (i = 0; total / step > 12; i++)
		step *= i % 3 == 1 ? 2.5 : 2;
	for (i = 0; step * i <= total; i++) {
		double x = at_x(c, c->from + (uint64_t)(step * i * 1e9));

		snprintf(text, sizeof(text), "%.*f s", step < 0.01 ? 3 : step < 1 ? 2 : 0, step * i);
		label(c, x, c->y + 14, "middle", text);
		fprintf(c->f, "<line class=\"tick\" x1=\"%.1f\" y1=\"0\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x, x, c->y);
	}
}

/* ---------------------------------------------------------------------- svg */

static void find_times(struct chart *c)
{
	json_object *list = record_get(c->o, "phases", NULL), *p;
	size_t i, n = list ? json_object_array_length(list) : 0;

	for (i = 0; i < n; i++) {
		uint64_t end;

		p = json_object_array_get_idx(list, i);
		end = nanoseconds(p, "end_ns");
		if (!i)
			c->from = nanoseconds(p, "start_ns");
		c->to = MAX(c->to, MAX(end, nanoseconds(p, "start_ns")));
		if (!strcmp(record_text(p, "name", NULL, ""), "stopped"))
			c->stop = nanoseconds(p, "start_ns");
		else if (c->stop && (!strcmp(record_text(p, "name", NULL, ""), "finish") ||
				     !strcmp(record_text(p, "name", NULL, ""), "rolled back")))
			c->resume = nanoseconds(p, "start_ns");
	}
	c->to = MAX(c->to, c->from + 1000000);
}

/* Drawn twice: the first time only to learn how high it gets. */
static double draw(struct chart *c)
{
	c->y = 6;
	draw_phases(c);
	draw_devices(c);
	draw_rate(c, "RAM sent", "ram_transferred", 1048576, "MiB/s");
	draw_rate(c, "I/O", "ios", 1, "IOPS");
	draw_rate(c, "I/O data", "io_bytes", 1048576, "MiB/s");
	draw_axis(c);
	return c->y + 22;
}

static const char style[] =
	"text{font:12px sans-serif;fill:#222}.a{fill:#9ec5e8}.b{fill:#c7dff2}.rate{fill:#7fb77f}"
	".rule{stroke:#bbb}.tick{stroke:#eee}.down{fill:#e05050;fill-opacity:.25}";

static int svg(FILE *f, json_object *o)
{
	struct chart c = { .f = fopen("/dev/null", "w"), .o = o };
	double height;

	if (!c.f)
		return -errno;
	find_times(&c);
	height = draw(&c);
	fclose(c.f);
	c.f = f;
	fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"100%%\">"
		"<style>%s</style>\n", WIDTH, height, style);
	if (c.resume > c.stop)
		fprintf(f, "<g><title>no VM ran for %.1f ms</title><rect class=\"down\" x=\"%.1f\" y=\"0\" "
			"width=\"%.1f\" height=\"%.1f\"/></g>\n", (double)(c.resume - c.stop) / 1e6,
			at_x(&c, c.stop), MAX(at_x(&c, c.resume) - at_x(&c, c.stop), 1.0), height - 22);
	(void)draw(&c);
	fputs("</svg>\n", f);
	return 0;
}

/* --------------------------------------------------------------------- html */

static void table_row(FILE *f, const char *key, const char *value)
{
	fputs("<tr><th>", f);
	escaped(f, key);
	fputs("</th><td>", f);
	escaped(f, value);
	fputs("</td></tr>\n", f);
}

static void html_reasons(FILE *f, json_object *o)
{
	json_object *list = record_get(o, "reasons", NULL);
	size_t i;

	for (i = 0; list && i < json_object_array_length(list); i++) {
		json_object *r = json_object_array_get_idx(list, i);

		table_row(f, record_text(r, "code", NULL, "?"), record_text(r, "message", NULL, "?"));
	}
}

static int html(FILE *f, json_object *o)
{
	static const char *const totals[][2] = {
		{ "total, ms", "total_ms" }, { "downtime, ms", "downtime_ms" }, { "no VM ran, us", "stopped_us" },
		{ "RAM sent, bytes", "ram_bytes" }, { "device state, bytes", "device_bytes" },
		{ "rounds", "rounds" },
	};
	const char *id = record_text(o, "id", NULL, "?");
	unsigned int i;
	int ret;

	fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>ferry migration ", f);
	escaped(f, id);
	fputs("</title><style>body{font:14px sans-serif;max-width:1100px;margin:2em auto}"
	      "th{text-align:left;padding-right:2em;font-weight:normal;color:#555}pre{font-size:11px;"
	      "background:#f6f6f6;padding:1em;overflow:auto}</style></head><body>\n<h1>Migration ", f);
	escaped(f, id);
	fputs("</h1>\n<table>\n", f);
	table_row(f, "result", record_text(o, "result", NULL, "running"));
	table_row(f, "started", record_text(o, "started_at", NULL, "-"));
	table_row(f, "machine", record_text(o, "vm", "machine", "-"));
	table_row(f, "source", record_text(o, "source", "host", "-"));
	table_row(f, "target", record_text(o, "target", "ctl", "-"));
	for (i = 0; i < ARRAY_SIZE(totals); i++)
		table_row(f, totals[i][0], record_text(o, "totals", totals[i][1], "-"));
	html_reasons(f, o);
	fputs("</table>\n", f);
	ret = svg(f, o);
	fputs("<p>Shaded: no VM ran. Hover for durations.</p>\n<h2>Record</h2>\n<pre>", f);
	escaped(f, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						  JSON_C_TO_STRING_NOSLASHESCAPE));
	fputs("</pre>\n</body></html>\n", f);
	return ret;
}

static int write_to(const char *path, json_object *o, int (*fn)(FILE *, json_object *),
		    struct ferry_err *err)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "we") : stdout;
	int ret = f ? fn(f, o) : -errno;

	if (f && f != stdout && fclose(f) && !ret)
		ret = -errno;
	return ret < 0 ? ferry_err_set(err, -ret, "E-REPORT", NULL, "%s: %s", path, strerror(-ret)) : 0;
}

int verb_migration_report(const struct cli *cli, const struct cli_verb *v, json_object *params, char **rest)
{
	const char *to_html = record_text(params, "html", NULL, NULL);
	const char *to_svg = record_text(params, "svg", NULL, NULL);
	struct ferry_err err = { 0 };
	char name[RECORD_ID_LEN + 24];
	struct record r;
	int ret = record_load(&r, record_text(params, "id", NULL, "last"), &err);

	if (ret < 0)
		return out_error(cli, "migration", "report", &err);
	snprintf(name, sizeof(name), "migration-%s.html", r.id);
	if (!to_html && !to_svg)
		to_html = name;
	if (to_html)
		ret = write_to(to_html, r.o, html, &err);
	if (!ret && to_svg)
		ret = write_to(to_svg, r.o, svg, &err);
	record_release(&r);
	if (ret < 0)
		return out_error(cli, "migration", "report", &err);
	if (!cli->quiet && to_html && strcmp(to_html, "-"))
		puts(to_html);
	if (!cli->quiet && to_svg && strcmp(to_svg, "-"))
		puts(to_svg);
	return CLI_OK;
}
