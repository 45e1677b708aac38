/* SPDX-License-Identifier: MIT */
/* path.c - see path.h */
#include "tools/httpd/path.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const char index_name[] = "index.html";

static int hex_digit(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	byte |= 0x20;
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The part of the target that names something: without scheme and host, query and fragment. */
static bool select_path(const char **target, size_t *len)
{
	static const char scheme[] = "http://";
	const size_t scheme_len = sizeof(scheme) - 1;
	const char *at = *target, *end = at + *len;
	const char *stop;

	if (*len >= scheme_len && strncasecmp(at, scheme, scheme_len) == 0) {
		const char *slash = memchr(at + scheme_len, '/', *len - scheme_len);

		if (!slash)
			return false;
		at = slash;
	}
	stop = memchr(at, '?', (size_t)(end - at));
	if (stop)
		end = stop;
	*target = at;
	*len = (size_t)(end - at);
	return *len > 0 && *at == '/' && !memchr(at, '#', *len);
}

/* The byte at text[*i], decoded; *i moves to its last character. -1: malformed, or a byte no name
 * may hold. */
static int decode(const char *text, size_t len, size_t *i)
{
	unsigned char byte = (unsigned char)text[*i];

	if (byte == '%') {
		int high, low;

		if (*i + 2 >= len)
			return -1;
		high = hex_digit(text[*i + 1]);
		low = hex_digit(text[*i + 2]);
		if (high < 0 || low < 0)
			return -1;
		*i += 2;
		byte = (unsigned char)(high << 4 | low);
		if (byte == '/')
			return -1;
	}
	return byte < 0x20 || byte == 0x7f ? -1 : byte;
}

/* Judges the component path[start, end). */
static int check_component(const char *path, size_t start, size_t end)
{
	size_t len = end - start;

	if (len == 2 && path[start] == '.' && path[start + 1] == '.')
		return 400;
	if (len == 1 && path[start] == '.')
		return 400;
	if (len > PATH_COMPONENT_MAX || path[start] == '.')
		return 404;
	return 200;
}

int path_from_target(const char *target, size_t len, char *path, size_t size)
{
	size_t out = 0, start = 0, depth = 0;

	if (!select_path(&target, &len))
		return 400;
	for (size_t i = 1; i <= len; i++) {
		bool ends = i == len || target[i] == '/';

		if (ends && out > start) {
			int status = check_component(path, start, out);

			if (status != 200)
				return status;
			if (++depth > PATH_DEPTH_MAX)
				return 404;
			if (i < len) {
				if (out + 1 >= size)
					return 404;
				path[out++] = '/';
				start = out;
			}
		} else if (!ends) {
			int byte = decode(target, len, &i);

			if (byte < 0)
				return 400;
			if (out + 1 >= size)
				return 404;
			path[out++] = (char)byte;
		}
	}
	if (out == start) { /* ends with a slash, or is nothing but slashes */
		if (out + sizeof(index_name) > size)
			return 404;
		memcpy(path + out, index_name, sizeof(index_name));
		return 200;
	}
	path[out] = '\0';
	return 200;
}

const char *path_media_type(const char *path)
{
	static const struct {
		const char *ending;
		const char *type;
	} types[] = {
		{".html", "text/html; charset=utf-8"},
		{".htm", "text/html; charset=utf-8"},
		{".txt", "text/plain; charset=utf-8"},
		{".md", "text/plain; charset=utf-8"},
		{".css", "text/css; charset=utf-8"},
		{".js", "text/javascript; charset=utf-8"},
		{".json", "application/json"},
		{".xml", "application/xml"},
		{".pdf", "application/pdf"},
		{".wasm", "application/wasm"},
		{".svg", "image/svg+xml"},
		{".png", "image/png"},
		{".jpg", "image/jpeg"},
		{".jpeg", "image/jpeg"},
		{".gif", "image/gif"},
		{".webp", "image/webp"},
		{".ico", "image/x-icon"},
	};
	const char *ending = strrchr(path, '.');

	for (size_t i = 0; ending && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcasecmp(ending, types[i].ending) == 0)
			return types[i].type;
	return "application/octet-stream";
}
