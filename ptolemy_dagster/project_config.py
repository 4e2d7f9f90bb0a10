"""The configuration of the job `create`, made from the settings of a project."""

from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field, create_model

from ptolemy_core.settings import SETTINGS, Setting


def _field(setting: Setting) -> Any:
    if setting.required:
        return setting.type, Field(description=setting.description)
    optional = setting.default is None
    return setting.type | None if optional else setting.type, Field(
        setting.default, description=setting.description
    )


if TYPE_CHECKING:
    ProjectSettings = dg.Config
else:
    ProjectSettings = create_model(
        "ProjectSettings",
        __base__=dg.Config,
        __doc__="Settings of a new project.",
        **{name: _field(setting) for name, setting in SETTINGS.items()},
    )
