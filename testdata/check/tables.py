"""Cases in folders, and tables in pages: what the scripts that fill `docs/engine.md` share."""

import fnmatch
import glob
import os
import re
import sys


def cases(folders, only="*"):
    """The folders with a `model.onnx`, by name. It is a mistake to name none: a check of nothing finds nothing wrong."""
    found = [os.path.dirname(p) for f in folders for p in glob.glob(os.path.join(f, "*", "model.onnx"))]
    cases = sorted((c for c in found if fnmatch.fnmatch(os.path.basename(c), only)), key=os.path.basename)
    if not cases:
        sys.exit(f"no folder in {', '.join(folders)} has a model.onnx")
    return cases


def markdown(head, rows):
    """A table; numbers stand to the right."""
    lines = [head, [":--", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def put(path, name, text):
    """Replaces what stands between the marks of a name in a page."""
    with open(path, encoding="utf-8") as file:
        page = file.read()
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if start not in page or end not in page:
        raise SystemExit(f"{path} has no marks {start} … {end}")
    page = re.sub(re.escape(start) + ".*?" + re.escape(end), lambda _: f"{start}\n{text}\n{end}", page, flags=re.S)
    with open(path, "w", encoding="utf-8") as file:
        file.write(page)
