/* SPDX-License-Identifier: MIT */
/* stream.h - placeholder, to be replaced */
#ifndef WEFT_STREAM_H
#define WEFT_STREAM_H
#endif
