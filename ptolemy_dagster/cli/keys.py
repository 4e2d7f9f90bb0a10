"""`ptolemy keys`: making, listing, rotating, backing up and destroying keys. No Dagster in it."""

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from ptolemy_core.catalog import data_keys, home
from ptolemy_core.catalog.store import default_url
from ptolemy_core.errors import KeyStoreError, PtolemyError, SettingsError, UnknownKeyError
from ptolemy_core.facts.plain import KeyFacts
from ptolemy_core.keys import (
    Key,
    KeyChain,
    Keyring,
    WrappedKey,
    keyring_path,
    open_keys,
    unreadable_without,
    unwrap,
)
from ptolemy_core.keys.key import KEY_BYTES, check_alias, parse_keys, to_text
from ptolemy_core.keys.private_file import write_private
from ptolemy_core.keys.secret import random_secret
from ptolemy_core.sizes import counted
from ptolemy_core.stages.rewrap import rewrap_all
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.stages import Json, open_catalog

HELP = (
    "Manage the keys that encrypt projects, each with an alias.\n\nA project uses one with `--encryption ALIAS`. "
    "Keys are in a keyring, a file that only you can read: PTOLEMY_KEYRING, by default keyring.json in DAGSTER_HOME. "
    "It may also come from PTOLEMY_KEYS (the text that `export` prints), or from a command that prints that text: "
    "PTOLEMY_KEY_COMMAND, as in `vault kv get -field=keys secret/ptolemy/{alias}`.\n\n"
    "Nobody can recover a lost key, nor what it encrypted. Keep a backup where the keyring isn't."
)

Alias = Annotated[
    str,
    typer.Argument(help="The key's alias: 1 to 63 letters, digits, - or _, starting with a letter or digit."),
]
_LOST = (
    "If this key is lost, nobody can recover it, nor anything that it encrypted: not you, not Ptolemy, not a storage "
    "provider."
)


def create(
    alias: Alias,
    backup: Annotated[
        str | None, typer.Option("--backup", help="File for a backup; it must not exist yet.")
    ] = None,
    printed: Annotated[
        bool,
        typer.Option("--print", help="Print the key and don't store it: for a vault, or PTOLEMY_KEYS."),
    ] = False,
    after_loss: Annotated[
        bool,
        typer.Option(
            "--after-loss",
            help="Create it even if the catalog has data keys wrapped by a lost key of this alias. It gets the next "
            "version's number, and a backup of the lost one can still be imported.",
        ),
    ] = False,
) -> None:
    """Make a key, and a backup of it. A lost key can't be recovered."""
    with output.errors_shown():
        if printed:
            if backup is not None:
                raise SettingsError("--print keeps the key nowhere, --backup in a file: use one of them")
            _require_new(alias)
            first = _first_version(alias, after_loss)
            sys.stdout.write(to_text(Key(alias, first, random_secret(KEY_BYTES))) + "\n")
            output.say(_LOST)
            return
        _check_free(backup)
        _require_new(alias)
        ring = _keyring()
        key = ring.create(alias, _first_version(alias, after_loss))
        output.say(f"key {alias} is in {ring.place} (version {key.version}, ID {key.id})")
        output.say(_LOST)
        if backup is None and _can_ask():
            answer = typer.prompt(
                "File for a backup, outside this machine if you can (empty: none)", "", err=True
            )
            backup = answer.strip() or None
        if backup is None:
            output.say(f"There is no backup yet. Make one: ptolemy keys export {alias} --to FILE")
        else:
            _write_backup(alias, [key], backup)


def list_keys(as_json: Json = False) -> None:
    """List keys without their bytes. Keys of PTOLEMY_KEY_COMMAND aren't listed."""
    with output.errors_shown():
        chain = _keys()
        rows = [
            KeyFacts(
                alias=alias,
                version=key.version,
                id=key.id or None,
                created=key.created or None,
                destroyed=key.destroyed or None,
                place=provider.place,
            )
            for provider in chain.providers
            for alias in provider.aliases()
            for key in provider.versions(alias)
        ]
    if as_json:
        output.print_json(rows)
    elif not rows:
        output.say("there are no keys; ptolemy keys create ALIAS makes one")
    else:
        output.print_table(
            ("alias", "version", "ID", "created", "destroyed", "place"),
            [[value if value is not None else "" for value in row.values()] for row in rows],
        )


