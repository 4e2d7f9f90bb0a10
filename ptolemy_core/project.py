"""A project: a named data set and its settings, checked before anything is done with them.

The settings are declared here; `settings` describes them for what shows or accepts them, `setting_checks` has the
checks of single values.
"""

import os
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ptolemy_core import commp, environment, setting_checks, url_template, urls
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import SettingsError
from ptolemy_core.rules import selection
from ptolemy_core.setting_checks import MAX_GIB
from ptolemy_core.wrong_values import wrong_value


def _setting(default: Any, description: str, *, changeable: bool = False) -> Any:
    """A setting with a default; one that isn't `changeable` determines the CARs."""
    return Field(default, description=description, json_schema_extra={"changeable": changeable})


def _is_below(place: str, top: str) -> bool:
    """Whether a folder or URL is another one or below it."""
    if urls.is_url(place) or urls.is_url(top):
        return place == top or place.startswith(top + "/")
    return os.path.commonpath([top, place]) == top


class Project(BaseModel):
    """Settings of a project. Each is declared here alone: the catalog's columns, the options of the command line,
    the API's models, Dagster's configuration and the documentation are made from these fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        description="1 to 63 letters, digits, - or _, starting with a letter or digit; the Dagster partition key"
    )
    target_dir: str = _setting(
        ...,
        "absolute path of the folder to store, whose links are kept and never followed, or a URL: s3://, gs://, "
        "az://, https://, sftp:// (docs/sources.md)",
        changeable=True,
    )
    staging_dir: str = _setting(
        ...,
        "absolute path of the folder for finished CARs, or a URL: s3://, gs://, az:// (docs/sources.md); not inside "
        "target_dir",
        changeable=True,
    )
    shard_size: int = _setting(1, "files larger than this are split; whole GiB, 1 to 31, at most car_size")
    car_size: int = _setting(
        MAX_GIB, "the most data in one CAR; whole GiB, 1 to 31; 31 needs the least padding"
    )
    encryption: str = _setting(
        "None", "None, or the alias of the key that encrypts contents and names; see docs/encryption.md"
    )
    encrypt_names: bool = _setting(
        True, "whether names and link targets of an encrypted project are encrypted too"
    )
    load_type: Literal["blitz", "serial"] = _setting(
        "blitz", "blitz builds CARs in parallel, serial one at a time"
    )
    include: tuple[str, ...] = _setting(
        (),
        "patterns of names to store, such as *.jpg, cache/ or /top/**/*.raw; default: everything",
        changeable=True,
    )
    exclude: tuple[str, ...] = _setting((), "patterns of names not to store", changeable=True)
    hidden: bool = _setting(True, "whether to store names that start with a dot", changeable=True)
    on_error: Literal["fail", "skip"] = _setting(
        "fail",
        "if a file can't be read or has changed: fail the scan or its CAR, or skip the file and record it",
        changeable=True,
    )
    watch: bool = _setting(
        False, "whether a sensor watches the folder and scans it after changes", changeable=True
    )
    auto: bool = _setting(
        False, "whether new files are containerized and blitzed automatically after a scan", changeable=True
    )
    quiet_seconds: int = _setting(
        60, "seconds a folder must be unchanged before it is scanned, 0 to 86400", changeable=True
    )
    max_loss: int = _setting(
        50,
        "a scan fails if more than this percentage of the entries is gone; 0 to 100",
        changeable=True,
    )
    car_sha256: bool = _setting(
        False,
        "whether to record the SHA-256 of each CAR; costs 50% more CPU, and receivers check the piece CID anyway",
        changeable=True,
    )
    file_sha256: bool = _setting(
        False,
        "whether to record the SHA-256 of each source file; reads each file twice",
        changeable=True,
    )
    car_storage: Literal["staged", "generated"] = _setting(
        "staged",
        "staged writes CARs as files; generated keeps an outline of each and generates its bytes from the "
        "source when "
        "they are read; a change applies to CARs that aren't built yet",
        changeable=True,
    )
    public_pieces: bool = _setting(
        False,
        "whether the piece server gives this project's CARs to anyone; if not, only with a token or a signed URL",
        changeable=True,
    )
    staging_budget: int | None = _setting(
        None,
        "GiB that finished CARs of a serial project may take in staging_dir before the next one waits; "
        "by default enough for two of the largest",
        changeable=True,
    )

    replicas: int | None = _setting(
        None,
        "active deals that a piece needs to count as delivered, 1 to 50; by default `ptolemy release` marks "
        "CARs as delivered",
        changeable=True,
    )
    providers: tuple[str, ...] = _setting(
        (),
        "names of the storage providers to make deals with, see `ptolemy providers`",
        changeable=True,
    )
    deal_wallet: str | None = _setting(None, "alias of the wallet that proposes deals", changeable=True)
    deal_days: int = _setting(540, "days that a deal lasts, 180 to 1278", changeable=True)
    deal_start_hours: int | None = _setting(
        None,
        "hours within which a proposed deal must start, 1 to 2160; by default the provider chooses",
        changeable=True,
    )
    deal_verified: bool = _setting(
        False, "whether deals use DataCap: each needs an imported allocation", changeable=True
    )
    deal_transfer: Literal["pull", "push", "offline"] = _setting(
        "pull",
        "how a provider gets a piece: it pulls it from piece_url, Ptolemy pushes it from staging_dir, or you "
        "deliver it offline",
        changeable=True,
    )
    piece_url: str | None = _setting(
        None,
        "URL that providers pull a piece from, with {piece_cid}, {piece_cid_v1}, {payload_cid} or {file_name}; "
        "?{signature} makes it a signed URL of `ptolemy serve-pieces`, {secret} is the value of PTOLEMY_PIECE_SECRET",
        changeable=True,
    )
    deal_auto: bool = _setting(False, "whether Dagster proposes missing deals automatically", changeable=True)
    deal_renew_days: int | None = _setting(
        None,
        "days before its end when a deal is renewed, 1 to 365; by default deals aren't renewed",
        changeable=True,
    )
    source_profile: str | None = _setting(
        None,
        "profile with the credentials for URLs of target_dir and staging_dir; by default those of the environment",
        changeable=True,
    )
    rescan_minutes: int = _setting(
        60, "minutes between scans of a watched target_dir that is a URL, 1 to 999999", changeable=True
    )

    @field_validator("name")
    @classmethod
    def _safe_name(cls, value: str) -> str:
        return setting_checks.project_name(value)

    @field_validator("shard_size", "car_size", mode="before")
    @classmethod
    def _size(cls, value: Any, info: Any) -> int:
        return setting_checks.size(info.field_name, value)

    @field_validator(*setting_checks.RANGES, mode="before")
    @classmethod
    def _whole_number(cls, value: Any, info: Any) -> int | None:
        if value is None and cls.model_fields[info.field_name].default is None:
            return None
        return setting_checks.whole_number(info.field_name, value)

    @field_validator("load_type", "car_storage", "on_error", "deal_transfer", mode="before")
    @classmethod
    def _one_of(cls, value: Any, info: Any) -> str:
        allowed = get_args(cls.model_fields[info.field_name].annotation)
        return setting_checks.one_of(info.field_name, value, allowed)

    @field_validator("encryption", mode="before")
    @classmethod
    def _encryption(cls, value: Any) -> str:
        return setting_checks.encryption(value)

    @field_validator("source_profile")
    @classmethod
    def _source_profile(cls, value: str | None) -> str | None:
        return setting_checks.source_profile(value)

    @field_validator("providers")
    @classmethod
    def _providers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return setting_checks.providers(value)

    @field_validator("deal_wallet")
    @classmethod
    def _wallet(cls, value: str | None) -> str | None:
        return setting_checks.wallet(value)

    @field_validator("piece_url")
    @classmethod
    def _template(cls, value: str | None) -> str | None:
        if value is not None:
            url_template.check("piece_url", value)
        return value

    @field_validator("include", "exclude")
    @classmethod
    def _patterns(cls, value: tuple[str, ...], info: Any) -> tuple[str, ...]:
        return setting_checks.patterns(info.field_name, value)

    @field_validator("target_dir")
    @classmethod
    def _target(cls, value: str) -> str:
        return setting_checks.target(value)

    @field_validator("staging_dir")
    @classmethod
    def _staging(cls, value: str) -> str:
        return setting_checks.staging(value)

    @model_validator(mode="after")
    def _fits_together(self) -> "Project":
        if self.shard_size > self.car_size:
            raise ValueError(
                f"shard_size {self.shard_size} GiB is larger than car_size {self.car_size} GiB: "
                f"a shard must fit a CAR; use shard_size={self.car_size} or less"
            )
        if self.staging_budget is not None and self.load_type != "serial":
            raise ValueError(
                f"staging_budget {self.staging_budget} GiB needs load_type serial, and this project's load_type is "
                f"{self.load_type}: use load_type=serial, or leave staging_budget out"
            )
        if self.staging_budget is not None and self.staging_budget < self._least_budget(UNIXFS_V1_2025):
            least = self._least_budget(UNIXFS_V1_2025)
            raise ValueError(
                f"staging_budget {self.staging_budget} GiB is too small: with car_size {self.car_size} a CAR, its "
                f"data and structure, may take up to {least} GiB; use staging_budget={least} or more"
            )
        if self.source_profile is not None and not (self.is_remote or self.stages_to_store):
            raise ValueError(
                f"source_profile {self.source_profile!r} goes with a URL, and target_dir {self.target_dir!r} is a "
                "folder: leave it out"
            )
        if _is_below(self.staging_dir, self.target_dir):
            raise ValueError(
                f"staging_dir {self.staging_dir!r} is inside target_dir {self.target_dir!r}: "
                "finished CARs would be scanned as data; use a folder outside of it"
            )
        return self

    @property
    def is_remote(self) -> bool:
        """Whether target_dir is a URL."""
        return urls.is_url(self.target_dir)

    @property
    def stages_to_store(self) -> bool:
        """Whether staging_dir is a URL."""
        return urls.is_url(self.staging_dir)

    @property
    def local_dir(self) -> str:
        """The folder of this machine for manifests and temporary files: staging_dir, if that isn't a URL."""
        if not self.stages_to_store:
            return self.staging_dir
        return environment.staging(self.name)

    @property
    def target_bytes(self) -> bytes:
        """target_dir as the file system knows it; a URL as it is."""
        return os.fsencode(self.target_dir)

    @property
    def is_encrypted(self) -> bool:
        """Whether contents of files are encrypted."""
        return self.encryption != "None"

    @property
    def has_encrypted_names(self) -> bool:
        """Whether names and targets of links are encrypted."""
        return self.is_encrypted and self.encrypt_names

    @property
    def rules(self) -> selection.Rules | None:
        """Rules that select what is stored; None if everything is."""
        if self.hidden and not self.include and not self.exclude:
            return None
        return selection.Rules(self.include, self.exclude, self.hidden)

    def shard_bytes(self, profile: Profile = UNIXFS_V1_2025) -> int:
        """shard_size in bytes."""
        return self.shard_size * profile.size_unit

    def car_bytes(self, profile: Profile = UNIXFS_V1_2025) -> int:
        """car_size in bytes."""
        return self.car_size * profile.size_unit

    def budget_bytes(self, profile: Profile = UNIXFS_V1_2025) -> int | None:
        """Bytes that this project's CARs may take in staging_dir; None in a blitz, which has no budget."""
        if self.load_type != "serial":
            return None
        return (self.staging_budget or 2 * self._least_budget(profile)) * profile.size_unit

    def _least_budget(self, profile: Profile) -> int:
        """Whole units that hold the largest CAR of this car_size: one that fills its piece."""
        return -(-commp.capacity(commp.piece_size(self.car_bytes(profile))) // profile.size_unit)


def parse_project(settings: dict[str, Any]) -> Project:
    """A project of these settings.

    Raises:
        SettingsError: naming each bad value, its limit and the remedy.
    """
    try:
        return Project(**settings)
    except ValidationError as error:
        raise SettingsError("; ".join(_reason(e) for e in error.errors())) from None


def _reason(error: Any) -> str:
    field = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{field} is not a setting; the settings are {', '.join(Project.model_fields)}"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return wrong_value(field, error)
