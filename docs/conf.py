"""How Sphinx builds the documentation; it needs no network."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import _reference  # noqa: E402

import omi_estimators  # noqa: E402
from omi_estimators import _documentation  # noqa: E402

# Diagrams of estimators in the gallery link to the reference beside it.
_documentation.documentation_url = lambda: ".."

project = "omi_estimators"
author = "The omi_estimators developers"
copyright = author
version = release = omi_estimators.__version__

extensions = [
    "_mathml",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "_build",
    "_templates",
    "learning_curves.md",
    "api/help",
    "api/backreferences",
    "gallery/*.ipynb",
    "**.py.md5",
]
templates_path = ["_templates"]
default_role = "py:obj"
# Quotation marks in types are Python's.
smartquotes = False
toc_object_entries_show_parents = "hide"
html_math_renderer = "mathml"
nitpicky = True

# Markdown.
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Docstrings. Types are in the text of parameters; a signature that repeats them is too long to read.
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# The look.
html_theme = "pydata_sphinx_theme"
html_title = "omi_estimators"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_theme_options = {
    "logo": {"text": "omi_estimators"},
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 5,
    "footer_start": ["notice"],
    "footer_end": ["sphinx-version"],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
}
# Pages without others below them.
_ALONE = ("index", "install", "getting_started", "which_model", "faq", "limits", "cite", "cli", "genindex", "search")
html_sidebars = {page: [] for page in _ALONE}
html_show_sourcelink = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "api/backreferences",
    "doc_module": ("omi_estimators",),
    "reset_modules": ("_gallery.reset_state",),
    "remove_config_comments": True,
    "show_memory": False,
    "download_all_examples": False,
    "min_reported_time": 1,
    "plot_gallery": "True",
    # Diagrams of estimators, but not the words in which a picture describes itself below the picture.
    "capture_repr": ("_repr_html_",),
    "default_thumb_file": str(HERE / "images" / "ecg.png"),
}


def _is_foreign(member: Any) -> bool:
    """Return whether a member of a class is not written here: scikit-learn's, torch's, a field of a named tuple."""
    if isinstance(member, property):
        member = member.fget
    module = getattr(inspect.unwrap(member), "__module__", None) if callable(member) else None
    return not str(module).startswith("omi_estimators")


def _skip_foreign(app: Any, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    return True if what == "class" and _is_foreign(member) else None


_ALIASES = _reference.find_aliases()


def _resolve(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Link a public name however it is written; leave words that are no names of ours as they are.

    Single backticks in docstrings hold parameters, columns and names of other libraries as well. What says that it is
    of this package and is not in the reference stays a warning.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"].removesuffix("()")
    owner, _, method = target.rpartition(".")
    for path in (_ALIASES.get(target), f"{_ALIASES[owner]}.{method}" if owner in _ALIASES else None):
        if path:
            found = env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", path, node, contnode)
            if found is not None:
                return found
    return None if target.startswith("omi_estimators") else contnode


def setup(app: Any) -> None:
    """Write the reference before anything is read, and connect the rules above."""
    app.connect("config-inited", lambda app, config: _reference.write_reference(HERE / "api"))
    app.connect("autodoc-skip-member", _skip_foreign)
    app.connect("missing-reference", _resolve)
