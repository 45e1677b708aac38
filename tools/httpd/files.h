/* SPDX-License-Identifier: MIT */
/* files.h - opening a file below the served directory, and never one outside it
 *
 * What   Opens component by component, each relative to the directory before it and none through a
 *        symbolic link. What path.c refuses by name cannot be reached by renames or links made
 *        meanwhile either: there is no moment between a check and its use. The opens park the
 *        fiber, not its worker, on a slow disk.
 * Rules  only regular files are served; a FIFO or device is opened without waiting for it, and
 *        closed again.
 */
#ifndef TOOLS_HTTPD_FILES_H
#define TOOLS_HTTPD_FILES_H

#include <stdint.h>

struct file {
	int fd;
	uint64_t size;
	int64_t modified; /* seconds since 1970 */
};

/* Opens the file that path (of path_from_target()) names below the directory root_fd: 200, and file
 * is the caller's to weft_close(); or the status to answer with. path is written to. */
int file_open(int root_fd, char *path, struct file *file);

#endif
