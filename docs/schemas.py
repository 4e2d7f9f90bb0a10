"""JSON schemas of what the command line, the HTTP API and manifests print. `python docs/schemas.py` writes them."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ptolemy_core.facts import cars, deals, files, inspected, plain, projects
from ptolemy_core.manifest.summary import Summary
from ptolemy_core.project import Project
from ptolemy_dagster.http import carfile_meta, launching, problems, runs
from ptolemy_dagster.http import deals as http_deals
from ptolemy_dagster.http import files as http_files
from ptolemy_dagster.http import projects as http_projects

FOLDER = Path(__file__).parent / "schemas"

PRINTED: dict[str, Any] = {
    "blitz": list[cars.StagedCarFacts],
    "cars": list[cars.StagedCarFacts],
    "changes": files.ChangesFacts,
    "cid": list[plain.PathCid],
    "commp": list[plain.PieceFacts],
    "containerize": list[cars.PlannedCarFacts],
    "deals-expiring": list[deals.DealFacts],
    "deals-list": list[deals.DealFacts],
    "deals-make": deals.MadeDealsFacts,
    "deals-plan": deals.DealPlanFacts,
    "deals-show": deals.DealHistoryFacts,
    "deals-track": deals.DealRoundFacts,
    "create": projects.Created,
    "delete-source": projects.DeletionFacts,
    "deleted": list[files.DeletedFacts],
    "delete": projects.RemovedFacts,
    "extract": plain.RestoredFacts,
    "extract-list": list[plain.ListedFacts],
    "find": list[files.FileFacts],
    "history": list[files.VersionFacts],
    "inspect": list[inspected.InspectedFacts],
    "keys-list": list[plain.KeyFacts],
    "logs": list[projects.LogLineFacts],
    "manifest": projects.ManifestFacts,
    "prep": projects.PreparedFacts,
    "providers-check": list[deals.CheckedProviderFacts],
    "providers-list": list[deals.ProviderFacts],
    "release": list[cars.ReleasedFacts | cars.ReleasedRootFacts],
    "restore": plain.RestoredFacts,
    "restore-list": plain.NeedsFacts,
    "root": cars.RootFacts,
    "root-history": list[cars.RootFacts],
    "run": projects.RunFacts,
    "scan": projects.ScanFacts,
    "set": Project,
    "skipped": list[files.SkippedFacts],
    "status": list[projects.LocalStatusFacts],
    "verify": projects.VerifiedFacts,
    "workers": list[projects.WorkerFacts],
}
"""What each command prints with --json; `root-history` is `root --history`, `extract-list` is `extract --list`."""

ANSWERED: dict[str, Any] = {
    "http-carfile_meta": list[carfile_meta.CarMeta],
    "http-car": carfile_meta.CarMeta,
    "http-deals": http_deals.ProjectDeals,
    "http-deal": deals.DealHistoryFacts,
    "http-providers": list[deals.ProviderFacts],
    "http-files": list[http_files.FileOut],
    "http-launched": launching.Launched,
    "http-plan": list[carfile_meta.PlannedCar],
    "http-problem": problems.ProblemDetails,
    "http-project": http_projects.ProjectStatus,
    "http-projects": list[http_projects.ListedProject],
    "http-created": http_projects.ProjectOut,
    "http-run": runs.Run,
    "http-workers": list[projects.WorkerFacts],
}
"""What each address of the HTTP API answers."""

SCHEMAS: dict[str, Any] = PRINTED | ANSWERED | {"manifest-summary": Summary}


def schema_of(name: str) -> str:
    """A schema as its file has it."""
    schema = TypeAdapter(SCHEMAS[name]).json_schema(mode="serialization", by_alias=True)
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{name}.json"} | schema
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    made = {each: schema_of(each) for each in SCHEMAS}
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for each, text in made.items():
        (FOLDER / f"{each}.json").write_text(text, encoding="utf-8")
