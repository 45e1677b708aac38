/* SPDX-License-Identifier: MIT */
/* version.h - which weft this is, and the attributes of its declarations
 *
 * What     the version of the headers, as numbers and as text, and weft_version() for that of the
 *          library in use; the two differ when a program runs with another libweft.so than it was
 *          built with.
 *          WEFT_API marks what libweft exports; all else in the library is built hidden.
 *          WEFT_NODISCARD marks calls that hand over what only the caller can release, and whose
 *          result alone says so: a descriptor, a running runtime. It is kept off calls made for
 *          their effect (weft_close, weft_cancel, weft_sleep, ...).
 * Rules    these three numbers are the only place where the version is written: the soname,
 *          weft.pc and the tools' --version are made from them. The soname carries the major version. While that is 0 a new minor
 *          version may break the ABI: programs are built anew for it; a new patch version never does.
 */
#ifndef WEFT_VERSION_H
#define WEFT_VERSION_H

#if defined(__GNUC__)
#define WEFT_API __attribute__((__visibility__("default")))
#define WEFT_NODISCARD __attribute__((__warn_unused_result__))
#else
#define WEFT_API
#define WEFT_NODISCARD
#endif

#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0

#define WEFT_VERSION_TEXT_(major, minor, patch) #major "." #minor "." #patch
#define WEFT_VERSION_EXPAND_(major, minor, patch) WEFT_VERSION_TEXT_(major, minor, patch)
/* The version of the headers as text: "0.1.0". */
#define WEFT_VERSION                                                                               \
	WEFT_VERSION_EXPAND_(WEFT_VERSION_MAJOR, WEFT_VERSION_MINOR, WEFT_VERSION_PATCH)

#ifdef __cplusplus
extern "C" {
#endif

/**
 * weft_version - the version of the library in use.
 *
 * Context  any thread, also outside a runtime. Parks no. errno untouched.
 * Returns  static text like "0.1.0"; equal to WEFT_VERSION when headers and library match.
 * Example  printf("built with %s, running %s\n", WEFT_VERSION, weft_version());
 */
WEFT_API const char *weft_version(void);

#ifdef __cplusplus
}
#endif

#endif
