"""Where the documentation is, for the links in scikit-learn's HTML diagrams of estimators."""

from __future__ import annotations

import importlib
from functools import cache
from importlib import metadata
from typing import Any


@cache
def documentation_url() -> str:
    """Return the address of the documentation that the installed package names, "" if it names none."""
    try:
        urls = metadata.metadata("omi-estimators").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    named = dict(url.split(", ", 1) for url in urls)
    return named.get("Documentation", "").rstrip("/")


class DocumentedMixin:
    """Links an estimator's HTML diagram to its page in the reference, if the package says where that is."""

    _doc_link_module = "omi_estimators"

    @property
    def _doc_link_template(self) -> str:
        url = documentation_url()
        return f"{url}/api/generated/{{path}}.html" if url else ""

    def _doc_link_url_param_generator(self) -> dict[str, Any]:
        return {"path": public_path(type(self))}


def public_path(item: type) -> str:
    """Return the shortest name by which a class of this package can be imported, with its modules."""
    package = importlib.import_module("omi_estimators")
    if item.__name__ in package.__all__ and getattr(package, item.__name__) is item:
        return f"omi_estimators.{item.__name__}"
    return ".".join([*item.__module__.split(".")[:2], item.__name__])
