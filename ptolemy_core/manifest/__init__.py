"""Manifests: which bytes of which CAR hold each file, as files that can be read without Ptolemy."""

from ptolemy_core.manifest.schema import FOLDER, FORMATS, MANIFEST_SCHEMA, SUMMARY_SCHEMA, default_format
from ptolemy_core.manifest.summary import check_url, url_of

__all__ = ["FOLDER", "FORMATS", "MANIFEST_SCHEMA", "SUMMARY_SCHEMA", "check_url", "default_format", "url_of"]
