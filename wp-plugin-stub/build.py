"""Build the plugin's zip, reproducibly: the same files always give the same bytes.

Run it with ``make plugin``. It also compiles the translations.
"""

from __future__ import annotations

import ast
import pathlib
import re
import struct
import sys
import zipfile

HERE = pathlib.Path(__file__).parent
SLUG = "flask-woo-events"
#: Files in the zip: no screenshots, no translation sources, not this file.
WANTED = ("*.php", "includes/*.php", "readme.txt", "languages/*.pot")
#: The oldest date that a zip can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)


def version() -> str:
    """Return the plugin's version from its header."""
    header = (HERE / f"{SLUG}.php").read_text()
    found = re.search(r"^ \* Version: (\S+)$", header, re.MULTILINE)
    if found is None:
        raise SystemExit("the plugin's header has no version")
    return found[1]


def read_po(path: pathlib.Path) -> dict[str, str]:
    """Read a catalog: originals and their translations, with plural forms joined by NUL."""
    entries: dict[str, str] = {}
    for block in re.split(r"\n\s*\n", path.read_text()):
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if match := re.match(r'(msg\w+(?:\[\d\])?) (".*")\Z', line):
                name = match[1]
                fields[name] = ast.literal_eval(match[2])
            elif line.startswith('"') and name:
                fields[name] += ast.literal_eval(line)
        if "msgid" not in fields:
            continue
        original, translated = fields["msgid"], fields.get("msgstr", "")
        if "msgid_plural" in fields:
            original += "\0" + fields["msgid_plural"]
            forms = sorted(key for key in fields if key.startswith("msgstr["))
            translated = "\0".join(fields[key] for key in forms)
        entries[original] = translated
    return entries


def compile_mo(entries: dict[str, str]) -> bytes:
    """Return the catalog in the format that WordPress loads (GNU gettext's)."""
    pairs = sorted(
        (original.encode(), text.encode()) for original, text in entries.items() if text.strip("\0")
    )
    count, start = len(pairs), 28
    place = start + 16 * count
    tables: list[bytes] = []
    texts = b""
    for column in (0, 1):
        rows = b""
        for pair in pairs:
            rows += struct.pack("<II", len(pair[column]), place + len(texts))
            texts += pair[column] + b"\0"
        tables.append(rows)
    header = struct.pack("<IIIIIII", 0x950412DE, 0, count, start, start + 8 * count, 0, place)
    return header + tables[0] + tables[1] + texts


def files() -> dict[str, bytes]:
    """Return the contents of the zip by path."""
    found = {
        f"{SLUG}/{path.relative_to(HERE).as_posix()}": path.read_bytes()
        for pattern in WANTED
        for path in HERE.glob(pattern)
    }
    for path in HERE.glob("languages/*.po"):
        found[f"{SLUG}/languages/{path.stem}.mo"] = compile_mo(read_po(path))
    return dict(sorted(found.items()))


def build(target: pathlib.Path) -> pathlib.Path:
    """Write the zip, independently of time, place and user."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Stored, not deflated, because libraries compress differently.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files().items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return target


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else HERE.parent / "dist" / f"{SLUG}-{version()}.zip"
    print(build(pathlib.Path(chosen)))
