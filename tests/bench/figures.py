# SPDX-License-Identifier: BSD-3-Clause
"""Figures: what was measured, with its spread, its reference and its command; as a table and as JSON."""
import json
import statistics

# Units in which more is better; in all others less is.
MORE_IS_BETTER = ("requests/s", "MB/s", "wins/s", "times", "% of capacity")


def number(value):
    """As people read it: thousands with commas, small ones with the digits that matter."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


class Figure:
    """One line: a name that stays the same from version to version, and a value for each run."""

    def __init__(self, section, name, unit, values, command, beside=None, short=None,
                 foreign=False):
        if not values:
            raise ValueError(f"{section}: {name}: nothing was measured")
        self.section, self.name, self.unit = section, name, unit
        self.foreign = foreign  # not hongbao's: it moves only with the machine
        self.short = short or name  # as what stands beside it calls it
        self.values, self.command = [float(value) for value in values], command
        self.beside = beside  # the reference's figure, of the same unit and run
        self.median = statistics.median(self.values)

    def spread(self):
        if len(self.values) == 1:
            return ""
        return f"{number(min(self.values))} to {number(max(self.values))}"

    def ratio(self):
        """How this compares with its reference: over 1 is better than it."""
        if self.beside is None:
            return ""
        ratio = self.median / self.beside.median
        if self.unit not in MORE_IS_BETTER:
            ratio = 1 / ratio
        return f"{ratio:.2f} x {self.beside.short}"

    def as_json(self):
        figure = {"section": self.section, "name": self.name, "unit": self.unit,
                  "better": "more" if self.unit in MORE_IS_BETTER else "less",
                  "median": self.median, "min": min(self.values), "max": max(self.values),
                  "values": self.values, "command": self.command}
        if self.foreign:
            figure["foreign"] = True
        if self.beside is not None:
            figure["beside"] = self.beside.name
        return figure


class Figures:
    """All figures of a run, in the order in which they came."""

    def __init__(self, about):
        self.about = about  # form, machine, version
        self.figures = []
        self.notes = []

    def add(self, *args, **kwargs):
        self.figures.append(Figure(*args, **kwargs))
        return self.figures[-1]

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def table(self, section=None):
        """A Markdown table, aligned so that it can be read as it stands."""
        rows = [("", "figure", "median", "spread", "runs", "beside it (over 1: better)", "command")]
        for f in self.figures:
            if section in (None, f.section):
                rows.append((f.section, f.name, f"{number(f.median)} {f.unit}", f.spread(),
                             str(len(f.values)), f.ratio(), f"`{f.command}`"))
        width = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
        right = (2, 3, 4)

        def line(row):
            cells = [cell.rjust(width[i]) if i in right else cell.ljust(width[i])
                     for i, cell in enumerate(row[:-1])]
            return "| " + " | ".join(cells) + f" | {row[-1]} |"

        rule = "|" + "|".join("-" * (w + 1) + (":" if i in right else "-")
                              for i, w in enumerate(width)) + "|---|"
        return "\n".join([line(rows[0]), rule] + [line(row) for row in rows[1:]])

    def heading(self):
        about = self.about
        return (f"{about['form']}: hongbao {about['version']} on {about['processor']}, "
                f"{about['cores']} cores, {about['kernel']}, {about['date']}")

    def write(self, path):
        path.write_text(json.dumps({"about": self.about, "notes": self.notes,
                                    "figures": [f.as_json() for f in self.figures]}, indent=1) + "\n")
