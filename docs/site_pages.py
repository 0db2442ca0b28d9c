"""Pages of the site that stand at the top of the repository, and links to them: a hook of mkdocs.yml."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

TOP = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository's top level."""
    root = Path(config.config_file_path).parent
    for name, page in TOP.items():
        text = _LINK.sub(lambda link: _target(link[1]), (root / name).read_text())
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links such as `../README.md` to the pages of the site, from the folder of the page."""
    folder = posixpath.dirname(page.file.src_uri)

    def target(link: str) -> str:
        return posixpath.relpath(_target(posixpath.join("docs", folder, link)), folder or ".")

    return _LINK.sub(lambda link: target(link[1]), markdown)


def _target(link: str) -> str:
    """Return the page of the site that a link from the repository's top level leads to."""
    path = posixpath.normpath(link)
    return TOP.get(path, path.removeprefix("docs/"))
