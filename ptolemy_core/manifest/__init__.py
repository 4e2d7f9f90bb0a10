"""Manifests: which bytes of which CAR hold each file, as files that can be read without Ptolemy."""

from typing import TYPE_CHECKING, Any

from ptolemy_core.manifest.schema import FOLDER, FORMATS, MANIFEST_SCHEMA, SUMMARY_SCHEMA, default_format

if TYPE_CHECKING:
    from ptolemy_core.manifest.summary import check_url, url_of

__all__ = ["FOLDER", "FORMATS", "MANIFEST_SCHEMA", "SUMMARY_SCHEMA", "check_url", "default_format", "url_of"]


def __getattr__(name: str) -> Any:
    if name in ("check_url", "url_of"):  # stages that only name a manifest need none of this
        from ptolemy_core.manifest import summary

        return getattr(summary, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