def rotate(
    alias: Alias,
    rewrap_only: Annotated[
        bool,
        typer.Option("--rewrap-only", help="Make no new version: you have made one in a vault or variable."),
    ] = False,
    backup: Annotated[
        str | None,
        typer.Option("--backup", help="File for a backup of all versions; it must not exist yet."),
    ] = None,
) -> None:
    """Make a new version of a key, and wrap all data keys in the catalog by it.

    CARs and data keys stay as they are, so nothing is encrypted again. Older versions stay, as manifests that were
    written before need them: destroy one (`destroy --version`) once you have written manifests again.
    """
    with output.errors_shown():
        _check_free(backup)
        chain = _keys()
        _require_known(chain, alias)
        catalog = open_catalog()
        if not rewrap_only:
            for one in data_keys.data_keys(catalog, alias=alias):
                unwrap(chain, one)  # else there would be a new version, and nothing wrapped by it
            key = _own_keyring(chain, alias, "rotate").rotate(alias)
            output.say(f"key {alias} has version {key.version} now (ID {key.id})")
        done = rewrap_all(catalog, chain, alias)
        output.say(f"data keys wrapped again: {done:,}; no CAR changed")
        if backup is not None:
            _write_backup(alias, chain.versions(alias), backup)
        elif not rewrap_only:
            output.say(f"The new version is in no backup yet: ptolemy keys export {alias} --to FILE")


def export(
    alias: Alias,
    to: Annotated[
        str | None, typer.Option("--to", help="File to write; it must not exist yet. Default: print it.")
    ] = None,
) -> None:
    """Write a key out, all versions: as a backup, for a vault, or for another machine.

    Whoever has that text can read everything that the key encrypts.
    """
    with output.errors_shown():
        chain = _keys()
        _require_known(chain, alias)
        versions = chain.versions(alias)
        if to is not None:
            _write_backup(alias, versions, to)
        else:
            sys.stdout.write(_lines(alias, versions))


def import_keys(
    file: Annotated[
        str, typer.Argument(help="A file that `export` or `create` has written; - reads standard input.")
    ],
) -> None:
    """Import keys from a backup into the keyring. Existing keys are never replaced."""
    with output.errors_shown():
        text = _read(file)
        place = "standard input" if file == "-" else file
        keys = parse_keys(text, place)
        if not keys:
            raise SettingsError(
                f"{place} has no key in it; use a file that `ptolemy keys export` has written"
            )
        for key in keys:
            _require_same(key, _data_keys(key.alias))
        ring = _keyring()
        new = ring.add(keys)
        names = ", ".join(f"{key.alias} version {key.version}" for key in new)
        output.say(f"new in {ring.place}: {names}" if new else f"all of them are in {ring.place} already")


def destroy(
    alias: Alias,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Only this version; default: all.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")] = False,
) -> None:
    """Remove a key from the keyring permanently, after listing what can no longer be read.

    Backups and other copies aren't reached: destroy them too, if what the key encrypts is to be gone for good.
    """
    with output.errors_shown():
        chain = _keys()
        _require_known(chain, alias)
        ring = _own_keyring(chain, alias, "destroy")
        kept = _data_keys(alias)
        lost = unreadable_without(kept, alias, version)
        which = f"version {version} of key {alias}" if version else f"all versions of key {alias}"
        for line in _consequences(which, sorted({one.project for one in lost})):
            output.say(line)
        if not yes:
            _confirm(alias)
        gone = ring.destroy(alias, version)
        numbers = "version " if len(gone) == 1 else "versions "
        numbers += ", ".join(str(key.version) for key in gone)
        output.say(f"key {alias}: destroyed {numbers} in {ring.place}")


COMMANDS: dict[str, Callable[..., None]] = {
    "create": create,
    "list": list_keys,
    "rotate": rotate,
    "export": export,
    "import": import_keys,
    "destroy": destroy,
}


def _consequences(which: str, projects: list[str]) -> list[str]:
    """What a user should know before a key is destroyed."""
    wrapped = (
        f"It wraps data keys of {counted(len(projects), 'project')}: {', '.join(projects)}. Without a backup of the "
        "key nobody can read their encrypted files and names any more."
        if projects
        else "It wraps no data key in this catalog."
    )
    return [
        f"This destroys {which}.",
        wrapped,
        "This also applies to manifests and catalogs elsewhere whose data keys it wraps. CARs stay, and their piece "
        "CIDs can still be verified.",
    ]


def _confirm(alias: str) -> None:
    if not _can_ask():
        raise SettingsError("nobody can be asked here: repeat with --yes if this is what you want")
    if typer.prompt(f"Type {alias} to destroy it", "", show_default=False, err=True).strip() != alias:
        raise PtolemyError("nothing was destroyed")


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _keyring() -> Keyring:
    return Keyring(keyring_path(home(), os.environ))


