# SPDX-License-Identifier: BSD-3-Clause
"""Writes migrations as a C file: embed.py OUTPUT MIGRATION.sql ..., named NNNN_name.sql, from 0001 without a gap."""
import sys
from pathlib import Path


def literal(line):
    """A line as a C string."""
    escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?")
    return f'\t\t"{escaped}\\n"\n'


def main(output, paths):
    rows = ""
    for number, path in enumerate(sorted(map(Path, paths), key=lambda p: p.name), 1):
        if path.name[:5] != f"{number:04}_":
            sys.exit(f"{path}: migration {number:04} is missing before it")
        lines = path.read_text(encoding="utf-8").splitlines()
        rows += f'\t{{{number}, "{path.stem}",\n{"".join(map(literal, lines))}\t}},\n'
    Path(output).write_text(
        f"/* Made from lib/settle/migrations by embed.py. */\n#include \"hb_migrate.h\"\n\n"
        f"const struct hb_migration hb_migrations[] = {{\n{rows}}};\n"
        f"const unsigned hb_migrations_count = HB_COUNT_OF(hb_migrations);\n", encoding="utf-8")


main(sys.argv[1], sys.argv[2:])
