"""Configuration of Sphinx."""

from __future__ import annotations

import pathlib
import tomllib

_PROJECT = tomllib.loads(
    pathlib.Path(__file__).resolve().parents[1].joinpath("pyproject.toml").read_text()
)["project"]

project = "flask_woo_events"
author = "The flask_woo_events authors"
copyright = "2026, the flask_woo_events authors"
release = version = _PROJECT["version"]

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = f"{project} {release}"
html_show_sphinx = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["looks.css"]
