"""Manifests: what stands in which CAR at which bytes, as files that need no Ptolemy to be read."""

from ptolemy_core.manifest.schema import FORMATS, MANIFEST_SCHEMA, SUMMARY_SCHEMA
from ptolemy_core.manifest.summary import check_url, url_of

__all__ = ["FORMATS", "MANIFEST_SCHEMA", "SUMMARY_SCHEMA", "check_url", "url_of"]
