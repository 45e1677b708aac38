/* SPDX-License-Identifier: MIT */
/* path.h - from a request's target to the name of a file, or to a refusal
 *
 * What   Takes "/docs/a%20b.html?x=1" or "http://host/docs/..." to "docs/a b.html". Knows no file
 *        system: that a path stays below the served directory is seen to twice, here by refusing
 *        "..", and in files.c by opening it component by component without following a link.
 * Rules  P1 the result has no empty, "." or ".." component and no NUL, so it is relative and points
 *           down.
 *        P2 an encoded slash is refused: it would be a separator to the file system and none to a
 *           proxy.
 *        P3 components that start with a dot are not found: they are settings, not pages.
 *        P4 a directory ("/", "/docs/") stands for the index.html in it.
 * Tests  tests/http/path_test.cc
 */
#ifndef TOOLS_HTTPD_PATH_H
#define TOOLS_HTTPD_PATH_H

#include <stddef.h>

/* Of the whole path. It stands on a fiber's stack; longer names are not found. */
#define PATH_BYTES_MAX 1024u
/* No file system here knows longer names. */
#define PATH_COMPONENT_MAX 255u
/* Each component costs an open. */
#define PATH_DEPTH_MAX 32u

/* Writes the file's path, 0-terminated, to path[size] and returns 200; or returns the status to
 * answer with: 400 for a malformed target, 404 for one that can name nothing served, too long for
 * path included. */
int path_from_target(const char *target, size_t len, char *path, size_t size);

/* The media type of a file, by the end of its name. */
const char *path_media_type(const char *path);

#endif
