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
    "create": Command(
        "stages", "create", "Create a project. Repeating it with the same settings changes nothing."
    ),
    "set": Command(
        "settings", "set_command", "Change settings of a project; without options, show all settings."
    ),
    "rename": Command("projects", "rename_command", "Rename a project."),
    "delete": Command(
        "projects",
        "delete_command",
        "Remove a project from the catalog and the web UI, and keep its CARs. A dry run without --yes.",
    ),
    "prep": Command(
        "prepare",
        "prep",
        "Make verified CARs and a manifest from a folder, without a project. Run again to resume.",
    ),
    "scan": Command("stages", "scan", "Record the entries of the target folder in the catalog."),
    "containerize": Command(
        "stages", "containerize", "Plan containers; each CAR's exact size is known before any data is read."
    ),
    "blitz": Command(
        "stages",
        "blitz",
        "Build all CARs that aren't built yet; in a serial project, as many as fit staging-dir.",
    ),
    "run": Command(
        "stages",
        "run",
        "Scan, containerize, blitz and verify; then make the root of the data set and the manifest.",
    ),
    "verify": Command(
        "stages",
        "verify",
        "Read CARs back and check block hashes, trees and piece CIDs. Exit code 1 if anything is wrong.",
    ),
    "status": Command("status", "status", "Show how far projects are, and what is running."),
    "cars": Command(
        "lookup",
        "cars_command",
        "List the built CARs of a project, and the CAR of its root, with their CIDs.",
    ),
    "find": Command(
        "lookup",
        "find",
        "Show which CAR and piece hold a file or CID, and at which bytes. Exit code 1 if nothing is found.",
    ),
    "logs": Command("logs", "logs_command", "Show the log of a project's last run, or of another run."),
    "changes": Command("records", "changes", "List the entries that a scan found added, changed or gone."),
    "history": Command(
        "records",
        "history",
        "List all versions of files, and the CARs that hold them. Exit code 1 if there are none.",
    ),
    "skipped": Command(
        "records",
        "skipped",
        "List entries that are in no CAR, with the reason: left out by a scan, or dropped by a blitz.",
    ),
    "restore": Command(
        "restore",
        "restore",
        "Restore a project, or files and folders of it, from its CARs. Run again to resume.",
    ),
    "extract": Command(
        "extract",
        "extract_command",
        "Restore files and folders from CARs alone; split files are joined. Run again to resume.",
    ),
    "export": Command(
        "car_bytes", "export", "Write a CAR to a file, staged or generated, and check the file."
    ),
    "cat": Command("car_bytes", "cat", "Write a CAR, or a byte range of it, to standard output."),
    "rebuild": Command(
        "car_bytes",
        "rebuild",
        "Rebuild the lost outline of a generated CAR, or the lost file of a staged one.",
    ),
    "release": Command(
        "delivery",
        "release",
        "Mark CARs as delivered: they can be removed from staging-dir, and blitz never rebuilds them.",
    ),
    "providers": Command("providers", "COMMANDS", "Manage storage providers."),
    "deals": Command("deals", "COMMANDS", "Plan, propose and follow deals with storage providers."),
    "delete-source": Command(
        "delivery",
        "delete_source",
        "Delete source files whose every byte is in verified, delivered CARs. A dry run without --delete.",
    ),
    "deleted": Command("delivery", "deleted", "List source files that were deleted after delivery."),
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
        "identify", "cid_command", "Compute CIDs of files and folders (UnixFS profile unixfs-v1-2025)."
    ),
    "commp": Command(
        "identify", "commp_command", "Compute piece CIDs (v1 and v2) and padded piece sizes of files."
    ),
    "inspect": Command(
        "inspect",
        "inspect_command",
        "Check CARs of any tool: damage, missing blocks, all CIDs, and anything unusual.",
    ),
    "scheduler": Command(
        "machines",
        "scheduler",
        "Run the scheduler that worker machines join. Stop it with Ctrl-C or SIGTERM.",
    ),
    "worker": Command(
        "machines", "worker", "Build CARs for a scheduler on this machine, until Ctrl-C or SIGTERM."
    ),
    "workers": Command(
        "machines", "workers", "List the processes that build CARs or wait for work, on all machines."
    ),
    "serve": Command("serve", "serve", "Serve the HTTP API, and start Dagster's web UI and daemon."),
    "serve-pieces": Command(
        "serve",
        "serve_pieces",
        "Serve pieces to storage providers at /piece/CID, and files to IPFS clients at /ipfs/CID.",
    ),
    "piece-url": Command(
        "serve", "piece_url", "Print URLs of pieces that work without a token until they expire."
    ),
    "ui": Command("serve", "ui", "Serve Dagster's web UI and GraphQL, and start its daemon."),
    "keys": Command("keys", "COMMANDS", "Manage the keys that encrypt projects, each with an alias."),
    "decrypt": Command(
        "dataset",
        "decrypt",
        "Decrypt a manifest with the key of the project's alias.",
    ),
}
