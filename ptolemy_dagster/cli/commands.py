"""The commands: their names, what `--help` says of each in a line, and where they are.

A command's module is imported when the command is used, so that none pays for what only others need.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its module in this folder, its function there (or the table of a group), and its help in a line."""

    module: str
    name: str
    help: str


COMMANDS: dict[str, Command] = {
    "create": Command("stages", "create", "Define a project. The same settings again change nothing."),
    "set": Command(
        "settings", "set_command", "Change settings that may change; without options, show all settings."
    ),
    "rename": Command("projects", "rename_command", "Give a project another name."),
    "delete": Command(
        "projects",
        "delete_command",
        "Remove a project from the catalog and the web UI; its CARs stay. A dry run without --yes.",
    ),
    "prep": Command(
        "prepare",
        "prep",
        "Make verified CARs and a manifest of a folder, in one go: no project is needed. Run again to resume.",
    ),
    "scan": Command("stages", "scan", "Walk the target folder into the catalog."),
    "containerize": Command(
        "stages", "containerize", "Plan containers; each CAR's exact size is known before any data is read."
    ),
    "blitz": Command(
        "stages",
        "blitz",
        "Build all CARs that aren't built yet; of a serial project, those for which staging-dir has free space.",
    ),
    "run": Command(
        "stages",
        "run",
        "Scan, containerize, blitz and verify; then make the root of the data set and the manifest.",
    ),
    "verify": Command(
        "stages",
        "verify",
        "Read CARs back: block hashes, trees against the scan, piece CIDs. Exit code 1 if anything is wrong.",
    ),
    "status": Command("status", "status", "How far projects are, and what is running."),
    "cars": Command(
        "lookup", "cars_command", "The built CARs of a project, and the CAR of its root, with their CIDs."
    ),
    "find": Command(
        "lookup",
        "find",
        "Which CAR and piece holds a file and at which bytes, or what a CID names. Exit code 1 if nothing is found.",
    ),
    "logs": Command("logs", "logs_command", "What the runs of a project said: the last one, or another."),
    "changes": Command(
        "records", "changes", "What a scan found added, changed and gone since the one before it."
    ),
    "history": Command(
        "records",
        "history",
        "Versions of files that scans saw, and the CARs that hold them. Exit code 1 if there is none.",
    ),
    "skipped": Command(
        "records",
        "skipped",
        "Entries that are in no CAR: left out by a scan, or dropped by a blitz, each with its reason.",
    ),
    "restore": Command(
        "restore",
        "restore",
        "Restore a project, or files and folders of it, from its CARs. Run again to resume.",
    ),
    "extract": Command(
        "extract",
        "extract_command",
        "Restore files and folders from CARs alone; split files are put together. Run again to resume.",
    ),
    "export": Command("car_bytes", "export", "Write a CAR as a file, wherever its bytes are."),
    "cat": Command("car_bytes", "cat", "Bytes of a CAR, or a range of them, on standard output."),
    "rebuild": Command(
        "car_bytes",
        "rebuild",
        "Make the lost outline of a generated CAR again, or the lost file of a staged one.",
    ),
    "release": Command(
        "delivery",
        "release",
        "Mark CARs as delivered: they may leave staging-dir, and are never built again by blitz.",
    ),
    "providers": Command("providers", "COMMANDS", "Storage providers that deals are made with."),
    "deals": Command(
        "deals", "COMMANDS", "Deals with storage providers: planned, made, followed until they are active."
    ),
    "delete-source": Command(
        "delivery",
        "delete_source",
        "Delete source files whose every byte is in verified, delivered CARs. A dry run without --delete.",
    ),
    "deleted": Command(
        "delivery", "deleted", "The journal of source files that were deleted after delivery."
    ),
    "root": Command(
        "dataset",
        "root",
        "Make the root CID of the whole data set, and a small CAR with the folder nodes that link all CARs.",
    ),
    "manifest": Command(
        "dataset",
        "manifest",
        "Write which bytes of which CAR hold each file, and a summary of the CARs with their CIDs.",
    ),
    "cid": Command(
        "identify", "cid_command", "CIDs of files and folders under the UnixFS profile unixfs-v1-2025."
    ),
    "commp": Command("identify", "commp_command", "Piece CIDs (v1 and v2) and padded piece sizes of files."),
    "inspect": Command(
        "inspect",
        "inspect_command",
        "Read CARs of any tool: whether they are sound and whole, their CIDs, and what is unusual in them.",
    ),
    "scheduler": Command(
        "machines",
        "scheduler",
        "Run the scheduler that worker machines join. Stop it with Ctrl-C or SIGTERM.",
    ),
    "worker": Command(
        "machines", "worker", "Make this machine build CARs for a scheduler, until Ctrl-C or SIGTERM."
    ),
    "workers": Command(
        "machines", "workers", "Which processes build CARs or wait for work, on all machines."
    ),
    "serve": Command("serve", "serve", "Serve the HTTP API, with Dagster's web UI and daemon beside it."),
    "serve-pieces": Command(
        "serve",
        "serve_pieces",
        "Serve pieces to storage providers at /piece/CID, and files to IPFS clients at /ipfs/CID.",
    ),
    "piece-url": Command(
        "serve", "piece_url", "Print URLs of pieces that work without a token until they expire."
    ),
    "ui": Command("serve", "ui", "Serve Dagster's web UI and GraphQL, with its daemon beside it."),
    "keys": Command(
        "keys", "COMMANDS", "Keys that encrypt projects; each has an alias, which is a project's setting."
    ),
    "decrypt": Command(
        "dataset",
        "decrypt",
        "Decrypt a manifest; it takes the key of the project's alias and nothing else.",
    ),
}
