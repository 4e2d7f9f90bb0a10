"""A project: a named data set and its settings, checked before anything is done with them."""

import os
import re
import sys
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ptolemy_core import commp, environment, url_template, urls
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import SettingsError
from ptolemy_core.rules import selection

MIN_GIB, MAX_GIB = 1, 31
MAX_QUIET = 86_400
_MAX_BUDGET = 1_000_000
PROFILE_PATTERN = "[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
_NAME = re.compile(NAME_PATTERN)
_DEAL_NUMBERS = {
    "replicas": (1, 50, "deals"),
    "deal_days": (180, 1278, "days"),
    "deal_start_hours": (1, 2160, "hours"),
    "deal_renew_days": (1, 365, "days"),
}
_BAD_PADDING = 1 / 8
"""Share of padding in a piece above which a car_size gets a warning."""


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
        "whether to record each CAR's SHA-256; receivers check the piece CID, and this takes half as much CPU again",
        changeable=True,
    )
    file_sha256: bool = _setting(
        False,
        "whether to record the SHA-256 of each file as the source has it, as a proof; reads each file twice",
        changeable=True,
    )
    car_storage: Literal["staged", "generated"] = _setting(
        "staged",
        "staged writes CARs as files; generated keeps an outline of each and makes its bytes from the source when "
        "they are read; a change holds for CARs that aren't built yet",
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
        "active deals that each piece must have to count as delivered, 1 to 50; by default CARs are marked by hand",
        changeable=True,
    )
    providers: tuple[str, ...] = _setting(
        (),
        "names of the storage providers that deals are made with, see `ptolemy providers`",
        changeable=True,
    )
    deal_wallet: str | None = _setting(None, "alias of the wallet that proposes deals", changeable=True)
    deal_days: int = _setting(540, "days that a deal lasts, 180 to 1278", changeable=True)
    deal_start_hours: int | None = _setting(
        None,
        "hours after its proposal until a deal must have started, 1 to 2160; by default the provider chooses",
        changeable=True,
    )
    deal_verified: bool = _setting(
        False, "whether deals use data cap: each needs an imported allocation", changeable=True
    )
    deal_transfer: Literal["pull", "push", "offline"] = _setting(
        "pull",
        "how a provider gets a piece: it pulls it from piece_url, it is pushed from staging_dir, or brought offline",
        changeable=True,
    )
    piece_url: str | None = _setting(
        None,
        "URL that providers pull a piece from, with {piece_cid}, {piece_cid_v1}, {payload_cid} or {file_name}; "
        "?{signature} makes it a signed URL of `ptolemy serve-pieces`, {secret} is what PTOLEMY_PIECE_SECRET has",
        changeable=True,
    )
    deal_auto: bool = _setting(
        False, "whether missing deals are proposed without being asked", changeable=True
    )
    deal_renew_days: int | None = _setting(
        None,
        "days before a deal's end in which it is renewed, 1 to 365; by default it isn't",
        changeable=True,
    )
    source_profile: str | None = _setting(
        None,
        "named profile with the credentials for URLs of target_dir and staging_dir; by default the environment's",
        changeable=True,
    )
    rescan_minutes: int = _setting(
        60, "minutes between two scans of a watched target_dir that is a URL, 1 to 999999", changeable=True
    )

    @field_validator("name")
    @classmethod
    def _safe_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(
                "name must be 1 to 63 letters, digits, - or _, starting with a letter or digit, "
                f"got {value!r}; use such a name"
            )
        return value

    @field_validator("shard_size", "car_size", mode="before")
    @classmethod
    def _whole_gib(cls, value: Any, info: Any) -> int:
        name = info.field_name
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            value = int(value)  # forms and query strings carry numbers as text
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name} must be whole GiB from {MIN_GIB} to {MAX_GIB}, got {value!r}")
        if value > MAX_GIB:
            raise ValueError(
                f"{name} must be {MIN_GIB} to {MAX_GIB} GiB, got {value}: "
                f"a 32 GiB piece holds at most 31.75 GiB; use {name}={MAX_GIB}"
            )
        if value < MIN_GIB:
            raise ValueError(f"{name} must be {MIN_GIB} to {MAX_GIB} GiB, got {value}; use {name}={MIN_GIB}")
        return value

    @field_validator("staging_budget", mode="before")
    @classmethod
    def _whole_budget(cls, value: Any) -> int | None:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MAX_BUDGET:
            raise ValueError(
                f"staging_budget must be whole GiB from 1 to {_MAX_BUDGET}, got {value!r} (at least one CAR)"
            )
        return value

    @field_validator("encryption", mode="before")
    @classmethod
    def _alias(cls, value: Any) -> str:
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return "None"
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise ValueError(
                f'encryption must be "None" or the alias of a key, got {value!r}: `ptolemy keys list` shows aliases'
            )
        return value

    @field_validator("load_type", mode="before")
    @classmethod
    def _known_load_type(cls, value: Any) -> Any:
        if value not in ("blitz", "serial"):
            raise ValueError(f'load_type must be "blitz" or "serial", got {value!r}')
        return value

    @field_validator("car_storage", mode="before")
    @classmethod
    def _known_storage(cls, value: Any) -> Any:
        if value not in ("staged", "generated"):
            raise ValueError(f'car_storage must be "staged" or "generated", got {value!r}')
        return value

    @field_validator("on_error", mode="before")
    @classmethod
    def _known_on_error(cls, value: Any) -> Any:
        if value not in ("fail", "skip"):
            raise ValueError(f'on_error must be "fail" or "skip", got {value!r}')
        return value

    @field_validator("quiet_seconds", mode="before")
    @classmethod
    def _some_seconds(cls, value: Any) -> Any:
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,5}", str(value)) or int(value) > MAX_QUIET:
            raise ValueError(f"quiet_seconds must be 0 to {MAX_QUIET} seconds, got {value!r}")
        return int(value)

    @field_validator("max_loss", mode="before")
    @classmethod
    def _percent(cls, value: Any) -> Any:
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,3}", str(value)) or int(value) > 100:
            raise ValueError(f"max_loss must be 0 to 100 percent, got {value!r}")
        return int(value)

    @field_validator("source_profile")
    @classmethod
    def _profile_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(PROFILE_PATTERN, value):
            raise ValueError(
                "source_profile must be the name of a profile, 1 to 63 letters, digits, -, _ or ., and never a key: "
                "put keys into the profile"
            )
        return value

    @field_validator("rescan_minutes", mode="before")
    @classmethod
    def _some_minutes(cls, value: Any) -> Any:
        if isinstance(value, bool) or not re.fullmatch(r"[1-9][0-9]{0,5}", str(value)):
            raise ValueError(f"rescan_minutes must be 1 to 999999 minutes, got {value!r}")
        return int(value)

    @field_validator(*_DEAL_NUMBERS, mode="before")
    @classmethod
    def _within(cls, value: Any, info: Any) -> int | None:
        lowest, highest, what = _DEAL_NUMBERS[info.field_name]
        if value is None and info.field_name != "deal_days":
            return None
        whole = isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value))
        if isinstance(value, bool) or not whole or not lowest <= int(value) <= highest:
            raise ValueError(f"{info.field_name} must be {lowest} to {highest} {what}, got {value!r}")
        return int(value)

    @field_validator("providers")
    @classmethod
    def _provider_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"providers must be names as `ptolemy providers list` shows them, got {name!r}"
                )
        twice = [name for name in dict.fromkeys(value) if value.count(name) > 1]
        if twice:
            raise ValueError(
                f"providers name {twice[0]!r} twice: a provider holds one replica of a piece, so name each once"
            )
        return value

    @field_validator("deal_wallet")
    @classmethod
    def _wallet_alias(cls, value: str | None) -> str | None:
        if value is not None and not _NAME.fullmatch(value):
            raise ValueError(f"deal_wallet must be a wallet's alias, got {value[:40]!r}")
        return value

    @field_validator("deal_transfer", mode="before")
    @classmethod
    def _known_transfer(cls, value: Any) -> Any:
        if value not in ("pull", "push", "offline"):
            raise ValueError(f'deal_transfer must be "pull", "push" or "offline", got {value!r}')
        return value

    @field_validator("piece_url")
    @classmethod
    def _template(cls, value: str | None) -> str | None:
        if value is not None:
            url_template.check("piece_url", value)
        return value

    @field_validator("include", "exclude")
    @classmethod
    def _patterns(cls, value: tuple[str, ...], info: Any) -> tuple[str, ...]:
        try:
            return selection.normalized(value)
        except ValueError as error:
            raise ValueError(f"{info.field_name}: {error}") from None

    @field_validator("target_dir", "staging_dir")
    @classmethod
    def _absolute(cls, value: str, info: Any) -> str:
        if urls.is_url(value):
            try:
                location = urls.parse(value)
            except SettingsError as error:
                raise ValueError(f"{info.field_name}: {error}") from None
            if info.field_name == "staging_dir" and location.scheme not in urls.WRITABLE:
                raise ValueError(
                    f"staging_dir can't be a {location.scheme}:// URL: use "
                    + ", ".join(f"{one}://" for one in urls.WRITABLE)
                    + ", or a folder"
                )
            return str(location)
        if "\0" in value:
            raise ValueError(f"{info.field_name} contains a NUL character: {value!r}; give a folder's path")
        if not os.path.isabs(value):
            raise ValueError(f"{info.field_name} must be an absolute path, got {value!r}")
        real = os.path.realpath(value)
        try:
            real.encode("utf-8")
        except UnicodeEncodeError:
            if sys.getfilesystemencoding() != "utf-8":
                raise ValueError(
                    f"{info.field_name} {real!r} can't be decoded in this process's locale "
                    f"({sys.getfilesystemencoding()}): set PYTHONUTF8=1 or LC_ALL=C.UTF-8"
                ) from None
            raise ValueError(
                f"{info.field_name} {real!r} isn't UTF-8: rename that folder, or mount it at another path "
                "(names below it may have any bytes)"
            ) from None
        return real

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
        if self.stages_to_store and (self.is_encrypted or self.car_storage != "staged"):
            kind = "an encrypted project" if self.is_encrypted else "car_storage generated"
            raise ValueError(
                f"staging_dir {self.staging_dir!r} is a URL, and {kind} keeps outlines, which need a folder: use a "
                "folder"
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
        return os.path.join(environment.home(), "staging", self.name)

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


@dataclass(frozen=True, slots=True)
class Setting:
    """The declaration of a setting, for everything that shows or accepts it.

    Attributes:
        name: of the field.
        type: str, int or bool; list[str] for a list of texts. What may be None has it as its default.
        required: whether it has no default.
        default: its default, a list where the type is one.
        description: one line, lower case, without a full stop.
        changeable: whether it can be changed after the project was created.
    """

    name: str
    type: Any
    required: bool
    default: Any
    description: str
    changeable: bool


def _declared(name: str) -> Setting:
    field = Project.model_fields[name]
    origin, arguments = get_origin(field.annotation), get_args(field.annotation)
    listed = origin is tuple
    plain: Any = field.annotation
    if origin is Literal:
        plain = type(arguments[0])
    elif type(None) in arguments:
        plain = next(argument for argument in arguments if argument is not type(None))
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return Setting(
        name=name,
        type=list[str] if listed else plain,
        required=field.is_required(),
        default=None if field.is_required() else list(field.default) if listed else field.default,
        description=field.description or "",
        changeable=bool(extra.get("changeable")),
    )


SETTINGS = {name: _declared(name) for name in Project.model_fields}
"""All settings, in the order in which they are shown."""

CHANGEABLE = tuple(name for name, setting in SETTINGS.items() if setting.changeable)
"""Settings that can be changed; the others determine the project's CARs."""


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
    if error["type"] == "missing":
        return f"{field} is missing"
    if error["type"] == "extra_forbidden":
        return f"{field} is not a setting; the settings are {', '.join(Project.model_fields)}"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return f"{field}: {error['msg']}, got {error['input']!r}"


def padding_warning(car_size: int, profile: Profile = UNIXFS_V1_2025) -> str | None:
    """A warning about a car_size (GiB) whose pieces need much padding; None if it is fine."""
    waste = _waste(car_size, profile)
    if waste <= _BAD_PADDING:
        return None
    piece = commp.piece_size(car_size * profile.size_unit) // profile.size_unit
    better = piece - 1 if piece - 1 > car_size else 2 * car_size + 1
    return (
        f"car_size={car_size} makes {piece} GiB pieces that are {waste:.0%} padding; "
        f"car_size={better} has {_waste(better, profile):.0%}"
    )


def _waste(car_size: int, profile: Profile) -> float:
    size = car_size * profile.size_unit
    return 1 - size / commp.piece_size(size)
