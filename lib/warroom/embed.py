#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the C source that holds the page's files.

usage: embed.py OUTPUT [PATH CONTENT-TYPE FILE]...

The files' digests stand in it, so that it is compiled anew when one of them has changed.
"""
import hashlib
import pathlib
import sys

HEAD = """/* Made by embed.py. */
#include "warroom_internal.h"

/* Read-only bytes between two labels. */
#define ASSET(name, file)                                                      \\
	extern const char asset_##name[], asset_##name##_end[];                \\
	__asm__(".pushsection .rodata\\n"                                       \\
		"asset_" #name ":\\n"                                           \\
		".incbin \\"" file "\\"\\n"                                       \\
		"asset_" #name "_end:\\n"                                       \\
		".popsection\\n")

"""


def main(output, *words):
    assets = [words[i:i + 3] for i in range(0, len(words), 3)]
    lines, rows = [], []
    for number, (path, kind, file) in enumerate(assets):
        digest = hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()
        where = str(pathlib.Path(file).resolve()).replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f"/* {digest} */\nASSET(a{number}, \"{where}\");\n")
        rows.append(f"\t{{\"{path}\", \"{kind}\", asset_a{number}, asset_a{number}_end}},\n")
    pathlib.Path(output).write_text(
        HEAD + "".join(lines) + "\nconst struct warroom_asset warroom_assets[] = {\n"
        + "".join(rows) + "};\nconst unsigned warroom_assets_count = HB_COUNT_OF(warroom_assets);\n",
        encoding="utf-8")


main(*sys.argv[1:])