def _keys() -> KeyChain:
    return open_keys(home())


def _require_known(chain: KeyChain, alias: str) -> None:
    if not chain.versions(check_alias(alias)):
        known = ", ".join(chain.aliases()) or "none"
        raise UnknownKeyError(
            f"there is no key {alias} in {chain.place}; those that can be listed are: {known}"
        )


def _require_new(alias: str) -> None:
    """Refuse an alias that is there; a command isn't asked, as one fails for aliases that it doesn't know."""
    check_alias(alias)
    for provider in _keys().providers:
        if alias in provider.aliases():
            raise SettingsError(
                f"{provider.place} has a key {alias} already: `ptolemy keys rotate {alias}` makes a new version of "
                "it; or use another alias"
            )


def _data_keys(alias: str) -> list[WrappedKey]:
    """The data keys in the catalog, if there is one yet, that keys of an alias wrap."""
    url = default_url()
    if url.startswith("sqlite:///") and not os.path.exists(url.removeprefix("sqlite:///")):
        return []
    return data_keys.data_keys(open_catalog(), alias=alias)


def _first_version(alias: str, after_loss: bool) -> int:
    """The number of a new key's first version.

    Raises:
        SettingsError: data keys in the catalog need another key of this alias.
    """
    needed = _data_keys(alias)
    if not needed:
        return 1
    if not after_loss:
        names = ", ".join(sorted({one.project for one in needed}))
        ids = ", ".join(sorted({one.key_id for one in needed}))
        raise SettingsError(
            f"the catalog has data keys that a key {alias} wraps (project {names}; ID {ids}), and a new key of that "
            "name couldn't unwrap them: import its backup with `ptolemy keys import FILE`, or use another alias; if "
            "the key is lost for good, --after-loss makes a new one"
        )
    return 1 + max(one.alias_version for one in needed)


def _require_same(key: Key, needed: list[WrappedKey]) -> None:
    """Refuse a key that isn't the one that data keys in the catalog need."""
    for one in needed:
        if one.alias_version == key.version and one.key_id != key.id:
            raise SettingsError(
                f"{one} is wrapped by version {key.version} of key {key.alias} with the ID {one.key_id}, this one "
                f"has the ID {key.id}: import the backup of that key, or use another keyring for this one, set in "
                "PTOLEMY_KEYRING"
            )


def _own_keyring(chain: KeyChain, alias: str, what: str) -> Keyring:
    """The keyring, if it is what answers for the alias."""
    provider = chain.provider_of(alias)
    if isinstance(provider, Keyring):
        return provider
    place = provider.place if provider else chain.place
    also = " there, then run it with --rewrap-only" if what == "rotate" else " there"
    raise KeyStoreError(f"key {alias} is in {place}, which Ptolemy can't change: {what} it{also}")


def _lines(alias: str, versions: list[Key]) -> str:
    usable = [key for key in versions if key.secret is not None]
    if not usable:
        raise UnknownKeyError(f"all versions of key {alias} were destroyed; only a backup has them")
    return "".join(to_text(key) + "\n" for key in usable)


def _check_free(path: str | None) -> None:
    """See that a backup can be written, before there is something to back up."""
    if path is None:
        return
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.lexists(path):
        raise SettingsError(f"{path} already exists: give another name for the backup")
    if not os.access(folder, os.W_OK):
        raise SettingsError(
            f"the backup can't be written in {folder}: give an existing folder that you can write to"
        )


def _write_backup(alias: str, versions: list[Key], path: str) -> None:
    text = (
        f"# Backup of key {alias} of Ptolemy; `ptolemy keys import` takes it back. Whoever has this file can read\n"
        "# everything that the key encrypts. Keep it safe, and not only where the keyring is.\n"
    ) + _lines(alias, versions)
    try:
        write_private(path, text.encode())
    except FileExistsError:
        raise SettingsError(
            f"{path} already exists, no backup was written: ptolemy keys export {alias} --to ANOTHER"
        ) from None
    except OSError as error:
        raise KeyStoreError(
            f"no backup was written, {path} can't be created ({error.strerror}): ptolemy keys export {alias} --to "
            "ANOTHER"
        ) from None
    output.say(f"a backup of key {alias} is in {path}; move it to a safe place that isn't this machine")


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        with open(file, "rb") as opened:
            return opened.read(1 << 20).decode("utf-8", "replace")
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}") from None
