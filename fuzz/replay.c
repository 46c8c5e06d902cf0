/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/*
 * Runs a fuzz target over the files and folders named on the command line:
 * the corpus as an ordinary test. An empty corpus fails.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <ferry/base.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *buf;
	long len;

	if (!f || fseek(f, 0, SEEK_END) || (len = ftell(f)) < 0) {
		perror(path);
		if (f)
			fclose(f);
		return -1;
	}
	rewind(f);
	/* Exactly as long as the input, so that a sanitizer sees the first byte beyond. */
	buf = malloc(len ? (size_t)len : 1);
	if (!buf || fread(buf, 1, (size_t)len, f) != (size_t)len) {
		perror(path);
		free(buf);
		fclose(f);
		return -1;
	}
	fclose(f);
	LLVMFuzzerTestOneInput(buf, (size_t)len);
	free(buf);
	return 1;
}

static int run_path(const char *path)
{
	struct dirent **names;
	struct stat st;
	int i, n, runs = 0;

	if (stat(path, &st) || !S_ISDIR(st.st_mode))
		return run_file(path);
	n = scandir(path, &names, NULL, alphasort);
	for (i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.' && runs >= 0) {
			char sub[4096];
			int ret;

			snprintf(sub, sizeof(sub), "%s/%s", path, names[i]->d_name);
			ret = run_file(sub);
			runs = ret < 0 ? ret : runs + ret;
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return runs;
}

int main(int argc, char **argv)
{
	int i, runs = 0;

	for (i = 1; i < argc; i++) {
		int ret = run_path(argv[i]);

		if (ret < 0)
			return 1;
		runs += ret;
	}
	printf("%d inputs\n", runs);
	return runs ? 0 : 1;
}
