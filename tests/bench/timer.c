/*
 * Times whole processes side by side: timer ROUNDS FILE
 *
 * Each line of FILE is one command, its fields are parted by tabs:
 *     name, script that is run before it and not timed (or -), file for its stdin (or -), program, arguments...
 * Each round runs every command once, in the order of FILE, so that a machine that gets slower or faster does so for all of them.
 * A first round is not counted. Prints for each command, parted by tabs:
 *     name, wall ms (min, median, max), mean user ms, mean system ms, peak KiB
 *
 * This is a static program with a small memory of its own because the kernel starts a child's peak with that of its parent.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_COMMANDS 16
#define MAX_ARGS 62

struct command {
	char *name, *reset, *input, *argv[MAX_ARGS + 1];
	double *wall, user, sys;
	long peak;
};

static struct command commands[MAX_COMMANDS];
/* A runtime starts its hooks with an environment of its own; this one is the same wherever the bench runs. */
static char *environment[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL };
static int null;

static void die(const char *what, const char *name)
{
	fprintf(stderr, "timer: %s: %s\n", name, what);
	exit(1);
}

static double ms(struct timeval t)
{
	return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

/* Runs argv and returns the wall time in ms. vfork, because a fork would also pay for copying the timer's page tables. */
static double run(const char *name, char *const argv[], int input, struct rusage *usage)
{
	struct timespec from, to;
	int status;
	pid_t pid;

	clock_gettime(CLOCK_MONOTONIC, &from);
	pid = vfork();
	if (pid == 0) {
		dup2(input, 0);
		dup2(null, 1);
		dup2(null, 2);
		execve(argv[0], argv, environment);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, usage) != pid)
		die("cannot be started", name);
	clock_gettime(CLOCK_MONOTONIC, &to);
	if (status != 0) /* a command that failed did not do the work that is compared here */
		die(WIFEXITED(status) && WEXITSTATUS(status) == 127 ? "cannot be executed" : "failed", name);
	return (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
}

static int parse(const char *path)
{
	FILE *file = fopen(path, "re");
	char *line = NULL, *field;
	size_t size = 0;
	ssize_t len;
	int n = 0;

	if (!file)
		die("cannot be opened", path);
	while ((len = getline(&line, &size, file)) > 0) {
		struct command *c = &commands[n];
		int args = 0;

		if (n++ == MAX_COMMANDS)
			die("has too many commands", path);
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		c->name = strtok(line, "\t");
		c->reset = strtok(NULL, "\t");
		c->input = strtok(NULL, "\t");
		while ((field = strtok(NULL, "\t")) && args < MAX_ARGS)
			c->argv[args++] = field;
		if (!args || field)
			die("has a line with too few or too many fields", path);
		line = NULL; /* the fields stay where they are */
		size = 0;
	}
	fclose(file);
	return n;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	int rounds = argc == 3 ? atoi(argv[1]) : 0, n;

	if (rounds < 1)
		die("usage: timer ROUNDS FILE", "arguments");
	n = parse(argv[2]);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; i < n; i++)
		commands[i].wall = calloc((size_t)rounds, sizeof(double));
	for (int round = -1; round < rounds; round++) {
		for (int i = 0; i < n; i++) {
			struct command *c = &commands[i];
			int input = strcmp(c->input, "-") ? open(c->input, O_RDONLY | O_CLOEXEC) : null;
			struct rusage usage;
			double wall;

			if (input < 0)
				die("cannot be opened", c->input);
			if (strcmp(c->reset, "-"))
				run(c->reset, (char *[]){ "/bin/sh", c->reset, NULL }, null, &usage);
			wall = run(c->name, c->argv, input, &usage);
			if (input != null)
				close(input);
			if (round < 0)
				continue;
			c->wall[round] = wall;
			c->user += ms(usage.ru_utime) / rounds;
			c->sys += ms(usage.ru_stime) / rounds;
			if (usage.ru_maxrss > c->peak)
				c->peak = usage.ru_maxrss;
		}
	}
	for (int i = 0; i < n; i++) {
		struct command *c = &commands[i];
		const double *w = c->wall;

		qsort(c->wall, (size_t)rounds, sizeof(double), ascending);
		printf("%s\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%ld\n", c->name, w[0], (w[rounds / 2] + w[(rounds - 1) / 2]) / 2,
		       w[rounds - 1], c->user, c->sys, c->peak);
	}
	return 0;
}
